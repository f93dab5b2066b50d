"""One source and its features: /source?id=<model>/<source>&q=…&density=…&sort=-density&page=2."""

import streamlit as st

from components import controls, filters, resources, source_panels, tables, universal
from components.links import compare, model, quality, random_feature, release, source_set
from components.markup import esc, link

key = controls.source_key()
record = controls.attempt(lambda: resources.workbench().source(key)) if key else None
if record is None or key is None:
    st.stop()

st.set_page_config(page_title=f"{key} · Featurescope")
crumbs = [
    link(model(key.model_id), key.model_id),
    *([] if record.release.name == key.model_id else [link(release(record.release.name), record.release.name)]),
    link(source_set(key.model_id, key.set_name), key.set_name),
    f"<b>{esc(key.source_id)}</b>",
]
jump = source_panels.jump(key, "Jump to an index, id or link")
ways = link(quality(key), "Quality", "fs-btn")
ways += link(compare(model=key.model_id, sources=key.source_id), "Compare", "fs-btn")
actions = ways + link(random_feature(key), "⚄ Random", "fs-btn") + jump + source_panels.COPY
st.html(source_panels.title(f"Features of {key.source_id}", "", crumbs, actions))
st.html(source_panels.others(key, resources.workbench().sources(model_id=key.model_id)))
with st.container(key="fs-body"):
    with st.container(key="fs-main"):
        st.html(source_panels.numbers(record))
        frame = controls.attempt(lambda: resources.workbench().features(key))
        if frame is not None:
            with st.container(key="fs-table"):
                asked = filters.draw(key)
                rows = tables.ordered(filters.apply(frame, asked), asked.sort)
                page = controls.page_number(-(-len(rows) // tables.PAGE))
                st.html(tables.features(key, rows, asked.sort, page, asked.view(), asked.picked))
    with st.container(key="fs-side"):
        if frame is not None:
            st.html(source_panels.about(record, resources.workbench().densities(key)))
            st.html(source_panels.downloads(record))
        controls.draw(universal.beside(key))
