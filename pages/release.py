"""One release and its sources: /release?name=<name>."""

import streamlit as st

from components import controls, resources, source_panels, tables
from components.links import leaderboard
from components.markup import card, esc, link

record = controls.release()
if record is None:
    st.stop()
st.set_page_config(page_title=f"{record.name} · Featurescope")
st.html(
    source_panels.title(
        record.name, record.description, [link("/", "releases"), f"<b>{esc(record.name)}</b>"],
        link(leaderboard(q=record.name), "Leaderboard", "fs-btn") + source_panels.COPY,
    )
)
sources = tables.arranged(resources.workbench().sources(release=record.name))
about = [f"by {esc(record.creator)}"] if record.creator else []
if record.urls:
    about.append(source_panels.release_urls(record.urls))
if about:
    st.html(card("<br>".join(about)))
for model_id in dict.fromkeys(s.key.model_id for s in sources):
    its = [s for s in sources if s.key.model_id == model_id]
    st.html(card(tables.sources(its), f"on {esc(model_id)}", f"{len(its)} sources"))
