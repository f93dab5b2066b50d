"""Test suites at work on their pages: made, run, edited, exported, brought in.

A suite opens on the run that its owner kept, without a model call. Running it goes on in a job that serves whoever runs
the same suite on the same build; only its owner's runs are kept. What is typed stays until it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import streamlit as st

from components import controls, links, people, resources, steps, suite_panels
from components.markup import note, title
from core.community import limits, suites
from core.community.deeds import Deed
from core.community.records import Case, Person, Suite, SuiteRun
from core.errors import WorkbenchError
from core.interchange import suites as files
from core.records import Example, FeatureKey, FeatureRecord

AT_ONCE = 0.3
"""Seconds that a run is given before it is said to be at work."""
EVERY = 0.25
EXAMPLES = 5
"""Texts that are taken from a feature's examples at a time."""
WHY = (
    "A tenth of the feature’s maximum on the build’s texts: weaker activations are frequent and seldom about what the "
    "feature is for."
)
PAGE = 50


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page of a suite knows."""

    suite: Suite
    record: FeatureRecord | None
    """None where the feature is not here any more."""
    build: str | None
    me: Person | None
    why: str = ""
    """What keeps the suite from being run; empty if nothing does."""

    @property
    def mine(self) -> bool:
        """Whether whoever looks may change it."""
        return self.me is not None and self.me.id == self.suite.owner


# -- one suite ---------------------------------------------------------------------------------------------------------


def page(id: str) -> None:
    """Draw the page of a suite, or what is in the way."""
    suite, runs, me = people.gather(
        lambda them: them.suites.get(id), lambda them: them.suites.runs(id), lambda them: them.me
    )
    if isinstance(suite, WorkbenchError):
        _absent(suite)
        return
    shown = _known(suite, None if isinstance(me, WorkbenchError) else me)
    kept: tuple[SuiteRun, ...] = () if isinstance(runs, WorkbenchError) else runs
    st.set_page_config(page_title=f"{suite.name} · {suite.feature} · Featurescope")
    st.html(suite_panels.head(suite, shown.record))
    if shown.why:
        st.html(note(shown.why))
    with st.container(key="fs-body"):
        with st.container(key="fs-main"):
            _tools(shown)
            again = _results(shown, kept)
        with st.container(key="fs-side"):
            st.html(suite_panels.side(suite, shown.record, again, shown.build))


def _absent(error: WorkbenchError) -> None:
    st.html('<h1 class="fs-title">Test suite</h1>')
    st.html(note(str(error), actions=f'<a class="fs-pill" href="{links.page("suites")}">All test suites</a>'))


def _known(suite: Suite, me: Person | None) -> Shown:
    bench = resources.workbench()
    try:
        record = bench.feature(suite.feature)
    except WorkbenchError as error:
        return Shown(suite, None, None, me, f"{error} So this suite cannot be run here; its texts stand below.")
    without = "" if "weights" in record.source.has else "This source came without its weights, so no text can be run."
    return Shown(suite, record, bench.build_of(suite.feature.source), me, without)


def _tools(shown: Shown) -> None:
    """What can be done with the suite: run, export, edit, delete."""
    suite = shown.suite
    name = re.sub(r"\W+", "-", suite.name).strip("-").lower()[:40] or "suite"
    with st.container(key="fs-suite-tools", horizontal=True, gap="small"):
        label = "Run again" if suite.last or _asked(suite) else "Run"
        if st.button(label, key="suite-run", type="primary", disabled=bool(shown.why)):
            ask(suite.id)
        st.download_button(
            "YAML", lambda: files.to_yaml([suite]), f"{name}.yaml", "application/yaml", key="suite-yaml",
            on_click="ignore", help="For people, and for `python -m core suite run`",
        )  # fmt: skip
        st.download_button(
            "JSON lines", lambda: files.to_lines([suite]), f"{name}.jsonl", "application/jsonl", key="suite-lines",
            on_click="ignore", help="The same, for programs",
        )  # fmt: skip
        if shown.mine:
            editing = st.toggle("Edit", key=f"suite-edit-{suite.id}-{suite.changed}")  # off once it is saved
    if shown.mine and editing:
        _edit(shown)


def ask(id: str) -> None:
    """A run of a suite is asked for: its page begins it, and keeps it if it is the owner's."""
    st.session_state["suite-asked"] = {"id": id, "kept": False}


