"""Universality on planted models: copies are found, chance is told from likeness, and both are counted right."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from core.atlas.universal.matching import LEAST, QUANTILE, _against, compare
from core.errors import NotAvailable
from core.records import SourceKey
from tests.core.atlas.universal.planted import Text, columns, cut, model, on_tokens, reading

FEATURES = 60
A, B = SourceKey("a", "1-res"), SourceKey("b", "2-res")


def spreads(text: Text, seed: int) -> list[list[np.ndarray]]:
    """Features on characters: each has its own few words, more and less strongly."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(FEATURES):
        value = np.zeros(len(text.vocabulary))
        value[rng.choice(len(value), 3, replace=False)] = rng.uniform(0.5, 4, 3)
        found.append(text.spread(value))
    return found


def side(
    name: str, source: str, text: Text, features: list[list[np.ndarray]], seed: int, *, whole: bool, shuffle=False
):
    order = list(range(len(text.documents)))
    if shuffle:
        random.Random(seed).shuffle(order)
    cuts = cut(text, random.Random(seed), whole=whole, order=order)
    read, numbers = reading(text, cuts, order)
    return model(name, read, **{source: columns([on_tokens(f, cuts, numbers, order) for f in features])})


@pytest.fixture(scope="module")
def copied():
    """A model, and a permuted and scaled copy of it with another tokenizer, which read the texts in another order."""
    text = Text.random()
    features = spreads(text, 1)
    order = np.random.default_rng(2).permutation(FEATURES)
    first = side("a", "1_res", text, features, 3, whole=True)
    second = side("b", "2_res", text, [[3.0 * s for s in features[i]] for i in order], 4, whole=True, shuffle=True)
    return compare(first, second, draws=8), order


def test_a_copy_under_another_tokenizer_is_found(copied):
    found, order = copied
    table, back = found.tables
    assert (table.key, table.others, back.key, back.others) == (A, (B,), B, (A,))
    assert table.index[0].tolist() == np.argsort(order).tolist()
    assert back.index[0].tolist() == order.tolist()
    assert table.value[0] == pytest.approx(1, abs=1e-6)  # the same function on the bytes, whatever the tokens
    assert table.mutual.all()
    assert (table.value > table.bound).all()
    assert table.p[0] == pytest.approx(1 / (1 + 8 * 51))  # none of the chance matches is as good
    assert table.any_p == pytest.approx(table.p[0])


def test_so_is_one_whose_tokens_run_over_words():
    text = Text.random(seed=5)
    features = spreads(text, 6)
    order = np.random.default_rng(7).permutation(FEATURES)
    first = side("a", "1_res", text, features, 8, whole=False)
    second = side("b", "2_res", text, [features[i] for i in order], 9, whole=False)
    table = compare(first, second, draws=4).tables[0]
    assert table.index[0].tolist() == np.argsort(order).tolist()
    assert table.value.min() > 0.5
    assert (table.value[0] > 2 * table.bound[0]).all()


def noise(text: Text, seed: int, name: str, source: str):
    """Features that fire on tokens drawn at random, some often and some seldom."""
    cuts = cut(text, random.Random(seed), whole=False)
    read, numbers = reading(text, cuts)
    rng = np.random.default_rng(seed)
    tokens = np.concatenate(numbers)
    rates = 10 ** rng.uniform(-2.2, -0.7, 150)
    some = [tokens[rng.random(len(tokens)) < rate] for rate in rates]
    return model(name, read, **{source: columns([{int(t): rng.exponential() for t in s} for s in some])})


def test_chance_lets_through_as_many_as_it_says():
    text = Text.random(documents=30)
    p, expected, above = [], [], []
    for seed in range(4):
        found = compare(noise(text, 10 + seed, "a", "1_res"), noise(text, 50 + seed, "b", "2_res"), draws=10, seed=seed)
        for table in found.tables:
            p += table.p[0][table.compared].tolist()
            above += (table.value[0] > table.bound[0])[table.compared].tolist()
            expected.append(table.expected[0])
    assert len(p) > 1000
    for level in (0.1, 0.25, 0.5, 0.75, 0.9):  # uniform, as p-values of unrelated features are
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=0.05)
    assert np.mean(above) < 0.03
    assert np.mean(expected) < 0.03


