"""From ready shelves and a query's vector and words to one page of explanations. Exact: every vector is looked at.

With `both`, explanations are ordered by the mean of cosine similarity and of the share of the query's words that they
have: a convex combination of the two, which finds more than either and than reciprocal ranks do (Bruch, Gai and Ingber
2023, “An Analysis of Fusion Functions for Hybrid Retrieval”, ACM TOIS 42). So an explanation of average length that has
every word of a query, and is not below zero in similarity, stands before all that have none: a rare word is found
first. Filters come before the page is cut out, and scores are compared to six digits, equal ones in the order of
source, feature and id, so that pages have neither gaps nor doubles.

Cost: one product of a matrix with a vector, which is what reading the vectors from memory takes, and some passes over
one number an explanation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.explain.meaning import lexical
from core.explain.meaning.embedder import Vectors
from core.explain.meaning.shelf import Shelf
from core.explain.records import MeaningHit, Rank
from core.records import FeatureKey

DIGITS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a search is for, and which explanations may be found; an empty tuple lets all pass."""

    query: str
    rank: Rank = "both"
    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    densest: float | None = None
    """Leave out features active on a larger share of tokens."""
    sparsest: float = 0.0
    """Leave out features active on a smaller share of tokens."""
    dead: bool = False
    """Whether features that are never active may be found."""
    trusted: float | None = None
    """Leave out explanations whose own score is less, or that have none."""
    top: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """What was found."""

    hits: tuple[MeaningHit, ...]
    total: int
    methods: tuple[tuple[str, int], ...]


def page(shelves: Sequence[Shelf], wanted: Wanted, vector: Vectors | None) -> Page:
    """One page of the explanations that pass, the best first; `vector` is the query's, None with words alone."""
    counts = sum((shelf.methods for shelf in shelves), Counter[str]())
    methods = tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    words = lexical.asked(wanted.query)
    shared = lexical.scores(words, [shelf.postings for shelf in shelves])
    similar = None
    if vector is not None:
        parts = [shelf.similarities(vector) for shelf in shelves]
        similar = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    score = _score(wanted.rank, similar, shared)
    passing = _passing(shelves, wanted)
    if similar is None:
        passing &= shared > 0
    found = np.flatnonzero(passing)
    starts = np.cumsum([0, *map(len, shelves)])
    hits = []
    for at in found[_best(score[found], wanted.offset, wanted.top)].tolist():
        shelf = int(np.searchsorted(starts, at, "right")) - 1
        near = None if similar is None else float(similar[at])
        hits.append(_hit(shelves[shelf], at - int(starts[shelf]), words, near, float(shared[at]), float(score[at])))
    return Page(tuple(hits), len(found), methods)


def _score(rank: Rank, similar: Vectors | None, shared: NDArray[np.float32]) -> NDArray[np.float32]:
    if similar is None:
        return shared
    return similar if rank == "meaning" else np.float32(0.5) * (similar + shared)


def _passing(shelves: Sequence[Shelf], wanted: Wanted) -> NDArray[np.bool_]:
    """[explanations of all shelves]: which may be found."""
    parts = []
    for shelf in shelves:
        passes = np.ones(len(shelf), np.bool_)
        if not wanted.dead:
            passes &= shelf.density > 0
        if wanted.sparsest > 0:
            passes &= shelf.density >= wanted.sparsest
        if wanted.densest is not None:
            passes &= shelf.density <= wanted.densest
        if wanted.trusted is not None:
            passes &= shelf.trust >= wanted.trusted  # NaN is not
        for column in ("origin", "method", "model", "author"):
            if values := getattr(wanted, f"{column}s"):
                passes &= shelf.among(column, values)
        parts.append(passes)
    return np.concatenate(parts) if parts else np.zeros(0, np.bool_)


def _best(score: NDArray[np.float32], offset: int, top: int) -> NDArray[np.int64]:
    """Places of the `top` largest after the first `offset`; equal ones in their order."""
    whole = np.rint(score * np.float32(DIGITS)).astype(np.int32)
    count = min(offset + top, len(whole))
    if offset >= count:
        return np.zeros(0, np.int64)
    least = np.partition(whole, len(whole) - count)[len(whole) - count]
    among = np.flatnonzero(whole >= least)
    return among[np.argsort(-whole[among], kind="stable")][offset:count]


def _hit(shelf: Shelf, at: int, words: Sequence[str], near: float | None, shared: float, score: float) -> MeaningHit:
    brief = shelf.briefs[at]
    trust = float(shelf.trust[at])
    return MeaningHit(
        id=brief.id,
        key=FeatureKey(shelf.key.model_id, shelf.key.source_id, brief.index),
        text=brief.text,
        origin=brief.origin,
        method=brief.method,
        model=brief.model,
        author=brief.author,
        trust=None if np.isnan(trust) else brief.score,
        scorer=brief.scorer,
        density=float(shelf.density[at]),
        similarity=near,
        words=shared,
        matched=lexical.matched(brief.text, words) if shared > 0 else (),
        score=score,
    )
