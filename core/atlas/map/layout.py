"""Points on a plane for vectors in a space of hundreds of dimensions: UMAP, by cosine, with a fixed seed.

UMAP (McInnes, Healy and Melville 2018, umap-learn) keeps neighbours together: near on the map means alike, far means
nothing. Neighbours are found exactly, by products of blocks, so that the same vectors and the same seed give the same
map. Above `FIT` points an even draw of so many is fitted, and every other point is put where its neighbours among them
are, as UMAP's own transform does it.

Cost: neighbours are one product of all vectors with the fitted ones; 24,576 of 768 numbers take about a quarter of a
minute to lay out on one core and 1 GB of memory, after some ten seconds in which umap-learn compiles its loops, once a
process.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIT = 25_000
"""Points that are fitted at most."""
NEIGHBOURS, MIN_DIST = 15, 0.12
"""UMAP's own names; the second is a little wider than its default, so that clusters do not shrink to dots."""
BLOCK = 2048
"""Rows of one product."""
MANY = 8192
"""Points that are put among the fitted ones at a time."""

Vectors = NDArray[np.float32]
Tell = Callable[[str, int, int], None]
"""Called with (what is done now, done, of)."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each vector lies."""

    xy: Vectors
    """[points, 2]"""
    fitted: NDArray[np.int64]
    """The rows that were fitted, by number; the others were put among them."""


class Exact:
    """The vectors that a map was fitted to, for finding neighbours of others among them: what UMAP calls an index."""

    _angular_trees = True  # UMAP reads it to choose how carefully an approximate index has to look

    def __init__(self, unit: Vectors) -> None:
        self._unit = unit

    def query(self, vectors: Vectors, k: int, epsilon: float = 0.0) -> tuple[NDArray[np.int32], Vectors]:
        """([rows, k] numbers, [rows, k] cosine distances), the nearest first; `epsilon` is for approximate ones."""
        del epsilon
        return neighbours(unit(vectors), self._unit, k)


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)


def neighbours(rows: Vectors, among: Vectors, k: int, tell: Tell | None = None) -> tuple[NDArray[np.int32], Vectors]:
    """The `k` rows of `among` that are nearest to each of `rows` by cosine, exactly; both of unit length.

    Returns ([rows, k] numbers, [rows, k] distances 1 - cosine), the nearest first. Equal ones stand by their numbers.
    """
    numbers = np.empty((len(rows), k), np.int32)
    distances = np.empty((len(rows), k), np.float32)
    for at in range(0, len(rows), BLOCK):
        if tell is not None:
            tell("finding neighbours", at, len(rows))
        products = rows[at : at + BLOCK] @ among.T
        best = np.argpartition(-products, k - 1, axis=1)[:, :k] if k < len(among) else _all(len(products), k)
        best.sort(axis=1)
        values = np.take_along_axis(products, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        numbers[at : at + BLOCK] = np.take_along_axis(best, order, axis=1)
        distances[at : at + BLOCK] = np.maximum(0, 1 - np.take_along_axis(values, order, axis=1))
    return numbers, distances


def _all(rows: int, k: int) -> NDArray[np.int64]:
    return np.tile(np.arange(k), (rows, 1))


def place(vectors: Vectors, *, seed: int = 0, fit: int = FIT, tell: Tell | None = None) -> Layout:
    """Every vector's place on the map. `fit` bounds how many are fitted; the same arguments give the same places."""
    said = tell or (lambda what, done, of: None)
    rows = unit(vectors)
    n = len(rows)
    if n <= 4:  # too few for neighbourhoods: on a circle
        turn = 2 * np.pi * np.arange(n) / max(n, 1)
        return Layout(np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32), np.arange(n))
    fitted = np.arange(n)
    if n > fit:
        fitted = np.sort(np.random.default_rng(seed).choice(n, fit, replace=False))
    own = np.ascontiguousarray(rows[fitted])
    k = min(NEIGHBOURS, len(own) - 1)
    numbers, distances = neighbours(own, own, k, said)
    said("laying out points", 0, 0)
    model = _umap()(
        n_neighbors=k, min_dist=MIN_DIST, metric="cosine", random_state=seed, n_jobs=1, init=_begin(own, seed),
        precomputed_knn=(numbers, distances, Exact(own)), transform_seed=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an exact index is none of its own, and that a seed means one thread
        xy = np.empty((n, 2), np.float32)
        xy[fitted] = model.fit_transform(own)
        rest = np.setdiff1d(np.arange(n), fitted)
        for at in range(0, len(rest), MANY):
            said("placing the rest", at, len(rest))
            some = rest[at : at + MANY]
            xy[some] = model.transform(rows[some])
    return Layout(xy, fitted)


def _begin(own: Vectors, seed: int) -> Vectors:
    """Where points begin: their two widest directions, as UMAP scales them, with a little noise against ties.

    A spectral beginning is no better here, and slow or undefined where the neighbourhoods fall apart.
    """
    from sklearn.decomposition import PCA

    solver = "randomized" if min(own.shape) > 8 else "full"
    found = PCA(2, svd_solver=solver, random_state=seed).fit_transform(own)
    noise = np.random.default_rng(seed).normal(scale=1e-4, size=found.shape)
    return np.asarray(10 * found / max(float(np.abs(found).max()), 1e-12) + noise, np.float32)


def _umap() -> Any:
    """umap-learn's class. Its loops are kept compiled beside it, or, where nothing can be written, for this process."""
    import numba

    try:
        from umap import UMAP
    except RuntimeError:  # numba finds no folder for what it compiles
        numba.config.CACHE_DIR = tempfile.mkdtemp(prefix="numba-")
        from umap import UMAP
    return UMAP
