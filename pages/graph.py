"""Which feature acts on which in a prompt: /graph?text=…&set=mlp&nodes=0.8&edges=0.98, or a kept one: ?model=…&slug=….

What is clicked, pinned, put together and renamed is in the link too: clickedId, pinnedIds, supernodes, clerps.
"""

import streamlit as st

from components import graph, graph_panels

here = graph.ways()
view = graph.view(here)
if view is None:
    st.stop()

st.set_page_config(page_title=f"{(view.text or view.slug)[:60] or 'Attribution graph'} · Featurescope")
st.html(graph_panels.head(view))
with st.container(key="fs-search"):
    graph.form(view, here)
    graph.page(view)
