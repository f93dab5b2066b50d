"""The figures: against scikit-learn and SciPy on chance data, and by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.explain.scoring import measures

metrics = pytest.importorskip("sklearn.metrics")

both = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)
scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)


@settings(max_examples=200, deadline=None)
@given(both)
def test_labels_are_sklearns(rows):
    truth, said = zip(*rows, strict=True)
    found = measures.labels(truth, said)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, said))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, said, zero_division=0))
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, said, zero_division=0))
    assert found["recall"] == pytest.approx(metrics.recall_score(truth, said))
    assert found["specificity"] == pytest.approx(metrics.recall_score(truth, said, pos_label=False))


@settings(max_examples=200, deadline=None)
@given(scored)
def test_the_auc_is_sklearns_also_with_ties(rows):
    truth, scores = zip(*rows, strict=True)
    assert measures.roc_auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))


def test_pearson_is_over_all_tokens_together():
    random = np.random.default_rng(1)
    rows = [(random.random(n), random.random(n)) for n in (3, 32, 7)]
    x, y = (np.concatenate(part) for part in zip(*rows, strict=True))
    assert measures.pearson(rows) == pytest.approx(np.corrcoef(x, y)[0, 1])
    apart = np.mean([np.corrcoef(a, b)[0, 1] for a, b in rows])
    assert abs(measures.pearson(rows) - apart) > 1e-3


@pytest.mark.parametrize("flat", [0.0, 0.3, 1e6])
def test_a_prediction_that_does_not_vary_correlates_with_nothing(flat):
    assert measures.pearson([([0.0, 1.0, 5.0], [flat] * 3)]) == 0.0


def test_perfect_and_all_yes_and_inverted():
    truth = [True] * 10 + [False] * 10
    assert measures.labels(truth, truth)["balanced_accuracy"] == 1
    assert set(measures.labels_intervals(truth, truth).values()) == {(1, 1)}
    assert measures.labels(truth, [True] * 20)["balanced_accuracy"] == 0.5
    assert measures.labels(truth, [True] * 20)["f1"] == pytest.approx(2 / 3)
    assert measures.roc_auc(truth, [not t for t in truth]) == 0.0


def test_a_coin_gets_a_half_and_its_interval_holds_it():
    """Of many coins, each with its own 95 % interval, about 95 in a hundred intervals hold one half."""
    truth = [True] * 60 + [False] * 60
    held = 0
    for seed in range(60):
        said = np.random.default_rng(seed).random(120) < 0.5
        low, high = measures.labels_intervals(truth, said.tolist())["balanced_accuracy"]
        held += low <= 0.5 <= high
    assert held >= 52


def test_the_interval_is_that_of_an_exact_bootstrap_and_the_same_each_time():
    truth = [True] * 40 + [False] * 40
    said = [n % 5 != 0 for n in range(40)] + [n % 5 == 0 for n in range(40)]  # 0.8 of both
    low, high = measures.labels_intervals(truth, said)["balanced_accuracy"]
    assert (low, high) == measures.labels_intervals(truth, said)["balanced_accuracy"]
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 40 / 2)  # of the mean of two proportions
    assert low == pytest.approx(0.8 - spread, abs=0.02) and high == pytest.approx(0.8 + spread, abs=0.02)


def test_every_figure_has_an_interval_around_it_that_narrows_with_more_examples():
    random = np.random.default_rng(5)
    widths = []
    for count in (20, 320):
        truth = [True] * count + [False] * count
        said = [bool(t) if random.random() < 0.8 else not t for t in truth]
        figures, found = measures.labels(truth, said), measures.labels_intervals(truth, said)
        assert found.keys() == figures.keys()
        assert all(low <= figures[name] <= high for name, (low, high) in found.items())
        widths.append({name: high - low for name, (low, high) in found.items()})
    for name, wide in widths[0].items():  # sixteen times as many: a fourth of the width
        assert widths[1][name] == pytest.approx(wide / 4, rel=0.35), name
