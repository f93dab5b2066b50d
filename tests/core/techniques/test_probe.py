"""Probes by their definitions: what separates is found, what does not is called chance, and no text tests itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.errors import BadInput
from core.techniques import probe
from core.techniques.probe import Samples, dealt, fit, train


def samples(texts=40, d=60, *, shift=0.0, tokens=1, shared=0.0, seed=0):
    """Two classes whose means differ by `shift` along one direction; tokens of a text share a part of their noise."""
    draw = np.random.default_rng(seed)
    labels = np.arange(texts) % 2 == 0
    direction = draw.normal(size=d)
    direction /= np.linalg.norm(direction)
    text = np.repeat(np.arange(texts), tokens)
    own = shared * draw.normal(size=(texts, d))
    x = draw.normal(size=(len(text), d)) + own[text] + 5 + shift * labels[text, None] * direction
    return Samples(x, text, labels), direction


@pytest.mark.parametrize("method", probe.METHODS)
def test_what_separates_is_found(method):
    some, direction = samples(shift=6)
    found = train(some, method)
    assert found.auc.value > 0.95 and found.auc.low > 0.85 and found.p < 0.03
    assert abs(found.fit.direction @ direction) > 0.7 and np.linalg.norm(found.fit.direction) == pytest.approx(1)
    assert found.control.low < 0.5 < found.control.high < found.auc.value
    called = found.held_out > 0
    assert (called == some.labels).mean() > 0.85


@pytest.mark.parametrize("method", probe.METHODS)
def test_what_does_not_is_called_chance(method):
    """In more dimensions than texts a fit separates its own texts perfectly, and held-out texts not at all."""
    aucs = []
    for seed in range(8):
        some, _ = samples(texts=24, d=200, seed=seed)
        found = fit(some.x, some.labels[some.text], method)
        assert roc_auc_score(some.labels, some.x @ found.direction) == 1
        aucs.append(train(some, method, seed, shuffles=1).auc.value)
    assert 0.4 < np.mean(aucs) < 0.6


def test_chance_is_not_found_better_or_worse_than_half():
    """Scores of different fits are never compared: with them, means-based probes would fall below one half."""
    each = (train(samples(texts=10, d=40, seed=n)[0], "difference", n, shuffles=40) for n in range(8))
    found = [one.control.value for one in each]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


def test_the_difference_of_means_by_hand():
    some, _ = samples(shift=2)
    positive = some.x[some.labels[some.text]].mean(0)
    negative = some.x[~some.labels[some.text]].mean(0)
    found = fit(some.x, some.labels[some.text], "difference")
    np.testing.assert_allclose(found.direction, (positive - negative) / np.linalg.norm(positive - negative))
    assert found.threshold == pytest.approx((positive + negative) @ found.direction / 2)
    assert train(some, "difference").distance == pytest.approx(np.linalg.norm(positive - negative))


def test_logistic_regression_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    some, _ = samples(texts=60, d=8, shift=1.5)
    y = some.labels[some.text]
    scale = np.sqrt(((some.x - some.x.mean(0)) ** 2).sum(1).mean())
    theirs = LogisticRegression(C=10, class_weight="balanced", max_iter=2000).fit((some.x - some.x.mean(0)) / scale, y)
    found = fit(some.x, y, "logistic")
    called = theirs.predict((some.x - some.x.mean(0)) / scale)
    assert np.array_equal(some.x @ found.direction > found.threshold, called)


@pytest.mark.parametrize("method", probe.METHODS)
def test_the_span_of_the_samples_is_enough(method):
    """Fits in coordinates of the samples' own span give every sample the same score."""
    some, _ = samples(texts=20, d=90, shift=3)
    small, train_on = some.reduced(), some.text < 14
    assert small.x.shape == (20, 20)
    scores = []
    for one in (some, small):
        made = fit(one.x[train_on], one.labels[one.text[train_on]], method)
        scores.append(one.x @ made.direction - made.threshold)
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-3)


def test_no_text_is_on_both_sides_and_classes_are_dealt_evenly():
    labels = np.arange(23) < 9
    fold = dealt(labels, 5, np.random.default_rng(0))
    for side in (True, False):
        counts = np.bincount(fold[labels == side], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_tokens_of_one_text_do_not_test_each_other():
    """Texts with a mark of their own and no class: dealt by tokens they would be told apart, by texts they are not."""
    some, _ = samples(texts=16, d=120, tokens=8, shared=4.0)
    grouped = train(some, "difference", shuffles=1)
    by_token = Samples(some.x, np.arange(len(some.x)), some.labels[some.text])
    assert train(by_token, "difference", shuffles=1).auc.value > 0.9
    assert grouped.auc.low < 0.5 < grouped.auc.high or abs(grouped.auc.value - 0.5) < 0.2


def test_auc_of_one_fold_is_the_usual_one():
    draw = np.random.default_rng(1)
    labels, scores = draw.random(30) < 0.4, np.round(draw.normal(size=30), 1)
    pairs = probe._pairs({i: np.array([s]) for i, s in enumerate(scores)}, labels)
    shares = [share for _, _, share in pairs]
    assert np.mean(shares) == pytest.approx(roc_auc_score(labels, scores))


def test_the_same_seed_is_the_same_probe():
    some, _ = samples(shift=1)
    a, b = train(some, "difference", 3), train(some, "difference", 3)
    assert a.auc == b.auc and a.control == b.control and a.p == b.p
    assert train(some, "difference", 4).control != a.control


def test_texts_that_are_the_same_here():
    x = np.ones((8, 5))
    with pytest.raises(BadInput, match="same activations here"):
        train(Samples(x, np.arange(8), np.arange(8) < 4), "difference")


def test_the_interval_covers():
    """95 % of intervals of many draws hold the AUC of many texts; here with slack for sixty draws."""
    truth = train(samples(texts=300, d=10, shift=1.2, seed=99)[0], "difference", shuffles=1).auc.value
    inside = 0
    for seed in range(30):
        found = train(samples(texts=60, d=10, shift=1.2, seed=seed)[0], "difference", seed, shuffles=1).auc
        inside += found.low - 0.02 <= truth <= found.high + 0.02
    assert inside >= 24
