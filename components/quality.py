"""The page of a source's quality at work: reads its view from the URL, shows what was measured, has it measured.

Measuring takes minutes and works for everybody who looks, so it is begun by whoever may add sources here, in a job of
the server: the page only looks after it, and may be left.
"""

from __future__ import annotations

import streamlit as st

from components import (
    controls,
    people,
    quality_charts,
    quality_panels,
    quality_view,
    resources,
    source_panels,
    splitting_panels,
    steps,
)
from components.jobs import Job
from components.markup import note
from components.quality_view import PAGE, View
from core.errors import NotFound, WorkbenchError
from core.evaluate.records import PARTS, Evaluation, Quality
from core.records import SourceKey, SourceRecord

MAY_NOT = "It takes minutes of this server’s time, so that only who may add sources has it measured by page."
EVERY = 0.7
"""Seconds between two looks at what is at work."""


def view(source: SourceKey) -> View:
    """The view that the URL names; says what it names wrongly."""
    found, wrong = quality_view.read(st.query_params.to_dict(), source, [one.key for one in _widths(source)])
    for message in wrong:
        controls.say(message)
    return found


def _widths(source: SourceKey) -> list[SourceRecord]:
    return [one for one in resources.workbench().atlas.widths(source) if one.key != source]


def head(record: SourceRecord) -> None:
    """The title, and the ways elsewhere."""
    crumbs, ways = quality_panels.head(record)
    title = f"Quality of {record.key.source_id}"
    st.html(source_panels.title(title, quality_panels.LEAD, crumbs, ways + source_panels.COPY))
    controls.draw(quality_panels.others(record.key, resources.workbench().sources(model_id=record.key.model_id)))


def results(asked: View, record: SourceRecord) -> None:
    """What was measured; or the way to have it measured."""
    key = record.key
    with st.container(key="fs-quality"):
        found = _found(key)
        tried = _measuring(record, found)
        bench = resources.workbench()
        if found is not None:
            controls.draw(quality_panels.said(found))
            controls.draw(quality_charts.every(found))
            controls.draw(quality_panels.figures(found))
        theirs = [row for row in bench.quality.elsewhere(key.model_id) if row.of == key]
        controls.draw(quality_panels.elsewhere(theirs, found.own if found else None))
        _splitting(asked)
        if found is not None or tried:
            named = found or Evaluation(source=key, own=Quality(name="source", kind="source", what="", width=0))
            controls.draw(quality_panels.lacking(named, tried))


def _found(key: SourceKey) -> Evaluation | None:
    try:
        return resources.workbench().quality.of(key)
    except NotFound:
        return None


# -- measuring ---------------------------------------------------------------------------------------------------------


def _measuring(record: SourceRecord, found: Evaluation | None) -> dict[str, str]:
    """How far it is, or the button that begins it where this person may; nothing where all is there.

    Gives the parts that were tried and cannot be measured, with the reason.
    """
    job = resources.measuring(str(record.key), begin=False)
    if job is not None and not job.wait(0):
        _progress(str(record.key))
        return {}
    tried: dict[str, str] = {}
    if job is not None and isinstance(ended := job.outcome(), str):
        st.html(note(ended))
    elif job is not None:
        tried = dict(ended.lacking)
    if found is not None and {*found.own.parts(), *tried} >= set(PARTS):
        return tried
    why = _why_not(record)
    if found is None and not tried:
        st.html(quality_panels.unmeasured(record.key, why))
    if not why:
        label = "Measure it" if found is None else "Measure what is missing"
        with st.container(horizontal=True, horizontal_alignment="center" if found is None else "left"):
            begin = st.button(label, key="quality-measure", type="primary" if found is None else "secondary")
        if begin:
            _begin(str(record.key))
    return tried


def _begin(key: str) -> None:
    """Begins, if this visitor still may: it may have been a while since the page was drawn."""
    try:
        resources.workbench().bring.allowed.ask(people.people())
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    resources.measuring(key, begin=True)
    st.rerun()


def _why_not(record: SourceRecord) -> str:
    """Why this visitor cannot have it measured; empty if they can."""
    if "weights" not in record.has:
        return "Its weights are not here, so nothing can be measured."
    (why,) = people.gather(lambda them: resources.workbench().bring.may(them))
    if isinstance(why, WorkbenchError):
        return str(why)
    return MAY_NOT if why else ""


@st.fragment(run_every=EVERY)
def _progress(key: str) -> None:
    job = resources.measuring(key, begin=False)
    if job is None or job.wait(0):
        st.rerun(scope="app")
        return
    text = steps.words(job.step) if job.step else "Measuring its quality…"
    st.html(quality_panels.busy(text, steps.part(job.step)))


# -- splitting ---------------------------------------------------------------------------------------------------------


def _splitting(asked: View) -> None:
    """What its features become in another width; nothing where there is no other."""
    others = _widths(asked.source)
    if not others or asked.wide is None:
        return
    bench = resources.workbench()
    stamp = "/".join(bench.build_of(key) for key in (asked.source, asked.wide))
    job = resources.splitting(
        str(asked.source), str(asked.wide), asked.threshold, PAGE, (asked.page - 1) * PAGE, stamp
    )  # fmt: skip
    with st.container(key="fs-splitting"):
        if job.wait(0.3):
            _split(asked, others, job)
        else:
            st.fragment(_waiting, run_every=EVERY)(asked, others, job)


def _waiting(asked: View, others: list[SourceRecord], job: Job) -> None:  # type: ignore[type-arg]
    if job.wait(0):
        _split(asked, others, job)
        return
    tools = splitting_panels.choose(asked, others)
    text = steps.words(job.step) if job.step else "Comparing decoder rows…"
    st.html(splitting_panels.waiting(tools, text, steps.part(job.step)))


def _split(asked: View, others: list[SourceRecord], job: Job) -> None:  # type: ignore[type-arg]
    tools = splitting_panels.choose(asked, others)
    found = job.outcome()
    drawn = splitting_panels.failed(tools, found) if isinstance(found, str) else splitting_panels.result(
        asked, tools, found
    )
    st.html(drawn)
