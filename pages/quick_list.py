"""A list that is its address: /quick-list?name=…&features=[{modelId, layer, index}, …] or ids with commas between."""

import streamlit as st

from components import list_new

name, keys, wrong = list_new.asked()
st.set_page_config(page_title=f"{name or 'Quick list'} · Featurescope")
list_new.quick(name, keys, wrong)