def test_a_rare_feature_has_a_higher_bound_than_a_common_one():
    text = Text.random(documents=30)
    first = noise(text, 30, "a", "1_res")
    table = compare(first, noise(text, 31, "b", "2_res"), draws=6).tables[0]
    active = np.diff(first.sources[A].offsets)
    order = np.argsort(active[table.compared])
    bound = table.bound[0][table.compared][order]
    assert bound[:20].mean() > 1.2 * bound[-20:].mean()


def test_features_that_fire_on_too_little_are_left_out_on_both_sides():
    text = Text.random(documents=10, length=40)
    cuts = cut(text, random.Random(1), whole=True)
    read, numbers = reading(text, cuts)
    flat = np.concatenate(numbers)
    features = [dict.fromkeys(flat[k : k + count].tolist(), 1.0) for k, count in ((0, LEAST - 1), (50, LEAST), (99, 0))]
    found = columns(features)
    for table in compare(model("a", read, **{"1_res": found}), model("b", read, **{"2_res": found}), draws=2).tables:
        assert table.compared.tolist() == [False, True, False]
        assert table.index[0].tolist() == [-1, 1, -1]
        assert np.isnan(table.value[0][[0, 2]]).all()
        assert table.value[0][1] == pytest.approx(1)


def test_the_best_single_token_stands_beside_a_match():
    text = Text.random(documents=20)
    cuts = cut(text, random.Random(2), whole=True)
    read, _ = reading(text, cuts)
    which = 7
    on = {int(t): 1.0 for t in np.flatnonzero(read.tokens == which)}
    other = {int(t): 1.0 for t in np.flatnonzero(read.tokens == 9)}
    first = model("a", read, **{"1_res": columns([on, other])})
    table = compare(first, side("b", "2_res", text, spreads(text, 3), 4, whole=True), draws=2).tables[0]
    assert table.token_value.max() < 1  # the other model has other tokens
    again = compare(first, model("b", read, **{"2_res": columns([other])}), draws=2).tables[0]
    assert again.token.tolist() == [which, 9]
    assert again.token_value == pytest.approx([1, 1])


def test_the_best_of_several_sources_is_held_against_the_best_by_chance():
    text = Text.random(documents=20)
    first, second = noise(text, 40, "a", "1_res"), noise(text, 41, "b", "1_res")
    (some,) = second.sources.values()
    half = columns([dict(zip(some.positions[i:j:2].tolist(), some.values[i:j:2].tolist(), strict=True))
                    for i, j in pairwise(some.offsets.tolist())])  # fmt: skip
    second.sources[B] = half
    table = compare(first, second, draws=5).tables[0]
    assert table.others == (SourceKey("b", "1-res"), B)
    assert (table.any_bound >= table.bound.max(axis=0) - 1e-6)[table.compared].all()
    assert len(table.expected) == 3


def test_bounds_and_p_by_hand():
    rng = np.random.default_rng(0)
    chance, value = rng.random((4, 90)), rng.random(90)
    found = _against(value, chance)
    for i in (0, 24, 25, 40, 89):
        begin = min(max(0, i - 25), 90 - 51)
        pool = chance[:, begin : begin + 51].ravel()
        assert found.bound[i] == pytest.approx(np.sort(pool)[int(QUANTILE * 203)], abs=0.02)
        assert found.p[i] == pytest.approx((1 + sum(c >= value[i] for c in pool)) / (1 + len(pool)))


def test_models_without_a_text_in_common_are_refused():
    one, two = Text.random(documents=4), Text.random(documents=4, seed=9)
    with pytest.raises(NotAvailable, match="different texts"):
        compare(
            side("a", "1_res", one, spreads(one, 1), 1, whole=True),
            side("b", "2_res", two, spreads(two, 1), 1, whole=True),
        )
