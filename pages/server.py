"""What the server's process holds, who waits, and what bounds a request: /server. Its numbers follow by themselves."""

import streamlit as st

from components import resources, server_panels, source_panels

EVERY = 5  # seconds between two looks; a look reads a few counters

st.set_page_config(page_title="About this server · Featurescope")
st.html(
    source_panels.title(
        "About this server", "What it has in memory, how many requests wait, and how much one request may ask for."
    )
)


@st.fragment(run_every=EVERY)
def now() -> None:
    """The record as it is at this moment."""
    st.html(server_panels.page(resources.workbench().server()))


now()
