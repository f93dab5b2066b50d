"""Cached access: the only `st.cache_*`, and the only place that makes the Workbench.

Records come straight from the workbench, which answers a feature in milliseconds; only the runs of a model are cached
here, under plain keys, because a shared link may be opened by many. A search is cached from its beginning: those who
ask for it while it is at work wait for the same one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
import yaml

from components.jobs import Job
from components.steer_run import Lately, Run
from core import process
from core.atlas.near.records import By, ChainRecord, FamilyRecord, SimilarRecord, SplittingRecord, WiringRecord
from core.atlas.together.records import FeaturesCompared, Matches, ReadTogether, SourcesCompared, Together
from core.community.records import Suite, SuiteRun
from core.errors import Busy, WorkbenchError
from core.evaluate.records import Evaluation
from core.explain.redteam.records import RedTeam
from core.records import (
    ByTokenRecord,
    Combine,
    ContrastRecord,
    Measure,
    SearchRecord,
    SteerAsk,
    SteerRecord,
    Step,
    SubstitutionRecord,
    SweepRecord,
    Tell,
    TestRecord,
)
from core.techniques.circuits.records import CircuitAsk
from core.techniques.graphs.records import GraphAsk, GraphRecord
from core.techniques.pairs.records import PairAsk
from core.techniques.templates.records import TemplateAsk, TemplateRecord
from core.workbench import Workbench

Tests = tuple[tuple[TestRecord, ...], str]
"""The tests that could be done, and a message about the other texts."""
CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@st.cache_resource(show_spinner=False)
def workbench() -> Workbench:
    """The one workbench of this process."""
    return process.workbench()


@st.cache_resource(show_spinner=False)
def _config(name: str) -> Any:
    path = CONFIGS / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def define(word: str) -> str:
    """The glossary's definition of a term; empty if it has none."""
    entry = glossary().get(word)
    return str(entry["text"]) if entry else ""


def glossary() -> dict[str, dict[str, str]]:
    """Every term: its name, its definition and, where it has one, its symbol or formula."""
    return _config("glossary") or {}


def prompts() -> dict[str, list[str]]:
    """Example sentences by category."""
    return _config("prompts") or {}


def pairs() -> list[dict[str, str]]:
    """Pairs of texts to begin a comparison with: `{name, text, against}` each."""
    return _config("pairs") or []


def scans() -> list[dict[str, str]]:
    """Sentences with a slot, and words for it: `{name, sentence, words}` each."""
    return _config("scans") or []


def circuits() -> list[dict[str, str]]:
    """Prompts to take apart: `{name, text, target, against}` each."""
    return _config("circuits") or []


def circuit_pairs() -> list[dict[str, str]]:
    """Pairs of prompts to compare: `{name, clean, corrupted, target, against}` each."""
    return _config("circuit_pairs") or []


def templates() -> list[dict[str, Any]]:
    """Ready-made templates: `{name, templates, fillers, at}` each."""
    return _config("templates") or []


def openings() -> list[str]:
    """Prompts to begin a text with."""
    return _config("openings") or []


def featured() -> list[dict[str, str]]:
    """Features picked by hand: `{id, note}` each; may be empty."""
    return _config("featured") or []


def ready(model_id: str) -> bool:
    """Whether the model can answer at once."""
    return workbench().ready(model_id)


@st.cache_resource(show_spinner=False, max_entries=512)
def _tests(key: str, texts: tuple[str, ...], stamp: str) -> Job[Tests]:
    bench = workbench()
    return Job(lambda tell: _tested(bench, key, texts, tell))


def _tested(bench: Workbench, key: str, texts: tuple[str, ...], tell: Tell) -> Tests:
    """One bad text does not take the good ones with it; an error that all meet is raised."""
    try:
        return tuple(bench.test(key, texts, tell=tell)), ""
    except Busy:
        raise
    except WorkbenchError as error:
        if len(texts) == 1:
            raise
        message = str(error)
    done: list[TestRecord] = []
    for text in texts[: bench.settings.max_texts]:
        try:
            done += bench.test(key, text, tell=tell)
        except WorkbenchError as error:
            message, wrong = str(error), error
    if not done:
        raise wrong
    return tuple(done), message