def _asked(suite: Suite) -> dict[str, object] | None:
    asked = st.session_state.get("suite-asked")
    return asked if asked is not None and asked["id"] == suite.id else None


def _results(shown: Shown, kept: Sequence[SuiteRun]) -> Sequence[SuiteRun]:
    """Draw what came of the suite, or how far it is; the runs that were kept, with one that has just been."""
    suite, asked = shown.suite, _asked(shown.suite)
    if asked is None or shown.why:
        if kept:
            if changed := suite_panels.stale(suite, kept[0], shown.build):
                st.html(changed)
            _whole(kept[0], shown)
        else:
            st.html(suite_panels.texts(suite))
        return kept
    job = resources.suite_run(replace(suite, last=None, made="", changed=""), shown.build or "")
    done = job.wait(AT_ONCE)
    if not done:
        st.fragment(_look, run_every=EVERY)(job, suite)
        return kept
    found = job.outcome()
    if isinstance(found, str):
        st.html(note(found))
        st.html(suite_panels.texts(suite))
        return kept
    if shown.mine and not asked["kept"]:
        kept = _keep(replace(found, suite_id=suite.id), asked, kept)
    _whole(found, shown)
    return kept


def _look(job: resources.Job[SuiteRun], suite: Suite) -> None:
    if job.wait(0):
        st.rerun()
    part, said = steps.part(job.step), steps.words(job.step, ready=resources.ready(suite.feature.model_id))
    if part is not None and job.step is not None:
        said = f"{job.step.done:,} of {job.step.of:,} texts"
    st.html(suite_panels.at_work(said, part))


def _keep(run: SuiteRun, asked: dict[str, object], kept: Sequence[SuiteRun]) -> Sequence[SuiteRun]:
    """Keeps an owner's run, once; what came out is shown whether it can be kept or not."""
    try:
        people.people().suites.keep(run)
    except WorkbenchError as error:
        st.html(note(f"This run was not kept. {error}"))
        return kept
    asked["kept"] = True
    return (run, *kept)


def _whole(run: SuiteRun, shown: Shown) -> None:
    st.html(suite_panels.verdict(run))
    st.html(suite_panels.results(run, shown.record))


# -- writing -----------------------------------------------------------------------------------------------------------


def _edit(shown: Shown) -> None:
    suite = shown.suite
    with st.container(key="fs-suite-edit"):
        values = _fields(f"suite-{suite.id}-{suite.changed}", suite, shown.record)
        with st.container(horizontal=True, gap="small"):
            save = st.button("Save and run", key="suite-save", type="primary")
            with st.popover("Delete"):
                st.caption("The suite goes for good, with its runs.")
                drop = st.button("Delete it", key="suite-drop")
    here = links.suite(suite.id)
    if save and people.do(Deed("suite-change", suite.id, values), here, for_what="change this test suite"):
        ask(suite.id)
        st.rerun()
    if drop and people.do(Deed("suite-delete", suite.id), here, for_what="delete this test suite"):
        st.switch_page("suites.py")


