"""A feature's active tokens sorted into meanings: tokens that the source's other features read alike, or spelt alike.

Each token of the vocabulary (without regard to case and spaces) gets a profile: the mean, over its places in the texts,
of all features' values there in parts of each feature's largest, less the mean over all tokens; in a random projection
to `DIMENSIONS` (Johnson and Lindenstrauss 1984; signs after Achlioptas 2003), which keeps cosines to about
1 / √DIMENSIONS. The feature's own part is taken out of it, since that is what all its tokens share. Two tokens are as
alike as their profiles' cosine, or as the cosine of their spelling (letters, pairs and triples of letters) where that
is at least `SPELT`. A feature's `TYPES` strongest tokens are merged from the bottom up by mean similarity, weighted by
activation (UPGMA, Sokal and Michener 1958), while it is at least `ALIKE`. What is left of a feature after `MOST`
meanings, or is less than `LEAST` of its activation, is counted as the rest.

Cost: `DIMENSIONS` additions a non-zero for the profiles, and `TYPES`³ steps a feature.
"""

from __future__ import annotations

import zlib

import numpy as np
from numba import prange

from core.explain.annotation.evidence import Evidence
from core.kernel import F32, F64, I32, I64, U32, compiled, no_type_check

DIMENSIONS, SPELLING = 96, 64
ALIKE, SPELT, MOST, LEAST = 0.25, 0.5, 4, 0.06


def signs(first: int, count: int) -> F32:
    """[count, DIMENSIONS]: a random projection's rows for features from `first` on, the same whatever the block."""
    rows = np.arange(first, first + count, dtype=np.uint64)[:, None]
    columns = np.arange(DIMENSIONS, dtype=np.uint64)[None]
    with np.errstate(over="ignore"):
        x = rows * np.uint64(0x9E3779B97F4A7C15) + columns * np.uint64(0xD1342543DE82EF95) + np.uint64(1)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.where((x >> np.uint64(63)) > 0, 1.0, -1.0).astype(np.float32) / np.float32(np.sqrt(DIMENSIONS))


@compiled()
@no_type_check
def add_profiles(offsets: I64, positions: U32, values: F32, token: I32, projection: F32, profiles: F32) -> None:
    """Adds a block of features to the profiles [tokens, DIMENSIONS]; not divided by the tokens' counts yet."""
    for f in range(len(offsets) - 1):
        most = np.float32(0)
        for e in range(offsets[f], offsets[f + 1]):
            most = max(most, abs(values[e]))
        if most == 0:
            continue
        for e in range(offsets[f], offsets[f + 1]):
            row = profiles[token[positions[e]]]
            size = values[e] / most
            for d in range(row.shape[0]):
                row[d] += size * projection[f, d]


def centred(profiles: F32, totals: I64) -> F32:
    """Means instead of sums, less the mean over all tokens."""
    mean = profiles.sum(0, dtype=np.float64) / max(1, totals.sum())
    return (profiles / np.maximum(1, totals)[:, None] - mean).astype(np.float32)


def spelling(texts: list[str]) -> F32:
    """[texts, SPELLING]: letters, pairs and triples of letters with the ends marked, hashed; of length one."""
    result = np.zeros((len(texts), SPELLING), np.float32)
    for n, text in enumerate(texts):
        marked = f"^{text}$"
        for size in (1, 2, 3):
            for i in range(len(marked) - size + 1):
                h = zlib.crc32(marked[i : i + size].encode("utf-8", "surrogatepass"))
                result[n, h % SPELLING] += (1.0 if h & 0x10000 else -1.0) * size
    return result / np.maximum(1e-9, np.linalg.norm(result, axis=1))[:, None]


def cluster(e: Evidence, most: F32, profiles: F32, spelt: F32, totals: I64, projection: F32) -> I64:
    """[features, TYPES]: the meaning of each token of a feature, the largest first; -1: the rest.

    `most` [features] is each one's largest value in size, `projection` their rows of `signs`.
    """
    out = np.full(e.types.shape, -1, np.int64)
    _cluster(e.types, e.type_mass, e.mass, most, profiles, spelt, totals, projection, out)
    return out


