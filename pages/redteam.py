"""A hypothesis about a feature, tested: /redteam?id=<feature>&hypothesis=fires+on+red,+not+on+Credentials&share=0.1."""

import streamlit as st

from components import controls, redteam, redteam_panels, resources

key = controls.feature_key()
record = controls.attempt(lambda: resources.workbench().feature(key), key.source) if key else None
if record is None:
    st.stop()

view, said = redteam.view(record.key)
st.set_page_config(page_title=f"Red-teaming · {record.label or 'feature'} · {record.key} · Featurescope")
st.html(redteam_panels.head(record))
with st.container(key="fs-search"):
    redteam.page(view, said, record)
