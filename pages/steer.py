"""Features pushed up or down while the model writes: /steer?features=2-res/78:30&prompt=….

Also a saved run, run=…, which is shown without a model call.
"""

import streamlit as st

from components import steer_panels, steer_parts, steering

view = steering.view()
if view is None:
    st.stop()

st.set_page_config(page_title=f"{view.ask.prompt[:60] or 'Steer'} · Featurescope")
st.html(f"<style>{steer_parts.PAGE_CSS}</style>{steer_panels.head(view)}")
with st.container(key="fs-steer"):
    with st.container(key="fs-steer-setup"):
        steering.setup(view)
    with st.container(key="fs-steer-main"):
        steering.prompt(view)
        steering.results(view)
