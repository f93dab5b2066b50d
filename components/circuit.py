"""The page of circuits at work: reads its view from the URL, begins the jobs, and draws each part when it is there.

The parts are jobs of their own, begun together, and each serves whoever asks for the same; arrays are in the activation
cache below, so that another order or another part of the same prompt runs no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from components import circuit_panels, circuit_view, controls, resources, searching
from components.circuit_parts import STYLE
from components.circuit_view import ABLATED, LARGEST, MORE, ROWS, View
from components.markup import Html
from components.searching import Place
from core.errors import WorkbenchError
from core.records import FeatureKey
from core.techniques.circuits.records import (
    CircuitAsk,
    DriversRecord,
    FeaturesRecord,
)

WAIT = 120.0
"""Seconds that a page waits for what it adds to a table that is there."""
LATE = "It takes long: reload this page in a moment."


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing here can be run."""
    return searching.read_view(circuit_view.read, "no prompt can be taken apart")


def page(asked: View) -> None:
    """Draw what the prompt's output is made of, or where it will be, or what keeps it from being taken apart."""
    st.html(STYLE)
    if not asked.text:
        st.html(circuit_panels.examples(asked, resources.circuits()))
        return
    whole = controls.attempt(lambda: resources.workbench().tokenize(asked.model_id, asked.text))
    if whole is None:
        return
    asked, wrong = circuit_view.within(asked, whole)
    for message in wrong:
        controls.say(message)
    place, target = searching.follow(_begin("target", asked.ask()), asked.model_id, st.container(key="fs-circuit"))
    if isinstance(target, str):
        place.html(circuit_panels.failed(asked, target))
        return
    place.html(circuit_panels.target(asked, target, whole))
    _parts(_placed(asked, target.position))


def _parts(asked: View) -> None:
    """Every part in its place, drawn when it is there; all are begun before the first is waited for."""
    ask = asked.ask()
    jobs = {
        "drivers": _begin("drivers", ask),
        "direct": _begin("direct", ask),
        "features": _begin("features", ask),
        "lens": _begin("lens", ask),
    }
    with st.container(key="fs-circuit-top"):
        places = {"drivers": st.container(key="fs-circuit-tokens"), "direct": st.container(key="fs-circuit-parts")}
    places |= {"features": st.container(key="fs-circuit-features"), "lens": st.container(key="fs-circuit-lens")}
    draw: dict[str, Callable[[Any], Html]] = {
        "drivers": lambda record: circuit_panels.drivers(asked, record),
        "direct": lambda record: circuit_panels.direct(asked, record),
        "lens": lambda record: circuit_panels.lens(asked, record),
    }
    for name, job in jobs.items():
        place, found = searching.follow(job, asked.model_id, places[name])
        if isinstance(found, str):
            place.html(circuit_panels.part_failed(name, found))
        elif name == "features":
            _features(asked, found, place)
        else:
            place.html(draw[name](found))


def _placed(asked: View, last: int) -> View:
    """The view with its node where the feature is strongest, if the link does not say where; said, if it is nowhere."""
    if asked.node is None or asked.node[1] is not None:
        return asked
    key = asked.node[0]
    job = resources.tests(str(key), (asked.text,), stamp(asked.model_id))
    found = job.outcome() if job.wait(WAIT) else LATE
    values = [] if isinstance(found, str) else [abs(value) for value in found[0][0].values[: last + 1]]
    if not any(values):
        why = found if isinstance(found, str) else f"{key} is active on no token of this prompt."
        controls.say(why)
        return replace(asked, node=None)
    return replace(asked, node=(key, values.index(max(values))))


def _features(asked: View, record: FeaturesRecord, place: Place) -> None:
    """The table in the order that is asked for; then the first of it measured, and the chosen node's tokens."""
    shown = circuit_panels.ordered(asked, record)[: MORE if asked.more else ROWS]
    measured: dict[tuple[FeatureKey, int], float] = {}
    place = place.empty()
    if wanted := tuple((str(node.key), node.position) for node in shown[:ABLATED]):
        job = resources.circuit("ablate", asked.ask(), wanted, stamp(asked.model_id))
        if not job.wait(searching.AT_ONCE):
            place.html(circuit_panels.features(asked, record, shown, {}, ""))
        nodes = job.outcome() if job.wait(WAIT) else LATE
        if not isinstance(nodes, str):  # where it fails the column stays empty: the estimates are there
            measured = {(node.key, node.position): node.ablated for node in nodes}
    below = ""
    if asked.node is not None:
        drivers = _begin("drivers", asked.node_ask())
        if not drivers.wait(searching.AT_ONCE):
            place.html(circuit_panels.features(asked, record, shown, measured, circuit_panels.reading()))
        found: DriversRecord | str = drivers.outcome() if drivers.wait(WAIT) else LATE
        below = circuit_panels.node(found)
    place.html(circuit_panels.features(asked, record, shown, measured, below))


def _begin(name: str, ask: CircuitAsk) -> resources.Job[Any]:
    more: tuple[Any, ...] = (LARGEST,) if name == "features" else ()
    return resources.circuit(name, ask, more, stamp(ask.model_id))


def stamp(model_id: str) -> str:
    """Tells builds of the model's sources apart."""
    bench, parts = resources.workbench(), []
    for one in bench.sources(model_id=model_id):
        try:
            parts.append(bench.build_of(one.key))
        except WorkbenchError:
            continue
    return " ".join(parts)
