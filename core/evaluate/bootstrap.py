"""Intervals: a bootstrap over documents from their sums, over numbers, and Wilson's of a share.

A figure of a source is a function of sums over tokens, so a draw of documents needs only the sums of each document:
`weights` are how often each is drawn, a row a draw. Documents beyond `GROUPS` are dealt into so many groups, drawn as
one, which bounds memory. 1,000 draws with a fixed seed; the interval is from the 2.5th to the 97.5th percentile. Of one
document there is none (NaN).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from core.evaluate.records import Measured
from core.explain.annotation.figures import share_interval

DRAWS, GROUPS, SEED = 1000, 400, 0


def groups(documents: Int64[np.ndarray, " prompts"]) -> Int64[np.ndarray, " prompts"]:
    """The group of each prompt, 0 and up: its document, or a deal of documents."""
    _, rank = np.unique(documents, return_inverse=True)
    return np.asarray(rank, np.int64).reshape(-1) % GROUPS


def weights(count: int) -> Float64[np.ndarray, "draws count"]:
    """How often each of `count` things is drawn; no row where there is nothing to draw among."""
    if count < 2:
        return np.zeros((0, count))
    return np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def interval(draws: Float64[np.ndarray, " draws"]) -> tuple[float, float]:
    """The middle 95 % of some draws; NaN of none."""
    known = draws[np.isfinite(draws)]
    if len(known) < DRAWS // 2:
        return math.nan, math.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def of(value: float, draws: Float64[np.ndarray, " draws"]) -> Measured:
    """A number with the interval of its draws."""
    return Measured(value, *interval(draws))


def statistic(
    values: Sequence[float] | Float64[np.ndarray, " n"],
    function: Callable[[Float64[np.ndarray, " n"]], float],
) -> Measured:
    """`function` of some numbers, with an interval over draws of them; NaN of none."""
    known = np.asarray(values, np.float64)
    if not len(known):
        return Measured(math.nan)
    if len(known) < 2:
        return Measured(function(known))
    rng = np.random.default_rng(SEED)
    draws = [function(known[rng.integers(0, len(known), len(known))]) for _ in range(DRAWS)]
    return of(function(known), np.array(draws))


def mean(values: Sequence[float] | Float64[np.ndarray, " n"]) -> Measured:
    """The mean, with an interval over draws of the numbers."""
    return statistic(values, lambda x: float(x.mean()))


def median(values: Sequence[float] | Float64[np.ndarray, " n"]) -> Measured:
    """The median, with an interval over draws of the numbers."""
    return statistic(values, lambda x: float(np.median(x)))


def share(hit: int, total: int) -> Measured:
    """A share, with Wilson's interval."""
    return Measured(hit / total if total else math.nan, *share_interval(hit, total))