@st.cache_resource(show_spinner=False, max_entries=64)
def _tests_of_each(keys: tuple[str, ...], text: str, stamp: str) -> Job[tuple[TestRecord, ...]]:
    bench = workbench()
    return Job(lambda tell: tuple(bench.test_each(keys, text, tell=tell)))


@st.cache_resource(show_spinner=False, max_entries=128)
def _search(
    model_id: str,
    text: str,
    sources: tuple[str, ...],
    measure: Measure,
    combine: Combine,
    positions: tuple[int, ...],
    densest: float | None,
    bos: bool,
    top: int,
    offset: int,
    stamp: str,
) -> Job[SearchRecord]:
    bench = workbench()
    return Job(
        lambda tell: bench.search(
            model_id,
            text,
            sources=sources,
            measure=measure,
            combine=combine,
            positions=positions,
            densest=densest,
            bos=bos,
            top=top,
            offset=offset,
            strict=False,
            tell=tell,
        )
    )


@st.cache_resource(show_spinner=False, max_entries=64)
def _by_token(source: str, text: str, densest: float | None, bos: bool, top: int, stamp: str) -> Job[ByTokenRecord]:
    bench = workbench()
    return Job(lambda tell: bench.by_token(source, text, top=top, densest=densest, bos=bos, tell=tell))


@st.cache_resource(show_spinner=False, max_entries=64)
def _contrast(
    model_id: str,
    texts: tuple[str, str],
    sources: tuple[str, ...],
    measure: Measure,
    densest: float | None,
    bos: bool,
    top: int,
    offset: int,
    stamp: str,
) -> Job[ContrastRecord]:
    bench = workbench()
    return Job(
        lambda tell: bench.contrast(
            model_id, *texts, sources=sources, measure=measure, densest=densest, bos=bos, top=top, offset=offset,
            strict=False, tell=tell,
        )
    )  # fmt: skip


@st.cache_resource(show_spinner=False, max_entries=64)
def _substitution(key: str, sentence: str, words: tuple[str, ...], stamp: str) -> Job[SubstitutionRecord]:
    bench = workbench()
    return Job(lambda tell: bench.substitute(key, sentence, words, tell=tell))


@st.cache_resource(show_spinner=False, max_entries=64)
def _redteam(
    key: str, hypothesis: str, share: float, texts: int, seed: int, writer: str, at: str, stamp: str
) -> Job[RedTeam]:
    bench = workbench()

    def work(tell: Tell) -> RedTeam:
        endpoint = bench.words.machines.named(writer, at) if writer else None
        return bench.words.redteam(
            key, hypothesis, share=share, texts=texts, seed=seed, endpoint=endpoint, ask=False, tell=tell
        )

    return Job(work)


@st.cache_resource(show_spinner=False, max_entries=256)
def _circuit(name: str, ask: CircuitAsk, more: tuple[Any, ...], stamp: str) -> Job[Any]:
    room = workbench().circuits
    jobs = {
        "target": lambda tell: room.target(ask, tell=tell),
        "lens": lambda tell: room.lens(ask, tell=tell),
        "direct": lambda tell: room.direct(ask, tell=tell),
        "drivers": lambda tell: room.drivers(ask, tell=tell),
        "features": lambda tell: room.features(ask, top=more[0], tell=tell),
        "ablate": lambda tell: room.ablate(ask, more, tell=tell),
    }
    return Job(jobs[name])


@st.cache_resource(show_spinner=False, max_entries=64)
def _graph(ask: GraphAsk, stamp: str) -> Job[GraphRecord]:
    return Job(lambda tell: workbench().graph(ask, tell=tell))


def graph(*key: Any) -> Job[GraphRecord]:
    """An attribution graph at work, or made before; `key` is `_graph`'s."""
    return _begun(_graph, key)