def _fields(name: str, begin: Suite, record: FeatureRecord | None, *, examples: bool = False) -> dict[str, object]:
    """The fields of a suite, as the values of a deed; `examples` offers texts of the feature's own."""
    fires, silent = suites.fields(begin.cases)
    own = {"name": begin.name, "about": begin.about, "fires": fires, "silent": silent, "threshold": begin.threshold}
    for part, value in (own | {"seen": begin.visibility}).items():
        st.session_state.setdefault(f"{name}-{part}", value)
    called = st.text_input("Name", max_chars=limits.TITLE, key=f"{name}-name")
    hint = f"A text a line; {suites.BREAK} stands for a line break inside of a text"
    left, right = st.columns(2, gap="small")
    wanted = left.text_area("Should fire", height=190, key=f"{name}-fires", help=hint)
    if examples and record is not None:
        with left:
            _from_examples(name, record)
    unwanted = right.text_area("Should stay silent", height=190, key=f"{name}-silent", help=hint)
    with st.container(horizontal=True, gap="medium"):
        about = f"{WHY} For this feature that is {suites.suggested(record.maximum):g}." if record else None
        threshold = st.number_input("Fires above", format="%g", key=f"{name}-threshold", help=about, width=150)
        seen = st.segmented_control(
            "Who sees it", list(suite_panels.SEEN), key=f"{name}-seen", required=True,
            help="Public: everybody, and it is listed. Unlisted: whoever has its link. Private: only you.",
        )  # fmt: skip
    said = st.text_area(
        "What it is about, if there is more to say", height=68, max_chars=limits.DESCRIPTION, key=f"{name}-about"
    )
    return {
        "name": called, "about": said, "threshold": float(threshold or 0.0), "visibility": seen or begin.visibility,
        "cases": [{"text": case.text, "fires": case.fires} for case in suites.cases(wanted, unwanted)],
    }  # fmt: skip


def new(key: FeatureKey) -> None:
    """Draw the page on which a suite of a feature is made."""
    record = controls.attempt(lambda: resources.workbench().feature(key), key.source)
    if record is None:
        return
    st.html(suite_panels.new_head(record))
    if not people.kept():
        st.html(note("People’s things are switched off on this server, so no test suite can be kept here."))
        return
    name = f"suite-new-{key}"
    texts = controls.test_texts()
    held = st.session_state.get(name)
    if held is None or held["texts"] != texts:
        held = st.session_state[name] = {"texts": texts, "id": str(uuid4()), "begin": _beginning(record, texts)}
    with st.container(key="fs-suite-edit"):
        values = _fields(f"{name}-{held['id']}", held["begin"], record, examples=not record.dead)
        made = st.button("Make and run", key="suite-make", type="primary")
    deed = Deed("suite", str(key), values, held["id"])
    if made and people.do(deed, links.suite(deed.id), for_what="keep this test suite"):
        del st.session_state[name]
        ask(deed.id)
        st.switch_page("suite.py", query_params={"id": deed.id})


def _beginning(record: FeatureRecord, texts: Sequence[str]) -> Suite:
    """What the fields hold at first: texts that were tested stand where they came out."""
    threshold = suites.suggested(record.maximum)
    values: dict[str, float] = {}
    if texts:
        stamp = f"{record.source.built} {record.source.dataset_sha256}"
        job = resources.tests(str(record.key), tuple(texts), stamp)
        found = job.outcome() if job.wait(AT_ONCE) else ""
        if not isinstance(found, str):
            values = {test.text: suites.largest(test) for test in found[0]}
    cases = tuple(Case(text, values.get(text, threshold + 1) > threshold) for text in dict.fromkeys(texts))
    return Suite(
        id="", owner="", owner_name="", feature=record.key, name=f"{title(record)}"[: limits.TITLE], about="",
        visibility="public", threshold=threshold, cases=cases, made="", changed="",
    )  # fmt: skip


def _from_examples(name: str, record: FeatureRecord) -> None:
    """Takes texts from the feature's examples into the field of those that should fire."""
    count = st.session_state.get(f"{name}-taken", 0)
    every = _examples(record)

    def take() -> None:
        held = st.session_state.get(f"{name}-fires", "")
        more = [suites.fields([Case(text, True)])[0] for text in every[count : count + EXAMPLES]]
        st.session_state[f"{name}-fires"] = "\n".join([held] * bool(held.strip()) + more)
        st.session_state[f"{name}-taken"] = count + EXAMPLES

    left = len(every) - count
    st.button(
        f"Take {min(EXAMPLES, left) or 'more'} from its examples", key="suite-examples", on_click=take,
        disabled=left <= 0,
        help="Each from the beginning of its prompt to the token on which the feature is strongest, so that the model "
        "reads what it read then.",
    )  # fmt: skip


