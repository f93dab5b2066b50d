"""Features that two models have in common: /universal?id=<model>/<source>&other=<model>/<source>&by=words&mutual=1."""

import streamlit as st

from components import controls, resources, universal

key = controls.source_key()
record = controls.attempt(lambda: resources.workbench().source(key)) if key else None
if record is None:
    st.stop()

st.set_page_config(page_title=f"{record.key} in other models · Featurescope")
view = universal.view(record.key)
universal.head(view)
universal.results(view)
