"""The forms of adding a source: where it is, how it is to be built or imported. What they find goes to the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from components import add_panels, people, resources
from components.jobs import Job
from components.markup import esc, note
from components.suite_panels import at_work
from core.bring.records import JobRecord, Place, Plan, Texts
from core.errors import WorkbenchError

WHERE = {
    "registry": "SAELens’s registry", "hub": "Hugging Face", "folder": "A folder of this server", "upload": "Upload",
}  # fmt: skip
TEXTS = {"demo": "The demo’s texts", "upload": "A text file of mine", "hub": "A data set of Hugging Face"}
LOOKING = "add-looking"
ARCHIVES = ["zip", "tar", "gz", "tgz"]
UPLOAD_MB = 2048
EVERY = 0.4


# -- where it is -------------------------------------------------------------------------------------------------------


def choose(begun: Callable[[JobRecord], None]) -> None:
    """The form that names a place; what is found there is handed on as a job."""
    job: Job[JobRecord] | None = st.session_state.get(LOOKING)
    if job is not None:
        if not job.wait(0.3):
            st.fragment(_looking, run_every=EVERY)()
            return
        del st.session_state[LOOKING]
        found = job.outcome()
        if not isinstance(found, str):
            begun(found)
        st.html(note(str(found)))
    with st.container(key="fs-add-where", border=True):
        where = st.segmented_control(
            "Where is it?", list(WHERE), format_func=lambda one: WHERE[one], default="registry", key="add-where",
            required=True,
        )  # fmt: skip
        place = {"registry": _registry, "hub": _hub, "folder": _folder, "upload": _upload}[where or "registry"]()
        if st.button("Look at it", type="primary", key="add-look", disabled=place is None) and place is not None:
            _look(place)


def _looking() -> None:
    job = st.session_state.get(LOOKING)
    if job is None or job.wait(0):
        st.rerun(scope="app")
    st.html(at_work("Looking at it…", None))


def _look(place: Place | Callable[[], Place]) -> None:
    """Begins to look, in a thread of its own."""
    bring = resources.workbench().bring
    try:
        by = bring.allowed.ask(people.people())
        there = place() if callable(place) else place
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    st.session_state[LOOKING] = Job(lambda tell: bring.begin(there, by=by))
    st.rerun()


def _registry() -> Place | None:
    bring = resources.workbench().bring
    try:
        releases = bring.releases()
    except WorkbenchError as error:
        st.html(note(str(error)))
        return None
    release = st.selectbox(
        "Release", list(releases), index=None, key="add-release",
        placeholder=f"{len(releases):,} releases: type a name",
        format_func=lambda name: f"{name} · {releases[name]}" if releases.get(name) else name,
    )  # fmt: skip
    if release is None:
        return None
    sae_id = st.selectbox("SAE", bring.saes(release), index=None, key="add-sae", placeholder="Choose one of them")
    return Place(where="registry", release=release, sae_id=sae_id) if sae_id else None


def _hub() -> Place | None:
    name = st.text_input("Repository", key="add-hub", placeholder="org/name", max_chars=200)
    with st.container(horizontal=True, gap="small"):
        folder = st.text_input("Folder in it", key="add-hub-folder", placeholder="blocks.8.hook_resid_pre")
        revision = st.text_input("Revision", key="add-hub-revision", placeholder="main", max_chars=100)
    given = Place(where="hub", hub=name.strip(), folder=folder.strip(), revision=revision.strip())
    return given if name.strip() else None


def _folder() -> Place | None:
    bring = resources.workbench().bring
    roots = " or ".join(map(str, bring.allowed.roots()))
    there = list(bring.allowed.folders())
    path = st.selectbox(
        "Folder or archive", there, index=None, key="add-folder", accept_new_options=True,
        placeholder="Choose one, or type its path" if there else "Type its path",
    )  # fmt: skip
    st.html(
        '<p class="fs-soft fs-small">An SAE’s folder; or an export of Neuronpedia’s, SAEDashboard’s or our own, as a '
        f"folder, .zip or .tar.gz. Taken from below {esc(roots)}.</p>"
    )
    return Place(where="folder", path=path) if path else None


def _upload() -> Callable[[], Place] | None:
    kinds = ["An archive", "A folder"]
    kind = st.radio("What", kinds, horizontal=True, key="add-upload-kind", label_visibility="collapsed")
    if kind == "An archive":
        one = st.file_uploader(
            "Archive of an SAE’s folder, or of an export", type=ARCHIVES, key="add-archive", max_upload_size=UPLOAD_MB
        )
        given: list[Any] = [one] if one is not None else []
    else:
        given = list(
            st.file_uploader(
                "An SAE’s folder, or an export’s", accept_multiple_files="directory", key="add-directory",
                max_upload_size=UPLOAD_MB,
            )
        )  # fmt: skip
    if not given:
        return None

    def keep() -> Place:
        return Place(where="upload", path=resources.workbench().bring.uploads.keep([(f.name, f) for f in given]))

    return keep


# -- how it is imported ------------------------------------------------------------------------------------------------


def importing(job: JobRecord, change: Callable[[Plan], None]) -> None:
    """How an export is to be imported, to be changed; open where something is missing."""
    old, found = job.plan, job.look.export
    assert found is not None
    with st.expander(add_panels.import_planned(job), expanded=not job.config or job.state == "failed"):
        name = f"add-{job.id}"
        as_ = st.text_input(
            "What it is called here", old.as_, key=f"{name}-as", max_chars=192,
            placeholder="as the export says" if found.named else "model/source",
            help="A model’s id, or model/source where it is one source. Leave it empty to keep the export’s names.",
        )  # fmt: skip
        only: list[str] = []
        if len(found.sources) > 1:
            only = st.multiselect(
                "Sources", found.sources, list(old.only), key=f"{name}-only", placeholder="all of them"
            )
        leave = st.checkbox(
            "Leave out lines that cannot be read, and say which", old.leave_out, key=f"{name}-leave",
            help="Otherwise one such line refuses the import, and nothing of it appears.",
        )  # fmt: skip
        if st.button("Take this", key=f"{name}-take", type="primary" if not job.config else "secondary"):
            change(replace(old, as_=as_, only=tuple(only), leave_out=leave))


# -- how it is built ---------------------------------------------------------------------------------------------------


def plan(job: JobRecord, change: Callable[[Plan], None]) -> None:
    """How it is to be built, to be changed; open where something is missing."""
    old, look = job.plan, job.look
    with st.expander(add_panels.planned(job), expanded=not job.config):
        name = f"add-{job.id}"
        left, right = st.columns(2)
        source_id = left.text_input("Source", old.source_id or look.source_id, key=f"{name}-id", max_chars=96)
        model = right.text_input(
            "Model", old.model, key=f"{name}-model", max_chars=300,
            placeholder=look.model.said if look.model else "a model of this server, org/name on the hub, or a folder",
        )  # fmt: skip
        hook = look.hook or left.text_input(
            "Hook", old.hook, key=f"{name}-hook", placeholder="blocks.8.hook_resid_pre", max_chars=200
        )
        prompts = left.number_input("Prompts", 1, 1_000_000, old.prompts, key=f"{name}-prompts", step=100)
        most = look.context or 8192
        context = right.number_input(
            "Tokens of a prompt", 2, max(most, old.context, 2), old.context or min(128, most), key=f"{name}-context"
        )
        bos = old.bos
        if look.bos is False and st.checkbox(
            "It was trained without BOS, which every prompt here begins with: build it all the same",
            value=old.bos is True, key=f"{name}-bos",
        ):  # fmt: skip
            bos = True
        texts = _texts(old.texts, name)
        store = st.checkbox("Keep every activation (exact statistics, correlations)", old.store, key=f"{name}-store")
        if st.button("Take this", key=f"{name}-take", type="primary" if not job.config else "secondary"):
            try:
                said = texts() if callable(texts) else texts
            except WorkbenchError as error:
                st.html(note(str(error)))
                return
            change(
                replace(
                    old, source_id=source_id, model=model, hook="" if look.hook else hook, prompts=int(prompts),
                    context=int(context), texts=said, store=store, bos=bos,
                )
            )  # fmt: skip


def _texts(old: Texts, name: str) -> Texts | Callable[[], Texts]:
    what = st.selectbox("Texts", list(TEXTS), list(TEXTS).index(old.what), key=f"{name}-texts", format_func=TEXTS.get)
    if what == "hub":
        with st.container(horizontal=True, gap="small"):
            hub = st.text_input("Data set", old.hub, key=f"{name}-set", placeholder="Skylion007/openwebtext")
            subset = st.text_input("Subset", old.name, key=f"{name}-subset", placeholder="none")
            split = st.text_input("Split", old.split, key=f"{name}-split")
            column = st.text_input("Column", old.column, key=f"{name}-column")
        return Texts(what="hub", hub=hub, name=subset, split=split, column=column)
    if what == "upload":
        given = st.file_uploader(
            "Text file, UTF-8; <|endoftext|> on a line of its own between documents", type="txt", key=f"{name}-text",
            max_upload_size=256,
        )  # fmt: skip
        if given is None:
            return Texts(what="upload", path=old.path if old.what == "upload" else "")
        return lambda: Texts(
            what="upload", path=resources.workbench().bring.uploads.keep_text(given.name, given)
        )
    return Texts()
