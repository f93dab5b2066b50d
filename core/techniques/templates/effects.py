"""How far a factor explains features' activations: analysis of variance, many features at once, and its control.

Activations are y [observations, features], a factor is a label of each observation. What is to be held fixed (a filler,
when it is asked about position) is taken out of both first, so that only what varies beside it counts. Then

    η² = SS(factor) / SS,   ω² = (SS(factor) - df MS(error)) / (SS + MS(error)),   F = MS(factor) / MS(error),

partial where something is held fixed: SS is what that leaves, and ω² = df (F - 1) / (df (F - 1) + n) over n
observations (Olejnik and Algina, 2003), which is the above where nothing is. p is by the F distribution, q by
Benjamini and Hochberg (1995) over the whole family. A template's prompts are no sample of language, and observations of
one prompt are not independent: p says that a response is regular in this set. So beside it stands what comes out with
shuffled labels, of which nothing is assumed. Cost: products of y with some indicator columns, once and for every
shuffle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

LEAST = 3
"""Observations in which a feature is active, of those that are tested."""
TINY = 1e-10
"""A share of the sum of squares that is rounding."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Of each feature."""

    omega: Float64[np.ndarray, " features"]
    eta: Float64[np.ndarray, " features"]
    f: Float64[np.ndarray, " features"]
    p: Float64[np.ndarray, " features"]


@dataclass(frozen=True, slots=True)
class Design:
    """A factor's columns and those of what is held fixed, both orthonormal and at right angles."""

    factor: Float64[np.ndarray, "n df"]
    fixed: Float64[np.ndarray, "n k"]

    @property
    def df(self) -> tuple[int, int]:
        """Of the factor and of the error."""
        n, df = self.factor.shape
        return df, n - df - self.fixed.shape[1]


def design(labels: Sequence[int], fixed: Sequence[Sequence[int]] = ()) -> Design | None:
    """Of a factor's labels beside those of others; None where the factor goes together with them, or nothing is left.

    A mean is always held fixed.
    """
    ones = np.ones((len(labels), 1))
    q = _basis(np.concatenate([ones, *(_columns(one) for one in fixed)], 1))
    own = _columns(labels)
    made = Design(_basis(own - q @ (q.T @ own)), q)
    return made if made.df[0] > 0 and made.df[1] > 0 else None


def askable(y: Float64[np.ndarray, "n features"]) -> Int64[np.ndarray, " k"]:
    """The features that are active in some observations and not alike in all: chosen without a look at the labels."""
    found: Int64[np.ndarray, " k"] = np.flatnonzero(((y != 0).sum(0) >= LEAST) & (np.ptp(y, axis=0) > 0))
    return found


def effects(y: Float64[np.ndarray, "n features"], made: Design) -> Effects:
    """The analysis of variance of each feature."""
    from scipy.special import fdtrc  # a tenth of a second, which only this needs

    total = ((y - made.fixed @ (made.fixed.T @ y)) ** 2).sum(0)
    explained = ((made.factor.T @ y) ** 2).sum(0)
    whole = (y**2).sum(0)
    total = np.where(total <= TINY * whole, 0.0, total)  # what is held fixed explains everything
    error = np.maximum(total - explained, 0.0)
    error = np.where(error <= TINY * total, 0.0, error)
    df, rest = made.df
    some = total > 0
    scale = error / rest
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.where(some, np.where(scale > 0, explained / df / scale, np.inf), 0.0)
        eta = np.where(some, np.minimum(explained / total, 1.0), 0.0)
        n = len(y)
        omega = np.where(some, df * (f - 1) / (df * (f - 1) + n), 0.0)
    omega = np.where(np.isinf(f), 1.0, omega)
    return Effects(omega, eta, f, np.where(np.isinf(f), 0.0, fdtrc(df, rest, f)))


def corrected(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """The q of each p: the least false discovery rate at which it passes (Benjamini and Hochberg, 1995)."""
    order = np.argsort(p, kind="stable")
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q


def shuffled(
    labels: Sequence[int], fixed: Sequence[Sequence[int]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The labels in another order, within observations that are alike in what is held fixed."""
    out = np.array(labels, np.int64)
    groups: dict[tuple[int, ...], list[int]] = {}
    for n in range(len(out)):
        groups.setdefault(tuple(one[n] for one in fixed), []).append(n)
    for own in groups.values():
        out[own] = out[rng.permutation(own)]
    return out


def _columns(labels: Sequence[int]) -> Float64[np.ndarray, "n k"]:
    """A column a level."""
    known = np.unique(np.asarray(labels))
    return (np.asarray(labels)[:, None] == known).astype(np.float64)


def _basis(columns: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n rank"]:
    """Orthonormal columns that span the same."""
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    found: Float64[np.ndarray, "n rank"] = u[:, s > 1e-9 * max(1.0, np.sqrt(len(columns)))]
    return found
