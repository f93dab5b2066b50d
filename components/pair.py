"""The page of pairs at work: reads its view from the URL, begins the jobs, and draws each part when it is there."""

from __future__ import annotations

from typing import Any

import streamlit as st

from components import pair_panels, pair_view, resources, searching
from components.circuit import LATE, WAIT, stamp
from components.circuit_parts import STYLE
from components.pair_parts import STYLE as OWN
from components.pair_view import MORE, ROWS, View
from components.searching import Place
from core.records import SourceKey
from core.techniques.pairs.records import PairFeatures


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing here can be run."""
    return searching.read_view(pair_view.read, "no prompts can be compared")


def page(asked: View) -> None:
    """Draw what the prompts differ in, or where it will be, or what keeps them from being compared."""
    st.html(STYLE)
    st.html(OWN)
    if not (asked.clean and asked.corrupted):
        st.html(pair_panels.examples(asked, resources.circuit_pairs()))
        return
    place, pair = searching.follow(_begin("pair", asked), asked.model_id, st.container(key="fs-pair"))
    if isinstance(pair, str):
        place.html(pair_panels.failed(asked, pair))
        return
    place.html(pair_panels.pair(asked, pair))
    jobs = {"residual": _begin("residual", asked, asked.direction), "features": _begin("features", asked, asked.by)}
    places = {name: st.container(key=f"fs-pair-{name}") for name in (*jobs, "curve")}
    place, found = searching.follow(jobs["residual"], asked.model_id, places["residual"])
    place.html(
        pair_panels.part_failed("residual", found) if isinstance(found, str) else pair_panels.residual(asked, found)
    )
    place, found = searching.follow(jobs["features"], asked.model_id, places["features"])
    if isinstance(found, str):
        place.html(pair_panels.part_failed("features", found))
        return
    source = _drawn(asked, found)
    curve = None if source is None else _begin("curve", asked, source, asked.by)
    _features(asked, found, place)
    if curve is not None and source is not None:
        place, drawn = searching.follow(curve, asked.model_id, places["curve"])
        each = [one.key for one in found.sources]
        if isinstance(drawn, str):
            place.html(pair_panels.curve_failed(asked, source, each, drawn))
        else:
            place.html(pair_panels.curve(asked, drawn, each))


def _drawn(asked: View, record: PairFeatures) -> SourceKey | None:
    """Whose curve: the one that the link names, or the middle one."""
    each = [one.key for one in record.sources if one.nodes]
    if asked.curve is not None:
        return asked.curve
    return each[len(each) // 2] if each else None


def _features(asked: View, record: PairFeatures, place: Place) -> None:
    """The table; then with what patching each does."""
    shown = record.nodes[: MORE if asked.more else ROWS]
    if not shown:
        place.html(pair_panels.features(asked, record, shown))
        return
    job = _begin("patch", asked, *((str(node.key), node.position) for node in shown))
    if not job.wait(searching.AT_ONCE):
        place = place.empty()
        place.html(pair_panels.features(asked, record, shown))
    nodes = job.outcome() if job.wait(WAIT) else LATE
    # where it fails the columns stay empty: the estimates are there
    place.html(pair_panels.features(asked, record, shown if isinstance(nodes, str) else tuple(nodes)))


def _begin(name: str, asked: View, *more: Any) -> resources.Job[Any]:
    return resources.pair(name, asked.ask(), more, stamp(asked.model_id))
