"""Effects: equal to scipy's and to least squares, planted responses first, null features no more often than said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.sources.codes import Dense, sparse
from core.techniques.templates.effects import askable, corrected, design, effects, shuffled
from core.techniques.templates.expand import expand
from core.techniques.templates.records import LEVEL, Mention
from core.techniques.templates.responses import groups, observed, questions

RNG = np.random.default_rng(0)


def test_one_way_is_scipys_anova():
    labels = RNG.integers(0, 4, 60)
    y = RNG.normal(size=(60, 5)) + labels[:, None] * [0, 0.1, 0.5, 1, 3]
    made = design(labels.tolist())
    found = effects(y, made)
    theirs = stats.f_oneway(*(y[labels == n] for n in range(4)))
    assert found.f == pytest.approx(theirs.statistic) and found.p == pytest.approx(theirs.pvalue)
    assert made.df == (3, 56)
    between = sum((labels == n).sum() * (y[labels == n].mean(0) - y.mean(0)) ** 2 for n in range(4))
    total = ((y - y.mean(0)) ** 2).sum(0)
    error = (total - between) / 56
    assert found.eta == pytest.approx(between / total)
    assert found.omega == pytest.approx((between - 3 * error) / (total + error)), "the textbook's ω²"


def test_what_is_held_fixed_is_taken_out_as_least_squares_does():
    factor, block = RNG.integers(0, 3, 50), RNG.integers(0, 5, 50)
    y = RNG.normal(size=(50, 1)) + block[:, None] * 2 + factor[:, None] * 0.3

    def left(*labels):
        columns = [np.ones(50), *((one == level).astype(float) for one in labels for level in np.unique(one)[1:])]
        x = np.stack(columns, 1)
        return float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum()), x.shape[1]

    (less, k), (more, m) = left(block), left(block, factor)
    found = effects(y, design(factor.tolist(), [block.tolist()]))
    assert found.f[0] == pytest.approx((less - more) / (m - k) / (more / (50 - m)))
    assert found.eta[0] == pytest.approx((less - more) / less)
    same = design(block.tolist(), [block.tolist()])
    assert same is None, "a factor that goes together with what is held fixed"


def test_a_factor_that_explains_everything_and_one_that_explains_nothing():
    labels = [0, 0, 1, 1]
    found = effects(np.array([[1.0, 5.0], [1.0, 5.0], [2.0, 5.0], [2.0, 5.0]]), design(labels))
    assert found.omega.tolist() == [1.0, 0.0] and np.isinf(found.f[0]) and found.p[0] == 0.0
    assert askable(np.array([[0.0, 1, 0], [0, 1, 0], [0, 1, 2], [3, 1, 4], [5, 1, 6]])).tolist() == [2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_q_is_benjamini_and_hochbergs(p):
    assert corrected(np.array(p)) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30), st.integers(0, 99))
def test_labels_are_shuffled_within_what_is_held_fixed(rows, seed):
    labels, fixed = [a for a, _ in rows], [b for _, b in rows]
    found = shuffled(labels, [fixed], np.random.default_rng(seed))
    for block in set(fixed):
        own = [n for n, b in enumerate(fixed) if b == block]
        assert sorted(found[own].tolist()) == sorted(labels[n] for n in own)


FILLERS = {"A": ("x", "y", "z", "u"), "B": ("x", "y", "z", "u"), "place": ("p", "q", "r")}
VARIANTS = ("{A} {B} {place} {B}", "{B} {A} {place} {B}")


def placed(templates, most=256):
    """Prompts of one token a word, BOS first."""
    from dataclasses import replace

    prompts, _ = expand(templates, FILLERS, most, 0)
    return [
        replace(one, mentions=tuple(replace(m, positions=(n + 1,)) for n, m in enumerate(one.mentions)))
        for one in prompts
    ]


def ask(prompts):
    found = questions(prompts, FILLERS, [5] * len(prompts), "slot", 1)
    return {(one.kind, one.slots): one for one in found}


def test_planted_responses_are_found_and_null_features_are_not():
    """Features that respond to a value, to the place, to the role, and two hundred that respond to nothing."""
    prompts, noise = placed(VARIANTS), np.random.default_rng(1)
    codes = []
    for prompt in prompts:
        x = np.zeros((5, 203), np.float32)
        for number, m in enumerate(m for m in prompt.mentions if m.slot != "place"):
            (at,) = m.positions
            x[at, 0] = 3.0 * (m.filler == "y" and m.slot == "A") + noise.random() * 0.5
            x[at, 1] = 2.0 * (number == 0) + noise.random() * 0.5
            x[at, 2] = 2.0 * (m.slot == "A") + noise.random() * 0.5
        x[1:, 3:] = noise.random((4, 200)) * (noise.random((4, 200)) < 0.5)
        codes.append(sparse(x))
    asked = ask(prompts)
    tested, p = {}, []
    for name, one in asked.items():
        y = observed(codes, one.places)
        some = askable(y)
        found = effects(y[:, some], one.design)
        tested[name] = (some, found)
        p.append(found.p)
    q = np.split(corrected(np.concatenate(p)), np.cumsum([len(one) for one in p])[:-1])
    for name, planted in ((("value", ("A",)), 0), (("position", ("A", "B")), 1), (("role", ("A", "B")), 2)):
        some, found = tested[name]
        assert some[found.omega.argmax()] == planted and not asked[name].confounded
    null = sum(int((own[some >= 3] <= LEVEL).sum()) for own, (some, _) in zip(q, tested.values(), strict=True))
    assert null <= 5, "of some thousand tests"
    role = dict(zip(tested["role", ("A", "B")][0].tolist(), tested["role", ("A", "B")][1].omega, strict=True))
    place = dict(zip(tested["position", ("A", "B")][0].tolist(), tested["position", ("A", "B")][1].omega, strict=True))
    assert role[2] > 0.8 > 0.1 > abs(role[1]) and place[1] > 0.8 > 0.1 > abs(place[2]), "each is told from the other"


def test_one_variant_alone_cannot_tell_role_from_position():
    asked = ask(placed(VARIANTS[:1]))
    assert asked["role", ("A", "B")].confounded and asked["role", ("A", "B")].beside == ("value",)
    assert not ask(placed(VARIANTS))["role", ("A", "B")].confounded
    assert groups(FILLERS) == [("A", "B")] and groups({"a": ("x",), "b": ("y",), "c": ("x", "y")}) == [("a", "b", "c")]


def test_a_place_is_its_strongest_value():
    x = RNG.normal(size=(6, 7)).astype(np.float32)
    places = [(0, (1, 3)), (0, (5,)), (0, ())]
    dense = observed([Dense(x)], places)
    assert dense[0] == pytest.approx(np.where(abs(x[1]) >= abs(x[3]), x[1], x[3]))
    assert observed([sparse(x)], places) == pytest.approx(dense), "also of features whose values may be below 0"
    assert not dense[2].any()
    assert Mention("A", "x", 0).positions == ()
