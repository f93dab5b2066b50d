"""Every pair of features of two sources at once: which correlate, which fire together, and which never do.

For one feature after another, its products with all of the other source are summed by walking, for each of its tokens,
the other source's entries of that token. What comes of it goes into the feature's own lists and into those of the
other source's features, so that a pair of sources is walked once for both directions. Both are read in parts of the
same tokens, by feature and by token, in the files that a build's chunks are (`core.build.nonzeros.Chunk`): a store is
cut into such parts first.

- Pearson's r over all counted tokens: (Σ fg / n - f̄ ḡ) / (sd f · sd g). What is not stored counts as 0, so that it is
  exact for a sparse source, and for a dense one exact of its values beyond their thresholds (“tails”).
- Evidence: the log-likelihood ratio G² of the two by two table of counts against independence (T. Dunning, “Accurate
  methods for the statistics of surprise and coincidence”, 1993), which is small where counts are.

Cost: Σ (active features of the one × of the other) over the tokens, a few nanoseconds each, on all cores. Memory: a row
of the other source's width for each core, and its lists; parts are memory-mapped, 16 bytes a non-zero of disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import get_num_threads, prange
from numba.typed import List

from core.kernel import F32, F64, I32, I64, U32, compiled, no_type_check
from core.store.grouped import Grouped

TOGETHER = 3
"""Tokens on which two features must both be active before their correlation is listed: two coincidences correlate
perfectly and mean nothing."""
EXPECTED = 5.0
"""Common tokens that chance would give at least, before that there are fewer says anything."""
STEPS = 16
"""Calls in which a pair of sources is walked: between two it says how far it is."""
CORRELATED, LIKELY, NEVER = range(3)
"""Kinds of lists: by correlation; by evidence that they fire together; by evidence that they avoid each other."""


@dataclass(frozen=True, slots=True)
class Side:
    """One source of a pair: its entries in parts, and what is known of its features over all `n` counted tokens."""

    parts: tuple[Path, ...]
    n: int
    active: I64
    """[width]: tokens on which the feature is active."""
    mean: F64
    spread: F64
    """Standard deviations; 0 of a feature that never varies."""

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.active)


def _mapped(part: Path, name: str) -> Any:
    return np.asarray(np.load(part / f"{name}.npy", mmap_mode="r"))


@dataclass(frozen=True, slots=True)
class Lists:
    """Of each feature of one source its best of another, by kind: [kinds, width, k], -1 where there are fewer."""

    index: I32
    pearson: F64
    both: I64
    """Tokens on which both are active."""
    score: F64
    """What the kind is sorted by: r, or G²."""

    def arrays(self) -> tuple[I32, F64, I64, F64]:
        """All four, as the loops take them."""
        return self.index, self.pearson, self.both, self.score

    @classmethod
    def empty(cls, width: int, k: int) -> Lists:
        """To be filled."""
        shape = (3, width, k)
        return cls(
            np.full(shape, -1, np.int32), np.zeros(shape), np.zeros(shape, np.int64), np.full(shape, -np.inf)
        )  # fmt: skip


def moments(active: I64, total: F64, square: F64, n: int) -> tuple[F64, F64]:
    """(means, standard deviations) over `n` tokens, 0 for what is constant up to rounding."""
    mean = total / n
    variance = square / n - mean**2
    return mean, np.sqrt(np.where((variance > 1e-12 * square / n) & (active > 0), variance, 0))


def side(parts: Sequence[Path], width: int, n: int) -> Side:
    """A source whose parts are on disk, as a build's chunks are."""
    active, total, square = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
    for part in parts:
        add_sums(_mapped(part, "offsets"), _mapped(part, "values"), active, total, square)
    return Side(tuple(parts), n, active, *moments(active, total, square, n))


def logarithms(n: int) -> F64:
    """The values x ln x of all whole numbers up to `n`: what evidence is made of."""
    x = np.arange(n + 1, dtype=np.float64)
    return x * np.log(np.maximum(x, 1))


