"""Sparse probing: how well one, two or five features tell a kind of text, on documents that played no part.

After Gurnee et al. 2023 (https://arxiv.org/abs/2305.01610) and SAEBench's `sparse_probing`. For each kind of text
against the others: on the training texts, the features whose means differ most between the two classes, in size; a
logistic regression on these (`core.evaluate.logistic`); its balanced accuracy on held-out texts. Here the kinds are the
corpus's own files, a text is a prompt (`core.evaluate.pooled`), and classes are as large as they are, weighed alike,
where SAEBench takes labelled data sets of equal classes.

Ceiling: the same regression on all of the activation at the hook. Control: five features chosen and fitted with the
labels shuffled over the training texts, the mean of `SHUFFLES`.

Cost: seconds on pooled texts; the ceiling is most of it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from core.errors import NotAvailable
from core.evaluate.accuracy import Accuracy, Judge, together
from core.evaluate.logistic import fit
from core.evaluate.pooled import FEWEST, Kinds
from core.evaluate.records import ProbeTask, Probing, TokenSet

KS = (1, 2, 5)
SHUFFLES = 10

X = Float[np.ndarray, "prompts d"]
Codes = Float[np.ndarray, "prompts d_sae"]


def probing(features: Codes, x: X, kinds: Kinds, on: TokenSet, made: str) -> Probing:
    """The record of one dictionary, from the means of its features and of the activation that it reads.

    Raises:
        NotAvailable: there are fewer than two kinds of text, or too few documents of each.
    """
    check(kinds)
    judge = Judge(kinds.documents[kinds.held_out])
    tasks, found = [], []
    for number, label in enumerate(kinds.names):
        task, accuracies = _task(features, x, kinds, number, judge)
        tasks.append(
            ProbeTask(
                label=label, train=int((~kinds.held_out).sum()), test=int(kinds.held_out.sum()),
                accuracy={name: one.measured for name, one in accuracies.items()}, features=tuple(task.tolist()),
            )
        )  # fmt: skip
        found.append(accuracies)
    means = {name: together([one[name] for one in found]).measured for name in found[0]}
    return Probing(
        on=on, made=made, tasks=tuple(tasks), k1=means["1"], k2=means["2"], k5=means["5"], full=means["full"],
        shuffled=means["shuffled"],
    )  # fmt: skip


def check(kinds: Kinds) -> None:
    """Raises `NotAvailable` where there is nothing to tell apart."""
    if len(kinds.names) + (len(kinds.rare) > 0) < 2 or not kinds.names:
        raise NotAvailable(
            f"Texts of two kinds at least are needed, a file a kind, with {3 * FEWEST} documents each; there "
            f"{'are none' if not kinds.names else f'is {kinds.names[0]} alone'}."
        )


def _task(
    features: Codes, x: X, kinds: Kinds, number: int, judge: Judge
) -> tuple[Int64[np.ndarray, " k"], dict[str, Accuracy]]:
    """(the features chosen, accuracies) of one kind against the others."""
    truth, train = kinds.labels[:, number], ~kinds.held_out
    best = strongest(features[train], truth[train], max(KS))
    accuracies = {str(k): _held_out(features[:, best[:k]], truth, train, truth, judge) for k in KS}
    accuracies["full"] = _held_out(x, truth, train, truth, judge)
    shuffled = []
    for seed in range(SHUFFLES):
        other = truth.copy()
        other[train] = np.random.default_rng([seed, number]).permutation(truth[train])
        chosen = strongest(features[train], other[train], max(KS))
        shuffled.append(_held_out(features[:, chosen], other, train, truth, judge))
    return best, accuracies | {"shuffled": together(shuffled)}


def strongest(features: Codes, truth: Bool[np.ndarray, " prompts"], k: int) -> Int64[np.ndarray, " k"]:
    """The features whose means differ most between the classes, in size, the first first."""
    difference = np.abs(features[truth].mean(0) - features[~truth].mean(0))
    return np.asarray(np.argsort(-difference, kind="stable")[:k])


def _held_out(
    samples: X, labels: Bool[np.ndarray, " prompts"], train: Bool[np.ndarray, " prompts"],
    truth: Bool[np.ndarray, " prompts"], judge: Judge,
) -> Accuracy:  # fmt: skip
    probes = fit(samples[train].astype(np.float64), labels[train, None])
    return judge(probes.logits(samples[~train].astype(np.float64))[:, 0] > 0, truth[~train])


