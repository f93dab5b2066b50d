"""One attention head: /head?id=scribe-4l/2/5&text=This PEP proposes a new syntax. This PEP&position=9&attended=3."""

import streamlit as st

from components import head, head_panels

view = head.view()
if view is None:
    st.stop()

st.set_page_config(page_title=f"{view.key.name} of {view.key.model_id} · Featurescope")
st.html(head_panels.head(view, head.models()[view.key.model_id]))
with st.container(key="fs-search"):
    head.page(view)
