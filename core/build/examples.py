"""Which prompts a feature's page shows, chosen from its non-zeros; nothing is run again.

Four kinds of group, following `neuronpedia.md` section 7 and SAEDashboard's components without their faults:

- diverse: the strongest prompts, at most one entry a prompt (its peak). A prompt whose context at the peak is
  near-identical to a stronger one's is folded into that one and counted. Two contexts are near-identical if the peak is
  the same token of the same word and at least `SAME` of the `BEFORE` tokens before and `AFTER` after it are the same;
  so the same token inside another word is never merged with the word, whatever stands around it.
- raw: the strongest tokens as they come.
- interval: the range of values in equal steps, each (low, high]; of each step a few tokens, drawn by a hash of
  (feature, token) so that the draw does not depend on the order of the pass, at most one a prompt.
- random: active tokens drawn the same way over the whole range.

Cost: a sort of the feature's entries, and up to `TOP` comparisons of all its prompts' windows.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange

from core.kernel import F32, F64, I64, U32, U64, compiled, elementwise, no_type_check
from core.models.vocabulary import Vocabulary
from core.store.grouped import Grouped

TOP, RAW, STEPS, PER_STEP, RANDOM, MEMBERS = 20, 10, 5, 4, 6, 5
BEFORE, AFTER, SAME = 8, 2, 8
KINDS = ("diverse", "raw", "interval", "random")
FEW = np.array([6, 3, 1, 1])
"""How many of each kind's group a build with `examples: few` keeps, the first ones."""


@dataclass(frozen=True, slots=True)
class Texts:
    """All prompts of the build, run together."""

    tokens: U32
    """[total] ids."""
    starts: I64
    """[prompts + 1]"""
    prompt: U32
    """[total]: the prompt of each token."""
    word: U64
    """[total]: a hash of the word that the token stands in and of its place in it."""
    frequency: F64
    """[ids]: share of each id among all tokens."""

    @classmethod
    def of(cls, prompts: list[U32], vocabulary: Vocabulary) -> Texts:
        """From the prompts in order."""
        lengths = np.array([len(p) for p in prompts], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.concatenate(prompts)
        prompt = np.repeat(np.arange(len(prompts), dtype=np.uint32), lengths)
        return cls(tokens, starts, prompt, _words(tokens, starts, vocabulary), np.bincount(tokens) / len(tokens))


@elementwise("uint64(uint64, uint64)")
@no_type_check
def _hash(feature: Any, position: Any) -> Any:
    """SplitMix64 of (feature, position): the priority of a draw."""
    x = position * np.uint64(0xD1342543DE82EF95) + feature * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _words(tokens: U32, starts: I64, vocabulary: Vocabulary) -> U64:
    """A hash of each token's word and place in it; a token goes on with the word before it if letters or digits meet.

    A token that begins or ends inside a character counts as a letter there.
    """

    def letter(character: str) -> bool:
        return character == "\ufffd" or unicodedata.category(character)[0] in "LMN"

    size = max(len(vocabulary), int(tokens.max()) + 1)
    pieces = ["" if i in vocabulary.special else vocabulary.piece(i).decode("utf-8", "replace") for i in range(size)]
    begins = np.array([bool(p) and letter(p[0]) for p in pieces])
    ends = np.array([bool(p) and letter(p[-1]) for p in pieces])
    fresh = np.ones(len(tokens), bool)
    fresh[1:] = ~(begins[tokens[1:]] & ends[tokens[:-1]])
    fresh[starts[:-1]] = True
    heads = np.flatnonzero(fresh)
    number = np.cumsum(fresh) - 1
    place = np.arange(len(tokens)) - heads[number]
    with np.errstate(over="ignore"):
        mixed = _hash(np.uint64(0), tokens.astype(np.uint64) + (place.astype(np.uint64) << np.uint64(32)))
        return np.add.reduceat(mixed, heads)[number] + place.astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The groups of a block of features, one after another; sizes say where each begins."""

    groups: I64
    """[features]: how many groups each has."""
    kind: I64
    low: F64
    high: F64
    share: F64
    size: I64
    """[groups]: how many examples each has."""
    rows: I64
    """[examples]: which of the block's entries."""
    repeats: I64
    members: I64
    """[examples]: how many folded ones are kept."""
    folded: I64
    """[folded]: which of the block's entries."""


def choose(first: int, some: Grouped, texts: Texts, counted: int, edges: F64, *, few: bool = False) -> Chosen:
    """The groups of the features of a block; `first` is the first one's number.

    `edges` [features, steps, 2] are the intervals' (low, high], NaN where a feature has fewer. With `few`, of each
    group the first that `FEW` says.
    """
    n, steps_ = some.width, edges.shape[1]
    most = TOP + RAW + steps_ * PER_STEP + RANDOM
    groups = np.zeros((n, 3 + steps_, 5))
    table = np.zeros((n, most, 3), np.int64)
    folded = np.zeros((n, TOP, MEMBERS), np.int64)
    texts_ = (texts.tokens, texts.starts, texts.prompt, texts.word)
    edges = np.ascontiguousarray(edges)  # another layout would be compiled for anew
    _choose(first, some.offsets, some.positions, some.values, *texts_, counted, edges, groups, table, folded)
    sizes = groups[:, :, 4].astype(np.int64)
    rows = table[np.arange(most) < sizes.sum(1)[:, None]]
    if few:
        groups[:, :, 4] = np.minimum(sizes, FEW[groups[:, :, 0].astype(np.int64)])
        place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes.ravel(), sizes.ravel())
        rows = rows[place < np.repeat(groups[:, :, 4].ravel(), sizes.ravel())]
    there = groups[:, :, 4] > 0
    kept = groups[there]
    first_of_all = np.arange(TOP) < groups[:, 0, 4][:, None]  # the diverse ones, which alone have others folded in
    members = np.arange(MEMBERS) < table[:, :TOP, 2][first_of_all][:, None]
    return Chosen(
        there.sum(1), kept[:, 0].astype(np.int64), kept[:, 1], kept[:, 2], kept[:, 3], kept[:, 4].astype(np.int64),
        rows[:, 0], rows[:, 1], rows[:, 2], folded[first_of_all][members],
    )  # fmt: skip


