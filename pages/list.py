"""A list of features: /list?id=…&text=…&order=value&page=2, also in somebody's frame with embed=true."""

import streamlit as st

from components import controls, list_page

one = list_page.opened()
if one is None:
    st.stop()
st.set_page_config(page_title=f"{one.list.card.name} · Featurescope")
if controls.embedded():
    list_page.embed(one)
else:
    list_page.head(one)
    with st.container(key="fs-list"):
        list_page.features(one)
        list_page.said(one)