def circuit(*key: Any) -> Job[Any]:
    """A part of a prompt's circuit at work, or done before; `key` is `_circuit`'s."""
    return _begun(_circuit, key)


@st.cache_resource(show_spinner=False, max_entries=128)
def _heads(name: str, of: str, more: tuple[Any, ...], stamp: str) -> Job[Any]:
    room = workbench().heads
    jobs = {
        "scores": lambda tell: room.scores(of, tell=tell),
        "of": lambda tell: room.of(of, tell=tell),
        "pattern": lambda tell: room.pattern(of, more[0], tell=tell),
        "active": lambda tell: room.active(of, more[0], position=more[1], attended=more[2], tell=tell),
        "features": lambda tell: room.features(of, tell=tell),
    }
    return Job(jobs[name])


def heads(*key: Any) -> Job[Any]:
    """Attention heads at work, or done before; `key` is `_heads`'s."""
    return _begun(_heads, key)


@st.cache_resource(show_spinner=False, max_entries=256)
def _pair(name: str, ask: PairAsk, more: tuple[Any, ...], stamp: str) -> Job[Any]:
    room = workbench().pairs
    jobs = {
        "pair": lambda tell: room.pair(ask, tell=tell),
        "residual": lambda tell: room.residual(ask, direction=more[0], tell=tell),
        "features": lambda tell: room.features(ask, by=more[0], tell=tell),
        "patch": lambda tell: room.patch(ask, more, tell=tell),
        "curve": lambda tell: room.curve(ask, more[0], by=more[1], tell=tell),
    }
    return Job(jobs[name])


def pair(*key: Any) -> Job[Any]:
    """A part of what two prompts differ in at work, or done before; `key` is `_pair`'s."""
    return _begun(_pair, key)


@st.cache_resource(show_spinner=False, max_entries=64)
def _template(ask: TemplateAsk, top: int, stamp: str) -> Job[TemplateRecord]:
    room = workbench().templates
    return Job(lambda tell: room.responses(ask, top=top, tell=tell))


def template(*key: Any) -> Job[TemplateRecord]:
    """What features respond to in a set of prompts, at work or done before; `key` is `_template`'s."""
    return _begun(_template, key)


def redteam(*key: Any) -> Job[RedTeam]:
    """A hypothesis being tested, or tested before; `key` is `_redteam`'s. A model's texts are those that are kept."""
    return _begun(_redteam, key)


def forget_redteams() -> None:
    """A model wrote more: what was tested without that is tested again."""
    _redteam.clear()


@st.cache_resource(show_spinner=False, max_entries=64)
def _suite(suite: Suite, build: str) -> Job[SuiteRun]:
    bench = workbench()
    return Job(lambda tell: bench.run_suite(suite, tell=tell))


@st.cache_resource(show_spinner=False, max_entries=128)
def _similar(
    key: str, shown: str, by: By, sources: tuple[str, ...], least: float, top: int, stamp: str
) -> Job[SimilarRecord | ChainRecord | FamilyRecord | WiringRecord]:
    atlas = workbench().atlas
    jobs = {
        "layers": lambda tell: atlas.chain(key, by=by, threshold=least, tell=tell),
        "family": lambda tell: atlas.family(key, threshold=least, sources=sources, tell=tell),
        "wiring": lambda tell: atlas.wiring(key, tell=tell),
    }
    return Job(jobs.get(shown, lambda tell: atlas.similar(key, by=by, sources=sources, top=top, tell=tell)))


@st.cache_resource(show_spinner=False, max_entries=128)
def _together(key: str, window: int, stamp: str) -> Job[Together]:
    atlas = workbench().atlas
    return Job(lambda tell: atlas.together(key, window=window))


@st.cache_resource(show_spinner=False, max_entries=64)
def _compared(sources: tuple[str, ...], threshold: float, stamp: str) -> Job[SourcesCompared]:
    atlas = workbench().atlas
    return Job(lambda tell: atlas.compare(sources, threshold=threshold))


