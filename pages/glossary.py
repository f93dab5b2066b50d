"""What every number means: the same definitions as the tooltips."""

import streamlit as st

from components import resources, source_panels

st.set_page_config(page_title="Glossary · Featurescope")
st.html(
    source_panels.title(
        "Glossary",
        "The words and numbers of these pages. The same definitions are one hover away wherever they are used.",
    )
)
st.html(source_panels.glossary(resources.glossary()))