@compiled(parallel=True)
@no_type_check
def _cluster(
    types: I32, weight: F64, mass: F64, most: F32, profiles: F32, spelt: F32, totals: I64, projection: F32, out: I64
) -> None:
    for f in prange(len(types)):
        m = 0
        while m < types.shape[1] and types[f, m] >= 0:
            m += 1
        if m:
            alike = _similar(types[f, :m], weight[f, :m], most[f], profiles, spelt, totals, projection[f])
            _merge(alike, weight[f, :m], mass[f], out[f])


@compiled()
@no_type_check
def _similar(types: I32, weight: F64, most: float, profiles: F32, spelt: F32, totals: I64, projection: F32) -> F64:
    """How alike a feature's tokens are, [m, m]."""
    m = len(types)
    own = np.empty((m, profiles.shape[1]))
    for i in range(m):
        part = weight[i] / (most * totals[types[i]])
        length = 1e-9
        for d in range(profiles.shape[1]):
            own[i, d] = profiles[types[i], d] - part * projection[d]
            length += own[i, d] ** 2
        own[i] /= np.sqrt(length)
    result = np.empty((m, m))
    for i in range(m):
        for j in range(i + 1):
            read, looks = 0.0, 0.0
            for d in range(own.shape[1]):
                read += own[i, d] * own[j, d]
            for d in range(spelt.shape[1]):
                looks += spelt[types[i], d] * spelt[types[j], d]
            result[i, j] = result[j, i] = max(read, looks if looks >= SPELT else -1.0)
    return result


@compiled()
@no_type_check
def _merge(alike: F64, weight: F64, mass: float, out: I64) -> None:
    """Average linkage; writes each token's meaning."""
    m = len(weight)
    group, size = np.arange(m), weight.copy() + 1e-12
    there = np.ones(m, np.bool_)
    while True:
        best, a, b = ALIKE, -1, -1
        for i in range(m):
            for j in range(i):
                if there[i] and there[j] and alike[i, j] >= best:
                    best, a, b = alike[i, j], j, i
        if a < 0:
            break
        for k in range(m):
            if there[k] and k != a and k != b:
                both = (size[a] * alike[a, k] + size[b] * alike[b, k]) / (size[a] + size[b])
                alike[a, k] = alike[k, a] = both
        size[a] += size[b]
        there[b] = False
        for i in range(m):
            if group[i] == b:
                group[i] = a
    order = np.argsort(-size * there, kind="mergesort")
    for rank in range(min(MOST, m)):
        head = order[rank]
        if there[head] and size[head] >= LEAST * mass:
            for i in range(m):
                if group[i] == head:
                    out[i] = rank


def members(e: Evidence, meaning: I64, offsets: I64, positions: U32, token: I32) -> tuple[I64, I64, I64, I64]:
    """Each meaning as if it were a feature: (its feature, its rank, offsets, entries), by feature and rank."""
    label = np.full(len(positions), -1, np.int64)
    _label(offsets, positions, token, e.types, meaning, int(token.max(initial=0)) + 1, label)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * MOST + label
    some = np.flatnonzero(label >= 0)
    some = some[np.argsort(owner[some], kind="stable")]
    each, sizes = np.unique(owner[some], return_counts=True)
    return each // MOST, each % MOST, np.concatenate([[0], np.cumsum(sizes)]), some


@compiled()
@no_type_check
def _label(offsets: I64, positions: U32, token: I32, types: I32, meaning: I64, tokens: int, out: I64) -> None:
    which = np.full(tokens, -1, np.int64)
    for f in range(len(offsets) - 1):
        for i in range(types.shape[1]):
            if types[f, i] >= 0:
                which[types[f, i]] = meaning[f, i]
        for e in range(offsets[f], offsets[f + 1]):
            out[e] = which[token[positions[e]]]
        for i in range(types.shape[1]):
            if types[f, i] >= 0:
                which[types[f, i]] = -1
