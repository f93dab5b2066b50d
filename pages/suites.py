"""Test suites: one's own, and the public ones, with how they last came out: /suites?page=2."""

import streamlit as st

from components import suites

st.set_page_config(page_title="Test suites · Featurescope")
suites.index()
