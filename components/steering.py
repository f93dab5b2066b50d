"""The steering page at work: reads its view from the URL, begins the run, and shows it as it grows.

The run goes on in threads of its own; a fragment looks after it, so that who goes elsewhere meanwhile is not held up.
The setup and the prompt ask small questions (which feature is meant, the tokens of a text), each in a fragment too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from components import (
    controls,
    links,
    resources,
    saving,
    searching,
    steer_answers,
    steer_panels,
    steer_parts,
    steer_payload,
    steer_view,
    steps,
)
from components.markup import Html
from components.resources import define
from components.steer_run import Run
from components.steer_view import Feature, View
from core.errors import WorkbenchError
from core.interchange import numbers, steered
from core.interchange import steering as neuronpedia
from core.records import Preset, Records, SteerRecord, SweepRecord

EVERY = 0.25
"""Seconds between two looks at a run."""
AT_ONCE = 0.3
"""Seconds that a page waits for a run before it draws that it waits."""


# -- what is asked -----------------------------------------------------------------------------------------------------


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing here can be steered."""
    names = searching.models()
    if not names:
        controls.nothing()
        return None
    query = st.query_params.to_dict()
    longest = resources.workbench().settings.max_length
    if query.get("run", "").strip():
        return _saved(query, names, longest)
    found, wrong = steer_view.read(query, names, steer_answers.know, longest)
    tokens = _tokens(found)
    if tokens is not None:
        found, more = steer_view.within(found, tokens)
        wrong += more
    if wrong:
        st.html(steer_panels.wrong(wrong))
    return found


def _tokens(found: View) -> int | None:
    """How many tokens the prompt has, where that matters."""
    if not found.ask.positions or found.ask.messages:
        return None
    try:
        return len(resources.workbench().tokenize(found.ask.model_id, found.ask.prompt))
    except WorkbenchError:
        return None  # the run says so


def _saved(query: dict[str, str], names: list[str], longest: int) -> View:
    """The view of a saved run; an empty one, said, if there is none such."""
    run = query["run"].strip()
    swept = query.get("sweep") == "1"
    try:
        record = resources.workbench().steered(run)
    except WorkbenchError as error:
        controls.say(str(error))
        return steer_view.read({}, names, steer_answers.know, longest)[0]
    features = tuple(Feature(key=p.key, label=p.label, maximum=p.maximum, hook=p.hook) for p in record.pushes)
    return View(ask=record.ask, run=run, swept=swept, features=features, watched=_known_of(record))


def _known_of(record: SteerRecord) -> tuple[Feature, ...]:
    found = []
    for key in record.ask.watch:
        try:
            found.append(steer_answers.feature(key))
        except WorkbenchError:
            continue  # it is not here any more: what was saved of it is shown all the same
    return tuple(found)


# -- what steers, and the prompt ---------------------------------------------------------------------------------------


@st.fragment
def setup(view: View) -> None:
    """Draw what steers, and answer what it asks."""
    bench, model_id = resources.workbench(), view.ask.model_id
    data = steer_payload.setup(
        view, models=[bench.model(name) for name in searching.models()], vectors=_vectors(model_id),
        hooks=_hooks(model_id), presets=presets(model_id), define=define, longest=bench.settings.max_length,
    )  # fmt: skip
    more = {"kinds": list(numbers.KINDS), "largest": steer_answers.LARGEST, "ready": resources.ready(model_id)}
    key = "steer-setup"
    data |= more | {"answer": st.session_state.get(f"{key}-answer")}
    steer_parts.setup(data, key=key, on_call=lambda: _answer(key, view))


@st.fragment
def prompt(view: View) -> None:
    """Draw the box for a prompt or a chat, and answer what it asks."""
    bench, ask = resources.workbench(), view.ask
    try:
        tokens = bench.tokenize(ask.model_id, ask.prompt) if ask.prompt else None
        model = bench.model(ask.model_id)
    except WorkbenchError:
        tokens, model = None, bench.model(ask.model_id)
    data = steer_payload.prompt(
        view, model=model, tokens=tokens, openings=resources.openings(), chats=bench.chats(ask.model_id), define=define
    )
    key = "steer-prompt"
    data |= {"ready": resources.ready(ask.model_id), "answer": st.session_state.get(f"{key}-answer")}
    steer_parts.prompt(data, key=key, on_call=lambda: _answer(key, view))


