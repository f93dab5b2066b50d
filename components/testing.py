"""The test box of a feature: what is to be tested, when, how far it is, and what came of it.

Runs as a fragment after the rest of the page is drawn. A shared link's texts are tested at once if that takes no time;
else the component asks for them when the page stands, so that nothing waits for the model but the box itself. The test
runs in a job of its own; while it does, the fragment runs again and again and tells the component how far it is.
"""

from __future__ import annotations

import streamlit as st

from components import links, people, resources, saving, steps, token_strip
from components.jobs import Job
from components.markup import card, link
from components.resources import Tests
from core.records import FeatureRecord

AT_ONCE = 0.3
"""Seconds that a test is given before it is said to be at work."""
EVERY = 0.25


def box(record: FeatureRecord, linked: tuple[str, ...], kept: int, *, field: bool = True) -> None:
    """Draw the test box; `linked` are the texts of the page's link, the first `kept` of them pinned.

    Without `field` it shows these alone, and no other text can be written.
    """
    if "weights" not in record.source.has:
        st.html(
            card('<span class="fs-soft">This source came without its weights, so it cannot be run on new text.</span>')
        )
        return
    _box(record, linked, kept, field, [True])


@st.fragment
def _box(record: FeatureRecord, linked: tuple[str, ...], kept: int, field: bool, first: list[bool]) -> None:
    """`first` holds something at the run of the whole page, and nothing when the fragment alone runs again."""
    name = f"tester-{record.key}"
    with_page = bool(first)
    first.clear()
    ready = resources.ready(record.key.model_id)
    asked = st.session_state.get(f"{name}-asked")
    if asked is not None and asked["linked"] not in (linked, asked["texts"]) and linked != asked["texts"]:
        asked = None  # the visitor went to another link of the same feature
    texts, kept, echo = (asked["texts"], asked["kept"], asked["n"]) if asked else (linked, kept, 0)
    pending = bool(texts) and asked is None and not ready
    job = None if pending or not texts else _begun(name, record, texts, echo)
    at_work = job is not None and not job.wait(AT_ONCE)
    stage = ""
    if at_work and with_page:  # the page first: the component asks when it is drawn
        pending = True
    elif at_work:
        stage = steps.words(job.step, ready=ready)
    done, message = ((), "") if job is None or at_work else _outcome(name, job)

    def run() -> None:
        value = st.session_state[name].run or {}
        st.session_state[f"{name}-asked"] = {
            "texts": tuple(str(t) for t in value.get("texts", ())),
            "kept": int(value.get("kept", 0)),
            "n": int(value.get("n", 0)),
            "linked": linked,
        }

    def warm() -> None:
        resources.workbench().warm(record.key.model_id)

    token_strip.tester(
        record,
        done,
        key=name,
        wanted=texts,
        kept=kept,
        pending=pending,
        ready=ready or bool(done),
        message=message,
        echo=echo,
        stage=stage,
        part=steps.part(job.step) if stage and job is not None else None,
        field=field,
        on_run=run,
        on_warm=warm,
    )
    if field and texts and not at_work and people.kept():
        with st.container(key="fs-test-ways", horizontal=True, gap="small"):
            saving.offer(links.feature(record.key, *texts), record.label or str(record.key))
            st.html(link(links.new_suite(record.key, *texts), "Make a test suite", "fs-btn"))
    if stage and job is not None:
        job.wait(EVERY)
        st.rerun(scope="fragment")


def _begun(name: str, record: FeatureRecord, texts: tuple[str, ...], echo: int) -> Job[Tests]:
    """The job of these texts: the one that is looked after already, so that one that fails is not begun for ever."""
    key = (str(record.key), texts, f"{record.source.built} {record.source.dataset_sha256}")
    held = st.session_state.get(f"{name}-job")
    if held is None or held[:2] != (key, echo):
        held = st.session_state[f"{name}-job"] = (key, echo, resources.tests(*key))
    job: Job[Tests] = held[2]
    return job


def _outcome(name: str, job: Job[Tests]) -> Tests:
    """What came of a job that is done, and a message about what did not; the next run may begin it again."""
    del st.session_state[f"{name}-job"]
    found = job.outcome()
    return ((), found) if isinstance(found, str) else found
