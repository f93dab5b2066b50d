"""A source's explanations with their scores: /explanations?source=<model>/<source>&sort=score&method=…&page=2."""

import streamlit as st

from components import explanations

view = explanations.view()
if view is None:
    st.stop()

st.set_page_config(page_title=f"Explanations of {view.source} · Featurescope")
st.html(explanations.head(view))
explanations.page(view)
