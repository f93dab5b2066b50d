"""What moderators were asked to look at, and what they did: /moderation. Only for moderators."""

import streamlit as st

from components import moderation

st.set_page_config(page_title="Moderation · Featurescope")
moderation.page()
