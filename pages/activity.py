"""What people did lately, the newest first: /activity?page=2."""

import streamlit as st

from components import activity

st.set_page_config(page_title="Activity · Featurescope")
activity.page()
