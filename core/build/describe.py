"""Each feature's figures from its non-zeros: count, extremes, mean, deviation, histogram, and the tokens of its name.

The histogram has equal bins from the least to the largest value, as NumPy's has; around the value if all are equal.
The name's tokens set the upper half of the feature's range apart from the texts as a whole: they are ranked by
p ln(p / q), a token's part of the divergence between its share p of the activation and its share q of all tokens, so a
feature of one token is named by it, one of a context by the words of that context rather than by “the”.

Cost: a few looks at every non-zero, and a sort of the stronger ones' tokens, on all cores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange

from core.kernel import F32, F64, I32, I64, U32, compiled, no_type_check
from core.store.grouped import Grouped

BINS, NAMES = 50, 24
"""Bins of a histogram, and candidates for a name."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a block of features; zeros for one that was never active."""

    maximum: F32
    minimum: F32
    mean: F64
    deviation: F64
    low: F64
    high: F64
    """Ends of the histogram."""
    counts: I64
    """[n, BINS]"""
    names: I32
    """[n, NAMES] token ids, best first, -1 where there are fewer."""


def describe(some: Grouped, tokens: U32, frequency: F64) -> Figures:
    """The figures of a block; `tokens` are the build's ids, `frequency` the share of each id among them."""
    n = some.width
    made = Figures(
        np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n),
        np.zeros((n, BINS), np.int64), np.full((n, NAMES), -1, np.int32),
    )  # fmt: skip
    _moments(some.offsets, some.values, made.maximum, made.minimum, made.mean, made.deviation)
    equal = made.maximum == made.minimum
    ends = np.stack([made.minimum, made.maximum]).astype(np.float64)
    ends[:, equal] = np.sort(ends[:, equal] * [[0.5], [1.5]], axis=0)
    made.low[:], made.high[:] = ends
    _bins(some.offsets, some.values, made.low, made.high, made.counts)
    _names(some.offsets, some.positions, some.values, tokens, frequency, made.maximum, made.minimum, made.names)
    return made


@compiled(parallel=True)
@no_type_check
def _moments(offsets: I64, values: F32, maximum: F32, minimum: F32, mean: F64, deviation: F64) -> None:
    for f in prange(len(maximum)):
        begin, end = offsets[f], offsets[f + 1]
        if begin == end:
            continue
        high, low, total, square = values[begin], values[begin], 0.0, 0.0
        for n in range(begin, end):
            high, low = max(high, values[n]), min(low, values[n])
            total += values[n]
        middle = total / (end - begin)
        for n in range(begin, end):
            square += (values[n] - middle) ** 2
        maximum[f], minimum[f], mean[f], deviation[f] = high, low, middle, np.sqrt(square / (end - begin))


@compiled(parallel=True)
@no_type_check
def _bins(offsets: I64, values: F32, low: F64, high: F64, counts: I64) -> None:
    """`numpy.histogram`: a value belongs to the bin whose edges, as computed, hold it; the last bin is closed."""
    for f in prange(len(low)):
        width = (high[f] - low[f]) / BINS
        if not width > 0:  # all values are zero
            counts[f, 0] = offsets[f + 1] - offsets[f]
            continue
        for n in range(offsets[f], offsets[f + 1]):
            v = np.float64(values[n])
            at = max(0, min(int((v - low[f]) / (high[f] - low[f]) * BINS), BINS - 1))
            if at > 0 and v < low[f] + at * width:
                at -= 1
            elif at < BINS - 1 and v >= low[f] + (at + 1) * width:
                at += 1
            counts[f, at] += 1


@compiled(parallel=True)
@no_type_check
def _names(
    offsets: I64, positions: U32, values: F32, tokens: U32, frequency: F64, maximum: F32, minimum: F32, names: I32
) -> None:
    for f in prange(len(names)):
        begin, end = offsets[f], offsets[f + 1]
        if begin < end:
            half = 0.5 * maximum[f] if maximum[f] > 0 else 0.5 * minimum[f]
            _name(positions[begin:end], values[begin:end], half, maximum[f] > 0, tokens, frequency, names[f])


@compiled()
@no_type_check
def _name(positions: U32, values: F32, half: float, above: bool, tokens: U32, frequency: F64, names: I32) -> None:
    """The tokens of the values beyond `half`, by their part of the divergence."""
    rows, ids, n, whole = np.empty(len(values), np.int64), np.empty(len(values), np.float64), 0, 0.0
    for row in range(len(values)):
        if (above and values[row] >= half) or (not above and values[row] <= half):
            rows[n], ids[n] = row, tokens[positions[row]]
            whole += abs(np.float64(values[row]))
            n += 1
    if whole == 0:  # zeros beyond the tail of a dense source have no part in anything
        return
    order = np.argsort(ids[:n], kind="mergesort")
    best = np.full(NAMES, -np.inf)
    at = 0
    while at < n:
        token, mass = ids[order[at]], 0.0
        while at < n and ids[order[at]] == token:
            mass += abs(np.float64(values[rows[order[at]]]))
            at += 1
        share = mass / whole
        score = share * np.log(share / frequency[int(token)])
        place = NAMES
        while place > 0 and score > best[place - 1]:
            if place < NAMES:
                best[place], names[place] = best[place - 1], names[place - 1]
            place -= 1
        if place < NAMES:
            best[place], names[place] = score, int(token)
