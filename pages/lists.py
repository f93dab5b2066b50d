"""Lists of features: one's own and the newest public ones."""

import streamlit as st

from components import list_new, source_panels

st.set_page_config(page_title="Lists · Featurescope")
st.html(source_panels.title("Lists", "Features that belong together, with what somebody thinks of each."))
list_new.shelves()
