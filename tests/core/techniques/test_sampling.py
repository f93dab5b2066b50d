"""Drawing the next token, by definition: the softmax's frequencies, the smallest set of top-p, OpenAI's penalty.

Where chance is involved the seed is fixed: a test that passes once passes always.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.techniques.sampling import Sampling
from tests.live import python


def softmax(logits, temperature=1.0):
    """In float64, by NumPy."""
    x = np.asarray(logits, np.float64) / temperature
    p = np.exp(x - x.max())
    return p / p.sum()


def drawn(sampling, logits, count):
    """So many first tokens, each at a step of its own."""
    row = torch.tensor([logits], dtype=torch.float32)
    return np.array([sampling(row, [[]], step)[0] for step in range(count)])


def surprising(found, probability):
    """The probability of counts at least so far from what is expected (Pearson's chi-square)."""
    from scipy.stats import chisquare

    counts = np.bincount(found, minlength=len(probability))
    assert not counts[probability == 0].any(), "what cannot be drawn is not"
    kept = probability > 0
    return chisquare(counts[kept], probability[kept] * len(found)).pvalue


LOGITS = [2.0, 1.0, 0.0, 0.5, -1.0, 1.5, -0.5, 0.25]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 16, 2**62])
def test_draws_have_the_softmaxs_frequencies(temperature, seed):
    found = drawn(Sampling(temperature=temperature, seed=seed), LOGITS, 4000)
    assert surprising(found, softmax(LOGITS, temperature)) > 0.001


def test_tokens_of_one_step_are_independent():
    """The noise of a token says nothing of its neighbour's, nor the noise of one step of the next step's."""
    noise = np.stack([Sampling(seed=5)._noise(64, step).numpy() for step in range(800)]).astype(np.float64)
    uniform = np.exp(-np.exp(-noise))  # by definition, if it is Gumbel's
    for a, b in ((uniform[:, :-1], uniform[:, 1:]), (uniform[:-1], uniform[1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
    from scipy.stats import kstest

    assert kstest(uniform.ravel(), "uniform").pvalue > 0.001


def test_what_is_all_but_impossible_is_not_drawn():
    """Chance has no holes: in a large vocabulary too, no noise is larger than Gumbel's could be.

    40 would be met once in 10¹⁷ draws; 30 million are looked at, 600 tokens of GPT-2.
    """
    size, largest = 50257, 0.0
    for step in range(600):
        largest = max(largest, float(Sampling(seed=16)._noise(size, step).max()))
    assert 14 < largest < 40
    logits = torch.full((1, size), -45.0)
    logits[0, 7] = 0.0
    hot = Sampling(temperature=1.0, seed=16)
    assert {hot(logits, [[]], step)[0] for step in range(120, 200)} == {7}


def test_rare_tokens_are_drawn_as_often_as_they_should_be():
    """One token of probability ½, and 50,000 that share the rest: the tail of the noise decides."""
    size = 50_001
    logits = torch.zeros(1, size)
    logits[0, 0] = np.log(size - 1)
    hot = Sampling(temperature=1.0, seed=3)
    found = np.array([hot(logits, [[]], step)[0] for step in range(1000)])
    assert abs((found == 0).mean() - 0.5) < 0.05
    assert len(set(found[found != 0].tolist())) > 480, "the others, one as often as another"


# -- temperature -------------------------------------------------------------------------------------------------------


@given(
    logits=st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=30, unique=True),
    seed=st.integers(0, 2**63 - 1),
    top_p=st.floats(0.01, 1.0),
)
def test_no_temperature_takes_the_largest(logits, seed, top_p):
    row = torch.tensor([logits])
    for step in (0, 5):
        assert Sampling(temperature=0.0, seed=seed, top_p=top_p)(row, [[]], step) == [int(np.argmax(logits))]


@pytest.mark.parametrize("temperature", [1e-45, 1e-40, 1e-30, 1e-12, 1e-7])
def test_nearly_no_temperature_is_no_temperature(temperature):
    """Also where a logit divided by it is no float any more."""
    rows = torch.tensor([[1.0, 3.0, 2.0, -7.0], [-2.0, -3.0, -1.0, -1.5], [0.0, -1.0, 0.5, 0.25]])
    for step in range(20):
        assert Sampling(temperature=temperature, seed=1)(rows, [[], [], []], step) == [1, 2, 2]
        assert Sampling(temperature=temperature, seed=1, top_p=0.5)(rows, [[], [], []], step) == [1, 2, 2]


# -- top-p -------------------------------------------------------------------------------------------------------------


def smallest(probability, share):
    """The fewest tokens that have `share` of the probability together, the likeliest first."""
    kept, total = set(), 0.0
    for i in np.argsort(-probability, kind="stable"):
        kept.add(int(i))
        total += probability[i]
        if total >= share:
            break
    return kept


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.75, 0.9, 0.99])
def test_top_p_draws_from_the_smallest_set(share):
    probability = softmax(LOGITS)
    kept = smallest(probability, share)
    allowed = np.where([i in kept for i in range(8)], probability, 0)
    found = drawn(Sampling(temperature=1.0, top_p=share, seed=2), LOGITS, 3000)
    assert set(found.tolist()) == kept
    if len(kept) > 1:
        assert surprising(found, allowed / allowed.sum()) > 0.001


