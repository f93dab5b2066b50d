"""Adding a source: /add to choose one, /add?job=<id> for one on its way: what it is, a check, its build."""

import streamlit as st

from components import add, source_panels

st.set_page_config(page_title="Add a source · Featurescope")
st.html(
    source_panels.title(
        "Add a source",
        "An SAE or transcoder of yours or of anybody’s: see what it is, try it on a few prompts, build it in the "
        "background; or an export of dashboards, to be imported. The page may be closed meanwhile.",
    )
)
add.page()
