"""Every attention head of a model by its standard scores: /heads?id=scribe-4l&sort=induction."""

import streamlit as st

from components import head

st.set_page_config(page_title="Attention heads · Featurescope")
head.overview()
