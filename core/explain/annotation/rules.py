"""A rule for each feature, chosen on some documents and scored exactly on the others.

A rule is up to `CLAUSES` clauses joined by “or”; a clause is one or two conditions joined by “and”; a condition says
that an attribute of the token (`core.explain.annotation.corpus`) is in a set of categories. It is grown greedily, as in
rule learners for classification (Clark and Niblett's CN2, Cohen's RIPPER):

1. Of each attribute the categories are put in order of the share of their tokens on which the feature is active (shrunk
   towards the feature's density, as if `SHRINK` tokens of that had been seen), and the beginning of this order is taken
   that gives the best measure; of these at most `MOST` categories are kept, those with the largest activation (sum of
   its values' sizes), so that what a rule names is where the feature is strong and not only where it is often.
2. The `TRIED` best attributes are refined: within the tokens that they cover, a second attribute's set is found the
   same way, and kept if the measure grows by `WORTH`.
3. The best clause is added if the measure grows by `WORTH`; the next is grown on what is not covered yet.

The measure is balanced accuracy plus F1: the first alone likes broad rules, since inactive tokens are so many that
being wrong on a hundredth of them costs next to nothing; the second alone gives up weak activations. A category that
was met on one active token only is in no set (leaving that one out, nothing speaks for it), so that a rule does not
learn single tokens by heart.

Held-out documents play no part in this. On them every counted token is a case: found, missed, falsely found, rightly
left. That is exact and needs no drawing; rare features have few active ones, which is why these are counted beside the
score. The control gives each feature the rule of another one of its source, by a fixed random permutation.

Cost: for each feature a look at its entries for each attribute, and at the tokens of the refined sets; a second
attribute is not looked at where leaving out nothing but mistakes would not be enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numba import prange

from core.explain.annotation.corpus import Corpus
from core.kernel import F32, F64, I32, I64, U32, Bool, compiled, no_type_check

CLAUSES, MOST, TRIED, SHRINK, WORTH, F1_WEIGHT = 3, 16, 2, 2.0, 0.03, 1.0
THEMSELVES = 3
"""The first so many attributes say what the token itself is; one of them does not refine another."""
FEATURES_AT_ONCE = 64
"""Features that a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A rule for each of some features, in arrays."""

    attribute: I64
    """[features, CLAUSES, 2]: index into `ATTRIBUTES`, -1 where there is no condition."""
    size: I64
    """[features, CLAUSES, 2]: categories of each condition."""
    sets: I32
    """[features, CLAUSES, 2, MOST]: global numbers of categories, the most telling first."""
    train: I64
    """[features, 4]: active, found, falsely found, counted tokens; in the documents that the rule was chosen on."""
    test: I64
    """The same in those that were held out."""
    clause: I64
    """[features, CLAUSES, 4]: tokens that a clause covers and earlier ones do not, and how many of them are active:
    first two in training documents, then two in held-out ones."""

    def __getitem__(self, some: slice) -> Rules:
        return Rules(*(getattr(self, f.name)[some] for f in fields(self)))


def joined(parts: Sequence[Rules]) -> Rules:
    """Blocks of features one after another."""
    return Rules(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rules)))


def learn(offsets: I64, positions: U32, values: F32, corpus: Corpus, clauses: int = CLAUSES) -> Rules:
    """The rules of a block of features with these non-zeros, by `offsets` [features + 1]."""
    n = len(offsets) - 1
    made = Rules(
        np.full((n, clauses, 2), -1, np.int64), np.zeros((n, clauses, 2), np.int64),
        np.full((n, clauses, 2, MOST), -1, np.int32), np.zeros((n, 4), np.int64), np.zeros((n, 4), np.int64),
        np.zeros((n, clauses, 4), np.int64),
    )  # fmt: skip
    made.train[:, 3], made.test[:, 3] = corpus.sizes
    _learn(
        offsets, positions, values, corpus.ids, corpus.base, corpus.train, corpus.counted, corpus.held,
        corpus.order, corpus.index, made.attribute, made.size, made.sets, made.train, made.test, made.clause,
    )  # fmt: skip
    return made


@compiled(parallel=True)
@no_type_check
def _learn(
    offsets: I64, positions: U32, values: F32, ids: I32, base: I64, totals: I64, counted: Bool, held: Bool,
    order: U32, index: I64, attribute: I64, size: I64, sets: I32, train: I64, test: I64, clause: I64,
) -> None:  # fmt: skip
    n = len(offsets) - 1
    for part in prange((n + FEATURES_AT_ONCE - 1) // FEATURES_AT_ONCE):
        counts, others = np.zeros(base[-1], np.int64), np.zeros(base[-1], np.int64)
        covered = np.zeros(ids.shape[1], np.int32)  # by which feature; its active tokens are marked in `active`
        active = np.zeros(ids.shape[1], np.int32)
        room = np.empty(ids.shape[1], np.int64)
        level, weight = np.zeros(ids.shape[1], np.float32), np.zeros(base[-1])
        for f in range(part * FEATURES_AT_ONCE, min(n, (part + 1) * FEATURES_AT_ONCE)):
            mine = positions[offsets[f] : offsets[f + 1]]
            for e in range(offsets[f], offsets[f + 1]):
                level[positions[e]] = abs(values[e])
            _one(
                f + 1, mine, ids, base, totals, counted, held, order, index, attribute[f], size[f], sets[f], train[f],
                test[f], clause[f], counts, others, covered, active, room, level, weight,
            )  # fmt: skip


@compiled()
@no_type_check
def _one(
    mark: int, mine: U32, ids: I32, base: I64, totals: I64, counted: Bool, held: Bool, order: U32, index: I64,
    attribute: I64, size: I64, sets: I32, train: I64, test: I64, clause: I64,
    counts: I64, others: I64, covered: I32, active: I32, room: I64, level: F32, weight: F64,
) -> None:  # fmt: skip
    """The rule of one feature. `counts`, `others` and `weight` are zero before and after."""
    where = np.empty(len(mine), np.int64)
    many = 0
    for p in mine:
        active[p] = mark
        if held[p]:
            test[0] += 1
        else:
            train[0] += 1
            where[many] = p
            many += 1
    if not many:
        return
    where = where[:many]
    P, Q = float(many), float(train[3] - many)
    apart = many >= 4  # with fewer, leaving one out would leave nothing
    best = 0.5
    gone = np.empty(0, np.int64)  # training tokens covered so far
    for step in range(len(attribute)):
        found = _clause(
            mark, where, ids, base, totals, counted, held, order, index, P, Q, apart, best,
            attribute[step], size[step], sets[step], counts, others, covered, level, weight, room, gone, train,
        )  # fmt: skip
        if found <= best + (WORTH if step else 0.0):
            attribute[step, :] = -1
            size[step, :] = 0
            sets[step, :, :] = -1
            break
        best = found
        n = _cover(mark, ids, base, counted, held, order, index, attribute[step], size[step], sets[step], covered,
                   active, room, train, test, clause[step])  # fmt: skip
        gone = np.concatenate((gone, room[:n]))
        left = 0
        for p in where:
            if covered[p] != mark:
                where[left] = p
                left += 1
        where = where[:left]
        if not left:
            break


@compiled()
@no_type_check
def _measure(tp: float, fp: float, P: float, Q: float) -> float:
    return 0.5 * (tp / P + 1.0 - fp / Q) + F1_WEIGHT * 2.0 * tp / (P + tp + fp) if Q > 0 else tp / P


@compiled()
@no_type_check
def _clause(
    mark: int, where: I64, ids: I32, base: I64, totals: I64, counted: Bool, held: Bool, order: U32, index: I64,
    P: float, Q: float, apart: bool, so_far: float,
    attribute: I64, size: I64, sets: I32, counts: I64, others: I64, covered: I32, level: F32, weight: F64, room: I64,
    gone: I64, train: I64,
) -> float:  # fmt: skip
    """Writes the best next clause and returns the rule's measure with it."""
    kinds = len(base) - 1
    scores = np.empty(kinds)
    picked, sizes = np.empty((kinds, MOST), np.int32), np.zeros(kinds, np.int64)
    tp, fp = float(train[1]), float(train[2])
    for k in range(kinds):
        touched, m = _count(ids[k], where, counts, level, weight)
        for p in gone:
            others[ids[k, p]] += 1
        for i in range(m):
            c = touched[i]
            others[c] = totals[c] - others[c]
        scores[k], sizes[k] = _best_set(touched[:m], counts, weight, others, tp, fp, P, Q, apart, picked[k])
        for p in gone:
            others[ids[k, p]] = 0
        for i in range(m):
            counts[touched[i]] = 0
            others[touched[i]] = 0
            weight[touched[i]] = 0.0
    best = -1.0
    ranking = np.argsort(-scores)
    for r in range(min(TRIED, kinds)):
        k = ranking[r]
        if scores[k] > best:
            best = scores[k]
            attribute[0], attribute[1], size[0], size[1] = k, -1, sizes[k], 0
            sets[0] = picked[k]
            sets[1, :] = -1
        refined = _refined(
            mark, k, picked[k], sizes[k], where, ids, base, counted, held, order, index, tp, fp, P, Q, apart,
            best + WORTH, attribute, size, sets, counts, others, covered, level, weight, room,
        )  # fmt: skip
        best = max(best, refined)
    return best