def _vectors(model_id: str) -> Records[Any]:
    try:
        return resources.workbench().vectors(model_id)
    except WorkbenchError as error:  # the file that keeps them cannot be read
        controls.say(str(error))
        return Records(())


def presets(model_id: str) -> tuple[Preset, ...]:
    """Steerings to begin with; none, said, if their file cannot be read."""
    try:
        return tuple(resources.workbench().presets(model_id))
    except WorkbenchError as error:
        controls.say(str(error))
        return ()


def _hooks(model_id: str) -> list[str]:
    """Where a direction may be added: the residual stream before each layer, and wherever a source reads or writes."""
    bench = resources.workbench()
    stream = [f"blocks.{n}.hook_resid_pre" for n in range(bench.model(model_id).layers)]
    others = sorted({s.hook_out or s.hook for s in bench.sources(model_id=model_id)} - set(stream))
    return stream + others


def _answer(key: str, view: View) -> None:
    """Answer a question of the setup or the prompt; the next drawing of it has the answer."""
    asked = st.session_state[key].call or {}
    if asked:
        st.session_state[f"{key}-answer"] = steer_answers.answer(view.ask.model_id, asked) | {"n": asked.get("n")}


# -- what became of it -------------------------------------------------------------------------------------------------


def results(view: View) -> None:
    """Draw both texts and what else steering did, or where they will be, or how to begin."""
    if view.run:
        record = controls.attempt(lambda: resources.workbench().steered(view.run))
        if record is not None:
            _whole(view, record)
    elif not view.ready:
        st.html(steer_panels.begin(view, presets(view.ask.model_id)))
    else:
        run = _begin(view)
        run.wait(AT_ONCE)
        busy = _busy(view, run)
        st.fragment(_look, run_every=EVERY if busy else None)(view, run, was=busy)
        if run.state == "done" and run.record is not None:
            _after(view, run.record)


def _begin(view: View) -> Run:
    """The run of a view. One that this visitor left for it ends, and is begun anew if they come back to it."""
    run = resources.steering(view.ask, _stamp(view))
    left, before = st.session_state.get("steer-now", (None, None))
    if before is not None and before is not run and not before.ended:
        before.stop()
        resources.forget_steering(*left)
    st.session_state["steer-now"] = ((view.ask, _stamp(view)), run)
    return run


def _stamp(view: View) -> str:
    """What tells builds of the same sources apart."""
    known = {s.key: s for s in resources.workbench().sources(model_id=view.ask.model_id)}
    sources = [known.get(push.key.source) for push in view.ask.pushes]
    return " ".join(f"{s.built} {s.dataset_sha256}" for s in sources if s)


def _busy(view: View, run: Run) -> bool:
    """Whether there will be more to see."""
    return not run.ended or bool((_shared(view) or {}).get("busy"))


def _look(view: View, run: Run, *, was: bool) -> None:
    """The texts so far. When the run ends the page is drawn anew, with what needs the whole of it."""
    if st.session_state.pop("steer-again", False):
        st.rerun()
    busy, record, ended = _busy(view, run), run.record, run.ended
    said, message = _said(view, run), run.message
    data = steer_payload.texts(
        view.ask, record, mark=steer_payload.mark(view), state=run.state, said=said, message=message,
        share=_shared(view), define=define,
    )  # fmt: skip
    steer_parts.texts(data, key="steer-texts", on_act=lambda: _act(view, run))
    if record is not None or not ended:
        st.html(steer_panels.effect(view, record))
    if busy != was:
        st.rerun()


def _said(view: View, run: Run) -> str:
    """How far a run is, in words."""
    if run.state == "waiting":
        return steps.words(run.step, ready=resources.ready(view.ask.model_id))
    return {
        "writing": "Writing…",
        "stopped": "Stopped, with what there was." if run.record else "Stopped before anything was written.",
        "failed": "It could not be done.",
        "done": f"Seed {view.ask.seed}, temperature {view.ask.temperature:g}",
    }[run.state]  # fmt: skip


