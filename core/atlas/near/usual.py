"""What is usual by explanation: the nearest there to other features of a source, and pairs of features.

By rows, random directions say what a value means. Sentences have none, and most of those about tokens are a little
alike; so beside the best value of others stands that of 95 in 100 pairs of a feature here and one there.

Cost: a product of 64 features' sentences with all of the other source's, once while neither's explanations change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from core.atlas.near.records import Chance
from core.explain.meaning.shelf import Shelf

SAMPLE = 64
"""Other features that are looked at."""
KEPT = 512
"""Pairs of sources that are remembered."""


class Usual:
    """What chance gives between the explanations of two sources. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], Chance | None] = OrderedDict()
        self._lock = threading.Lock()  # guards it

    def of(self, own: Shelf, there: Shelf, embedder: str) -> Chance | None:
        """What other features of `own` have in `there`; None where there are none to look at."""
        name = (own.key, own.mark, there.key, there.mark, embedder)
        with self._lock:
            if name in self._known:
                return self._known[name]
        found = _look(own, there)
        with self._lock:
            self._known[name] = found
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found


def alike(own: Shelf, there: Shelf, features: NDArray[np.int64]) -> NDArray[np.float32]:
    """[features, explained features of `there`]: the cosine of the two sentences that are nearest.

    In the order of `explained`; −∞ of a feature with itself, and of one without a sentence.
    """
    assert own.kept is not None
    each, place = _of(own), np.searchsorted(explained(there), _of(there))
    said = np.flatnonzero(np.isin(each, features))
    values = np.full((len(features), len(explained(there))), -np.inf, np.float32)
    cosines = np.clip(there.similarities(own.kept.take(own.rows[said]).T), -1, 1).T
    for n, row in zip(said, cosines, strict=True):
        np.maximum.at(values[np.searchsorted(features, each[n])], place, row)
    if own.key == there.key:
        values[features[:, None] == explained(there)] = -np.inf
    return values


def explained(shelf: Shelf) -> NDArray[np.int64]:
    """The features of which something is said, by index."""
    return np.unique(_of(shelf))


def _of(shelf: Shelf) -> NDArray[np.int64]:
    """[explanations]: each one's feature."""
    return np.array([brief.index for brief in shelf.briefs], np.int64)


def _look(own: Shelf, there: Shelf) -> Chance | None:
    chosen = np.sort(np.random.default_rng(0).permutation(explained(own))[:SAMPLE])
    values = alike(own, there, chosen)
    values = values[np.isfinite(values).any(1)]
    if not len(values):
        return None
    best = values.max(1)
    return Chance(
        median=float(np.median(best)), high=float(np.quantile(best, 0.95)), sample=len(best),
        pair=float(np.quantile(values[np.isfinite(values)], 0.95)),
    )  # fmt: skip
