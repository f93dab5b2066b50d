"""Which examples are shown: near-identical contexts folded and counted, a word never taken for a part of another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.build import examples
from core.models.vocabulary import Vocabulary
from core.store.grouped import Grouped

WORDS = (
    "", " the", " cat", " sat", "on", " on", " mat", "s", "ter", ".", "\n", "’", " “", "un", "日", "本", " 7", "a",
    " x",
)  # fmt: skip
ID = {word: i for i, word in enumerate(WORDS)}
VOCABULARY = Vocabulary([w.encode() for w in WORDS], [0])
FILL = [ID[w] for w in (" the", " cat", " sat", " on", " mat", ".", "\n", " x", " 7", "a")]


def texts(*prompts: list[int]) -> examples.Texts:
    return examples.Texts.of([np.array(p, np.uint32) for p in prompts], VOCABULARY)


class Group(NamedTuple):
    """One group of one feature, as `choose` lists it."""

    kind: int
    low: float
    high: float
    rows: np.ndarray
    repeats: np.ndarray
    members: list[list[int]]


def choose(made: examples.Texts, positions, values, *, feature=3, edges=None, few=False) -> list[Group]:
    """The groups of one feature that stands in the middle of a block."""
    positions, values = np.array(positions, np.uint32), np.array(values, np.float32)
    other = np.flatnonzero(made.tokens != 0)[:2].astype(np.uint32)
    some = Grouped(
        np.array([0, len(other), len(other) + len(positions), len(other) + len(positions)]),
        np.concatenate([other, positions]),
        np.concatenate([np.ones(len(other), np.float32), values]),
    )
    if edges is None:
        edges = examples.steps(np.array([1.0, values.max() if len(values) else 0, 0], np.float32))
    chosen = examples.choose(feature - 1, some, made, len(made.tokens), edges, few=few)
    starts = np.concatenate([[0], np.cumsum(chosen.size)])
    folds = np.concatenate([[0], np.cumsum(chosen.members)])
    first = int(chosen.groups[0])
    assert chosen.groups[2] == 0, "a feature that is never active has no groups"
    groups = []
    for g in range(first, first + int(chosen.groups[1])):
        part = range(starts[g], starts[g + 1])
        members = [(chosen.folded[folds[n] : folds[n + 1]] - len(other)).tolist() for n in part]
        rows = chosen.rows[part.start : part.stop] - len(other)
        facts = (int(chosen.kind[g]), chosen.low[g], chosen.high[g])
        groups.append(Group(*facts, rows, chosen.repeats[part.start : part.stop], members))
    return groups


def diverse(made: examples.Texts, positions, values=None) -> list[tuple[int, int]]:
    """(prompt, repeats) of the first group for one feature active at `positions`, one a prompt."""
    values = np.linspace(2, 1, len(positions)) if values is None else values
    group = choose(made, positions, values)[0]
    where = np.array(positions)[group.rows]
    return list(zip(made.prompt[where].tolist(), group.repeats.tolist(), strict=True))


def at(made: examples.Texts, places: list[int]) -> list[int]:
    return [int(start) + p for start, p in zip(made.starts[:-1], places, strict=True)]


LEFT = FILL[:8]


def test_exact_repeats_are_one_with_their_count():
    made = texts(*[[0, *LEFT, ID[" cat"], ID["."], ID["\n"]]] * 37)
    assert diverse(made, at(made, [9] * 37)) == [(0, 37)]


def test_a_differing_prefix_further_off_is_folded():
    rows = [[0, *([FILL[n % 10]] * n), *LEFT, ID[" cat"], ID["."], ID["\n"]] for n in range(5)]
    made = texts(*rows)
    assert diverse(made, at(made, [9 + n for n in range(5)])) == [(0, 5)]


def test_a_differing_suffix_further_off_is_folded():
    rows = [[0, *LEFT, ID[" cat"], ID["."], ID["\n"], *([FILL[n]] * n)] for n in range(5)]
    made = texts(*rows)
    assert diverse(made, at(made, [9] * 5)) == [(0, 5)]


def test_two_tokens_of_ten_may_differ_and_three_may_not():
    def row(changed):
        window = [*LEFT, ID[" cat"], ID["."], ID["\n"]]
        for n in range(changed):
            window[n] = ID[" “"]
        return [0, *window]

    made = texts(row(0), row(1), row(2), row(3), row(8))
    assert diverse(made, at(made, [9] * 5)) == [(0, 3), (3, 1), (4, 1)]


def test_the_same_token_in_another_context_is_shown():
    made = texts([0, *LEFT, ID[" cat"], ID["."]], [0, *reversed(LEFT), ID[" cat"], ID["\n"]])
    assert diverse(made, at(made, [9, 9])) == [(0, 1), (1, 1)]


@pytest.mark.parametrize(
    "variants",
    [
        (["on"], ["on", "s"]),  # “on” and “ons”
        (["on"], ["un", "on"]),  # “on” and “unon”
        ([" mat"], [" mat", "ter"]),
        ([" mat", "s"], [" mat", "ter"]),
        (["on", "s"], ["un", "on", "s"]),
    ],
)
def test_the_same_token_inside_another_word_is_never_merged(variants):
    """Whatever stands around it; the activation is on the token that both words share."""
    shared = next(t for t in variants[0] if t in variants[1])
    rows, places = [], []
    for words in variants:
        rows.append([0, *LEFT, *[ID[w] for w in words], ID["."], ID["\n"]])
        places.append(9 + words.index(shared))
    made = texts(*rows)
    assert diverse(made, at(made, places)) == [(0, 1), (1, 1)]


def test_punctuation_and_quotes_end_a_word():
    """“cat’s”, “cat.” and “cat” around the same peak are the same word “cat”, and quotes do not join words."""
    rows = [
        [0, *LEFT, ID[" cat"], ID["’"], ID["s"]],
        [0, *LEFT, ID[" cat"], ID["."], ID["s"]],
        [0, *LEFT, ID[" cat"], ID["\n"], ID["s"]],
    ]
    made = texts(*rows)
    assert diverse(made, at(made, [9, 9, 9])) == [(0, 3)]


def test_one_entry_a_prompt_and_the_strongest_first():
    made = texts([0, *FILL], [0, *FILL[::-1]])
    group = choose(made, [1, 2, 3, 12, 13], [1, 5, 5, 7, 2])
    assert group[0].rows.tolist() == [3, 1], "the first of equals"
    assert group[1].rows.tolist() == [3, 1, 2, 4, 0]


def naive_diverse(made, positions, values):
    """The definition in words, by loops."""
    peaks = {}
    for n in sorted(range(len(positions)), key=lambda n: (-values[n], positions[n])):
        peaks.setdefault(int(made.prompt[positions[n]]), n)

    def token(position, prompt):
        inside = made.starts[prompt] <= position < made.starts[prompt + 1]
        return int(made.tokens[position]) if inside else None

    def word(position):
        """(the word's tokens, which of them)."""
        prompt = int(made.prompt[position])

        def joined(a, b):
            left, right = token(a, prompt), token(b, prompt)
            if left in (None, 0) or right in (None, 0):
                return False
            return WORDS[left][-1].isalnum() and WORDS[right][0].isalnum()

        begin = end = position
        while joined(begin - 1, begin):
            begin -= 1
        while joined(end, end + 1):
            end += 1
        return tuple(made.tokens[begin : end + 1].tolist()), position - begin

    left, result = list(peaks.items()), []
    while left:
        prompt, head = left[0]
        here = int(positions[head])

        def same(other, prompt=prompt, here=here):
            there = int(positions[other[1]])
            if word(here) != word(there):
                return False
            offsets = [o for o in range(-8, 3) if o]
            return sum(token(here + o, prompt) == token(there + o, other[0]) for o in offsets) >= 8

        folded = [p for p in left if p[1] == head or same(p)]
        result.append((prompt, len(folded)))
        left = [p for p in left if p not in folded]
    return result[:20]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_folding_is_its_definition(data):
    token = st.sampled_from([ID[w] for w in ("on", "s", " mat", "ter", ".", "un", "’")])
    core_ = st.lists(st.sampled_from([ID["on"], ID["s"], ID["."]]), min_size=2, max_size=4)
    shared = data.draw(st.lists(token, min_size=6, max_size=9))
    rows = [
        [0, *data.draw(st.lists(token, max_size=2)), *shared, *data.draw(core_)]
        for _ in range(data.draw(st.integers(1, 6)))
    ]
    made = texts(*rows)
    body = np.flatnonzero(made.tokens != 0)
    chosen = data.draw(st.lists(st.sampled_from(body.tolist()), min_size=1, max_size=12, unique=True))
    positions = np.array(sorted(chosen), np.uint32)
    values = np.array(
        data.draw(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=len(chosen), max_size=len(chosen))), np.float32
    )
    assert diverse(made, positions.tolist(), values) == naive_diverse(made, positions, values)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(2.0**-20, 2.0**10, width=32), min_size=1, max_size=200),
    prompts=st.integers(1, 40),
    feature=st.integers(0, 10**6),
)
def test_draws(values, prompts, feature):
    """Every draw is in its interval, one a prompt, as many as there can be, and the same each time."""
    size = -(-len(values) // prompts)
    made = texts(*[[FILL[n % 10]] * size for n in range(prompts)])
    positions = np.arange(len(values), dtype=np.uint32)
    values = np.array(values, np.float32)
    groups, again = (choose(made, positions, values, feature=feature) for _ in range(2))
    for a, b in zip(groups, again, strict=True):
        assert a.rows.tolist() == b.rows.tolist()
    covered = 0
    for group in groups[2:]:
        inside = np.arange(len(values))
        if group.kind == 2:
            inside = np.flatnonzero((values > np.float32(group.low)) & (values <= np.float32(group.high)))
            covered += len(inside)
        assert set(group.rows.tolist()) <= set(inside.tolist())
        drawn = made.prompt[group.rows]
        limit = examples.PER_STEP if group.kind == 2 else examples.RANDOM
        assert len(set(drawn.tolist())) == len(drawn) == min(limit, len(set(made.prompt[inside].tolist())))
    assert covered == len(values)


@settings(max_examples=50, deadline=None)
@given(
    positions=st.lists(st.integers(0, 599), min_size=1, max_size=300, unique=True).map(sorted),
    drawn=st.randoms(use_true_random=False),
)
def test_few_examples_are_the_first_of_each_group(positions, drawn):
    made = texts(*[[FILL[(n + m) % 10] for m in range(20)] for n in range(30)])
    values = [drawn.choice([0.5, 1.0, 2.0, 3.5]) * (1 + drawn.random()) for _ in positions]
    every, few = (choose(made, positions, values, few=few) for few in (False, True))
    assert len(every) == len(few)
    for a, b in zip(every, few, strict=True):
        most = examples.FEW[a.kind]
        assert (a.kind, a.low, a.high) == (b.kind, b.low, b.high)
        assert a.rows[:most].tolist() == b.rows.tolist()
        assert a.repeats[:most].tolist() == b.repeats.tolist() and a.members[:most] == b.members


def test_a_draw_is_even():
    """Over many features each of the tokens is drawn about as often."""
    made = texts(*[[FILL[0]]] * 50)
    positions, values = np.arange(50, dtype=np.uint32), np.ones(50, np.float32)
    drawn = np.concatenate([choose(made, positions, values, feature=f)[-1].rows for f in range(500)])
    counts = np.bincount(drawn, minlength=50)
    assert counts.min() > 30 and counts.max() < 95  # 60 expected


def test_a_dead_feature_has_no_groups():
    assert choose(texts([0, *FILL]), [], []) == []
