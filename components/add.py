"""The page of adding sources at work: who may, one job and what can be done with it, the list of all.

Everything lies on the server's disk and is done by processes of its own (`core.bring`), so the page only looks: while a
job is at work it looks again every second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from components import add_forms, add_panels, controls, links, people, resources
from components.markup import note
from core.bring.records import AT_WORK, JobRecord, State, Step
from core.errors import WorkbenchError

EVERY = 1.0
"""Seconds between two looks at what is at work."""
ACTIONS: dict[State, Sequence[tuple[str, str]]] = {
    "found": (("check", "Try it on a few prompts"), ("build", "Build it without"), ("forget", "Remove")),
    "checked": (("build", "Build it"), ("check", "Try it again"), ("forget", "Remove")),
    "importing": (("pause", "Pause"), ("cancel", "Cancel")),
    "failed": (("resume", "Try again"), ("forget", "Remove")),
    "waiting": (("pause", "Pause"), ("cancel", "Cancel")),
    "checking": (("cancel", "Cancel"),),
    "building": (("pause", "Pause"), ("cancel", "Cancel")),
    "paused": (("resume", "Resume"), ("cancel", "Cancel")),
    "interrupted": (("resume", "Resume"), ("cancel", "Cancel")),
    "cancelled": (("check", "Try it on a few prompts"), ("build", "Build it"), ("forget", "Remove")),
    "done": (("forget", "Remove from the list"),),
}
"""What can be done with a job, the likeliest first; what it is called."""
OF_EXPORT: dict[State, Sequence[tuple[str, str]]] = {
    "found": (("import", "Import it"), ("forget", "Remove")),
    "cancelled": (("import", "Import it"), ("forget", "Remove")),
}
"""The same of an export, where it differs."""
NO_FIRST = frozenset({"forget", "cancel", "pause"})
"""What is never the button that stands out."""


def bring() -> Any:
    """The door."""
    return resources.workbench().bring


def page() -> None:
    """Draw it, or say who may."""
    why, me = people.gather(lambda them: bring().may(them), lambda them: them.me)
    if isinstance(why, WorkbenchError) or why:
        asks = resources.workbench().community.shared and me is None
        st.html(add_panels.refused(str(why), sign_in=asks))
        return
    asked = st.query_params.get("job", "")
    if asked:
        try:
            _one(bring().job(asked))
            return
        except WorkbenchError as error:
            st.html(note(str(error)))
    add_forms.choose(begun)
    _all()


def begun(job: JobRecord) -> None:
    """Opens the page of a job that was just found."""
    st.query_params.from_dict({"job": job.id})
    st.rerun()


# -- one job -----------------------------------------------------------------------------------------------------------


def _one(job: JobRecord) -> None:
    st.html(add_panels.head(job))
    if job.state == "done":
        st.html(add_panels.done(job))
    with st.container(key="fs-add"):
        _moving(job)
        _ways(job)
        st.html(add_panels.found(job.look, asked=not job.config))
        if job.look.export is not None:
            _exported(job)
            return
        if job.state not in AT_WORK and job.state != "done":
            add_forms.plan(job, lambda plan: _do(lambda: bring().change(job.id, plan)))
        if job.config:
            st.html(add_panels.config(job))
            st.download_button(
                "Download the configuration", job.config, f"{add_panels.named(job)}.yaml", "text/yaml",
                key="add-config", on_click="ignore",
                help="What `python -m core build` takes, for another machine or another day",
            )  # fmt: skip
        controls.draw(add_panels.log(bring().log(job.id)))


def _exported(job: JobRecord) -> None:
    """What an import came to, how it is to be done, and what its process wrote."""
    if job.state not in AT_WORK and job.state != "done":
        add_forms.importing(job, lambda plan: _do(lambda: bring().change(job.id, plan)))
    if job.config:
        st.html(add_panels.command(job))
    controls.draw(add_panels.log(bring().log(job.id)))


def _moving(job: JobRecord) -> None:
    """Where it stands; looked at again while it is at work."""
    if job.state in AT_WORK:
        st.fragment(_look, run_every=EVERY)(job.id, job.state)
    else:
        controls.draw(add_panels.standing(job))


def _look(id: str, seen: State) -> None:
    try:
        job = bring().job(id)
    except WorkbenchError:
        job = None
    if job is None or job.state != seen:
        st.rerun(scope="app")
        return
    controls.draw(add_panels.standing(job))


def _ways(job: JobRecord) -> None:
    """Buttons for what can be done with it."""
    some = ACTIONS.get(job.state, ())
    if job.look.export is not None:
        some = OF_EXPORT.get(job.state, some)
    with st.container(key="fs-add-ways", horizontal=True, gap="small"):
        for n, (what, label) in enumerate(some):
            kind = "primary" if not n and what not in NO_FIRST else "secondary"
            off = what in ("check", "build", "import", "resume") and not job.config
            if st.button(label, key=f"add-{what}", type=kind, disabled=off):
                _act(job.id, what)


def _act(id: str, what: str) -> None:
    door = bring()
    if what == "forget":
        if _done(lambda: door.forget(id)):
            st.query_params.clear()
            st.rerun()
    elif what in ("check", "build", "import"):
        step: Step = "import" if what == "import" else "check" if what == "check" else "build"
        _do(lambda: door.go(id, step))
    else:
        _do(lambda: {"resume": door.resume, "pause": door.pause, "cancel": door.cancel}[what](id))


def _do(job: Callable[[], object]) -> None:
    """Does something with a job and draws it anew, or says why not."""
    if _done(job):
        st.rerun()


def _done(job: Callable[[], object]) -> bool:
    try:
        bring().allowed.ask(people.people())  # it may have been a while since the page was drawn
        job()
    except WorkbenchError as error:
        st.html(note(str(error)))
        return False
    return True


# -- all of them -------------------------------------------------------------------------------------------------------


def _all() -> None:
    """Every job, with how far it is."""
    st.fragment(_list, run_every=2 * EVERY)()


def _list() -> None:
    controls.draw(add_panels.listed(bring().jobs()))


def offer() -> str:
    """The way here, for other pages."""
    return links.page("add")
