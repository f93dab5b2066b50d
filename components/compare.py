"""The page of comparisons at work: reads its view from the URL, begins what is slow in jobs, draws what came of it."""

from __future__ import annotations

import streamlit as st

from components import compare_panels, compare_view, controls, resources, search_panels, steps, tables, versus_panels
from components.compare_view import View
from components.jobs import Job
from components.markup import note
from components.searching import AT_ONCE, EVERY
from core.atlas.together.records import FeaturesCompared, Matches, ReadTogether, SourcesCompared
from core.records import Records, SourceRecord


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing is built."""
    records = sources()
    if not records:
        controls.nothing()
        return None
    found, wrong = compare_view.read(st.query_params.to_dict(), records)
    for message in wrong:
        controls.say(message)
    return found


def sources() -> Records[SourceRecord]:
    """All sources with dashboards, as a reader looks for them."""
    return Records(tables.arranged(s for s in resources.workbench().sources() if "dashboards" in s.has))


def draw(asked: View) -> None:
    """Draw two features, or the sources, or what to begin with."""
    if len(asked.ids) == 2:
        _features(asked)
        return
    if asked.ids:
        st.html(note("One feature is named; name two, as ids=<model>/<source>/<index>,<model>/<source>/<index>."))
    st.html(compare_panels.choose(asked, sources()))
    if len(asked.sources) < 2:
        st.html(compare_panels.begin(asked, sources()))
        return
    _sources(asked)


def _features(asked: View) -> None:
    a, b = asked.ids
    bench = resources.workbench()
    known = controls.attempt(lambda: (bench.feature(a), bench.feature(b)), a.source)
    if known is None:
        return
    place = st.empty()
    stamp = " ".join(bench.build_of(key.source) for key in asked.ids)
    found = _followed(resources.versus(str(a), str(b), stamp), place, "Comparing the two features…")
    if isinstance(found, str):
        place.html(note(found))
        return
    assert isinstance(found, FeaturesCompared)
    parts = (
        versus_panels.head(asked, found), versus_panels.numbers(found), versus_panels.histograms(asked, found),
        versus_panels.texts(found),
    )  # fmt: skip
    place.html(f'<div class="fs-stack">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>')


def _sources(asked: View) -> None:
    place, reading, below = st.empty(), st.container(key="fs-compare-read"), st.empty()
    stamp = " ".join(resources.workbench().build_of(key) for key in asked.sources)
    keys = tuple(map(str, asked.sources))
    found = _followed(resources.compared(keys, asked.threshold, stamp), place, "Comparing…")
    if isinstance(found, str):
        place.html(note(found))
        return
    assert isinstance(found, SourcesCompared)
    if found.missing and found.can_make:
        made = _followed(resources.relating(keys), below, "Relating every feature of the one with every of the other…")
        if not isinstance(made, str):
            resources.forget_compared()
            found = resources.workbench().atlas.compare(asked.sources, threshold=asked.threshold)
    place.html(_whole(asked, found))
    with reading:
        st.html(compare_panels.form(asked))
        if asked.text:
            _read(asked)
    _pairs(asked, below)


def _whole(asked: View, found: SourcesCompared) -> str:
    parts = (
        compare_panels.missing(found),
        compare_panels.facts(found),
        compare_panels.matrix(asked, found),
        f'<div class="fs-two">{compare_panels.densities(found)}{compare_panels.concepts(found)}</div>',
    )
    return f'<div class="fs-stack">{"".join(part for part in parts if part)}</div>'


def _pairs(asked: View, place: st.delta_generator.DeltaGenerator) -> None:
    if asked.matched is None:
        return
    a, b = map(str, asked.matched)
    offset = (asked.page - 1) * compare_panels.PAGE
    stamp = " ".join(resources.workbench().build_of(key) for key in asked.matched)
    found = _followed(resources.matched(a, b, asked.threshold, compare_panels.PAGE, offset, stamp), place, "Matching…")
    if isinstance(found, str):
        place.empty()  # said above
        return
    assert isinstance(found, Matches)
    place.html(compare_panels.pairs(asked, found))


def _read(asked: View) -> None:
    place = st.empty()
    stamp = " ".join(resources.workbench().build_of(key) for key in asked.sources)
    found = _followed(resources.read_both(tuple(map(str, asked.sources)), asked.text, stamp), place, "")
    if isinstance(found, str):
        place.html(note(found))
        return
    assert isinstance(found, ReadTogether)
    place.html(compare_panels.read(found))


def _followed(job: Job[object], place: st.delta_generator.DeltaGenerator, said: str) -> object:
    """What came of a job, or in words why nothing did; says meanwhile how far it is."""
    drawn = ""
    if not job.wait(AT_ONCE):
        while not job.wait(EVERY if drawn else 0):
            now = search_panels.waiting(said or steps.words(job.step, ready=job.step is not None), steps.part(job.step))
            if now != drawn:
                place.html(now)
            drawn = now
    return job.outcome()
