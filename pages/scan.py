"""One slot of a sentence filled with many words: /scan?id=<feature>&sentence=The+{}+house&words=red,blue&order=slot."""

import streamlit as st

from components import controls, resources, saving, scan_panels, scanning

key = controls.feature_key()
record = controls.attempt(lambda: resources.workbench().feature(key), key.source) if key else None
if record is None:
    st.stop()

view = scanning.view(record.key)
st.set_page_config(page_title=f"Scan · {record.label or 'feature'} · {record.key} · Featurescope")
st.html(scan_panels.head(record))
with st.container(key="fs-search"):
    st.html(scan_panels.form(view, record.key.model_id, resources.scans()))
    if view.sentence and view.words:
        saving.offer(view.to(view.order), view.sentence)
    scanning.results(view, record)