@compiled()
@no_type_check
def _count(row: I32, where: I64, counts: I64, level: F32, weight: F64) -> tuple[I64, int]:
    """Counts the categories at some tokens, and adds up their activation; (those that were met, how many)."""
    touched, m = np.empty(len(where), np.int64), 0
    for p in where:
        c = row[p]
        if counts[c] == 0:
            touched[m] = c
            m += 1
        counts[c] += 1
        weight[c] += level[p]
    return touched, m


@compiled()
@no_type_check
def _best_set(
    touched: I64, counts: I64, weight: F64, totals: I64, tp: float, fp: float, P: float, Q: float, apart: bool, out: I32
) -> tuple[float, int]:
    """(measure, size) of the best set of categories, which is written to `out`; `counts` active of `totals` tokens."""
    some, key, m = np.empty(len(touched), np.int64), np.empty(len(touched)), 0
    density = P / (P + Q)
    for c in touched:
        if counts[c] > 1 or not apart:
            some[m], key[m] = c, -(counts[c] + SHRINK * density) / (totals[c] + SHRINK) - 1e-12 * counts[c]
            m += 1
    order = np.argsort(key[:m], kind="mergesort")
    best, size, a, b = -1.0, 0, tp, fp
    for i in range(m):
        c = some[order[i]]
        a += counts[c]
        b += totals[c] - counts[c]
        now = _measure(a, b, P, Q)
        if now > best:
            best, size = now, i + 1
    chosen = some[order[:size]]
    part = np.empty(size)
    for i in range(size):
        part[i] = -weight[chosen[i]]
    chosen = chosen[np.argsort(part, kind="mergesort")]
    a, b = tp, fp
    size = min(size, MOST)
    for i in range(size):
        c = chosen[i]
        out[i] = c
        a += counts[c]
        b += totals[c] - counts[c]
    out[size:] = -1
    return _measure(a, b, P, Q), size


