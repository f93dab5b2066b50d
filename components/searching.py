"""The search page at work: reads its view from the URL, begins the search, and says how far it is.

The page stands before the slow part begins. The search runs in a job of its own and this only looks after it, so that
who goes elsewhere meanwhile is not held up.
"""

from __future__ import annotations

import streamlit as st

from components import controls, resources, search_panels, search_view, tables
from components.search_view import PAGE, View
from core.errors import WorkbenchError
from core.records import Records, SourceKey, SourceRecord, Token

AT_ONCE = 0.3
"""Seconds that a page holds back the sign that it is waiting: an answer from the cache is there before."""
EVERY = 0.25


def models() -> list[str]:
    """Models that can be searched, the one that a page falls back to first."""
    bench = resources.workbench()
    found = [m.model_id for m in bench.models() if bench.searchable(m.model_id)]
    first = controls.first_source()
    return sorted(found, key=lambda m: (first is None or m != first.key.model_id, m))


def warm(model_id: str) -> None:
    """A sentence is being typed: its model loads meanwhile."""
    if model_id in models():
        resources.workbench().warm(model_id)


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing here can be searched."""
    names = models()
    if not names:
        if resources.workbench().models():
            controls.say("No source here has its weights, so no text can be run through them.")
        else:
            controls.nothing()
        return None
    found, wrong = search_view.read(st.query_params.to_dict(), names, sources)
    for message in wrong:
        controls.say(message)
    return found


def sources(model_id: str) -> Records[SourceRecord]:
    """The sources that can be searched, as a reader looks for them."""
    return Records(tables.arranged(resources.workbench().searchable(model_id)))


def read(asked: View) -> tuple[View, tuple[Token, ...]] | None:
    """The tokens of the text and the view with those that it has; None, said, if the model cannot read it."""
    bench = resources.workbench()
    try:
        tokens = bench.tokenize(asked.model_id, asked.text)
        model = bench.model(asked.model_id)
    except WorkbenchError as error:
        controls.say(str(error))
        return None
    if len(tokens) > model.context:
        bos = " with BOS" if any(t.special for t in tokens) else ""
        controls.say(
            f"The text is too long: it has {len(tokens):,} tokens{bos}, and {model.name} reads at most "
            f"{model.context:,}. Shorten it, or search with a part of it."
        )
        return None
    if all(t.special for t in tokens):
        controls.say(f"The text is empty: {model.name}’s tokenizer makes no token of it.")
        return None
    found, wrong = search_view.within(asked, tokens)
    for message in wrong:
        controls.say(message)
    return found, tokens


def results(asked: View, records: Records[SourceRecord]) -> None:
    """Draw the hits and what stands beside them, or where they will be."""
    with st.container(key="fs-body"):
        main, side = st.container(key="fs-main"), st.container(key="fs-side")
    main.html(search_panels.toolbar(asked))
    job = _begin(asked, records)
    if not job.wait(AT_ONCE):
        main, side = main.empty(), side.empty()
        side.html(search_panels.side(asked, records, None))
        while not job.wait(EVERY):
            main.html(search_panels.waiting(_stage(asked.model_id, job.before)))
    try:
        record = job.result()
        if not record.hits and record.total:  # a page beyond the last
            asked = search_view.last(asked, record.total)
            job = _begin(asked, records)
            while not job.wait(1):
                continue
            record = job.result()
    except Exception as error:  # the job has logged what is not meant for a reader
        said = str(error) if isinstance(error, WorkbenchError) else "Something went wrong on this server."
        side.html(search_panels.side(asked, records, None))
        main.html(search_panels.failed(said, asked.to(page=asked.page)))
        return
    known: dict[SourceKey, SourceRecord] = {r.key: r for r in records}
    main.html(search_panels.hits(asked, record, known))
    side.html(search_panels.side(asked, records, record))


def _begin(asked: View, records: Records[SourceRecord]) -> resources.Job:
    chosen = [r for r in records if not asked.sources or r.key in asked.sources]
    return resources.search(
        asked.model_id,
        asked.text,
        tuple(str(r.key) for r in chosen),
        asked.sort,
        asked.combine if len(asked.tokens) > 1 else "max",
        asked.tokens,
        asked.densest,
        asked.bos,
        PAGE,
        (asked.page - 1) * PAGE,
        " ".join(f"{r.built} {r.dataset_sha256}" for r in chosen),
    )


def _stage(model_id: str, before: int) -> str:
    if before:
        return f"Waiting: {before} {'search is' if before == 1 else 'searches are'} before this one…"
    return "Reading the text…" if resources.ready(model_id) else "Loading the model, then reading the text…"
