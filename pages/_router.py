"""Every visit begins here: the page's frame, its look, and which page it is. The pages themselves are thin scripts."""

import streamlit as st

from components import controls, embedding, explicit, forgetting, links, look, people, person_menu, searching

st.set_page_config(
    page_title="Featurescope", page_icon=look.LOGO_FILE, layout="wide", initial_sidebar_state="collapsed"
)
forgetting.forget()
embedded = controls.embedded()
if not embedded:
    st.logo(look.LOGO_FILE, size="medium", link=None)

shown = "visible" if people.kept() else "hidden"
page = st.navigation(
    [
        st.Page("home.py", title="Home", url_path="home", default=True, help="What is here, and a way in."),
        st.Page("search.py", title="Search", url_path="search", help="The features that a sentence activates."),
        st.Page("meaning.py", title="Meaning", url_path="meaning", help="Features by what is said of them."),
        st.Page("map.py", title="Map", url_path="map", help="All features at once: wander, select, keep."),
        st.Page("steer.py", title="Steer", url_path="steer", help="Push features and read what the model writes."),
        st.Page("graph.py", title="Attribution graph", url_path="graph", visibility="hidden"),
        st.Page("circuit.py", title="Circuit", url_path="circuit", help="What a prompt's next token is made of."),
        st.Page("heads.py", title="Heads", url_path="heads", help="Attention heads by what they look at."),
        st.Page("source.py", title="Features", url_path="source", help="The features of a source, to filter and sort."),
        st.Page(
            "lists.py", title="Lists", url_path="lists", help="Features that people put together.", visibility=shown
        ),
        st.Page("suites.py", title="Test suites", url_path="suites", help="What features should fire on, run again."),
        st.Page("play.py", title="Play", url_path="play", help="Say what features fire on; points for agreement."),
        st.Page("leaderboard.py", title="Leaderboard", url_path="leaderboard", help="Sources by how good they are."),
        st.Page("glossary.py", title="Glossary", url_path="glossary", help="What every number means."),
        st.Page("feature.py", title="Feature", url_path="feature", visibility="hidden"),
        st.Page("head.py", title="Attention head", url_path="head", visibility="hidden"),
        st.Page("pair.py", title="Two prompts", url_path="pair", visibility="hidden"),
        st.Page("template.py", title="Template", url_path="template", visibility="hidden"),
        st.Page("universal.py", title="Universality", url_path="universal", visibility="hidden"),
        st.Page("similar.py", title="Similar features", url_path="similar", visibility="hidden"),
        st.Page("quality.py", title="Quality", url_path="quality", visibility="hidden"),
        st.Page("compare.py", title="Compare", url_path="compare", visibility="hidden"),
        st.Page("suite.py", title="Test suite", url_path="suite", visibility="hidden"),
        st.Page("explanations.py", title="Explanations", url_path="explanations", visibility="hidden"),
        st.Page("person.py", title="Person", url_path="person", visibility="hidden"),
        st.Page("activity.py", title="Activity", url_path="activity", visibility="hidden"),
        st.Page("moderation.py", title="Moderation", url_path="moderation", visibility="hidden"),
        st.Page("list.py", title="List", url_path="list", visibility="hidden"),
        st.Page("quick_list.py", title="Quick list", url_path="quick-list", visibility="hidden"),
        st.Page("scan.py", title="Scan", url_path="scan", visibility="hidden"),
        st.Page("redteam.py", title="Red-teaming", url_path="redteam", visibility="hidden"),
        st.Page("probe.py", title="Probe", url_path="probe", visibility="hidden"),
        st.Page("model.py", title="Model", url_path="model", visibility="hidden"),
        st.Page("release.py", title="Release", url_path="release", visibility="hidden"),
        st.Page("source_set.py", title="Source set", url_path="set", visibility="hidden"),
        st.Page("sign_in.py", title="Sign in", url_path="sign-in", visibility="hidden"),
        st.Page("account.py", title="Account", url_path="account", visibility="hidden"),
        st.Page("add.py", title="Add a source", url_path="add", visibility="hidden"),
        st.Page("server.py", title="About this server", url_path="server", visibility="hidden"),
    ],
    position="hidden" if embedded else "top",
)
look.dress(searching.warm, embedded=embedded)
explicit.dress()
menu = None if embedded else person_menu.Menu(page.url_path)
try:
    if embedded and page.url_path not in links.EMBEDDABLE:
        embedding.elsewhere(page.title, controls.here(page.url_path))
    else:
        page.run()
finally:  # also where a page stops early
    if menu:
        menu.finish()
if not embedded:
    look.foot()
