"""Sums over all counted tokens: what correlations need, and the exact figures of dense sources.

For a sparse source: sums of the hook's coordinates, their squares, and features × coordinates. For a dense one
(neurons): sums, squares, extremes, features × features and a histogram, over every counted token and not only the
stored tails. Pearson's r of f and g from sums: (E fg - E f E g) / (sd f sd g); the cosine: Σ fg / sqrt(Σ f² Σ g²).

Coordinates and neurons may lie far from zero and hardly vary, so that E fg and E f E g would cancel to noise. Their
sums are therefore of x - shift, the shift being the first counted token's value: a constant coordinate has exactly no
spread. Products are taken in float32 within a batch and summed in float64 over batches. NumPy's, of dense sources, run
on one thread: on two they are rounded otherwise, and a build gives the same bytes however many it has.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from core.build.nonzeros import Rows, by_feature
from core.kernel import F32, F64, I32, I64, Bool, compiled, no_type_check

State = dict[str, NDArray[Any]]
"""What has been summed, to be written and read back."""
BINS = 64
"""Bins of a dense histogram: even, so that zero is an edge."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Σ and Σ² of some columns less their shift, over all counted tokens."""

    total: F64
    square: F64
    shift: F64

    def of(self, begin: int, end: int) -> Sums:
        """Those of a block of columns."""
        return Sums(self.total[begin:end], self.square[begin:end], self.shift[begin:end])

    def spread(self, n: int) -> F64:
        """Standard deviations; 0 for a column that is constant up to rounding."""
        variance = self.square / n - (self.total / n) ** 2
        return np.sqrt(np.where(variance > 1e-12 * self.square / n, variance, 0))

    def length(self, n: int) -> F64:
        """Euclidean norms of the columns themselves, the shift undone."""
        return np.sqrt(np.maximum(self.square + 2 * self.shift * self.total + n * self.shift**2, 0))


class CoordinateMoments:
    """Sums of the coordinates x of a hook point, and of features times coordinates."""

    def __init__(self, width: int, d_in: int) -> None:
        self.x = np.zeros(d_in)
        self.xx = np.zeros(d_in)
        self.fx = np.zeros((width, d_in))
        self._shift: F32 | None = None

    def add(self, entries: Rows, x: F32) -> None:
        """One batch: the entries of n tokens, and their `x` [n, d_in]."""
        if not len(x):
            return
        if self._shift is None:
            self._shift = x[0].copy()
        x = x - self._shift
        wide = x.astype(np.float64)
        self.x += wide.sum(0)
        self.xx += np.einsum("nd,nd->d", wide, wide)
        _add_products(*by_feature(entries, len(self.fx)), x, self.fx)

    @property
    def sums(self) -> Sums:
        """Of the coordinates."""
        return _sums(self.x, self.xx, self._shift)

    def state(self) -> State:
        """Everything that `restore` needs."""
        return {"x": self.x, "xx": self.xx, "fx": self.fx} | _kept(self._shift)

    def restore(self, state: State) -> None:
        """Goes on from what `state` gave."""
        self.x, self.xx, self.fx = state["x"], state["xx"], state["fx"]
        self._shift = state.get("shift")


@compiled(parallel=True)
@no_type_check
def _add_products(offsets: I64, rows: I32, values: F32, x: F32, fx: F64) -> None:
    """Adds to each feature's row the x of its tokens times its values, in float32 within the batch."""
    for f in prange(len(fx)):
        if offsets[f] == offsets[f + 1]:
            continue
        part = np.zeros(x.shape[1], np.float32)
        for n in range(offsets[f], offsets[f + 1]):
            v, row = values[n], rows[n]
            for d in range(x.shape[1]):
                part[d] += v * x[row, d]
        for d in range(x.shape[1]):
            fx[f, d] += part[d]


