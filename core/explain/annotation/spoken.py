"""Where a feature's activation lies within its rule, and on which whole words: what its line says of it.

A rule (`core.explain.annotation.rules`) is sets of categories, and that is what is scored. Its line says the same in
words that a reader knows: categories stand in the order of their activation (the sum of the values' sizes), and one
that is a piece of a word is said with the whole words in which the feature is active on it. Besides, the line says on
which words the `STRONGEST` largest activations are, where it does not name them otherwise. For this the activations of
all documents are looked at; no score is claimed for it, and none of it changes a rule.

Cost: for each feature a look at its entries, and sorting those that its rule covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange

from core.explain.annotation.attributes import ATTRIBUTES
from core.explain.annotation.corpus import Corpus
from core.explain.annotation.rules import FEATURES_AT_ONCE, Rules
from core.kernel import F32, F64, I32, I64, U32, compiled, no_type_check

WORDS = 5
"""Whole words of a category that are kept, those with the largest activation first."""
STRONGEST = 10
_PREV, _PREV2, _BEFORE = (ATTRIBUTES.index(name) for name in ("prev", "prev2", "before"))


@dataclass(frozen=True, slots=True)
class Spoken:
    """Of a block of features."""

    mass: F64
    """[features, CLAUSES, 2, MOST]: activation of each category of a rule, among what its clause covers first."""
    at: I64
    """[features, CLAUSES, 2, MOST, WORDS]: the token on which the feature is strongest in each whole word; -1: none."""
    share: F64
    """The same shape: activation of the category in that word."""
    strongest: I64
    """[features, STRONGEST]: tokens with the largest activations; -1 where there are fewer."""


def gather(offsets: I64, positions: U32, values: F32, corpus: Corpus, rules: Rules) -> Spoken:
    """What the lines of a block of features need to know."""
    shape = rules.sets.shape
    made = Spoken(
        np.zeros(shape), np.full((*shape, WORDS), -1, np.int64), np.zeros((*shape, WORDS)),
        np.full((shape[0], STRONGEST), -1, np.int64),
    )  # fmt: skip
    _gather(
        offsets, positions, values, corpus.ids, corpus.whole, corpus.head, int(corpus.whole.max(initial=0)) + 2,
        rules.attribute, rules.size, rules.sets, made.mass, made.at, made.share, made.strongest,
    )  # fmt: skip
    return made


@compiled(parallel=True)
@no_type_check
def _gather(
    offsets: I64, positions: U32, values: F32, ids: I32, whole: I64, head: I64, words: int, attribute: I64, size: I64,
    sets: I32, mass: F64, at: I64, share: F64, strongest: I64,
) -> None:  # fmt: skip
    n = len(offsets) - 1
    for part in prange((n + FEATURES_AT_ONCE - 1) // FEATURES_AT_ONCE):
        for f in range(part * FEATURES_AT_ONCE, min(n, (part + 1) * FEATURES_AT_ONCE)):
            where, v = positions[offsets[f] : offsets[f + 1]], values[offsets[f] : offsets[f + 1]]
            _strongest(where, v, strongest[f])
            _words(where, v, ids, whole, head, words, attribute[f], size[f], sets[f], mass[f], at[f], share[f])


@compiled()
@no_type_check
def _strongest(where: U32, v: F32, out: I64) -> None:
    held = np.zeros(len(out))
    for e in range(len(where)):
        value = abs(v[e])
        at = len(out)
        while at > 0 and (out[at - 1] < 0 or value > held[at - 1]):
            if at < len(out):
                out[at], held[at] = out[at - 1], held[at - 1]
            at -= 1
        if at < len(out):
            out[at], held[at] = where[e], value


@compiled()
@no_type_check
def _words(
    where: U32, v: F32, ids: I32, whole: I64, head: I64, words: int, attribute: I64, size: I64, sets: I32, mass: F64,
    at: I64, share: F64,
) -> None:  # fmt: skip
    """One feature's. A key is a slot (clause, condition, category), then the whole word."""
    most = sets.shape[2]
    keys, entries, n = np.empty(2 * len(where), np.int64), np.empty(2 * len(where), np.int64), 0
    found = np.empty(2, np.int64)
    for e in range(len(where)):
        p = np.int64(where[e])
        for step in range(len(attribute)):
            if attribute[step, 0] < 0:
                break
            fits = True
            for c in range(2):
                k = attribute[step, c]
                found[c] = -1
                if k < 0:
                    continue
                for q in range(size[step, c]):
                    if sets[step, c, q] == ids[k, p]:
                        found[c] = q
                fits = fits and found[c] >= 0
            if fits:
                for c in range(2):
                    if found[c] >= 0:
                        mass[step, c, found[c]] += abs(v[e])
                        k = attribute[step, c]
                        if k <= _BEFORE:
                            t = p
                            if k == _PREV:
                                t = p - 1
                            elif k == _PREV2:
                                t = p - 2
                            elif k == _BEFORE:
                                t = head[p] - 1
                            word = whole[t] if t >= 0 else -1
                            keys[n] = ((step * 2 + c) * most + found[c]) * words + word + 1
                            entries[n] = e
                            n += 1
                break
    order = np.argsort(keys[:n])
    i = 0
    while i < n:
        key, total, peak, best = keys[order[i]], 0.0, -1.0, -1
        while i < n and keys[order[i]] == key:
            e = entries[order[i]]
            value = abs(v[e])
            total += value
            if value > peak or (value == peak and where[e] < best):
                peak, best = value, int(where[e])
            i += 1
        slot = key // words
        q = slot % most
        c, step = slot // most % 2, slot // most // 2
        j = at.shape[3]
        while j > 0 and (at[step, c, q, j - 1] < 0 or total > share[step, c, q, j - 1]):
            if j < at.shape[3]:
                at[step, c, q, j], share[step, c, q, j] = at[step, c, q, j - 1], share[step, c, q, j - 1]
            j -= 1
        if j < at.shape[3]:
            at[step, c, q, j], share[step, c, q, j] = best, total
