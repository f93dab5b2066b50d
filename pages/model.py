"""One model and its sources: /model?id=<model>."""

import streamlit as st

from components import controls, resources, source_panels, tables
from components.links import source_set
from components.markup import card, join, link

bench = resources.workbench()
record = controls.model()
if record is None:
    st.stop()
st.set_page_config(page_title=f"{record.name} · Featurescope")
st.html(
    source_panels.title(
        record.name, record.description, [link("/", "models"), f"<b>{record.model_id}</b>"], source_panels.COPY
    )
)
with st.container(key="fs-body"):
    with st.container(key="fs-main"):
        sources = tables.arranged(bench.sources(model_id=record.model_id))
        for name in dict.fromkeys(s.key.set_name for s in sources):
            its = [s for s in sources if s.key.set_name == name]
            st.html(card(tables.sources(its), link(source_set(record.model_id, name), name), f"{len(its)} sources"))
    with st.container(key="fs-side"):
        st.html(join([card(tables.model_facts(record), "Facts")]))
        st.html(card(link(f"/probe?model={record.model_id}", "Train a probe", "fs-btn"), "Directions of your own"))
