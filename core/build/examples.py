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

import numpy as np
from numpy.typing import NDArray

from core.models.vocabulary import Vocabulary

TOP, RAW, STEPS, PER_STEP, RANDOM, MEMBERS = 20, 10, 5, 4, 6, 5
BEFORE, AFTER, SAME = 8, 2, 8
KINDS = ("diverse", "raw", "interval", "random")

U32 = NDArray[np.uint32]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Texts:
    """All prompts of the build, run together."""

    tokens: U32
    """[total] ids."""
    starts: I64
    """[prompts + 1]"""
    prompt: U32
    """[total]: the prompt of each token."""
    word: NDArray[np.uint64]
    """[total]: a hash of the word that the token stands in and of its place in it."""
    frequency: NDArray[np.float64]
    """[ids]: share of each id among all tokens."""

    @classmethod
    def of(cls, prompts: list[U32], vocabulary: Vocabulary) -> Texts:
        """From the prompts in order."""
        lengths = np.array([len(p) for p in prompts], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.concatenate(prompts)
        prompt = np.repeat(np.arange(len(prompts), dtype=np.uint32), lengths)
        return cls(tokens, starts, prompt, _words(tokens, starts, vocabulary), np.bincount(tokens) / len(tokens))

    def windows(self, positions: I64) -> NDArray[np.int64]:
        """[n, BEFORE + 1 + AFTER] ids around each position; -1 outside its prompt."""
        offsets = np.arange(-BEFORE, AFTER + 1)
        at = positions[:, None] + offsets
        prompt = self.prompt[positions].astype(np.int64)
        inside = (at >= self.starts[prompt][:, None]) & (at < self.starts[prompt + 1][:, None])
        return np.where(inside, self.tokens[np.clip(at, 0, len(self.tokens) - 1)].astype(np.int64), -1)


def _words(tokens: U32, starts: I64, vocabulary: Vocabulary) -> NDArray[np.uint64]:
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
        mixed = _hash(0, tokens.astype(np.int64) + (place.astype(np.int64) << 32))
        return np.add.reduceat(mixed, heads)[number] + place.astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Group:
    """Entries chosen for one group, as rows of the feature's non-zeros."""

    kind: int
    low: float
    high: float
    share: float
    rows: I64
    repeats: I64
    members: list[I64]


def choose(
    feature: int, positions: U32, values: F32, texts: Texts, counted: int, edges: list[tuple[float, float]]
) -> list[Group]:
    """The groups of one feature from its non-zeros in token order; `edges` are the interval's (low, high]."""
    if not len(positions):
        return []
    where = positions.astype(np.int64)
    prompt = texts.prompt[where]

    def falling(rows: I64) -> I64:
        """The strongest first, the first of equals before the others."""
        return rows[np.lexsort((where[rows], -values[rows]))]

    order = falling(np.arange(len(where)))
    share = len(where) / counted
    high = float(values.max())
    low = float(min(0.0, values.min()))
    groups = [
        _diverse(order, where, prompt, texts, (low, high, share)),
        Group(1, low, high, share, order[:RAW], np.ones(min(RAW, len(order)), np.int64), []),
    ]
    priority = _hash(feature, where)
    for bottom, top in edges:
        inside = np.flatnonzero((values > bottom) & (values <= top))
        if len(inside):
            rows = _draw(inside, priority, prompt, PER_STEP)
            groups.append(Group(2, bottom, top, len(inside) / counted, falling(rows), np.ones(len(rows), np.int64), []))
    rows = _draw(np.arange(len(where)), _hash(~feature, where), prompt, RANDOM)
    groups.append(Group(3, low, high, share, falling(rows), np.ones(len(rows), np.int64), []))
    return groups


def _diverse(order: I64, where: I64, prompt: U32, texts: Texts, bounds: tuple[float, float, float]) -> Group:
    """Peaks in descending order, near-identical ones folded into the strongest."""
    _, first = np.unique(prompt[order], return_index=True)
    left = order[np.sort(first)]
    windows, words = texts.windows(where[left]), texts.word[where[left]]
    rows: list[np.int64] = []
    repeats: list[int] = []
    members: list[I64] = []
    while len(left) and len(rows) < TOP:
        # the peak is one of the equal ones, hence “more than”
        same = (words == words[0]) & ((windows == windows[0]).sum(1) > SAME)
        same[0] = True
        rows.append(left[0])
        repeats.append(int(same.sum()))
        members.append(left[same][1 : 1 + MEMBERS])
        left, windows, words = left[~same], windows[~same], words[~same]
    return Group(0, *bounds, np.array(rows, np.int64), np.array(repeats, np.int64), members)


def _draw(rows: I64, priority: NDArray[np.uint64], prompt: U32, count: int) -> I64:
    """The `count` of `rows` that stand first by priority, at most one a prompt."""
    some = 16 * count  # enough unless the entries crowd in a few prompts
    head = rows if len(rows) <= some else rows[np.argpartition(priority[rows], some)[:some]]
    for candidates in (head, rows):
        ordered = candidates[np.argsort(priority[candidates], kind="stable")]
        _, first = np.unique(prompt[ordered], return_index=True)
        if len(first) >= count or len(candidates) == len(rows):
            break
    return ordered[np.sort(first)[:count]]


def _hash(feature: int, positions: I64) -> NDArray[np.uint64]:
    """SplitMix64 of (feature, position): the priority of a draw."""
    with np.errstate(over="ignore"):
        seed = np.uint64((feature * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
        x = positions.astype(np.uint64) * np.uint64(0xD1342543DE82EF95) + seed
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def steps(maximum: float) -> list[tuple[float, float]]:
    """`STEPS` equal intervals of (0, maximum], the strongest first."""
    edges = [maximum * i / STEPS for i in range(STEPS + 1)]
    return [(edges[i], maximum if i == STEPS - 1 else edges[i + 1]) for i in reversed(range(STEPS))]


def tail_steps(low: float, lower: float, upper: float, high: float) -> list[tuple[float, float]]:
    """The stored tails of a signed source: four steps of [upper, high], and [low, lower]."""
    edges = [upper + (high - upper) * i / 4 for i in range(5)]
    result = [(edges[i], high if i == 3 else edges[i + 1]) for i in reversed(range(4))] if high > upper else []
    # an interval is open below and closed above, while the lower tail is what lies below `lower` and includes `low`
    below, under = (float(np.nextafter(np.float32(edge), np.float32(-np.inf))) for edge in (low, lower))
    return [*result, (below, under)] if low < lower else result