def test_top_p_looks_at_what_temperature_made():
    """As Hugging Face's does: the set is that of the distribution that is drawn from."""
    found = drawn(Sampling(temperature=2.0, top_p=0.6, seed=2), LOGITS, 2000)
    assert set(found.tolist()) == smallest(softmax(LOGITS, 2.0), 0.6) != smallest(softmax(LOGITS), 0.6)


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.integers(-8, 8), min_size=1, max_size=40),
    share=st.floats(0.01, 0.999),
    step=st.integers(0, 99),
)
def test_top_p_keeps_enough_and_no_more(logits, share, step):
    """Also where tokens are equally likely: what is left out could be done without, what is kept could not."""
    from core.techniques.sampling import _likeliest

    kept = np.isfinite(_likeliest(torch.tensor([logits], dtype=torch.float32), share)[0].numpy())
    probability = softmax(logits)
    assert kept.any() and probability[kept].sum() >= share - 1e-5
    assert not kept.all() or probability.sum() - probability.min() < share + 1e-5
    assert probability[kept].sum() - probability[kept].min() < share + 1e-5
    assert not (~kept).any() or probability[kept].min() >= probability[~kept].max()
    token = Sampling(temperature=1.0, top_p=share, seed=9)(torch.tensor([logits], dtype=torch.float32), [[]], step)
    assert kept[token[0]]


def test_top_p_of_1_leaves_everything():
    row = torch.tensor([LOGITS])
    for step in range(50):
        assert Sampling(temperature=1.0, top_p=1.0, seed=4)(row, [[]], step) == Sampling(temperature=1.0, seed=4)(
            row, [[]], step
        )


# -- penalty -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.7, 2.0, -1.5])
def test_the_penalty_is_openais(penalty):
    """mu[j] - c[j] · penalty, before the temperature, where c counts what was generated."""
    written = [[3, 3, 0], [], [5, 5, 5, 5, 1]]
    rows = torch.tensor([LOGITS] * 3)
    before = rows.clone()
    counts = np.stack([np.bincount(ids, minlength=8) if ids else np.zeros(8) for ids in written])
    after = rows.numpy() - penalty * counts
    assert Sampling(frequency_penalty=penalty)(rows, written, 0) == after.argmax(1).tolist()
    hot, plain = Sampling(temperature=0.8, frequency_penalty=penalty, seed=8), Sampling(temperature=0.8, seed=8)
    for step in range(200):
        assert hot(rows, written, step) == plain(torch.tensor(after, dtype=torch.float32), [[], [], []], step)
    assert torch.equal(rows, before), "the caller's logits stay"


# -- one seed, one text ------------------------------------------------------------------------------------------------


def test_the_noise_is_independent_of_the_batch():
    """The same logits give the same token, alone, beside others, and at whatever place in the batch."""
    torch.manual_seed(0)
    rows = torch.randn(7, 300)
    for options in ({}, {"top_p": 0.6}, {"frequency_penalty": 1.0}):
        sampling = Sampling(temperature=1.0, seed=12, **options)
        written = [[n, n + 1, n] for n in range(7)]
        for step in range(40):
            together = sampling(rows, written, step)
            alone = [sampling(rows[n : n + 1], written[n : n + 1], step)[0] for n in range(7)]
            assert together == alone == sampling(rows.flip(0), written[::-1], step)[::-1]
            assert len(set(sampling(rows[:1].repeat(7, 1), [written[0]] * 7, step))) == 1


def test_seeds_and_steps_differ():
    row = torch.zeros(1, 1000)
    by_seed = {Sampling(temperature=1.0, seed=seed)(row, [[]], 0)[0] for seed in range(50)}
    by_step = {Sampling(temperature=1.0, seed=0)(row, [[]], step)[0] for step in range(50)}
    assert len(by_seed) > 45 and len(by_step) > 45


def test_the_same_seed_in_another_process():
    code = """
import json, torch
from core.techniques.sampling import Sampling
row = torch.linspace(-2, 2, 500)[None]
print(json.dumps([Sampling(temperature=1.3, seed=seed)(row, [[]], step)[0] for seed in (0, 2**63 - 1)
                  for step in range(30)]))
"""
    row = torch.linspace(-2, 2, 500)[None]
    ours = [Sampling(temperature=1.3, seed=seed)(row, [[]], step)[0] for seed in (0, 2**63 - 1) for step in range(30)]
    assert json.loads(python(code)) == ours
