"""The features of a list on a page: what is known of each here, and what a text does to all of them.

A text is read once a model and up to as many features at a time as the workbench tests at once; the page stands before
that begins. A feature that this server does not have keeps its place and says why it is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from components import charts, controls, links, list_panels, markup, paging, resources, searching, steer_features
from components.list_panels import Row
from core.community.records import Item
from core.errors import WorkbenchError
from core.records import FeatureKey, FeatureRecord, TestRecord

PAGE = 25
"""Features of a page."""
ORDERS = ("list", "value")
"""As they were put, or by their largest value on the text."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What a text does to the features of a list."""

    text: str
    tests: dict[FeatureKey, TestRecord]
    wrong: tuple[str, ...] = ()
    """What kept some of them from being tested."""


def page(items: Sequence[Item], tested: Tested | None, order: str) -> tuple[list[tuple[int, Row]], int, int]:
    """(the rows of the link's page with their places in the list, the page's number, how many pages)."""
    placed = list(enumerate(items, 1))
    if tested is not None and order == "value":
        tests = tested.tests
        placed.sort(key=lambda one: -tests[one[1].feature].maximum if one[1].feature in tests else float("inf"))
    pages = max(1, -(-len(placed) // PAGE))
    number = controls.page_number(pages)
    shown = placed[(number - 1) * PAGE : number * PAGE]
    return [(place, known(item, tested)) for place, item in shown], number, pages


def known(item: Item, tested: Tested | None = None) -> Row:
    """What this server knows of a feature."""
    record, why = _record(item.feature)
    return Row(item, record, why, tested.tests.get(item.feature) if tested and record else None)


def _record(key: FeatureKey) -> tuple[FeatureRecord | None, str]:
    try:
        return resources.workbench().feature(key), ""
    except WorkbenchError as error:
        return None, str(error)


def labels(items: Sequence[Item]) -> dict[FeatureKey, str]:
    """What the features are called, for files."""
    found = ((item.feature, _record(item.feature)[0]) for item in items)
    return {key: markup.title(record) for key, record in found if record is not None}


def test(items: Sequence[Item], text: str) -> Tested | None:
    """What a text does to all of them; nothing without one. Draws how far it is where this is called."""
    if not text.strip():
        return None
    stamps: dict[FeatureKey, str] = {}
    wrong: list[str] = []
    for item in items:
        try:
            source = resources.workbench().source(item.feature.source)
        except WorkbenchError:
            continue  # its row says so
        if "weights" in source.has and item.feature.index < source.width:
            stamps[item.feature] = f"{source.built} {source.dataset_sha256}"
    tests: dict[FeatureKey, TestRecord] = {}
    most = resources.workbench().settings.max_results
    for model_id in dict.fromkeys(key.model_id for key in stamps):
        keys = [key for key in stamps if key.model_id == model_id]
        for part in (keys[at : at + most] for at in range(0, len(keys), most)):
            stamp = " ".join(dict.fromkeys(stamps[key] for key in part))
            job = resources.tests_of_each(tuple(map(str, part)), text, stamp)
            place, made = searching.follow(job, model_id, st.container())
            place.empty()  # what said how far it was
            if isinstance(made, str):
                wrong += [made] * (made not in wrong)
            else:
                tests |= {one.key: one for one in made}
    if not stamps and items:
        wrong.append("None of these features has its weights on this server, so no text can be run through them.")
    return Tested(text, tests, tuple(wrong))


def as_one(items: Sequence[Item], tested: Tested | None) -> markup.Html:
    """The whole list on the text as one weighted unit; nothing for one feature, or for several models."""
    if tested is None:
        return markup.Html("")
    there = [item for item in items if item.feature in tested.tests]
    tests = [tested.tests[item.feature] for item in there]
    if len(tests) < 2 or len({test.key.model_id for test in tests}) > 1:
        return markup.Html("")
    values = resources.workbench().together(tests, [item.weight for item in there])
    spoken = [value for value, token in zip(values, tests[0].tokens, strict=True) if not token.special]
    top = max(spoken, key=abs, default=0.0)
    strip = charts.strip(tests[0].tokens, values, max(map(abs, spoken), default=0.0), signed=True, tips=False)
    about = f"The weighted mean of {len(tests)} features, each in parts of its own maximum"
    return list_panels.unit(strip, top, about)


def steer(items: Sequence[Item]) -> tuple[str, str]:
    """(the address that steers with the list as one unit, what is to be said of it); no address where none can."""
    bench = resources.workbench()
    pushes: list[str] = []
    models: set[str] = set()
    able = 0
    for item in items:
        key = item.feature
        try:
            usual = steer_features.feature(bench, key).usual("add")
            weighted = "weights" in bench.source(key.source).has
        except WorkbenchError:
            continue
        if not weighted or (models and key.model_id not in models):
            continue
        models.add(key.model_id)
        able += 1
        if len(pushes) < bench.settings.max_steered:
            pushes.append(f"{key.source_id}/{key.index}:{float(f'{usual * item.weight:.3g}'):.12g}")
    if not pushes:
        return "", "None of its features can steer on this server."
    left = len(items) - len(pushes)
    said = "Each feature at its usual strength times its weight"
    if left:
        said += f"; {left:,} of them left out, of another model, not here, or beyond the {bench.settings.max_steered} "
        said += "that steer at once"
    return links.steer(model=models.pop(), features=",".join(pushes)), said


def turn(number: int, pages: int, count: int, to: dict[str, str], address: str) -> markup.Html:
    """The row beneath the features; nothing where all are on one page."""
    if pages < 2:
        return markup.Html("")
    first = (number - 1) * PAGE + 1
    said = f"{first:,} to {min(first + PAGE - 1, count):,} of {count:,} features"
    return paging.turn(
        number, pages, lambda there: links.page(address, *(to | ({"page": str(there)} if there > 1 else {})).items()),
        said,
    )