@st.cache_resource(show_spinner=False, max_entries=8)
def _relating(sources: tuple[str, ...]) -> Job[int]:
    atlas = workbench().atlas
    return Job(lambda tell: atlas.relate(sources))


@st.cache_resource(show_spinner=False, max_entries=128)
def _matched(a: str, b: str, threshold: float, top: int, offset: int, stamp: str) -> Job[Matches]:
    atlas = workbench().atlas
    return Job(lambda tell: atlas.matches(a, b, threshold=threshold, top=top, offset=offset))


@st.cache_resource(show_spinner=False, max_entries=64)
def _versus(a: str, b: str, stamp: str) -> Job[FeaturesCompared]:
    atlas = workbench().atlas
    return Job(lambda tell: atlas.versus(a, b, tell=tell))


@st.cache_resource(show_spinner=False, max_entries=64)
def _read_both(sources: tuple[str, ...], text: str, stamp: str) -> Job[ReadTogether]:
    atlas = workbench().atlas
    return Job(lambda tell: atlas.read(sources, text, tell=tell))


def together(*key: Any) -> Job[Together]:
    """Who fires with a feature, being read from the stores or read before; `key` is `_together`'s."""
    return _begun(_together, key)


def compared(*key: Any) -> Job[SourcesCompared]:
    """Sources side by side; `key` is `_compared`'s."""
    return _begun(_compared, key)


def forget_compared() -> None:
    """What was not known of sources is known now."""
    _compared.clear()
    _matched.clear()


def relating(*key: Any) -> Job[int]:
    """The making of what comparisons of some sources read; `key` is `_relating`'s."""
    return _begun(_relating, key)


def matched(*key: Any) -> Job[Matches]:
    """Matched pairs of two sources; `key` is `_matched`'s."""
    return _begun(_matched, key)


def versus(*key: Any) -> Job[FeaturesCompared]:
    """One feature against another; `key` is `_versus`'s."""
    return _begun(_versus, key)


def read_both(*key: Any) -> Job[ReadTogether]:
    """One prompt in the codes of several sources; `key` is `_read_both`'s."""
    return _begun(_read_both, key)


def similar(*key: Any) -> Job[SimilarRecord | ChainRecord | FamilyRecord | WiringRecord]:
    """What is like a feature, being looked for or found before; `key` is `_similar`'s."""
    return _begun(_similar, key)


def suite_run(suite: Suite, build: str) -> Job[SuiteRun]:
    """A test suite as it is at work, or was run before; `build` tells builds of its source apart."""
    return _begun(_suite, (suite, build))


def tests(*key: Any) -> Job[Tests]:
    """A feature's tests of texts at work, or done before, and what was wrong with some; `key` is `_tests`'s."""
    return _begun(_tests, key)


def tests_of_each(*key: Any) -> Job[tuple[TestRecord, ...]]:
    """The same of several features on one text; `key` is `_tests_of_each`'s."""
    return _begun(_tests_of_each, key)


def search(*key: Any) -> Job[SearchRecord]:
    """A search at work, or done before; `key` is `_search`'s. `stamp` tells builds of the same sources apart."""
    return _begun(_search, key)


def by_token(*key: Any) -> Job[ByTokenRecord]:
    """The same of features by token; `key` is `_by_token`'s."""
    return _begun(_by_token, key)


def contrast(*key: Any) -> Job[ContrastRecord]:
    """The same of two texts side by side; `key` is `_contrast`'s."""
    return _begun(_contrast, key)


def substitution(*key: Any) -> Job[SubstitutionRecord]:
    """The same of a substitution scan; `key` is `_substitution`'s."""
    return _begun(_substitution, key)


def _begun(cached: Any, key: tuple[Any, ...]) -> Job[Any]:
    """What failed is begun again at the next visit."""
    job: Job[Any] = cached(*key)
    if job.failed:
        cached.clear(*key)
        job = cached(*key)
    return job