def _examples(record: FeatureRecord) -> list[str]:
    """Texts of a feature's examples up to their strongest token, each once."""
    groups = {group.kind: group.examples for group in reversed(record.groups)}
    own: Sequence[Example] = groups.get("diverse") or groups.get("raw") or ()
    texts = ("".join(t.text for t in one.tokens[: one.position + 1] if not t.special) for one in own)
    return [text for text in dict.fromkeys(texts) if text.strip() and suites.BREAK not in text]


# -- lists of them -----------------------------------------------------------------------------------------------------


def of_feature(record: FeatureRecord) -> None:
    """Draw the suites of a feature on its page; nothing where people's things are switched off."""
    if not people.kept():
        return
    (found,) = people.gather(lambda them: them.suites.of(record.key))
    if isinstance(found, WorkbenchError):
        st.html(note(f"Test suites: {found}"))
        return
    st.html(suite_panels.of_feature(found, links.new_suite(record.key)))


def index() -> None:
    """Draw the page of one's own suites and the public ones."""
    st.html(suite_panels.listing_head())
    if not people.kept():
        st.html(note("People’s things are switched off on this server: there are no test suites here."))
        return
    page, first = _page()
    me, mine, newest = people.gather(
        lambda them: them.me,
        lambda them: them.suites.mine() if them.me else (),
        lambda them: them.suites.newest(limit=PAGE + 1, offset=first),
    )
    if wrong := next((one for one in (me, mine, newest) if isinstance(one, WorkbenchError)), None):
        st.html(note(str(wrong)))
        return
    others = [suite for suite in newest[:PAGE] if me is None or suite.owner != me.id]
    labels = _labels([*mine, *others])
    if mine:
        st.html(suite_panels.listed("Yours", mine, labels, owner=False))
    alone = resources.workbench().community.community.kind == "local"
    if others:
        st.html(suite_panels.listed("Public" if mine else "", others, labels, owner=True))
    elif not mine and page == 1:
        st.html(suite_panels.none_yet(signed_in=me is not None))
    if not alone and (page > 1 or len(newest) > PAGE):
        st.html(suite_panels.turn(page, more=len(newest) > PAGE))
    _bring_in(signed_in=me is not None)


def _page() -> tuple[int, int]:
    page = controls.page_number(1_000_000)
    return page, (page - 1) * PAGE


def _labels(found: Sequence[Suite]) -> dict[FeatureKey, str]:
    """What the features are called, as far as they are here."""
    labels = {}
    for key in dict.fromkeys(suite.feature for suite in found):
        try:
            labels[key] = title(resources.workbench().feature(key))
        except WorkbenchError:
            continue
    return labels


def _bring_in(*, signed_in: bool) -> None:
    """A file of suites, made one's own."""
    with st.expander("Bring in a file"):
        if not signed_in:
            st.html('<p class="fs-soft">Sign in first: what is brought in becomes yours.</p>')
            return
        given = st.file_uploader(
            "YAML or JSON lines, as a suite’s page exports them", type=["yaml", "yml", "jsonl", "json"],
            key="suite-file", max_upload_size=4,
        )  # fmt: skip
        seen = st.segmented_control(
            "Who sees them", list(suite_panels.SEEN), default="private", key="suite-file-seen", required=True
        )
        if not st.button("Bring in", key="suite-bring", disabled=given is None) or given is None:
            return
    try:
        found = files.read(given.getvalue().decode("utf-8-sig"))
    except UnicodeDecodeError:
        st.html(note("The file is not text in UTF-8."))
        return
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    made = [id for id in (_brought(one, str(seen or "private")) for one in found) if id]
    if len(made) == len(found) == 1:
        st.switch_page("suite.py", query_params={"id": made[0]})
    if made:
        st.html(note(f"{len(made):,} of {len(found):,} suites were brought in. They are above.", warn=False))
        st.rerun()


def _brought(suite: Suite, seen: str) -> str | None:
    cases = [{"text": case.text, "fires": case.fires} for case in suite.cases]
    values = {
        "name": suite.name,
        "about": suite.about,
        "threshold": suite.threshold,
        "visibility": seen,
        "cases": cases,
    }
    deed = Deed("suite", str(suite.feature), values)
    return deed.id if people.do(deed, links.page("suites"), for_what="keep these test suites") else None
