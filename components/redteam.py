"""The page of red-teaming at work: reads it from the address, begins the run, keeps what came of it as a test suite.

Texts by makers that need nobody are read at once. A language model writes only when somebody asks it to, in a job of
its own, and what it wrote is kept, so that the address with its name shows the same to everybody for nothing.
"""

from __future__ import annotations

from uuid import uuid4

import streamlit as st

from components import controls, endpoints, people, redteam_panels, resources, searching, steps, suites
from components.explanation_panels import arranged, estimate
from components.jobs import Job
from components.markup import card, note
from components.redteam_view import View, read
from components.suite_panels import at_work
from core.community import limits
from core.community.deeds import Deed
from core.errors import WorkbenchError
from core.explain.redteam.hypothesis import Hypothesis
from core.explain.redteam.records import Case, RedTeam
from core.records import FeatureKey, FeatureRecord

EVERY = 0.5
BEGIN = 4
"""Explanations that are offered to begin with."""


def view(key: FeatureKey) -> tuple[View, Hypothesis | None]:
    """What the address asks of the feature, and the hypothesis in it; what is wrong with it is said."""
    found, said, wrong = read(key, st.query_params.to_dict())
    for message in wrong:
        controls.say(message)
    if said is not None and "hypothesis" not in st.query_params:  # corrected parts: the address in its plain form
        st.query_params.from_dict(_plain(found))
    return found, said


def _plain(view: View) -> dict[str, str]:
    asked = st.query_params
    kept = {name: asked[name] for name in ("share", "texts", "seed", "writer", "at") if name in asked}
    return {"id": str(view.key), "hypothesis": view.text, **kept}


def page(view: View, said: Hypothesis | None, record: FeatureRecord) -> None:
    """Draw the form and what came of it, or where it will be, or what keeps it from being tested."""
    why = _cannot(record)
    if why:
        st.html(card(f'<div class="fs-empty"><b>Nothing to test</b>{why}</div>'))
        return
    st.html(redteam_panels.form(view, said, () if said else _begin(record.key)))
    if said is None:
        st.html(redteam_panels.empty())
        return
    source = record.source
    job = resources.redteam(
        str(view.key), view.text, view.share, view.texts, view.seed, view.writer, view.at,
        f"{source.built} {source.dataset_sha256}",
    )  # fmt: skip
    place, found = searching.follow(job, view.key.model_id, st.container(key="fs-redteam"))
    with place.container():
        if isinstance(found, str):
            st.html(note(found))
            _writing(view, said)
        else:
            _results(view, said, found, record)


def _cannot(record: FeatureRecord) -> str:
    if "weights" not in record.source.has:
        return "This source came without its weights, so it cannot be run on new text."
    return "The feature is dead: no text of its build activates it." if record.dead or record.maximum <= 0 else ""


def _begin(key: FeatureKey) -> list[str]:
    """What is said of the feature, as ways to begin."""
    try:
        return [one.text for one in arranged(resources.workbench().words.here(key))[:BEGIN]]
    except WorkbenchError:
        return []


def _results(view: View, said: Hypothesis, found: RedTeam, record: FeatureRecord) -> None:
    st.html(redteam_panels.verdict(found) + redteam_panels.lacks(found))
    with st.container(key="fs-redteam-ways", horizontal=True, gap="small", vertical_alignment="center"):
        _keep(view, found)
        _writing(view, said)
    with st.container(key="fs-body"):
        with st.container(key="fs-main"):
            st.html(redteam_panels.cases(view, found, record))
        with st.container(key="fs-side"):
            st.html(redteam_panels.side(view, found))


# -- a test suite ----------------------------------------------------------------------------------------------------


def _keep(view: View, found: RedTeam) -> None:
    """One click keeps the chosen cases, or all of which something is said, as a test suite that can be run again."""
    if not people.kept():
        return
    some = chosen(found, view.picked)
    label = f"Keep {len(some):,} chosen as a test suite" if view.picked else "Keep as a test suite"
    about = f"{len(some):,} texts, private to begin with; tick some to keep those alone"
    if st.button(label, key="redteam-keep", type="primary", disabled=not some, help=about):
        said = found.hypothesis.text
        values = {
            "name": " ".join(said.split())[: limits.TITLE],
            "about": f"Red-teaming of “{said[:800]}”, seed {found.seed}. {found.line}"[: limits.DESCRIPTION],
            "threshold": float(f"{found.threshold:.4g}"), "visibility": "private",
            "cases": [{"text": case.text, "fires": case.expected} for case in some],
        }  # fmt: skip
        deed = Deed("suite", str(found.key), values, str(uuid4()))
        if people.do(deed, view.to(picked=view.picked), for_what="keep this test suite"):
            suites.ask(deed.id)
            st.switch_page("suite.py", query_params={"id": deed.id})


def chosen(found: RedTeam, picked: tuple[str, ...]) -> list[Case]:
    """The cases that a suite is made of: those picked, or all of which something is said, as many as it holds."""
    known = [case for case in found.cases if case.expected is not None]
    return ([case for case in known if case.id in picked] if picked else known)[: limits.CASES]


# -- a language model ------------------------------------------------------------------------------------------------


def _writing(view: View, said: Hypothesis) -> None:
    """The way to have a model write, and how far one is."""
    name = f"redteam-job-{view.key}"
    held = st.session_state.get(name)
    if held is None:
        if st.button("Have a model write texts too" if not view.writer else "Have a model write", key="redteam-write"):
            _ask(view, said)
        return
    job, address = held
    if not job.wait(0):
        st.fragment(_look, run_every=EVERY)(job)
        return
    del st.session_state[name]
    found = job.outcome()
    resources.forget_redteams()
    if isinstance(found, str):
        st.html(note(found))
    else:
        st.query_params.from_dict(address)
        st.rerun()


def _look(job: Job[RedTeam]) -> None:
    if job.wait(0):
        st.rerun()
    st.html(at_work(steps.words(job.step), steps.part(job.step)))


@st.dialog("Have a model write texts", width="medium")
def _ask(view: View, said: Hypothesis) -> None:
    st.html(
        '<p class="fs-soft fs-small">It is told the hypothesis and nothing else, and writes texts on which the feature '
        "should fire by it, and tempting ones on which it should not.</p>"
    )
    endpoint = endpoints.ask()
    if endpoint is None:
        return
    words = resources.workbench().words
    found = words.estimate_redteam(view.key, said, endpoint)
    st.html(estimate(found))
    if st.button("Write", type="primary", key="redteam-write-go"):
        mine = endpoints.allowed(endpoint) if found.asks else endpoint
        if mine is not None:
            job = Job(
                lambda tell: words.redteam(
                    view.key, said, share=view.share, texts=view.texts, seed=view.seed, endpoint=mine,
                    ask=bool(found.asks), tell=tell,
                )
            )  # fmt: skip
            address = _plain(view) | {"writer": endpoint.model, "at": endpoint.url}
            st.session_state[f"redteam-job-{view.key}"] = (job, address)
            st.rerun()