class DenseMoments:
    """Exact sums, extremes and histograms of a dense, signed source."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.f = np.zeros(width)
        self.ff = np.zeros((width, width))
        self.low = np.full(width, np.inf)
        self.high = np.full(width, -np.inf)
        self.step = np.full(width, 2.0**-20)
        self.bins = np.zeros((width, BINS), np.int64)
        self._shift: F32 | None = None

    def add(self, acts: F32) -> None:
        """One batch [n, width]."""
        if not len(acts):
            return
        if self._shift is None:
            self._shift = acts[0].copy()
        self.count += len(acts)
        moved = acts - self._shift
        self.f += moved.sum(0, dtype=np.float64)
        with _blas().limit(limits=1):  # how many threads share a product decides how its sums are rounded
            self.ff += moved.T @ moved
        self.low = np.minimum(self.low, acts.min(0))
        self.high = np.maximum(self.high, acts.max(0))
        self._widen(np.maximum(np.abs(self.low), np.abs(self.high)))
        _add_bins(acts, self.step.astype(np.float32), self.bins)

    @property
    def sums(self) -> Sums:
        """Of the features."""
        return _sums(self.f, self.ff.diagonal().copy(), self._shift)

    def state(self) -> State:
        """Everything that `restore` needs."""
        named = ("f", "ff", "low", "high", "step", "bins")
        return {n: getattr(self, n) for n in named} | {"count": np.array(self.count)} | _kept(self._shift)

    def restore(self, state: State) -> None:
        """Goes on from what `state` gave."""
        for name in ("f", "ff", "low", "high", "step", "bins"):
            setattr(self, name, state[name])
        self.count, self._shift = int(state["count"]), state.get("shift")

    def _widen(self, reach: F64) -> None:
        """Doubles the bins of the features whose values reach beyond them, merging neighbours: counts stay exact."""
        while (short := reach >= self.step * (BINS // 2)).any():
            old = self.bins[short].reshape(-1, BINS // 2, 2).sum(2)
            new = np.zeros((len(old), BINS), np.int64)
            new[:, BINS // 4 : BINS // 4 + BINS // 2] = old
            self.bins[short] = new
            self.step[short] *= 2


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's library of products; finding it takes some milliseconds."""
    return ThreadpoolController().select(user_api="blas")


@compiled()
@no_type_check
def _add_bins(acts: F32, step: F32, bins: I64) -> None:
    for r in range(acts.shape[0]):
        for f in range(acts.shape[1]):
            place = int(np.floor(acts[r, f] / step[f])) + BINS // 2
            bins[f, min(max(place, 0), BINS - 1)] += 1


def _kept(shift: F32 | None) -> State:
    return {} if shift is None else {"shift": shift}


def _sums(total: F64, square: F64, shift: F32 | None) -> Sums:
    return Sums(total, square, np.zeros_like(total) if shift is None else shift.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Strongest:
    """For each feature the `k` others with the largest Pearson correlation; -1 where there are fewer."""

    index: I32
    pearson: F32
    cosine: F32


def strongest(products: F64, n: int, a: Sums, b: Sums, k: int, allowed: Bool) -> Strongest:
    """From Σ ab [rows, columns] of the shifted values, and the sums of both sides, the `k` best columns of each row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pearson = (products / n - np.outer(a.total / n, b.total / n)) / np.outer(a.spread(n), b.spread(n))
        raw = products + np.outer(a.total, b.shift) + np.outer(a.shift, b.total) + n * np.outer(a.shift, b.shift)
        cosine = raw / np.outer(a.length(n), b.length(n))
    pearson[~allowed | ~np.isfinite(pearson)] = -np.inf
    k = min(k, pearson.shape[1])
    best = np.argsort(-pearson, axis=1, kind="stable")[:, :k] if pearson.shape[1] <= 4 * k else _top(pearson, k)
    value = np.take_along_axis(pearson, best, 1)
    gone = ~np.isfinite(value)
    index = np.where(gone, -1, best).astype(np.int32)
    return Strongest(
        index,
        np.where(gone, 0, value).astype(np.float32),
        np.where(gone, 0, np.take_along_axis(cosine, best, 1)).astype(np.float32),
    )


def _top(values: F64, k: int) -> I64:
    """Columns of the `k` largest of each row, largest first."""
    some = np.argpartition(-values, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(values, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)