def pairs(
    a: Side, b: Side | None, most: Sequence[int], tell: Callable[[float, float], None] | None = None
) -> tuple[Lists, Lists]:
    """(of each feature of `a` its best of `b`, the other way round); both the same if `b` is None: `a` with itself.

    `most` are the lengths of the lists by kind; `tell` gets (done, of) features of `a`.
    """
    other = a if b is None else b
    k, strips = max(most), get_num_threads()
    there, back = Lists.empty(a.width, k), [Lists.empty(0 if b is None else other.width, k) for _ in range(strips)]
    dense = np.argsort(-other.active, kind="stable")
    facts = (a.n, logarithms(a.n), a.active, a.mean, a.spread, other.active, other.mean, other.spread, dense)
    parts = [_arrays(a, name) for name in ("offsets", "rows", "values")]
    parts += [_arrays(other, name) for name in ("row_offsets", "row_features", "row_values")]
    stacked: list[Any] = [np.stack(arrays) for arrays in zip(*(one.arrays() for one in back), strict=True)]
    ends = np.searchsorted(np.cumsum(a.active), np.linspace(0, a.active.sum(), STEPS * strips + 1)[1:])
    ends = np.minimum(np.maximum.accumulate(np.concatenate([[0], ends])), a.width)
    ends[-1] = a.width  # of about as many entries each
    limits = np.array(most, np.int64)
    for step in range(STEPS):
        bounds = ends[step * strips : (step + 1) * strips + 1]
        _walk(*(bounds, *parts, *facts, b is None, limits, *there.arrays(), *stacked))
        if tell:
            tell(float(bounds[-1]), a.width)
    if b is None:
        return there, there
    whole = Lists(*(array[0] for array in stacked))
    for strip in range(1, strips):
        _merge(*(limits, *(array[strip] for array in stacked), *whole.arrays()))
    return there, whole


def _arrays(one: Side, name: str) -> Any:
    return List([_mapped(part, name) for part in one.parts])


@compiled(parallel=True)
@no_type_check
def _walk(
    bounds: I64, offsets: Any, rows: Any, values: Any, row_offsets: Any, row_features: Any, row_values: Any,
    n: int, logs: F64, active: I64, mean: F64, spread: F64, its_active: I64, its_mean: F64, its_spread: F64, dense: I64,
    same: bool, most: I64, index: I32, pearson: F64, both: I64, score: F64,
    back_index: I32, back_pearson: F64, back_both: I64, back_score: F64,
) -> None:  # fmt: skip
    """Some features of one source against all of another, a strip of them on each core, with lists of its own."""
    for s in prange(len(bounds) - 1):
        products, counts = np.zeros(len(its_active)), np.zeros(len(its_active), np.int32)
        met = np.empty(len(its_active), np.int32)
        for f in range(bounds[s], bounds[s + 1]):
            found, a = 0, active[f]
            for p in range(len(offsets)):
                found = _row(
                    offsets[p][f], offsets[p][f + 1], rows[p], values[p], row_offsets[p], row_features[p],
                    row_values[p], products, counts, met, found,
                )  # fmt: skip
            for at in range(found):
                g = met[at]
                c, b = counts[g], its_active[g]
                if c >= TOGETHER and not (same and g == f):
                    r = _r(products[g], n, mean[f], its_mean[g], spread[f], its_spread[g])
                    sure = evidence(c, a, b, n, logs) if c * n > a * b else -np.inf
                    if spread[f] * its_spread[g] > 0:
                        _insert(CORRELATED, f, g, r, r, c, most, index, pearson, both, score)
                    _insert(LIKELY, f, g, sure, r, c, most, index, pearson, both, score)
                    if not same:
                        if spread[f] * its_spread[g] > 0:
                            _insert(
                                CORRELATED, g, f, r, r, c, most,
                                back_index[s], back_pearson[s], back_both[s], back_score[s],
                            )  # fmt: skip
                        _insert(
                            LIKELY, g, f, sure, r, c, most, back_index[s], back_pearson[s], back_both[s], back_score[s]
                        )
            for at in range(len(dense)):
                g = dense[at]
                c, b = counts[g], its_active[g]
                if a * (b / n) < EXPECTED:
                    break
                if c * n < a * b and not (same and g == f):
                    r = _r(products[g], n, mean[f], its_mean[g], spread[f], its_spread[g])
                    sure = evidence(c, a, b, n, logs)
                    _insert(NEVER, f, g, sure, r, c, most, index, pearson, both, score)
                    if not same:
                        _insert(
                            NEVER, g, f, sure, r, c, most, back_index[s], back_pearson[s], back_both[s], back_score[s]
                        )
            for at in range(found):
                products[met[at]] = 0
                counts[met[at]] = 0


@compiled()
@no_type_check
def _row(
    begin: int, end: int, rows: I32, values: F32, row_offsets: I64, row_features: I32, row_values: F32,
    products: F64, counts: I32, met: I32, found: int,
) -> int:  # fmt: skip
    """Adds what one part has of a feature's products, and whom it met first there; how many it has met."""
    for m in range(begin, end):
        v, row = np.float64(values[m]), rows[m]
        for e in range(row_offsets[row], row_offsets[row + 1]):
            g = row_features[e]
            if counts[g] == 0:
                met[found] = g
                found += 1
            counts[g] += 1
            products[g] += v * row_values[e]
    return found


