"""The page of maps at work: reads its view from the URL, shows the map or makes it, and what one looks at beside it.

A map is made when somebody asks for it by a button, in a job of its own: who comes meanwhile sees the same progress.
Looking at a feature and keeping a list are fragments, so that neither draws the map anew.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from components import controls, links, map_panels, map_part, map_view, people, resources, steps, tables
from components.jobs import Job
from components.list_new import keep_features
from components.map_view import View
from components.markup import note
from core.errors import WorkbenchError
from core.records import FeatureKey, Records, SourceRecord

AT = "map-at"
"""In the session: the feature that is looked at."""
EVERY = 0.7
"""Seconds between two looks at a map that is being made."""


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing has been built."""
    names = [model.model_id for model in resources.workbench().models() if sources(model.model_id)]
    if not names:
        controls.nothing()
        return None
    found, wrong = map_view.read(st.query_params.to_dict(), names, sources)
    for message in wrong:
        controls.say(message)
    return found


def sources(model_id: str) -> Records[SourceRecord]:
    """The sources of a model that have features which fire."""
    return Records(tables.arranged(s for s in resources.workbench().sources(model_id=model_id) if s.alive))


def show(asked: View) -> None:
    """Draw the map, or the way to make it."""
    bench = resources.workbench()
    try:
        record = bench.atlas.map_here(asked.sources, of=asked.of)
    except WorkbenchError as error:
        controls.say(str(error))
        record = None
    job = resources.mapping(tuple(map(str, asked.sources)), asked.of, begin=False)
    if record is None or (job is not None and not job.wait(0)):
        _making(asked)
        return
    if record.changed:
        _stale(asked, record.changed)
    st.session_state[AT] = asked.at  # what the browser picks after this is told by the component
    _map(asked, record)
    with st.container(key="fs-map-under", horizontal=True, vertical_alignment="center"):
        st.html(map_panels.said(bench.atlas.map_about(record)))
        st.download_button(
            "Save as a file", lambda: bench.atlas.map_file(record), f"{record.name}.html", "text/html",
            key="map-file", on_click="ignore", help="One HTML page that works by itself: the map, to move about in",
        )  # fmt: skip


@st.fragment
def _map(asked: View, record: Any) -> None:
    """The map and, beside it, what one looks at; drawn again by itself."""
    bench = resources.workbench()
    query = urlencode(
        {"sources": ",".join(map(str, asked.sources)), "of": asked.of, "mark": bench.atlas.packed.mark(record)}
    )
    data = {
        "points": f"/api/umap/points.bin?{query}", "texts": f"/api/umap/texts.bin?{query}", "lists": people.kept(),
    }  # fmt: skip
    state = f"map-{record.name}"
    with st.container(key="fs-map-body"):
        with st.container(key="fs-map-main"):
            map_part.part(bench, data, key=state, on_pick=lambda: None, on_keep=lambda: None)
        with st.container(key="fs-map-side"):
            place = st.empty()
    fired = st.session_state.get(state)
    picked, kept = getattr(fired, "pick", None), getattr(fired, "keep", None)
    if picked:
        st.session_state[AT] = str(picked.get("key", ""))[: map_view.LONGEST]
    place.html(_look(st.session_state.get(AT, "")))
    if kept:
        _keep(kept)


def _look(name: str) -> str:
    if not name:
        return map_panels.nothing_picked()
    bench = resources.workbench()
    try:
        key = FeatureKey.parse(name)
        return map_panels.picked(bench.feature(key), bench.words.here(key))
    except WorkbenchError as error:
        return map_panels.lost(str(error))


def _keep(kept: Any) -> None:
    """Asks for the list's name and who sees it, for features that the browser names."""
    try:
        keys = [FeatureKey.parse(str(one)) for one in kept["features"]]
    except (WorkbenchError, KeyError, TypeError) as error:
        st.html(note(str(error)))
        return
    keep_features(keys, str(kept.get("name", "")))


# -- making ------------------------------------------------------------------------------------------------------------


def _making(asked: View) -> None:
    """The way to make the map; while it is made, how far that is."""
    names = tuple(map(str, asked.sources))
    job = resources.mapping(names, asked.of, begin=False)
    if job is not None and job.failed:
        st.html(note(str(job.outcome())))
    if job is None or job.failed:
        st.html(map_panels.unmade(asked, sum(resources.workbench().source(key).alive for key in asked.sources)))
        if not st.button("Make this map", key="map-make", type="primary"):
            return
        resources.mapping(names, asked.of, begin=True)
        st.rerun()
    _progress(names, asked.of)


@st.fragment(run_every=EVERY)
def _progress(names: tuple[str, ...], of: str) -> None:
    job: Job[Any] | None = resources.mapping(names, of, begin=False)
    if job is None or job.wait(0):
        st.rerun(scope="app")
        return
    st.html(map_panels.busy(steps.words(job.step) if job.step else "Making the map…", steps.part(job.step)))


def _stale(asked: View, changed: int) -> None:
    """Explanations are others than on the map: said, with the way to make it anew."""
    names = tuple(map(str, asked.sources))
    with st.container(key="fs-map-stale", horizontal=True, vertical_alignment="center"):
        st.html(note(f"{changed:,} explanations were written or changed since this map was made.", warn=False))
        if st.button("Make it anew", key="map-anew"):
            resources.mapping(names, asked.of, begin=True, anew=True)
            st.rerun()


def offer(key: Any) -> str:
    """The address of a source's map, for other pages."""
    return links.map_(model=key.model_id, sources=key.source_id)
