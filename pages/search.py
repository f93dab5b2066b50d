"""Features that a text activates: /search?text=…&model=…&sources=2-res,3-res&tokens=3,4&sort=value&page=2.

Also those of each token, view=token&source=3-res, what tells two texts apart, text=…&against=…, and what a text does to
features that were picked, view=picked&picked=2-res/78,3-res/5.
"""

import streamlit as st

from components import contrast_panels, resources, saving, search_panels, searching

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
    if view.text:
        saving.offer(view.to(), view.text)
    if view.shown == "contrast" and not (view.text and view.against):
        st.html(contrast_panels.examples(view, resources.pairs()))
    elif view.shown == "picked":
        searching.picked(view, sources)
    elif not view.text:
        st.html(search_panels.examples(view, resources.prompts()))
    elif read := searching.read(view):
        view, texts = read
        st.html(searching.asked(view, texts, sources))
        searching.results(view, sources)
