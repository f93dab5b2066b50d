"""The search page at work: reads its view from the URL, begins the search, and says how far it is.

The page stands before the slow part begins. The search runs in a job of its own and this only looks after it, so that
who goes elsewhere meanwhile is not held up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components import (
    contrast_panels,
    controls,
    paging,
    picked_panels,
    resources,
    search_panels,
    search_view,
    steps,
    tables,
    ticks,
    token_panels,
)
from components.markup import Html, note
from components.search_view import PAGE, View
from core.errors import WorkbenchError
from core.records import (
    ContrastRecord,
    FeatureKey,
    FeatureRecord,
    Records,
    SearchRecord,
    SourceKey,
    SourceRecord,
    Step,
    Token,
)

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
    return sorted(found, key=lambda m: first is None or m != first.key.model_id)


def read_view(
    read: Callable[[dict[str, str], list[str], Callable[[str], Records[SourceRecord]]], tuple[T, Sequence[str]]],
    cannot: str,
) -> T | None:
    """What `read` finds in the URL; says what that names wrongly. None, said, if nothing here can be run."""
    names = models()
    if not names:
        controls.say(f"No source here has its weights, so {cannot}.")
        return None
    found, wrong = read(st.query_params.to_dict(), names, sources)
    for message in wrong:
        controls.say(message)
    return found


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
        place, drawn = place.empty(), ""
        while not job.wait(EVERY if drawn else 0):
            step = job.step
            now = search_panels.waiting(_words(model_id, step), steps.part(step))
            if now != drawn:
                place.html(now)
            drawn = now
    return place, job.outcome()


def _words(model_id: str, step: Step | None) -> str:
    return steps.words(step, ready=step is not None or resources.ready(model_id))


def _features(view: View, records: Records[SourceRecord]) -> None:
    with st.container(key="fs-body"):
        main, side = st.container(key="fs-main"), st.container(key="fs-side")
    main.html(search_panels.toolbar(view))
    job = _begin(view, records)
    if not job.wait(AT_ONCE):
        side = side.empty()
        side.html(search_panels.side(view, records, None))
    main, record = follow(job, view.model_id, main)
    beyond = ""
    if not isinstance(record, str):
        page, beyond = paging.within(view.page, search_panels.pages(record))
        if beyond:
            view = replace(view, page=page)
            main, record = follow(_begin(view, records), view.model_id, main)
    if isinstance(record, str):
        side.html(search_panels.side(view, records, None))
        main.html(search_panels.failed(record, view))
        return
    known: dict[SourceKey, SourceRecord] = {r.key: r for r in records}
    main.html(_said(beyond) + search_panels.hits(view, record, known))
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
        main.html(search_panels.failed(record, view))
        return
    main.html(token_panels.table(view, record, source) + ticks.bar(view))
    side.html(token_panels.counted(view, record, source))


def _contrast(view: View, records: Records[SourceRecord]) -> None:
    place = st.container(key="fs-versus")
    place.html(search_panels.toolbar(view))
    known = {r.key: r for r in records}

    def begin(view: View) -> resources.Job[ContrastRecord]:
        return resources.contrast(
            view.model_id, (view.text, view.against), tuple(str(key) for key in view.sources), view.sort, view.densest,
            view.bos, contrast_panels.EACH, (view.page - 1) * contrast_panels.EACH, _stamp(view, records),
        )  # fmt: skip

    place, record = follow(begin(view), view.model_id, place)
    beyond = ""
    if not isinstance(record, str):
        page, beyond = paging.within(view.page, contrast_panels.pages(record))
        if beyond:
            view = replace(view, page=page)
            place, record = follow(begin(view), view.model_id, place)
    if isinstance(record, str):
        place.html(search_panels.failed(record, view))
        return
    place.html(_said(beyond) + contrast_panels.lists(view, record, known))


def picked(view: View, records: Records[SourceRecord]) -> None:
    """Draw the features that were picked, with what the text does to each."""
    if not view.picked:
        st.html(picked_panels.empty(view))
        return
    found = [one for one in map(_feature, view.picked) if one is not None]
    if view.text and read(view) is None:  # said
        view = replace(view, text="")
    place, tests = st.container(key="fs-picked"), {}
    if view.text and found:
        keys = tuple(str(record.key) for record in found)
        stamp = " ".join(f"{r.source.built} {r.source.dataset_sha256}" for r in found)
        place, made = follow(resources.tests_of_each(keys, view.text, stamp), view.model_id, place)
        if isinstance(made, str):
            place.html(search_panels.failed(made, view))
            return
        tests = {test.key: test for test in made}
    place.html(picked_panels.table(view, found, tests))


def _feature(key: FeatureKey) -> FeatureRecord | None:
    """A feature's record; None, said, if it cannot be read."""
    try:
        return resources.workbench().feature(key)
    except WorkbenchError as error:
        controls.say(str(error))
        return None


def _said(message: str) -> str:
    return note(message) if message else ""


def _begin(asked: View, records: Records[SourceRecord]) -> resources.Job[SearchRecord]:
    return resources.search(
        asked.model_id,
        asked.text,
        tuple(str(key) for key in asked.sources),
        asked.sort,
        asked.combine if len(asked.tokens) != 1 else "max",
        asked.tokens,
        asked.densest,
        asked.bos,
        PAGE,
        (asked.page - 1) * PAGE,
        _stamp(asked, records),
    )


def _stamp(asked: View, records: Records[SourceRecord]) -> str:
    """Tells builds of the sources that are looked into apart."""
    chosen = [r for r in records if not asked.sources or r.key in asked.sources]
    return " ".join(f"{r.key} {r.built} {r.dataset_sha256}" for r in chosen)
