"""One's own account: /account. Name, API keys, what is hidden, what was used, everything to take along."""

import streamlit as st

from components import account, source_panels

st.set_page_config(page_title="Account · Featurescope")
st.html(source_panels.title("Your account", "Only you see this page."))
account.page()
