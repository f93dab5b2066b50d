"""What a feature's active tokens have in common: enriched categories, the tokens it likes, and properties given these.

Counted over all documents: this is description, and no score is claimed for it (`core.explain.annotation.rules` keeps
its own hands off held-out documents). The tests are those of `core.explain.annotation.statistics`.

Cost: for each feature a look at its entries for each attribute and property.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import prange
from numpy.typing import NDArray

from core.explain.annotation.attributes import ATTRIBUTES
from core.explain.annotation.corpus import LINE, Corpus, bucket_range
from core.explain.annotation.statistics import log10_tail, stratum
from core.kernel import F32, F64, I32, I64, U32, compiled, no_type_check

U8: TypeAlias = NDArray[np.uint8]
PER_ATTRIBUTE = 6
"""Enriched categories of one attribute that are kept, the least likely by chance first."""
SURE = -2.0
"""log10 of the corrected p below which a category counts as enriched."""
TYPES = 24
"""Tokens of a feature that are looked at one by one, those with the largest activation together first."""


@dataclass(frozen=True, slots=True)
class Property:
    """Something that holds of a token or not."""

    kind: str
    """`piece`, `repeat`, `place`, `line` or `part`."""
    number: int
    """At least so many repeated tokens, or the bucket, place or kind."""


@dataclass(frozen=True, slots=True)
class Properties:
    """Every property of every token."""

    names: tuple[Property, ...]
    holds: U8
    """[total, properties]"""
    tokens: I64
    """[folded tokens, properties]: counted tokens of which it holds."""


def properties(corpus: Corpus) -> Properties:
    """Part of a longer word, repetitions of two and of three tokens, places, places in the line, kinds of document."""
    names = [Property("piece", 1), Property("repeat", 2), Property("repeat", 3)]
    columns = [corpus.piece, corpus.column("repeat") >= 2, corpus.column("repeat") >= 3]
    for kind in ("place", "line", "part"):
        column = corpus.column(kind)
        for number in np.unique(column[corpus.counted]):
            names.append(Property(kind, int(number)))
            columns.append(column == number)
    holds = np.stack(columns, axis=1).astype(np.uint8)
    token = corpus.ids[0][corpus.counted]
    table = np.stack([np.bincount(token, some, corpus.base[1]) for some in holds[corpus.counted].T], axis=1)
    return Properties(tuple(names), holds, table.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of a block of features."""

    active: I64
    mass: F64
    """Sum of the values' sizes."""
    enriched: I32
    """[features, attributes, PER_ATTRIBUTE] categories, -1 where there are fewer."""
    seen: I64
    log10_p: F64
    """Corrected for many tests."""
    types: I32
    """[features, TYPES] categories of `token` with the largest activation, -1 where there are fewer."""
    type_active: I64
    type_mass: F64
    type_peak: I64
    """The token (of the texts) on which it is strongest."""
    distinct: I64
    """How many different tokens it is active on."""
    purity: F64
    """Of another place of the same token as an active one, how likely it is active too; the mean over active tokens."""
    sums: F64
    """[features, properties, 6]: seen, expected, variance, two halves of the common odds ratio, activation."""


def gather(offsets: I64, positions: U32, values: F32, corpus: Corpus, facts: Properties) -> Evidence:
    """The evidence on a block of features, whose entries are `positions` and `values` by `offsets`."""
    n, k = len(offsets) - 1, len(ATTRIBUTES)
    e = Evidence(
        np.diff(offsets).astype(np.int64), np.zeros(n), np.full((n, k, PER_ATTRIBUTE), -1, np.int32),
        np.zeros((n, k, PER_ATTRIBUTE), np.int64), np.zeros((n, k, PER_ATTRIBUTE)), np.full((n, TYPES), -1, np.int32),
        np.zeros((n, TYPES), np.int64), np.zeros((n, TYPES)), np.zeros((n, TYPES), np.int64), np.zeros(n, np.int64),
        np.zeros(n), np.zeros((n, len(facts.names), 6)),
    )  # fmt: skip
    totals = corpus.train + corpus.test
    _gather(
        offsets, positions, values, corpus.ids, corpus.base, totals, sum(corpus.sizes), facts.holds, facts.tokens,
        e.mass, e.enriched, e.seen, e.log10_p, e.types, e.type_active, e.type_mass, e.type_peak, e.distinct, e.purity,
        e.sums,
    )  # fmt: skip
    return e


