"""Targeted probe perturbation: whether taking away the features of one kind of text hurts that kind's probe alone.

After Karvonen et al. 2024 (https://arxiv.org/abs/2411.18895) and SAEBench's `tpp`. A linear probe a kind reads the
activation at `hook_out`. A feature's effect on a kind's probe is the difference of its mean between the kind's training
texts and the others, times the product of its decoder row with the probe; the `k` features with the largest effect, if
above zero, are the kind's. With A_ij the balanced accuracy of probe j on held-out texts where the features of kind i
are ablated (x - Σ f W_dec, the rest of x as it is), the score is the mean over i of (A_i - A_ii) minus the mean over
i ≠ j of (A_j - A_ij): intended minus unintended drops.

A text is the mean of its tokens; decoding is linear, so the ablation of the mean is the mean of the ablations and no
pass is needed. Dictionaries whose decoder is scaled by the token (layer norm of the input) are refused. The kinds are
the corpus's own files (`core.evaluate.pooled`). Cost: seconds on pooled texts.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from core.evaluate.accuracy import Accuracy, Judge, less, together
from core.evaluate.logistic import Probes, fit
from core.evaluate.pooled import Kinds
from core.evaluate.probing import check
from core.evaluate.records import TokenSet, Tpp, TppEffect

KS = (2, 5, 10, 20, 50)
K = 10
"""The one that stands for the others."""

X = Float[np.ndarray, "prompts d"]
Codes = Float[np.ndarray, "prompts d_sae"]


def tpp(
    features: Codes, x: X, decoder: Float64[np.ndarray, "d_sae d"], kinds: Kinds, on: TokenSet, made: str
) -> Tpp:
    """The record of one dictionary; `features` are means over texts, `x` is that of the activation at `hook_out`.

    Raises:
        NotAvailable: there are fewer than two kinds of text, or too few documents of each.
    """
    check(kinds)
    train, test = ~kinds.held_out, kinds.held_out
    probes = fit(x[train], kinds.labels[train])
    judge = Judge(kinds.documents[test])
    before = _accuracies(probes, x[test], kinds, judge)
    along = decoder @ probes.weights
    order = [_order(features[train], kinds.labels[train, n], along[:, n]) for n in range(len(before))]
    effects, score = [], None
    for k in KS:
        after = []
        for chosen in order:
            some = chosen[:k]
            after.append(_accuracies(probes, x[test] - features[test][:, some] @ decoder[some], kinds, judge))
        effect, one = _effect(k, before, after)
        effects.append(effect)
        score = one if k == K else score
    assert score is not None
    return Tpp(
        on=on, made=made, labels=kinds.names, accuracy=tuple(one.value for one in before), effects=tuple(effects),
        score=score.measured, k=K,
    )  # fmt: skip


def _order(
    features: Codes, truth: Bool[np.ndarray, " prompts"], along: Float64[np.ndarray, " d_sae"]
) -> Int64[np.ndarray, " k"]:
    """Features that argue for the kind, the strongest first."""
    effect = (features[truth].mean(0) - features[~truth].mean(0)) * along
    best = np.argsort(-effect, kind="stable")[: max(KS)]
    return np.asarray(best[effect[best] > 0])


def _accuracies(probes: Probes, x: X, kinds: Kinds, judge: Judge) -> list[Accuracy]:
    said = probes.logits(x) > 0
    return [judge(said[:, n], kinds.labels[kinds.held_out, n]) for n in range(said.shape[1])]


def _effect(k: int, before: list[Accuracy], after: list[list[Accuracy]]) -> tuple[TppEffect, Accuracy]:
    drops = [[less(before[j], one) for j, one in enumerate(row)] for row in after]
    intended = together([drops[i][i] for i in range(len(drops))])
    others = [drop for i, row in enumerate(drops) for j, drop in enumerate(row) if i != j]
    unintended = together(others) if others else less(intended, intended)
    score = less(intended, unintended)
    effect = TppEffect(
        k=k, score=score.measured, intended=intended.value, unintended=unintended.value,
        drops=tuple(tuple(drop.value for drop in row) for row in drops),
    )  # fmt: skip
    return effect, score
