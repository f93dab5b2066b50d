"""Features that a text activates: /search?text=…&model=…&sources=2-res,3-res&tokens=3,4&sort=value&page=2."""

import streamlit as st

from components import resources, search_panels, searching
from components.search_view import facets

view = searching.view()
if view is None:
    st.stop()

bench = resources.workbench()
sources = searching.sources(view.model_id)
models = [bench.model(name) for name in searching.models()]
st.set_page_config(page_title=f"{view.text[:60] or 'Search'} · Featurescope")
st.html(search_panels.head(view))
with st.container(key="fs-search"):
    st.html(search_panels.form(view, models, resources.prompts()))
    if not view.text:
        st.html(search_panels.examples(view, resources.prompts()))
    elif read := searching.read(view):
        view, tokens = read
        st.html(search_panels.asked(view, tokens, sources, facets(sources, view.sources)))
        searching.results(view, sources)