@compiled(parallel=True)
@no_type_check
def _gather(
    offsets: I64, positions: U32, values: F32, ids: I32, base: I64, totals: I64, counted: int, holds: U8, table: I64,
    mass: F64, enriched: I32, seen: I64, log10_p: F64, types: I32, type_active: I64, type_mass: F64, type_peak: I64,
    distinct: I64, purity: F64, sums: F64,
) -> None:  # fmt: skip
    at_once = 64
    n = len(offsets) - 1
    for part in prange((n + at_once - 1) // at_once):
        counts, weight = np.zeros(base[-1], np.int64), np.zeros(base[1])
        peak = np.zeros(base[1], np.int64)
        for f in range(part * at_once, min(n, (part + 1) * at_once)):
            where, v = positions[offsets[f] : offsets[f + 1]], values[offsets[f] : offsets[f + 1]]
            for k in range(len(base) - 1):
                _enriched(where, ids[k], totals, counted, base[-1], counts, enriched[f, k], seen[f, k], log10_p[f, k])
            mass[f] = np.abs(v).sum()
            distinct[f], purity[f] = _types(
                where, v, ids[0], totals, holds, table, counts, weight, peak, types[f], type_active[f], type_mass[f],
                type_peak[f], sums[f],
            )  # fmt: skip


@compiled()
@no_type_check
def _enriched(
    where: U32, row: I32, totals: I64, counted: int, tests: int, counts: I64, best: I32, seen: I64, log10_p: F64
) -> None:
    """The over-represented categories of one attribute, the surest first. `counts` is zero before and after."""
    touched, m = np.empty(len(where), np.int64), 0
    for p in where:
        c = row[p]
        if counts[c] == 0:
            touched[m] = c
            m += 1
        counts[c] += 1
    for i in range(m):
        c = touched[i]
        if counts[c] < 2 or counts[c] <= len(where) * totals[c] / counted:
            continue
        p = log10_tail(counts[c], len(where), totals[c], counted) + np.log10(tests)
        if p >= SURE:
            continue
        at = len(best)
        while at > 0 and (best[at - 1] < 0 or p < log10_p[at - 1]):
            if at < len(best):
                best[at], seen[at], log10_p[at] = best[at - 1], seen[at - 1], log10_p[at - 1]
            at -= 1
        if at < len(best):
            best[at], seen[at], log10_p[at] = c, counts[c], p
    for i in range(m):
        counts[touched[i]] = 0


@compiled()
@no_type_check
def _types(
    where: U32, v: F32, row: I32, totals: I64, holds: U8, table: I64, counts: I64, weight: F64, peak: I64,
    types: I32, type_active: I64, type_mass: F64, type_peak: I64, sums: F64,
) -> tuple[int, float]:  # fmt: skip
    """The tokens that the feature is active on, and each property's sums; (how many there are, their purity)."""
    touched, slot, m = np.empty(len(where), np.int64), np.empty(len(where), np.int64), 0
    strongest = np.empty(len(where), np.float32)
    number = np.full(len(where), -1, np.int64)
    for e in range(len(where)):
        c, size = row[where[e]], abs(v[e])
        if counts[c] == 0:
            touched[m], strongest[m], peak[c] = c, -1.0, m  # `peak` leads to the token's place until it is written
            m += 1
        j = peak[c]
        slot[e] = j
        counts[c] += 1
        weight[c] += size
        if size > strongest[j]:
            strongest[j], number[j] = size, where[e]
    again = 0.0
    for j in range(m):
        c = touched[j]
        if totals[c] > 1:
            again += counts[c] * (counts[c] - 1.0) / (totals[c] - 1.0)
    both = np.zeros((m, holds.shape[1]), np.int64)
    for e in range(len(where)):
        for b in range(holds.shape[1]):
            if holds[where[e], b]:
                both[slot[e], b] += 1
                sums[b, 5] += abs(v[e])
    for j in range(m):
        c = touched[j]
        for b in range(holds.shape[1]):
            stratum(both[j, b], counts[c], table[c, b], totals[c], sums[b])
    falling = np.empty(m)
    for j in range(m):
        falling[j] = -weight[touched[j]]
    order = np.argsort(falling, kind="mergesort")
    for i in range(min(m, len(types))):
        j = order[i]
        c = touched[j]
        types[i], type_active[i], type_mass[i], type_peak[i] = c, counts[c], weight[c], number[j]
    for j in range(m):
        counts[touched[j]] = 0
        weight[touched[j]] = 0.0
    return m, again / max(1, len(where))


def property_words(fact: Property, parts: tuple[str, ...]) -> str:
    """A property as a line shows it."""
    if fact.kind == "place":
        first, last = bucket_range(fact.number)
        return f"at place {first}" if first == last else f"at places {first}–{last}"
    if fact.kind == "line":
        if fact.number > LINE:
            return "in a line cut off by the prompt’s beginning"
        return "first in its line" if not fact.number else f"{fact.number} after a line’s first token"
    if fact.kind == "part":
        return f"in {parts[fact.number]}"
    return "inside a longer word" if fact.kind == "piece" else f"where the last {fact.number} tokens are a repetition"
