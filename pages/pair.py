"""What a clean and a corrupted prompt differ in: /pair?clean=She said that&corrupted=He said that&target= she.

The rest of the view: sources=2-res,3-res, by=difference, direction=noising, curve=2-res.
"""

import streamlit as st

from components import pair, pair_panels, resources, searching

view = pair.view()
if view is None:
    st.stop()

models = [resources.workbench().model(name) for name in searching.models()]
st.set_page_config(page_title=f"{view.clean[:60] or 'Two prompts'} · Featurescope")
st.html(pair_panels.head(view))
with st.container(key="fs-search"):
    st.html(pair_panels.form(view, models))
    pair.page(view)