@compiled()
@no_type_check
def _r(product: float, n: int, mean: float, its_mean: float, spread: float, its_spread: float) -> float:
    """Pearson's r from a sum of products; 0 where one of the two never varies."""
    both = spread * its_spread
    return (product / n - mean * its_mean) / both if both > 0 else 0.0


@compiled()
@no_type_check
def _merge(
    most: I64, index: I32, pearson: F64, both: I64, score: F64,
    into_index: I32, into_pearson: F64, into_both: I64, into_score: F64,
) -> None:  # fmt: skip
    """Puts lists into others."""
    for kind in range(len(most)):
        for f in range(index.shape[1]):
            for at in range(most[kind]):
                if index[kind, f, at] >= 0:
                    _insert(
                        kind, f, index[kind, f, at], score[kind, f, at], pearson[kind, f, at], both[kind, f, at], most,
                        into_index, into_pearson, into_both, into_score,
                    )  # fmt: skip


@compiled()
@no_type_check
def add_sums(offsets: I64, values: F32, active: I64, total: F64, square: F64) -> None:
    """Adds each feature's number of entries, their sum and that of their squares."""
    for f in range(len(active)):
        for m in range(offsets[f], offsets[f + 1]):
            v = np.float64(values[m])
            active[f] += 1
            total[f] += v
            square[f] += v * v


@compiled()
@no_type_check
def evidence(both: int, a: int, b: int, n: int, logs: F64) -> float:
    """G² of two features with `a` and `b` active tokens of `n`, `both` of them common; `logs` are `logarithms(n)`."""
    seen = logs[both] + logs[a - both] + logs[b - both] + logs[n - a - b + both]
    return max(0.0, 2 * (seen - logs[a] - logs[n - a] - logs[b] - logs[n - b] + logs[n]))


@compiled()
@no_type_check
def listed(
    own: int, products: F64, counts: I64, n: int, logs: F64, a: int, mean: float, spread: float,
    its_active: I64, its_mean: F64, its_spread: F64, most: I64, index: I32, pearson: F64, both: I64, score: F64,
) -> None:  # fmt: skip
    """The lists of one feature (`Lists.empty(1, …)`) from its row of sums; `own` is it where they are one source."""
    for g in range(len(products)):
        c, b = counts[g], its_active[g]
        if g == own or (c < TOGETHER and a * (b / n) < EXPECTED):
            continue
        r = _r(products[g], n, mean, its_mean[g], spread, its_spread[g])
        if c >= TOGETHER and spread * its_spread[g] > 0:
            _insert(CORRELATED, 0, g, r, r, c, most, index, pearson, both, score)
        if c >= TOGETHER and c * n > a * b:
            _insert(LIKELY, 0, g, evidence(c, a, b, n, logs), r, c, most, index, pearson, both, score)
        elif a * (b / n) >= EXPECTED and c * n < a * b:
            _insert(NEVER, 0, g, evidence(c, a, b, n, logs), r, c, most, index, pearson, both, score)


@compiled()
@no_type_check
def _insert(
    kind: int, f: int, g: int, value: float, r: float, c: int, most: I64, index: I32, pearson: F64, both: I64,
    score: F64,
) -> None:  # fmt: skip
    """Puts `g` into a list of `f`, largest value first, of equals the first feature first, in any order."""
    k = most[kind]
    if k == 0 or value == -np.inf or value < score[kind, f, k - 1]:
        return
    if value == score[kind, f, k - 1] and g > index[kind, f, k - 1]:
        return
    at = k - 1
    while at > 0 and (
        value > score[kind, f, at - 1] or (value == score[kind, f, at - 1] and g < index[kind, f, at - 1])
    ):
        score[kind, f, at], index[kind, f, at] = score[kind, f, at - 1], index[kind, f, at - 1]
        pearson[kind, f, at], both[kind, f, at] = pearson[kind, f, at - 1], both[kind, f, at - 1]
        at -= 1
    score[kind, f, at], index[kind, f, at] = value, g
    pearson[kind, f, at], both[kind, f, at] = r, c


# -- a store, cut into parts -------------------------------------------------------------------------------------------


