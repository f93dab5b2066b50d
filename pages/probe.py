"""A probe: /probe to train one on pasted texts, /probe?id=<model>/<source>/<index> for one that was kept."""

import streamlit as st

from components import controls, probe_panels, probing, resources

asked = st.query_params.get("id", "").strip()
record = controls.attempt(lambda: resources.workbench().probe(asked)) if asked else None
if asked and record is None:
    st.stop()
st.set_page_config(page_title=f"{record.label if record else 'Train a probe'} · Featurescope")
st.html(probe_panels.head(record))
if record is None:
    probing.form()
    st.html(probe_panels.kept(resources.workbench().probes()))
else:
    probing.result(record)