def _act(view: View, run: Run) -> None:
    """A button of the texts."""
    what = (st.session_state["steer-texts"].act or {}).get("what")
    if what == "stop":
        run.stop()
    elif what == "again" and run.state in ("stopped", "failed"):
        resources.forget_steering(view.ask, _stamp(view))
        st.session_state["steer-again"] = True
    elif what == "share" and run.state == "done":
        st.session_state["steer-share"] = (view.ask, resources.sharing(view.ask, _stamp(view)))


def _shared(view: View) -> dict[str, Any] | None:
    """What came of sharing this run, so far."""
    ask, job = st.session_state.get("steer-share", (None, None))
    if job is None or ask != view.ask:
        return None
    if not job.wait(0):
        return {"busy": True}
    saved = job.outcome()
    return {"message": saved} if isinstance(saved, str) else {"href": links.steer(run=saved.run)}


def _whole(view: View, record: SteerRecord) -> None:
    """A saved run: nothing is computed."""
    again = replace(view, run="", swept=False).to()
    data = steer_payload.texts(
        view.ask, record, mark=steer_payload.mark(view), state="done", said="A saved run: no model was run for it.",
        again=again, define=define,
    )  # fmt: skip
    steer_parts.texts(data, key="steer-texts", on_act=lambda: None)
    st.html(steer_panels.effect(view, record))
    _after(view, record)


def _after(view: View, record: SteerRecord) -> None:
    """What stands below a whole run."""
    if body := steer_panels.watched(view, record):
        st.html(body)
    _swept(view)
    name = f"steered_{record.run or view.ask.seed}"
    with st.container(key="fs-take"):
        st.html(steer_panels.taking(steered.python_line(view.ask), record.run))
        with st.container(horizontal=True, gap="small"):
            saving.offer(view.to(), record.ask.prompt or "A chat", address=lambda: _kept(view))
            _file_of("JSON", partial(_json, record), name, "The whole run, in Neuronpedia’s form")
            _file_of("CSV", lambda: steered.steer_csv(record), name, "Every token with its log-probabilities, as rows")


def _kept(view: View) -> str:
    """The address of this run as it was written; what is not kept yet is kept."""
    if view.run:
        return links.steer(run=view.run)
    with st.spinner("Keeping the run…"):
        job = resources.sharing(view.ask, _stamp(view))
        while not job.wait(EVERY):
            pass
    return links.steer(run=job.result().run)


def _json(record: SteerRecord) -> str:
    return json.dumps(neuronpedia.loaded(record), ensure_ascii=False, indent=1)


def _file_of(kind: str, make: Callable[[], str], name: str, about: str) -> None:
    mime = {"JSON": "application/json", "CSV": "text/csv"}[kind]
    st.download_button(kind, make, f"{name}.{kind.lower()}", mime, key=f"steer-{kind}", on_click="ignore", help=about)


def _swept(view: View) -> None:
    """The sweep, or the way to it. One that this visitor left, or stopped, ends at its next token."""
    wanted = view.swept and view.ask.method != "ablate"
    job = resources.sweep(view.ask, _stamp(view)) if wanted else None
    before = st.session_state.get("steer-sweep")
    if before is not None and before is not job:
        before.stop()
    st.session_state["steer-sweep"] = job
    if job is None:
        if offer := steer_panels.sweep_offer(view):
            st.html(offer)
        return
    done = job.wait(AT_ONCE)
    st.fragment(_look_at_sweep, run_every=None if done else EVERY)(view, job, was=done)


def _look_at_sweep(view: View, job: resources.Job[SweepRecord], *, was: bool) -> None:
    done = job.wait(0)
    st.html(_sweep(view, job))
    if done and not was:
        st.rerun()


def _sweep(view: View, job: resources.Job[SweepRecord]) -> Html:
    if not job.wait(0):
        known = job.step is not None and job.step.doing in ("waiting", "writing")
        said = steps.words(job.step) if known else "Writing the same prompt at seven strengths…"
        return steer_panels.sweep_waiting(view, said)
    found = job.outcome()
    return steer_panels.sweep_failed(view, found) if isinstance(found, str) else steer_panels.sweep(view, found)
