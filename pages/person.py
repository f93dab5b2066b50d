"""Somebody's page: /person?name=…; one's own without a name."""

import streamlit as st

from components import activity

activity.person(st.query_params.get("name", "").strip())