@compiled()
@no_type_check
def _refined(
    mark: int, k: int, chosen: I32, size_k: int, where: I64, ids: I32, base: I64, counted: Bool, held: Bool,
    order: U32, index: I64, tp: float, fp: float, P: float, Q: float, apart: bool, least: float,
    attribute: I64, size: I64, sets: I32, counts: I64, others: I64, covered: I32, level: F32, weight: F64,
    room: I64,
) -> float:  # fmt: skip
    """The measure with a second condition, if one brings it above `least`, in which case both are written; else -1."""
    hits, h = np.empty(len(where), np.int64), 0
    for p in where:
        for i in range(size_k):
            if ids[k, p] == chosen[i]:
                hits[h] = p
                h += 1
                break
    if not h or _measure(tp + h, fp, P, Q) <= least:  # that is what leaving out mistakes alone would give
        return -1.0
    n = _inside(mark, k, chosen[:size_k], base, counted, held, order, index, covered, room)
    best = -1.0
    picked = np.empty(MOST, np.int32)
    for other in range(len(base) - 1):
        if other == k or (other < THEMSELVES and k < THEMSELVES):
            continue
        touched, m = _count(ids[other], hits[:h], counts, level, weight)
        most = 0
        for i in range(m):
            if counts[touched[i]] > 1 or not apart:
                most += counts[touched[i]]
        if _measure(tp + most, fp, P, Q) > least:  # as above
            for i in range(n):
                others[ids[other, room[i]]] += 1
            score, s = _best_set(touched[:m], counts, weight, others, tp, fp, P, Q, apart, picked)
            if score > least:
                best = least = score
                attribute[0], attribute[1], size[0], size[1] = k, other, size_k, s
                sets[0], sets[1] = chosen, picked
            for i in range(n):
                others[ids[other, room[i]]] = 0
        for i in range(m):
            counts[touched[i]] = 0
            weight[touched[i]] = 0.0
    return best