@compiled(parallel=True)
@no_type_check
def _choose(
    first: int, offsets: I64, positions: U32, values: F32, tokens: U32, starts: I64, prompt: U32, word: U64,
    counted: int, edges: F64, groups: F64, table: I64, folded: I64,
) -> None:  # fmt: skip
    """For each feature its `groups` (kind, low, high, share, size) and their rows (entry, repeats, folded)."""
    for f in prange(len(groups)):
        begin, end = offsets[f], offsets[f + 1]
        if begin < end:
            where, v = positions[begin:end], values[begin:end]
            texts = (tokens, starts, prompt, word)
            _choose_one(first + f, begin, where, v, texts, counted, edges[f], groups[f], table[f], folded[f])


@compiled()
@no_type_check
def _choose_one(
    feature: int, begin: int, where: U32, v: F32, texts: tuple[U32, I64, U32, U64], counted: int,
    edges: F64, groups: F64, out: I64, folded: I64,
) -> None:  # fmt: skip
    """The groups of one feature whose entries are the block's from `begin` on."""
    prompt = texts[2]
    low, high = 0.0, np.float64(v[0])
    for x in v:
        low, high = min(low, np.float64(x)), max(high, np.float64(x))
    n = _diverse(where, v, texts, out, folded)
    size = _strongest(v, RAW, out[n:])
    for kind in range(2):
        groups[kind, 0], groups[kind, 1], groups[kind, 2], groups[kind, 3] = kind, low, high, len(v) / counted
        groups[kind, 4] = size if kind else n
    n += size
    for step in range(len(edges)):
        group = groups[2 + step]
        group[0], group[1], group[2] = 2, edges[step, 0], edges[step, 1]
        inside, size = _draw(np.uint64(feature), edges[step, 0], edges[step, 1], where, v, prompt, PER_STEP, out[n:])
        group[3], group[4] = inside / counted, size
        n += size
    group = groups[len(groups) - 1]
    inside, size = _draw(~np.uint64(feature), -np.inf, np.inf, where, v, prompt, RANDOM, out[n:])
    group[0], group[1], group[2], group[3], group[4] = 3, low, high, inside / counted, size
    n += size
    for row in range(n):
        out[row, 0] += begin
    folded += begin


@compiled()
@no_type_check
def _diverse(where: U32, v: F32, texts: tuple[U32, I64, U32, U64], out: I64, folded: I64) -> int:
    """Peaks in descending order, near-identical ones folded into the strongest; returns how many there are."""
    tokens, starts, prompt, word = texts
    peaks = np.empty(len(v), np.int64)
    count = 0
    for row in range(len(v)):  # entries ascend, so a prompt's stand together
        if count and prompt[where[row]] == prompt[where[peaks[count - 1]]]:
            if v[row] > v[peaks[count - 1]]:
                peaks[count - 1] = row
        else:
            peaks[count] = row
            count += 1
    peaks = peaks[:count]
    falling = np.empty(count, np.float64)
    for n in range(count):
        falling[n] = -v[peaks[n]]
    peaks = peaks[np.argsort(falling, kind="mergesort")]  # stable: the first of equals before the others
    gone = np.zeros(count, np.bool_)
    n = 0
    for head in range(count):
        if gone[head]:
            continue
        if n == TOP:
            break
        repeats, here = 1, np.int64(where[peaks[head]])
        for other in range(head + 1, count):
            there = np.int64(where[peaks[other]])
            if not gone[other] and word[here] == word[there] and _alike(here, there, tokens, starts, prompt):
                gone[other] = True
                if repeats <= MEMBERS:
                    folded[n, repeats - 1] = peaks[other]
                repeats += 1
        out[n, 0], out[n, 1], out[n, 2] = peaks[head], repeats, min(repeats - 1, MEMBERS)
        n += 1
    return n


