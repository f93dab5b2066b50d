"""What is like a feature: /similar?id=<model>/<source>/<index>&view=layers&by=encoder&in=3-res&least=0.5&top=100."""

import streamlit as st

from components import resources, similar, similar_panels

view = similar.view()
if view is None:
    st.stop()

label = similar.label(view.key)
st.set_page_config(page_title=f"Like {label or view.key} · Featurescope")
st.html(similar_panels.head(view, label))
with st.container(key="fs-similar"):
    records = similar.sources(view.key)
    st.html(similar_panels.tools(view, records, models=len(resources.workbench().models()) > 1))
    similar.results(view)
