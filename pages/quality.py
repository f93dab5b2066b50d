"""How good a source is: /quality?source=<model>/<source>, and what its features split into: &wide=…&threshold=0.7."""

import streamlit as st

from components import controls, quality, resources

key = controls.source_key("source")
record = controls.attempt(lambda: resources.workbench().source(key)) if key else None
if record is None:
    st.stop()

st.set_page_config(page_title=f"Quality of {record.key} · Featurescope")
quality.head(record)
quality.results(quality.view(record.key), record)
