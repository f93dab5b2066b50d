"""The pages of attention heads at work: read the view from the URL, begin the jobs, draw each part when it is there.

Parts are jobs of their own, one begun when the one above it is drawn, since all wait in one line for one model. What
all heads are measured on is kept beside a source, so that only the first look at a model waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st

from components import controls, head_panels, head_view, resources, searching
from components.circuit import stamp
from components.circuit_parts import STYLE
from components.head_parts import STYLE as HEADS
from components.head_view import View
from components.markup import Html
from core.records import ModelRecord
from core.techniques.heads.records import PatternRecord


def models() -> dict[str, ModelRecord]:
    """Models with something here, the one that a page falls back to first."""
    bench = resources.workbench()
    names = searching.models() or [one.model_id for one in bench.models()]
    return {name: bench.model(name) for name in names}


def view() -> View | None:
    """The view that the URL names; None, said, if it names no head."""
    known = models()
    if not known:
        controls.nothing()
        return None
    query = st.query_params.to_dict()
    first = next(iter(known))
    key = controls.attempt(lambda: head_view.head_key(query.get("id", "") or f"{first}/0/0", known))
    if key is None:
        return None
    found, wrong = head_view.read(query, key)
    for message in wrong:
        controls.say(message)
    return found


def overview() -> None:
    """Every head of a model as one table."""
    known = models()
    if not known:
        controls.nothing()
        return
    query = st.query_params.to_dict()
    asked = query.get("id", "").strip()
    if asked and asked not in known:
        controls.say(f"There is no model “{asked[:60]}” here. There is: {', '.join(known)}.")
    model_id = asked if asked in known else next(iter(known))
    by, wrong = head_view.sort(query)
    for message in wrong:
        controls.say(message)
    st.html(f"{STYLE}{HEADS}")
    st.html(head_panels.heads_head(known[model_id]) + head_panels.models(model_id, list(known.values())))
    kept = controls.attempt(lambda: resources.workbench().heads.kept(model_id))
    place = st.container(key="fs-heads")
    if kept is None:
        place, kept = searching.follow(_begin("scores", model_id), model_id, place)
    place.html(head_panels.failed("scores", kept) if isinstance(kept, str) else head_panels.heads(kept, by))


def page(asked: View) -> None:
    """Draw one head: on its prompt, by weights, and over the corpus."""
    st.html(f"{STYLE}{HEADS}")
    st.html(head_panels.form(asked, resources.circuits()))
    key = str(asked.key)
    jobs: dict[str, Callable[[], resources.Job[Any]]] = {}
    if asked.text:
        tokens = controls.attempt(lambda: resources.workbench().tokenize(asked.key.model_id, asked.text))
        if tokens is not None:
            asked, wrong = head_view.within(asked, len(tokens))
            for message in wrong:
                controls.say(message)
            jobs["pattern"] = partial(_begin, "pattern", key, asked.text)
            jobs["active"] = partial(_begin, "active", key, asked.text, asked.position, asked.attended)
    jobs |= {"features": partial(_begin, "features", key), "of": partial(_begin, "of", key)}
    places = {name: st.container(key=f"fs-head-{name}") for name in jobs}
    draw: Mapping[str, Callable[[Any], Html]] = {
        "pattern": lambda record: _pattern(asked, record), "active": lambda record: head_panels.active(asked, record),
        "features": head_panels.features, "of": head_panels.corpus,
    }  # fmt: skip
    for name, begin in jobs.items():
        place, found = searching.follow(begin(), asked.key.model_id, places[name])
        place.html(head_panels.failed(name, found) if isinstance(found, str) else draw[name](found))


def _pattern(asked: View, record: PatternRecord) -> Html:
    """The pattern from the token of the view, at what it attends to most but BOS."""
    to = len(record.tokens) - 1 if asked.position is None else asked.position
    row = record.pattern[to]
    first = int(record.bos and to > 0)
    return head_panels.pattern(asked, record, to, max(range(first, len(row)), key=lambda n: row[n]))


def _begin(name: str, of: str, *more: Any) -> resources.Job[Any]:
    return resources.heads(name, of, more, stamp(of.split("/")[0]))
