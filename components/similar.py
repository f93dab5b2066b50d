"""The page of similar features at work: reads its view from the URL, begins the look, and says how far it is.

Weights are loaded at first need, in a job of its own; what was found serves whoever asks for the same.
"""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from components import (
    controls,
    resources,
    search_panels,
    similar_chain,
    similar_panels,
    similar_view,
    steps,
    tables,
    ticks,
    together,
    universal,
)
from components.searching import AT_ONCE, EVERY
from components.similar_view import View
from core.atlas.near.records import ChainRecord, FamilyRecord, SimilarRecord, WiringRecord
from core.errors import WorkbenchError
from core.records import FeatureKey, FeatureRecord, Records, SourceRecord, Step

Found = SimilarRecord | ChainRecord | FamilyRecord | WiringRecord


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if it names no feature that is here."""
    key = controls.feature_key()
    if key is None or controls.attempt(lambda: resources.workbench().source(key.source), key.source) is None:
        return None
    found, wrong = similar_view.read(st.query_params.to_dict(), key, sources(key))
    for message in wrong:
        controls.say(message)
    return found


def sources(key: FeatureKey) -> Records[SourceRecord]:
    """The sources of a feature's model, as a reader looks for them."""
    return Records(tables.arranged(resources.workbench().sources(model_id=key.model_id)))


def label(key: FeatureKey) -> str:
    """What the feature is called; empty where its source has no dashboards."""
    try:
        return resources.workbench().feature(key).label
    except WorkbenchError:
        return ""


def results(asked: View) -> None:
    """Draw what was found, or where it will be."""
    if asked.shown == "models":
        empty = similar_panels.nothing("No other model was compared", f"{asked.key.model_id} was matched with none.")
        st.html(universal.panel(asked.key) or empty)
        return
    if asked.shown == "together":
        together.draw(asked)
        return
    place = st.empty()
    job = resources.similar(
        str(asked.key), asked.shown, asked.by, tuple(map(str, asked.sources)), asked.least, asked.top, _stamp(asked)
    )
    if not job.wait(AT_ONCE):
        drawn = ""
        while not job.wait(EVERY if drawn else 0):
            now = search_panels.waiting(_words(asked, job.step), steps.part(job.step))
            if now != drawn:
                place.html(now)
            drawn = now
    found = job.outcome()
    if isinstance(found, str):
        place.html(similar_panels.failed(asked, found))
        return
    clear = ticks.chosen(asked.picked, asked.to(picked=()))
    place.html(f"{_drawn(asked, found)}{similar_panels.taking(asked)}{clear}")


def _drawn(asked: View, found: Found) -> str:
    if isinstance(found, SimilarRecord):
        return similar_panels.similar(asked, found)
    if isinstance(found, ChainRecord):
        return similar_chain.chain(asked, found)
    if isinstance(found, FamilyRecord):
        return similar_panels.family(asked, found)
    return similar_panels.wiring(asked, found)


def _words(asked: View, step: Step | None) -> str:
    if step is not None:
        return steps.words(step)
    ready = asked.by in ("explanation", "correlation") or resources.ready(asked.key.model_id)
    return "Comparing…" if ready else "Loading the weights, then comparing…"


def _stamp(asked: View) -> str:
    """Tells builds of the sources that are looked into apart."""
    bench = resources.workbench()
    stamp = " ".join(bench.build_of(record.key) for record in sources(asked.key) if "dashboards" in record.has)
    if asked.by == "explanation":  # what is said of features changes while a page is open
        with suppress(WorkbenchError):  # people's explanations may be away
            stamp += " ".join(bench.words.mark(record.key) for record in sources(asked.key))
    return stamp


def of_feature(record: FeatureRecord) -> str:
    """On a feature's page: the nearest in other sources from a table, without weights."""
    return similar_panels.glance(record.key, resources.workbench().atlas.glance(record.key))
