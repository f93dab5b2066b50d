"""One source set over its layers: /set?model=<model>&set=<set>."""

import streamlit as st

from components import controls, source_panels, tables
from components.links import model
from components.markup import card, esc, link

sources = controls.source_set()
if not sources:
    st.stop()
key, release = sources[0].key, sources[0].release
st.set_page_config(page_title=f"{key.set_name} of {key.model_id} · Featurescope")
crumbs = [link(model(key.model_id), key.model_id), f"<b>{esc(key.set_name)}</b>"]
st.html(source_panels.title(f"{key.set_name} of {key.model_id}", release.description, crumbs, source_panels.COPY))
st.html(card(tables.sources(sources), "Sources, by layer", f"{len(sources)} sources"))
