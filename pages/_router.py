"""Every visit begins here: the page's frame, its look, and which page it is. The pages themselves are thin scripts."""

import streamlit as st

from components import controls, embedding, links, look, searching

st.set_page_config(
    page_title="Featurescope", page_icon=look.LOGO_FILE, layout="wide", initial_sidebar_state="collapsed"
)
embedded = controls.embedded()
if not embedded:
    st.logo(look.LOGO_FILE, size="medium", link=None)

page = st.navigation(
    [
        st.Page("home.py", title="Home", url_path="home", default=True, help="What is here, and a way in."),
        st.Page("search.py", title="Search", url_path="search", help="The features that a sentence activates."),
        st.Page("steer.py", title="Steer", url_path="steer", help="Push features and read what the model writes."),
        st.Page("source.py", title="Features", url_path="source", help="The features of a source, to filter and sort."),
        st.Page("glossary.py", title="Glossary", url_path="glossary", help="What every number means."),
        st.Page("feature.py", title="Feature", url_path="feature", visibility="hidden"),
        st.Page("scan.py", title="Scan", url_path="scan", visibility="hidden"),
        st.Page("model.py", title="Model", url_path="model", visibility="hidden"),
        st.Page("release.py", title="Release", url_path="release", visibility="hidden"),
        st.Page("source_set.py", title="Source set", url_path="set", visibility="hidden"),
        st.Page("server.py", title="About this server", url_path="server", visibility="hidden"),
    ],
    position="hidden" if embedded else "top",
)
look.dress(searching.warm, embedded=embedded)
if embedded and page.url_path not in links.EMBEDDABLE:
    embedding.elsewhere(page.title, controls.here(page.url_path))
else:
    page.run()
if not embedded:
    look.foot()
