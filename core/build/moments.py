"""Sums over all counted tokens, in float64: what correlations need, and the exact figures of dense sources.

For a sparse source: sums of the hook's coordinates, their squares, and features × coordinates. For a dense one (neurons):
sums, squares, extremes, features × features and a histogram, over every counted token and not only the stored tails.
Pearson's r of f and g from sums: (E fg - E f E g) / (sd f sd g); the cosine: Σ fg / sqrt(Σ f² Σ g²).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

F64 = NDArray[np.float64]
BINS = 64
"""Bins of a dense histogram: even, so that zero is an edge."""


class CoordinateMoments:
    """Sums of the coordinates x of a hook point, and of features times coordinates."""

    def __init__(self, width: int, d_in: int) -> None:
        self.x = np.zeros(d_in)
        self.xx = np.zeros(d_in)
        self.fx = np.zeros((width, d_in))

    def add(self, acts: sparse.csr_matrix, x: NDArray[np.float32]) -> None:
        """One batch: `acts` [n, width] sparse, `x` [n, d_in]."""
        wide = x.astype(np.float64)
        self.x += wide.sum(0)
        self.xx += (wide * wide).sum(0)
        self.fx += acts.T @ x


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

    def add(self, acts: NDArray[np.float32]) -> None:
        """One batch [n, width]."""
        self.count += len(acts)
        self.f += acts.sum(0, dtype=np.float64)
        self.ff += acts.T @ acts
        self.low = np.minimum(self.low, acts.min(0))
        self.high = np.maximum(self.high, acts.max(0))
        self._widen(np.maximum(np.abs(self.low), np.abs(self.high)))
        index = np.floor(acts / self.step.astype(np.float32)).astype(np.int64) + BINS // 2
        np.clip(index, 0, BINS - 1, out=index)
        flat = index + np.arange(acts.shape[1]) * BINS
        self.bins += np.bincount(flat.ravel(), minlength=self.bins.size).reshape(self.bins.shape)

    def _widen(self, reach: F64) -> None:
        """Doubles the bins of the features whose values reach beyond them, merging neighbours: counts stay exact."""
        while (short := reach >= self.step * (BINS // 2)).any():
            old = self.bins[short].reshape(-1, BINS // 2, 2).sum(2)
            new = np.zeros((len(old), BINS), np.int64)
            new[:, BINS // 4 : BINS // 4 + BINS // 2] = old
            self.bins[short] = new
            self.step[short] *= 2


@dataclass(frozen=True, slots=True)
class Strongest:
    """For each feature the `k` others with the largest Pearson correlation; -1 where there are fewer."""

    index: NDArray[np.int32]
    pearson: NDArray[np.float32]
    cosine: NDArray[np.float32]


def strongest(products: F64, n: int, a: tuple[F64, F64], b: tuple[F64, F64], k: int, allowed: NDArray[np.bool_]) -> Strongest:
    """From Σ ab [rows, columns], and (Σ, Σ²) of both sides, the `k` best columns of each row where `allowed`."""
    spread_a = np.sqrt(np.maximum(a[1] / n - (a[0] / n) ** 2, 0))
    spread_b = np.sqrt(np.maximum(b[1] / n - (b[0] / n) ** 2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        pearson = (products / n - np.outer(a[0] / n, b[0] / n)) / np.outer(spread_a, spread_b)
        cosine = products / np.sqrt(np.outer(a[1], b[1]))
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


def _top(values: F64, k: int) -> NDArray[np.int64]:
    """Columns of the `k` largest of each row, largest first."""
    some = np.argpartition(-values, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(values, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)
