"""Signing in, where people share this server: /sign-in?next=…&draft=…. The forms go to the server's routes at /auth."""

import streamlit as st

from components import sign_in

st.set_page_config(page_title="Sign in · Featurescope")
sign_in.page()
