"""“What it means”: a feature's explanations on its page, asked for, scored and compared; and a table of a source.

A model is asked in a job of its own, so that the page stays free; what comes is kept by the workbench. A visitor's own
key is held in their session's memory, handed to the job, and nowhere else: in no address, no cache, no log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import streamlit as st

from components import (
    annotation_panels,
    controls,
    endpoints,
    explaining,
    links,
    paging,
    people,
    resources,
    source_panels,
)
from components import explanation_panels as panels
from components.jobs import Job
from components.markup import esc, link, note
from components.suite_panels import at_work
from core.errors import Unreachable, WorkbenchError
from core.explain.records import Explanation, Progress
from core.records import FeatureKey, FeatureRecord, SourceKey, Step, Tell

EVERY = 0.5
OTHERS = 4
"""Explanations beside the first that are drawn before one asks for more."""


def of_feature(record: FeatureRecord) -> None:
    """Draw the section, or what is in the way of it."""
    key = record.key
    found = people.gather(lambda them: resources.workbench().words.of(key, people=them))[0]
    with st.container(key="fs-means"):
        every = link(links.page("explanations", ("source", str(key.source))), f"all of {key.source_id}")
        st.html(f'<h2 class="fs-h2" id="means"><span>What it means</span><span>{every}</span></h2>')
        if isinstance(found, Unreachable):
            st.html(note(str(found)))
            found = controls.attempt(lambda: resources.workbench().words.here(key)) or ()
        if isinstance(found, WorkbenchError):
            st.html(note(str(found)))
            return
        some = panels.arranged(found)
        if not some:
            st.html('<p class="fs-soft">Nobody has said yet. Say it below, or have a language model explain it.</p>')
        for n, one in enumerate(some[: None if st.session_state.get(f"means-all-{key}") else 1 + OTHERS]):
            _one(record, one, first=n == 0)
        if len(some) > 1 + OTHERS and not st.session_state.get(f"means-all-{key}"):
            if st.button(f"{len(some) - 1 - OTHERS} more", key=f"means-more-{key}", type="tertiary"):
                st.session_state[f"means-all-{key}"] = True
                st.rerun()
        _work(key)
        explaining.await_scores(key, some)
        _ways(record, some)
        explaining.hidden(key)
    explaining.write(key, opened=False)


def _one(record: FeatureRecord, one: Explanation, *, first: bool) -> None:
    """An explanation with its scores, votes and examples."""
    with st.container(key=f"fs-mean-{one.id}", gap=None):
        st.html(panels.row(one, first=first))
        with st.container(key=f"fs-mean-row-{one.id}", horizontal=True, gap="small", vertical_alignment="center"):
            explaining.votes(one)
            _open(record, one)
            if not record.dead and "weights" in record.source.has:
                st.html(link(links.redteam(record.key, one.text), "Red-team", "fs-act fs-small"), width="content")
    opened = st.session_state.get(f"open-{one.id}")
    if opened == "evidence":
        try:
            st.html(annotation_panels.evidence(resources.workbench().words.annotation(record.key)))
        except WorkbenchError as error:
            st.html(note(str(error)))
    elif opened is not None:
        score = next((s for s in one.scores if s.id == opened), None)
        if score is not None:
            st.html(panels.verdicts(score))


def _open(record: FeatureRecord, one: Explanation) -> None:
    """What may be looked into, one at a time: the annotation's evidence, the examples of a score."""
    ways = {"evidence": "Evidence"} if one.method == "annotation" else {}
    ordered = sorted(one.scores, key=lambda s: panels.ORDER.index(s.scorer))
    ways |= {s.id: f"{s.scorer}: {len(s.verdicts)} examples" for s in ordered if s.verdicts}
    for way, label in ways.items():
        opened = st.session_state.get(f"open-{one.id}") == way
        if st.button(("▾ " if opened else "▸ ") + label, key=f"look-{way}-{one.id}", type="tertiary"):
            st.session_state[f"open-{one.id}"] = None if opened else way
            st.rerun()


def _ways(record: FeatureRecord, some: Sequence[Explanation]) -> None:
    """What may be done: ask a model, score, compare."""
    key = record.key
    with st.container(key="fs-means-ways", horizontal=True, gap="small"):
        if not record.dead and st.button("Explain with a model", key="means-explain"):
            _explain(record)
        if some and not record.dead and st.button("Score", key="means-score"):
            _score(record, list(some))
        if not record.dead and "weights" in record.source.has:
            st.html(link(links.redteam(key), "Red-team a hypothesis", "fs-btn"), width="content")
        both = len(some) > 1 and st.toggle("Compare two", key=f"means-compare-{key}")
    if both:
        _compare(key, some)


def _compare(key: FeatureKey, some: Sequence[Explanation]) -> None:
    names = {one.id: f"{n}. {one.text[:70]}" for n, one in enumerate(some, 1)}
    left, right = st.columns(2)
    a = left.selectbox("First", list(names), format_func=names.get, key=f"means-a-{key}")
    rest = [id for id in names if id != a]
    b = right.selectbox("Second", rest, format_func=names.get, key=f"means-b-{key}")
    by = {one.id: one for one in some}
    if a and b:
        st.html(panels.compared(by[a], by[b]))