@compiled()
@no_type_check
def _alike(a: np.int64, b: np.int64, tokens: U32, starts: I64, prompt: U32) -> bool:
    """Whether enough of the tokens around two peaks are the same; places beyond both prompts are."""
    p, q = prompt[a], prompt[b]
    same = 0
    for offset in range(-BEFORE, AFTER + 1):
        left = a + offset if starts[p] <= a + offset < starts[p + 1] else -1
        right = b + offset if starts[q] <= b + offset < starts[q + 1] else -1
        if left >= 0 and right >= 0:
            same += tokens[left] == tokens[right]
        else:
            same += left == right
    return same > SAME  # the peak is one of the equal ones, hence “more than”


@compiled()
@no_type_check
def _strongest(v: F32, k: int, out: I64) -> int:
    """The rows of the `k` largest values, the first of equals before the others; returns how many there are."""
    n = 0
    for row in range(len(v)):
        at = n
        while at > 0 and v[row] > v[out[at - 1, 0]]:
            at -= 1
        if at == k:
            continue
        for place in range(min(n, k - 1), at, -1):
            out[place, 0] = out[place - 1, 0]
        out[at, 0] = row
        n = min(n + 1, k)
    out[:n, 1] = 1
    return n


@compiled()
@no_type_check
def _draw(
    seed: np.uint64, low: float, high: float, where: U32, v: F32, prompt: U32, count: int, out: I64
) -> tuple[int, int]:
    """Of the entries in (low, high] the `count` whose hashes come first, at most one a prompt; strongest first.

    Returns how many entries there are in the range, and how many were drawn.
    """
    chosen, priority = np.empty(count, np.int64), np.empty(count, np.uint64)
    n, inside = 0, 0
    for row in range(len(v)):
        if not (v[row] > low and v[row] <= high):
            continue
        inside += 1
        h = _hash(seed, np.uint64(where[row]))
        place = n
        for i in range(n):
            if prompt[where[chosen[i]]] == prompt[where[row]]:
                place = i
        if place == n == count:
            for i in range(n):
                if place == n or priority[i] > priority[place]:
                    place = i
        if place < n and priority[place] <= h:
            continue
        chosen[place], priority[place] = row, h
        n = max(n, place + 1)
    for i in range(n):
        row, at = chosen[i], i
        while at > 0 and (v[row] > v[out[at - 1, 0]] or (v[row] == v[out[at - 1, 0]] and row < out[at - 1, 0])):
            out[at, 0] = out[at - 1, 0]
            at -= 1
        out[at, 0], out[i, 1] = row, 1
    return inside, n


@compiled(parallel=True)
@no_type_check
def places(prompts: U32, features: I64, offsets: I64, positions: U32, starts: I64) -> tuple[I64, I64]:
    """(first, after the last) entry, in a block, of each of some (prompt, feature)."""
    begins, ends = np.empty(len(prompts), np.int64), np.empty(len(prompts), np.int64)
    for n in prange(len(prompts)):
        first, last = offsets[features[n]], offsets[features[n] + 1]
        part = positions[first:last]
        begins[n] = first + np.searchsorted(part, starts[prompts[n]])
        ends[n] = first + np.searchsorted(part, starts[prompts[n] + 1])
    return begins, ends


def steps(maximum: F32) -> F64:
    """[features, STEPS, 2]: equal intervals of (0, maximum], the strongest first."""
    edges = maximum.astype(np.float64)[:, None] * np.arange(STEPS + 1) / STEPS
    edges[:, -1] = maximum
    return np.stack([edges[:, :-1], edges[:, 1:]], axis=2)[:, ::-1]


def tail_steps(low: F64, lower: F32, upper: F32, high: F64) -> F64:
    """[features, 5, 2]: the stored tails of a signed source: four steps of [upper, high], and [low, lower]."""
    edges = upper[:, None].astype(np.float64) + (high - upper)[:, None] * np.arange(5) / 4
    edges[:, -1] = high
    above = np.stack([edges[:, :-1], edges[:, 1:]], axis=2)[:, ::-1]
    above[high <= upper] = np.nan
    # an interval is open below and closed above, while the lower tail is what lies below `lower` and includes `low`
    below = np.stack([np.nextafter(edge.astype(np.float32), np.float32(-np.inf)) for edge in (low, lower)], axis=1)
    below = below.astype(np.float64)
    below[low >= lower] = np.nan
    return np.concatenate([above, below[:, None]], axis=1)
