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
from core import process
from core.records import (
    ByTokenRecord,
    Combine,
    ContrastRecord,
    FeatureKey,
    Measure,
    SearchRecord,
    SubstitutionRecord,
    TestRecord,
)
from core.workbench import Workbench

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


def featured() -> list[dict[str, str]]:
    """Features picked by hand: `{id, note}` each; may be empty."""
    return _config("featured") or []


def ready(model_id: str) -> bool:
    """Whether the model can answer at once."""
    return workbench().ready(model_id)


@st.cache_data(show_spinner=False, max_entries=512)
def _tests(key: str, texts: tuple[str, ...], stamp: str) -> tuple[TestRecord, ...]:
    return workbench().test(FeatureKey.parse(key), texts)


def tests(key: FeatureKey, texts: tuple[str, ...], stamp: str) -> tuple[TestRecord, ...]:
    """The feature's values on texts. `stamp` tells builds of one source apart."""
    return _tests(str(key), texts, stamp)


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
            tell=tell,
        )
    )


@st.cache_resource(show_spinner=False, max_entries=64)
def _by_token(source: str, text: str, densest: float | None, bos: bool, top: int, stamp: str) -> Job[ByTokenRecord]:
    bench = workbench()
    return Job(lambda tell: bench.by_token(source, text, top=top, densest=densest, bos=bos))


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
            tell=tell,
        )
    )  # fmt: skip


@st.cache_resource(show_spinner=False, max_entries=64)
def _substitution(key: str, sentence: str, words: tuple[str, ...], stamp: str) -> Job[SubstitutionRecord]:
    bench = workbench()
    return Job(lambda tell: bench.substitute(key, sentence, words))


def search(*key: Any) -> Job[SearchRecord]:
    """A search at work, or done before; `key` is `_search`'s."""
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