# -- asking a model ----------------------------------------------------------------------------------------------------


@st.dialog("Explain with a model", width="medium")
def _explain(record: FeatureRecord) -> None:
    about = resources.workbench().words.machines.methods
    method = st.selectbox("Method", list(about), key="means-method", help="How the model is asked")
    st.html(f'<p class="fs-soft fs-small">{esc(about[method])}</p>')
    endpoint = endpoints.ask()
    if endpoint is None:
        return
    words, key = resources.workbench().words, record.key
    found = words.estimate([key], method, endpoint)
    st.html(panels.estimate(found))
    if st.button("Explain", type="primary", key="means-explain-go", disabled=not found.asks):
        mine = endpoints.allowed(endpoint)
        if mine is not None:
            author = people.people().me
            name = author.id if author is not None else ""
            _begin(key, "explaining", lambda: words.explain([key], method, mine, author=name, concurrency=1))


@st.dialog("Score", width="medium")
def _score(record: FeatureRecord, some: list[Explanation]) -> None:
    names = {one.id: one for one in some}
    chosen = st.selectbox("Explanation", list(names), format_func=lambda id: names[id].text[:90], key="means-scored")
    one = names[chosen]
    scorers = resources.workbench().words.machines.scorers
    scorer = st.selectbox("Scorer", list(scorers), key="means-scorer")
    st.html(
        f'<p class="fs-soft fs-small">{esc(scorers[scorer])}. Tested on examples that no explainer saw; the '
        "explanation of another, random feature is scored beside it.</p>"
    )
    endpoint = None
    if scorer != "embedding":
        endpoint = endpoints.ask()
        if endpoint is None:
            return
    words = resources.workbench().words
    found = words.estimate_scores([one], scorer, endpoint)
    st.html(panels.estimate(found))
    if st.button("Score it", type="primary", key="means-score-go", disabled=bool(found.there)):
        mine = None if endpoint is None else endpoints.allowed(endpoint)
        if endpoint is None or mine is not None:
            _begin(record.key, "scoring", lambda: words.score([one], scorer, mine))


def _begin(key: FeatureKey, what: str, run: Callable[[], Iterator[Progress]]) -> None:
    """Begins it beside the page, and closes the dialog."""

    def work(tell: Tell) -> Progress:
        last = Progress()
        for last in run():
            tell(Step(doing="reading", done=last.done, of=last.of))
        return last

    st.session_state[f"means-job-{key}"] = (what, Job(work))
    st.rerun()


def _work(key: FeatureKey) -> None:
    """How far what was begun is; when it is done, what was wrong with it."""
    held = st.session_state.get(f"means-job-{key}")
    if held is None:
        return
    what, job = held
    if not job.wait(0):
        st.fragment(_look, run_every=EVERY)(job, what)
        return
    found = job.outcome()
    st.html(note(found) if isinstance(found, str) else panels.ended(found))
    st.session_state.pop(f"means-job-{key}")


def _look(job: Job[Progress], what: str) -> None:
    if job.wait(0):
        st.rerun()
    said = {"explaining": "The model is asked …", "scoring": "Scoring on examples that no explainer saw …"}
    st.html(at_work(said[what], None))


# -- a table of a source -----------------------------------------------------------------------------------------------


def view() -> panels.View | None:
    """What the address asks for; None, said, where there is no source."""
    asked = st.query_params.get("source", "").strip()
    try:
        key = SourceKey.parse(asked) if asked else None
        if key is not None:
            resources.workbench().source(key)
    except WorkbenchError as error:
        controls.say(str(error))
        key = None
    if key is None:
        first = controls.first_source()
        if first is None:
            controls.nothing()
            return None
        key = first.key
    sort = controls.choice("sort", tuple(panels.SORTS), "score")
    number, wrong = paging.number(st.query_params.get("page", ""))
    if wrong:
        controls.say(wrong)
    return panels.View(key, sort, st.query_params.get("method", "")[:80], number)


def page(shown: panels.View) -> None:
    """Draw the table."""
    words = resources.workbench().words
    found = controls.attempt(lambda: words.briefs(shown.source), shown.source)
    if found is None:
        return
    counts: dict[str, int] = {}
    for one in found:
        counts[one.method] = counts.get(one.method, 0) + 1
    if shown.method and shown.method not in counts:
        controls.say(f"No explanation of {shown.source} is by the method “{shown.method}”. All are shown.")
        shown = replace(shown, method="")
    rows = panels.sorted_briefs(shown, found)
    number, wrong = paging.within(shown.page, -(-len(rows) // panels.PAGE))
    if wrong:
        controls.say(wrong)
    st.html(panels.table(replace(shown, page=number), rows, sorted(counts.items(), key=lambda one: -one[1])))


def head(shown: panels.View) -> str:
    """Where it belongs, and its title."""
    key = shown.source
    crumbs = [link(links.model(key.model_id), key.model_id), link(links.source(key), key.source_id)]
    lead = "What is said of each feature, the least trusted first: where a better explanation is wanted most."
    return source_panels.title(
        f"Explanations of {key.source_id}", lead, [*crumbs, "<b>explanations</b>"], source_panels.COPY
    )
