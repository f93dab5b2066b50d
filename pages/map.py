"""All features on a plane: /map?sources=2-res,3-res&of=explanation&colour=layer&q=war&view=0.1,-0.3,4&at=<feature>."""

import streamlit as st

from components import map_panels, map_part, mapping, resources

asked = mapping.view()
if asked is None:
    st.stop()

st.set_page_config(page_title="Map · Featurescope")
st.html(f"<style>{map_part.PAGE_CSS}</style>")
st.html(map_panels.head())
with st.container(key="fs-map"):
    st.html(map_panels.tools(asked, resources.workbench().models(), mapping.sources(asked.model_id)))
    mapping.show(asked)
