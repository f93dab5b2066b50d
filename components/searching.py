"""The search page at work: reads its view from the URL, begins the search, and says how far it is.

The page stands before the slow part begins. The search runs in a job of its own and this only looks after it, so that
who goes elsewhere meanwhile is not held up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components import contrast_panels, controls, resources, search_panels, search_view, tables, token_panels
from components.markup import Html
from components.search_view import PAGE, View
from core.errors import WorkbenchError
from core.records import ContrastRecord, Records, SearchRecord, SourceKey, SourceRecord, Token

T = TypeVar("T")
Place: TypeAlias = DeltaGenerator

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


def read(asked: View) -> tuple[View, list[tuple[Token, ...]]] | None:
    """The view with those chosen tokens that there are, and the tokens of its texts; None, said, if one is not read."""
    texts = [asked.text, asked.against] if asked.shown == "contrast" else [asked.text]
    names = ["The first text", "The second text"] if len(texts) > 1 else ["The text"]
    found = [_tokens(asked.model_id, text, name) for text, name in zip(texts, names, strict=True)]
    tokens = [one for one in found if one is not None]
    if len(tokens) < len(texts):
        return None
    kept, wrong = search_view.within(asked, tokens[0])
    for message in wrong:
        controls.say(message)
    if kept.shown == "token" and kept.source is None:
        kept = replace(kept, source=_first(kept))
    return kept, tokens


def _tokens(model_id: str, text: str, name: str) -> tuple[Token, ...] | None:
    """The tokens of a text; None, said, if the model cannot read it."""
    bench = resources.workbench()
    try:
        tokens = bench.tokenize(model_id, text)
        model = bench.model(model_id)
    except WorkbenchError as error:
        controls.say(str(error))
        return None
    if len(tokens) > model.context:
        bos = " with BOS" if any(t.special for t in tokens) else ""
        controls.say(
            f"{name} is too long: it has {len(tokens):,} tokens{bos}, and {model.name} reads at most "
            f"{model.context:,}. Shorten it, or search with a part of it."
        )
        return None
    if all(t.special for t in tokens):
        controls.say(f"{name} is empty: {model.name}’s tokenizer makes no token of it.")
        return None
    return tokens


def _first(asked: View) -> SourceKey:
    """The source that is shown token by token where the link names none: of those looked into, the middle SAE."""
    every = [r for r in sources(asked.model_id) if not asked.sources or r.key in asked.sources]
    same = [r.key for r in every if r.key.set_name == every[0].key.set_name]
    return same[len(same) // 2]


def asked(view: View, texts: Sequence[Sequence[Token]], records: Records[SourceRecord]) -> Html:
    """What is looked at, and where."""
    if view.shown == "token":
        return token_panels.asked(view, texts[0], records)
    facets = search_view.facets(records, view.sources)
    if view.shown == "contrast":
        return contrast_panels.asked(view, texts[0], texts[1], records, facets)
    return search_panels.asked(view, texts[0], records, facets)


def results(view: View, records: Records[SourceRecord]) -> None:
    """Draw what came of the view, or where it will be."""
    {"features": _features, "token": _by_token, "contrast": _contrast}[view.shown](view, records)


def follow(job: resources.Job[T], model_id: str, place: Place) -> tuple[Place, T | str]:
    """(where to draw, what came of a job or in words why nothing did); `place` says meanwhile how far it is."""
    if not job.wait(AT_ONCE):
        place = place.empty()
        while not job.wait(EVERY):
            place.html(search_panels.waiting(_stage(model_id, job.before)))
    try:
        return place, job.result()
    except Exception as error:  # the job has logged what is not meant for a reader
        return place, str(error) if isinstance(error, WorkbenchError) else "Something went wrong on this server."


def _features(view: View, records: Records[SourceRecord]) -> None:
    with st.container(key="fs-body"):
        main, side = st.container(key="fs-main"), st.container(key="fs-side")
    main.html(search_panels.toolbar(view))
    job = _begin(view, records)
    if not job.wait(AT_ONCE):
        side = side.empty()
        side.html(search_panels.side(view, records, None))
    main, record = follow(job, view.model_id, main)
    if not isinstance(record, str) and not record.hits and record.total:  # a page beyond the last
        view = search_view.last(view, record.total)
        main, record = follow(_begin(view, records), view.model_id, main)
    if isinstance(record, str):
        side.html(search_panels.side(view, records, None))
        main.html(search_panels.failed(record, view.to(page=view.page)))
        return
    known: dict[SourceKey, SourceRecord] = {r.key: r for r in records}
    main.html(search_panels.hits(view, record, known))
    side.html(search_panels.side(view, records, record))


def _by_token(view: View, records: Records[SourceRecord]) -> None:
    source = next(r for r in records if r.key == view.source)
    with st.container(key="fs-body"):
        main, side = st.container(key="fs-main"), st.container(key="fs-side")
    main.html(search_panels.toolbar(view))
    stamp = f"{source.built} {source.dataset_sha256}"
    job = resources.by_token(str(source.key), view.text, view.densest, view.bos, token_panels.TOP, stamp)
    main, record = follow(job, view.model_id, main)
    if isinstance(record, str):
        main.html(search_panels.failed(record, view.to()))
        return
    main.html(token_panels.table(view, record, source))
    side.html(token_panels.counted(view, record, source))


def _contrast(view: View, records: Records[SourceRecord]) -> None:
    place = st.container(key="fs-versus")
    place.html(search_panels.toolbar(view))
    chosen = [r for r in records if not view.sources or r.key in view.sources]
    stamp = " ".join(f"{r.built} {r.dataset_sha256}" for r in chosen)
    known = {r.key: r for r in records}

    def begin(view: View) -> resources.Job[ContrastRecord]:
        return resources.contrast(
            view.model_id, (view.text, view.against), tuple(str(r.key) for r in chosen), view.sort, view.densest,
            view.bos, contrast_panels.EACH, (view.page - 1) * contrast_panels.EACH, stamp,
        )  # fmt: skip

    place, record = follow(begin(view), view.model_id, place)
    if not isinstance(record, str) and max(record.totals) and not (record.first or record.second):
        view = replace(view, page=contrast_panels.pages(record))  # a page beyond the last
        place, record = follow(begin(view), view.model_id, place)
    if isinstance(record, str):
        place.html(search_panels.failed(record, view.to(page=view.page)))
        return
    place.html(contrast_panels.lists(view, record, known))


def _begin(asked: View, records: Records[SourceRecord]) -> resources.Job[SearchRecord]:
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
