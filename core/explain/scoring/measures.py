"""The figures of scores, by definition, each with a bootstrapped confidence interval.

    balanced accuracy   (share of positives called so + share of negatives called so) / 2
    precision, recall, F1 = 2 TP / (2 TP + FP + FN), specificity
    ROC-AUC             the chance that a positive has a higher score than a negative, ties counting half (Mann-Whitney)
    Pearson's r         over all tokens of all passages together, not a mean of passages' own

Intervals are the 2.5th and 97.5th percentiles over `DRAWS` bootstrap samples of the examples, positives and negatives
drawn apart (Efron and Tibshirani, 1993), with a fixed seed. Costs some ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
B = NDArray[np.bool_]
DRAWS, SEED = 1000, 0


def labels(truth: Sequence[bool], said: Sequence[bool]) -> dict[str, float]:
    """Balanced accuracy, precision, recall, specificity and F1 of yes-or-no answers; both kinds are needed."""
    t, s = np.array(truth, bool), np.array(said, bool)
    tp, fp = float((t & s).sum()), float((~t & s).sum())
    fn, tn = float((t & ~s).sum()), float((~t & ~s).sum())
    recall, specificity = tp / (tp + fn), tn / (tn + fp)
    return {
        "balanced_accuracy": (recall + specificity) / 2,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": recall,
        "specificity": specificity,
    }


def roc_auc(truth: Sequence[bool], scores: Sequence[float]) -> float:
    """Area under the ROC curve; both kinds are needed."""
    t, s = np.array(truth, bool), np.array(scores, np.float64)
    return _auc(s[t], s[~t])


def pearson(rows: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Correlation of (true, predicted) values over all rows together; 0 where either does not vary."""
    return float(_pearson(_sums(rows).sum(0)[None])[0])


def interval(truth: Sequence[bool], figure: Callable[[B, NDArray[np.int64]], float]) -> tuple[float, float]:
    """(low, high) of `figure(truth of the sample, which examples were drawn)`."""
    t = np.array(truth, bool)
    low, high = np.percentile([figure(t[drawn], drawn) for drawn in _draws(t)], [2.5, 97.5])
    return float(low), float(high)


def labels_intervals(truth: Sequence[bool], said: Sequence[bool]) -> dict[str, tuple[float, float]]:
    """Of each figure of `labels`."""
    t, s = np.array(truth, bool), np.array(said, bool)
    found = [labels(t[drawn].tolist(), s[drawn].tolist()) for drawn in _draws(t)]
    edges = {name: np.percentile([one[name] for one in found], [2.5, 97.5]) for name in found[0]}
    return {name: (float(low), float(high)) for name, (low, high) in edges.items()}


def auc_interval(truth: Sequence[bool], scores: Sequence[float]) -> tuple[float, float]:
    """Of the ROC-AUC."""
    s = np.array(scores, np.float64)
    return interval(truth, lambda t, drawn: _auc(s[drawn][t], s[drawn][~t]))


def pearson_interval(
    truth: Sequence[bool], rows: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> tuple[float, float]:
    """Of the correlation over all tokens, passages being drawn."""
    sums = _sums(rows)
    return interval(truth, lambda t, drawn: float(_pearson(sums[drawn].sum(0)[None])[0]))


def _draws(truth: B) -> Iterator[NDArray[np.int64]]:
    """Samples of the examples, as many of each kind as there are."""
    random = np.random.default_rng(SEED)
    kinds = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    for _ in range(DRAWS):
        yield np.concatenate([random.choice(kind, len(kind)) for kind in kinds])


def rounded(found: Mapping[str, float]) -> dict[str, float]:
    """As they are kept."""
    return {name: round(value, 6) for name, value in found.items()}


def _auc(positives: F, negatives: F) -> float:
    order = np.sort(negatives)
    below = np.searchsorted(order, positives, side="left")
    upto = np.searchsorted(order, positives, side="right")
    return float((below + upto).sum() / (2 * len(positives) * len(negatives)))


def _sums(rows: Sequence[tuple[Sequence[float], Sequence[float]]]) -> F:
    """[rows, 6]: of each row n, Σx, Σy, Σx², Σy², Σxy."""
    made = []
    for x_, y_ in rows:
        x, y = np.array(x_, np.float64), np.array(y_, np.float64)
        made.append([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y])
    return np.array(made, np.float64).reshape(-1, 6)


def _pearson(sums: F) -> F:
    n, x, y, xx, yy, xy = sums.T
    vx, vy = n * xx - x * x, n * yy - y * y
    flat = (vx <= 1e-12 * n * xx) | (vy <= 1e-12 * n * yy)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (n * xy - x * y) / np.sqrt(vx * vy)
    return np.where(flat, 0.0, np.clip(r, -1.0, 1.0))