@compiled()
@no_type_check
def _inside(
    mark: int, k: int, chosen: I32, base: I64, counted: Bool, held: Bool, order: U32, index: I64, covered: I32,
    room: I64,
) -> int:  # fmt: skip
    """Training tokens of some categories that are not covered yet, into `room`; returns how many."""
    n = 0
    for c in chosen:
        for i in range(index[c + k], index[c + k + 1]):  # each row of `order` has an end of its own in `index`
            p = order[k, i]
            if counted[p] and not held[p] and covered[p] != mark:
                room[n] = p
                n += 1
    return n


@compiled()
@no_type_check
def _cover(
    mark: int, ids: I32, base: I64, counted: Bool, held: Bool, order: U32, index: I64, attribute: I64, size: I64,
    sets: I32, covered: I32, active: I32, room: I64, train: I64, test: I64, clause: I64,
) -> int:  # fmt: skip
    """Marks what a clause covers and counts it; training tokens into `room`, of which it returns how many."""
    n, k, second = 0, attribute[0], attribute[1]
    for j in range(size[0]):
        c = sets[0, j]
        for i in range(index[c + k], index[c + k + 1]):
            p = order[k, i]
            if not counted[p] or covered[p] == mark:
                continue
            if second >= 0:
                inside = False
                for q in range(size[1]):
                    inside = inside or sets[1, q] == ids[second, p]
                if not inside:
                    continue
            covered[p] = mark
            hit = active[p] == mark
            if held[p]:
                test[1 if hit else 2] += 1
                clause[2] += 1
                clause[3] += hit
            else:
                train[1 if hit else 2] += 1
                clause[0] += 1
                clause[1] += hit
                room[n] = p
                n += 1
    return n


@compiled()
@no_type_check
def fits(ids: I32, p: int, attribute: I64, size: I64, sets: I32) -> bool:
    """Whether a rule fits the token `p`."""
    for step in range(len(attribute)):
        if attribute[step, 0] < 0:
            return False
        whole = True
        for c in range(2):
            k = attribute[step, c]
            if k < 0:
                continue
            inside = False
            for q in range(size[step, c]):
                inside = inside or sets[step, c, q] == ids[k, p]
            whole = whole and inside
        if whole:
            return True
    return False


@compiled(parallel=True)
@no_type_check
def _crossed(
    offsets: I64, positions: U32, held: Bool, ids: I32, other: I64, attribute: I64, size: I64, sets: I32, out: I64
) -> None:
    for f in prange(len(offsets) - 1):
        g = other[f]
        for e in range(offsets[f], offsets[f + 1]):
            p = positions[e]
            if held[p] and fits(ids, p, attribute[g], size[g], sets[g]):
                out[f] += 1


def crossed(offsets: I64, positions: U32, corpus: Corpus, rules: Rules, other: I64) -> I64:
    """[features]: on how many held-out active tokens of each feature of a block the rule of `other` fits."""
    out = np.zeros(len(offsets) - 1, np.int64)
    _crossed(offsets, positions, corpus.held, corpus.ids, other, rules.attribute, rules.size, rules.sets, out)
    return out


def balanced(active: I64, found: I64, false: I64, counted: I64) -> F64:
    """Balanced accuracy: half the share of active tokens that are found plus half that of others rightly left.

    NaN where no token is active, or none is not.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(0.5 * (found / active + 1.0 - false / (counted - active)))
