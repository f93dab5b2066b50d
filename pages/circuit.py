"""What a prompt's output is made of: /circuit?text=…&target= proposes&against= is&node=2-res/447@24&order=direct.

The target is next tokens, or a feature at a token: feature=2-res/447&position=24.
"""

import streamlit as st

from components import circuit, circuit_panels, resources, searching

view = circuit.view()
if view is None:
    st.stop()

models = [resources.workbench().model(name) for name in searching.models()]
st.set_page_config(page_title=f"{view.text[:60] or 'Circuit'} · Featurescope")
st.html(circuit_panels.head(view))
with st.container(key="fs-search"):
    st.html(circuit_panels.form(view, models))
    circuit.page(view)
