"""What features respond to in a set of prompts: /template?template={opening}It is {what}&fill=opening = “, (&at=end.

The rest of the view: fill has a line for each slot; sources=2-res,3-res, prompts=96, seed=1.
"""

import streamlit as st

from components import resources, searching, template, template_panels

view = template.view()
if view is None:
    st.stop()

models = [resources.workbench().model(name) for name in searching.models()]
st.set_page_config(page_title=f"{view.template[:60] or 'Template'} · Featurescope")
st.html(template_panels.head(view))
with st.container(key="fs-search"):
    st.html(template_panels.form(view, models))
    template.page(view)