def cut(store: Grouped, spans: Sequence[U32], folder: Path) -> list[Path]:
    """Writes a store's entries as parts of the tokens in `spans`, which ascend, and returns their folders.

    A part's rows are its span's tokens in order. Memory is that of one part.
    """
    offsets, positions, values = store.offsets, store.positions, store.values
    cursor, parts = np.array(offsets[:-1], np.int64), []
    for number, tokens in enumerate(spans):
        begin, end = int(tokens[0]), int(tokens[-1]) + 1
        rank = np.zeros(end - begin, np.int32)
        rank[tokens.astype(np.int64) - begin] = np.arange(len(tokens), dtype=np.int32)
        starts = np.zeros(len(cursor) + 1, np.int64)
        in_row = np.zeros(len(tokens) + 1, np.int64)
        _measure(offsets, positions, cursor, end, begin, rank, starts, in_row)
        starts, in_row = np.cumsum(starts), np.cumsum(in_row)
        size = int(starts[-1])
        rows, own = np.empty(size, np.int32), np.empty(size, np.float32)
        row_features, row_values = np.empty(size, np.int32), np.empty(size, np.float32)
        _fill(positions, values, cursor, starts, begin, rank, in_row[:-1].copy(), rows, own, row_features, row_values)
        part = folder / f"part-{number:05d}"
        part.mkdir(parents=True)
        arrays: dict[str, Any] = {
            "offsets": starts, "rows": rows, "values": own, "row_offsets": in_row, "row_features": row_features,
            "row_values": row_values,
        }  # fmt: skip
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        cursor += np.diff(starts)
        parts.append(part)
    return parts


@compiled()
@no_type_check
def _measure(
    offsets: I64, positions: U32, cursor: I64, end: int, begin: int, rank: I32, starts: I64, in_row: I64
) -> None:
    """Counts a span's entries by feature and by row, each in the place after its own."""
    for f in range(len(cursor)):
        m = cursor[f]
        while m < offsets[f + 1] and positions[m] < end:
            in_row[rank[positions[m] - begin] + 1] += 1
            m += 1
        starts[f + 1] = m - cursor[f]


@compiled()
@no_type_check
def _fill(
    positions: U32, values: F32, cursor: I64, starts: I64, begin: int, rank: I32, place: I64, rows: I32, own: F32,
    row_features: I32, row_values: F32,
) -> None:  # fmt: skip
    for f in range(len(cursor)):
        for n in range(starts[f + 1] - starts[f]):
            m, at = cursor[f] + n, starts[f] + n
            row = rank[positions[m] - begin]
            rows[at], own[at] = row, values[m]
            row_features[place[row]], row_values[place[row]] = f, values[m]
            place[row] += 1


# -- one feature -------------------------------------------------------------------------------------------------------


@compiled()
@no_type_check
def beside(at: F32, offsets: I64, positions: U32, values: F32, products: F64) -> None:
    """Σ of one feature's value (`at` each token) times that of every feature of a store: one look at each entry."""
    for g in range(len(products)):
        total = 0.0
        for m in range(offsets[g], offsets[g + 1]):
            total += np.float64(at[positions[m]]) * np.float64(values[m])
        products[g] = total


@compiled(parallel=True)
@no_type_check
def beside_some(
    at: F32, offsets: I64, positions: U32, values: F32, n: int, mean: F64, spread: F64, its_mean: F64, its_spread: F64,
    found: F64,
) -> None:  # fmt: skip
    """[its width, some]: r of some features (`at` each token) with every feature of a store, −∞ for what is not listed.

    One look at each entry for all of them together.
    """
    some = at.shape[1]
    for g in prange(len(found)):
        products, counts = np.zeros(some), np.zeros(some, np.int64)
        for m in range(offsets[g], offsets[g + 1]):
            v, row = np.float64(values[m]), at[positions[m]]
            for k in range(some):
                products[k] += v * row[k]
                counts[k] += row[k] != 0
        for k in range(some):
            listed_ = counts[k] >= TOGETHER and spread[k] * its_spread[g] > 0
            found[g, k] = _r(products[k], n, mean[k], its_mean[g], spread[k], its_spread[g]) if listed_ else -np.inf


@compiled()
@no_type_check
def covered(before: I64, prompt: I32, starts: I64, window: int, offsets: I64, positions: U32, counts: I64) -> None:
    """How many marked tokens lie within `window` of an entry of each feature, in the same prompt.

    `before` [tokens + 1] counts the marked tokens before each token, `prompt` says where a token is. With all counted
    tokens marked it is what a feature covers; with another feature's, on how many of these it fires near by.
    """
    for g in range(len(counts)):
        total, done = 0, 0  # marked tokens before `done` are settled
        for m in range(offsets[g], offsets[g + 1]):
            p = np.int64(positions[m])
            q = prompt[p]
            low, high = max(p - window, starts[q]), min(p + window + 1, starts[q + 1])
            first, last = max(before[low], done), before[high]
            if last > first:
                total += last - first
                done = last
        counts[g] = total
