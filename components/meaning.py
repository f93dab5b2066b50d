"""The page of search by meaning at work: reads its view from the URL, begins the search, and says how far it is.

The page stands before the slow part begins, which at first need is loading the sentence model and giving vectors to
explanations that have none; that runs in a job of its own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import streamlit as st

from components import controls, meaning_panels, meaning_view, paging, resources, steps, tables
from components.jobs import Job
from components.markup import note
from components.meaning_view import PAGE, View
from components.searching import AT_ONCE, EVERY
from core.errors import WorkbenchError
from core.explain.records import MeaningRecord
from core.records import FeatureKey, FeatureRecord, Records, SourceRecord, Step, Tell

Found = tuple[MeaningRecord, dict[FeatureKey, FeatureRecord]]
"""What was found, and those of the features that can be read."""


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing has been built."""
    names = [model.model_id for model in resources.workbench().models()]
    if not names:
        controls.nothing()
        return None
    found, wrong = meaning_view.read(st.query_params.to_dict(), names, sources)
    for message in wrong:
        controls.say(message)
    return found


def sources(model_id: str) -> Records[SourceRecord]:
    """The sources of a model, as a reader looks for them."""
    return Records(tables.arranged(resources.workbench().sources(model_id=model_id)))


def only(asked: View) -> str:
    """The model that is looked into; empty where there are several."""
    models = resources.workbench().models()
    return asked.model_id or (models[0].model_id if len(models) == 1 else "")


def results(asked: View) -> None:
    """Draw the filters, and what was found or where it will be."""
    model_id = only(asked)
    st.html(meaning_panels.tools(asked, sources(model_id) if model_id else ()))
    place = st.empty()
    job = _find(asked)
    found = _follow(job, place)
    beyond = ""
    if not isinstance(found, str):
        page, beyond = paging.within(asked.page, meaning_panels.pages(found[0]))
        if beyond:
            asked = replace(asked, page=page)
            found = _follow(_find(asked), place)
    if isinstance(found, str):
        place.html(meaning_panels.failed(found, asked))
        return
    said = note(beyond) if beyond else ""
    place.html(said + meaning_panels.results(asked, *found) + meaning_panels.download(asked, model_id))


def _find(view: View) -> Job[Found]:
    """A search at work; one is quick enough not to be kept, once the explanations have their vectors."""
    return Job(lambda tell: _found(view, tell))


def _found(view: View, tell: Tell) -> Found:
    bench = resources.workbench()
    record = bench.words.find(
        view.query, model_id=view.model_id or None, sources=view.sources, rank=view.rank,
        origins=[view.origin] if view.origin else (), methods=[view.method] if view.method else (),
        authors=[view.author] if view.author else (), densest=view.densest, sparsest=view.sparsest,
        trusted=view.trusted, top=PAGE, offset=(view.page - 1) * PAGE, patience=float("inf"), tell=tell,
    )  # fmt: skip
    features = {}
    for hit in record.hits:
        with suppress(WorkbenchError):  # it is shown without its example
            features[hit.key] = bench.feature(hit.key)
    return record, features


def _follow(job: Job[Found], place: st.delta_generator.DeltaGenerator) -> Found | str:
    """What came of a search, or in words why nothing did; `place` says meanwhile how far it is."""
    if not job.wait(AT_ONCE):
        drawn = ""
        while not job.wait(EVERY if drawn else 0):
            now = meaning_panels.busy(_words(job.step), steps.part(job.step))
            if now != drawn:
                place.html(now)
            drawn = now
    return job.outcome()


def _words(step: Step | None) -> str:
    return "Searching the explanations…" if step is None else steps.words(step)