# -- steering: a run belongs to who looks at it, since they may stop it; what was written whole serves everybody -----


@st.cache_resource(show_spinner=False)
def _steered_lately() -> Lately[SteerRecord]:
    return Lately(32)


@st.cache_resource(show_spinner=False, max_entries=8, scope="session", on_release=Run.stop)
def _steering(ask: SteerAsk, stamp: str) -> Run:
    bench = workbench()
    return Run(lambda tell: bench.steering(ask, tell=tell), _steered_lately().get((ask, stamp)))


def steering(ask: SteerAsk, stamp: str) -> Run:
    """A run of this visitor, begun or done before. `stamp` tells builds of one source apart."""
    run: Run = _steering(ask, stamp)
    if run.state == "done" and run.record is not None:
        _steered_lately().put((ask, stamp), run.record)
    return run


def forget_steering(ask: SteerAsk, stamp: str) -> None:
    """The next that asks for this run begins it anew."""
    _steering.clear(ask, stamp)


@st.cache_resource(show_spinner=False, max_entries=64)
def _sharing(ask: SteerAsk, stamp: str) -> Job[SteerRecord]:
    bench = workbench()
    return Job(lambda tell: bench.steer(ask, keep=True, tell=tell))


@st.cache_resource(show_spinner=False, max_entries=8, scope="session", on_release=Job.stop)
def _sweep(ask: SteerAsk, stamp: str) -> Job[SweepRecord]:
    bench = workbench()
    return Job(lambda tell: bench.sweep(ask, tell=tell))


def sharing(ask: SteerAsk, stamp: str) -> Job[SteerRecord]:
    """A run as it is saved."""
    return _begun(_sharing, (ask, stamp))


def sweep(ask: SteerAsk, stamp: str) -> Job[SweepRecord]:
    """The same prompt at several strengths, for this visitor, who may stop it."""
    return _begun(_sweep, (ask, stamp))


# -- maps: one is made for everybody who asks for it meanwhile ---------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _maps() -> Lately[Job[Any]]:
    return Lately(16)


def mapping(sources: tuple[str, ...], of: Any, *, begin: bool, anew: bool = False) -> Job[Any] | None:
    """The making of a map, if it was begun here; `begin` begins it, unless it is at work."""
    held = _maps().get((sources, of))
    if begin and (held is None or held.wait(0)):
        bench = workbench()
        held = Job(lambda tell: bench.atlas.map(sources, of=of, anew=anew, tell=tell))
        _maps().put((sources, of), held)
    return held


# -- quality: a source is measured for everybody who asks for it meanwhile ---------------------------------------------


@st.cache_resource(show_spinner=False)
def _measurings() -> Lately[Job[Evaluation]]:
    return Lately(64)


MEASURED = 65_536
"""Tokens of a source's texts on which a page has it measured: others want the server too."""


def measuring(source: str, *, begin: bool) -> Job[Evaluation] | None:
    """The measuring of a source's quality, if it was begun here; `begin` begins it, unless it is at work."""
    held = _measurings().get(source)
    if begin and (held is None or held.wait(0)):
        bench = workbench()

        def work(tell: Tell) -> Evaluation:
            def progress(what: str, done: float, of: float) -> None:
                tell(Step(doing="measuring", what=what, done=int(done), of=int(of)))

            return bench.quality.measure(source, tokens=MEASURED, progress=progress)

        held = Job(work)
        _measurings().put(source, held)
    return held


@st.cache_resource(show_spinner=False, max_entries=64)
def _splitting(narrow: str, wide: str, threshold: float, top: int, offset: int, stamp: str) -> Job[SplittingRecord]:
    bench = workbench()
    return Job(
        lambda tell: bench.atlas.splitting(narrow, wide, threshold=threshold, top=top, offset=offset, tell=tell)
    )


def splitting(*key: Any) -> Job[SplittingRecord]:
    """What features become in another width; begun by the first who asks."""
    return _begun(_splitting, key)
