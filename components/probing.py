"""The page of probes at work: the form, the training in a job of its own, testing a text, and making it a source."""

from __future__ import annotations

import streamlit as st

from components import charts, people, probe_panels, resources, steps
from components.jobs import Job
from components.markup import Html, card, esc, note, number
from components.suite_panels import at_work
from core.errors import WorkbenchError
from core.records import BuildReport, Step, Tell
from core.sources.probe_records import ProbeRecord

PLACES = {
    "hook_resid_pre": "residual stream, before the layer", "hook_resid_post": "residual stream, after the layer",
    "hook_attn_out": "attention’s output", "hook_mlp_out": "MLP’s output", "mlp.hook_post": "MLP neurons",
    "attn.hook_z": "attention heads",
}  # fmt: skip
TRAINING, BUILDING = "probe-training", "probe-building"
EVERY = 0.4


def form() -> None:
    """What is to be trained; goes to the probe's own page when that is done."""
    job: Job[ProbeRecord] | None = st.session_state.get(TRAINING)
    if job is not None:
        if not job.wait(0.3):
            st.fragment(_look, run_every=EVERY)(TRAINING, "Training…")
            return
        del st.session_state[TRAINING]
        found = job.outcome()
        if not isinstance(found, str):
            st.query_params.from_dict({"id": str(found.key)})
            st.rerun()
        st.html(note(str(found)))
    bench = resources.workbench()
    models = [one.model_id for one in bench.models()]
    if not models:
        st.html(card('<div class="fs-empty"><b>No model is here yet</b>Add a source first.</div>'))
        return
    asked = st.query_params.get("model", "")
    with st.container(key="fs-probe-form", border=True):
        with st.container(horizontal=True, gap="small"):
            model_id = st.selectbox("Model", models, index=models.index(asked) if asked in models else 0)
            layers = bench.model(model_id).layers
            layer = st.selectbox("Layer", range(layers), index=layers // 2)
            place = st.selectbox("Place", list(PLACES), index=1, format_func=lambda name: PLACES[name])
        have, have_not = st.columns(2, gap="small")
        positive = have.text_area("Texts that have it, one a line", height=220, key="probe-positive")
        negative = have_not.text_area("Texts that do not, one a line", height=220, key="probe-negative")
        with st.container(horizontal=True, gap="small"):
            method = st.selectbox(
                "Method", list(probe_panels.METHODS), format_func=lambda name: probe_panels.METHODS[name].capitalize()
            )
            pooled = st.selectbox(
                "A sample is", list(probe_panels.POOLED), format_func=lambda name: probe_panels.POOLED[name]
            )
            label = st.text_input("Name", max_chars=120, placeholder="what the texts have")
        if st.button("Train", type="primary", key="probe-train"):
            sides = [text.splitlines() for text in (positive, negative)]
            hook = f"blocks.{layer}.{place}"
            st.session_state[TRAINING] = Job(
                lambda tell: bench.train_probe(
                    model_id, hook, *sides, method=method, pooled=pooled, label=label, tell=tell
                )
            )  # fmt: skip
            st.rerun()


def _look(name: str, said: str) -> None:
    job = st.session_state.get(name)
    if job is None or job.wait(0):
        st.rerun(scope="app")
    step = job.step if job else None
    told = f"{step.what}: {step.done:,} of {step.of:,}…" if step and step.what and step.of else said
    st.html(at_work(told, steps.part(step)))


def result(record: ProbeRecord) -> None:
    """A probe that was kept."""
    st.html(probe_panels.verdict(record))
    with st.container(key="fs-body"):
        with st.container(key="fs-main"):
            _test(record)
            st.html(probe_panels.texts(record))
        with st.container(key="fs-side"):
            st.html(probe_panels.side(record))
            _source(record)


def _test(record: ProbeRecord) -> None:
    """A text of one's own, token by token."""
    with st.container(key="fs-probe-test", border=True):
        text = st.text_input("Test it on a text of your own", key="probe-text", placeholder="A sentence")
        if not text.strip():
            return
        try:
            (test,) = resources.workbench().test(record.key, text)
        except WorkbenchError as error:
            st.html(note(str(error)))
            return
        own = [value for token, value in zip(test.tokens, test.values, strict=True) if not token.special]
        reach = max(map(abs, own), default=0.0) or 1.0
        sample = record.sample(test)
        said = "has it" if sample > record.threshold else "has not"
        strip = charts.strip(test.tokens, test.values, reach, position=test.position, signed=True, tips=True)
        what = "last token" if record.pooled == "last" else "mean"
        told = f"{what} {number(sample)}, boundary {number(record.threshold)}: <b>{said}</b>"
        st.html(Html(f'{strip}<p class="fs-soft fs-small">x · direction at each token; {told}</p>'))


def _source(record: ProbeRecord) -> None:
    """The way to make it a source of its own, which is a build."""
    job: Job[BuildReport] | None = st.session_state.get(BUILDING)
    if job is not None:
        if not job.wait(0.3):
            st.fragment(_look, run_every=EVERY)(BUILDING, "Building…")
            return
        del st.session_state[BUILDING]
        found = job.outcome()
        if not isinstance(found, str):
            key = (*(one.key for one in found.sources), *found.skipped)[0]
            st.switch_page("source.py", query_params={"id": str(key)})
        st.html(note(str(found)))
    bench = resources.workbench()
    its = [one for one in bench.probes(record.key.model_id) if one.hook == record.hook]
    many = "This probe" if len(its) == 1 else f"The {len(its)} probes at this hook"
    st.html(
        card(
            f"{many} can be built as a source: with examples from the build’s texts, searched and compared like any.",
            "A source of its own",
        )
    )
    if st.button("Build it", key="probe-build"):
        try:
            bench.bring.allowed.ask(people.people())
        except WorkbenchError as error:
            st.html(note(esc(str(error))))
            return

        def work(tell: Tell) -> BuildReport:
            def progress(what: str, done: float, of: float) -> None:
                tell(Step(doing="reading", what=what, done=int(done), of=int(of)))

            return bench.vectors_source([one.key for one in its], name="probes", progress=progress)

        st.session_state[BUILDING] = Job(work)
        st.rerun()
