"""Features by what is said of them: /meaning?q=colours&sources=2-res,3-res&density=0.01&score=0.75&rank=words."""

import streamlit as st

from components import meaning, meaning_panels, resources

view = meaning.view()
if view is None:
    st.stop()

st.set_page_config(page_title=f"{view.query[:60] or 'Find by meaning'} · Featurescope")
st.html(meaning_panels.head(view))
with st.container(key="fs-meaning"):
    st.html(meaning_panels.form(view, resources.workbench().models()))
    if view.query:
        meaning.results(view)
    else:
        resources.workbench().words.warm()
        st.html(meaning_panels.examples(view))
