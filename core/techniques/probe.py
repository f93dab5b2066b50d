"""Probes: a direction that tells two sets of texts apart, how well it does on texts it has not seen, and by chance.

Two methods. The difference of means points from the mean of the negative texts to that of the positive ones; logistic
regression (L2, classes weighed alike, samples scaled to a root-mean-square length of 1, C = 10) points where the odds
change most. A sample is a text: the mean of its tokens, or its last token; or each of its tokens.

Held out: texts are dealt into at most five folds, all tokens of a text into one and each class evenly; each fold is
scored by a fit on the others, and this is done with five dealings. AUC is the share of (positive, negative) pairs of
texts of one fold that are in the right order, ties half, tokens averaged within a pair. Pairs are compared within a
fold, since scores of different fits have no common scale. Its interval is a bootstrap over texts (1,000 draws of each
class) with the fits as they are. The control does the same with labels shuffled over texts: what a direction in so
many dimensions finds in so few texts where there is nothing; p is the share of shuffles that do as well.

Everything is in the span of the samples, so it is computed there. Cost: for each shuffle five fits of the number of
samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from core.errors import BadInput
from core.sources.probe_records import Span

Method = Literal["difference", "logistic"]
Pooled = Literal["mean", "last", "each"]
METHODS: tuple[str, ...] = get_args(Method)
POOLED: tuple[str, ...] = get_args(Pooled)

FEWEST, MOST = 4, 500
"""Texts of a class."""
SAMPLES = 20000
"""Tokens at most, where each is a sample."""
FOLDS, DEALINGS, DRAWS = 5, 5, 1000
SHUFFLES, FEWER, MANY = 100, 20, 400
"""Shuffles of the control; fewer for logistic regression on more samples than `MANY`."""
C = 10.0

X = Float64[np.ndarray, "samples d"]
Scores = Float64[np.ndarray, " samples"]


@dataclass(frozen=True, slots=True)
class Samples:
    """What is told apart."""

    x: X
    text: Int64[np.ndarray, " samples"]
    """The text of each."""
    labels: Bool[np.ndarray, " texts"]
    """Whether a text is positive."""

    def reduced(self) -> Samples:
        """The same in coordinates of their own span: same products, so same fits."""
        centred = self.x - self.x.mean(0)
        if len(centred) >= centred.shape[1]:
            return Samples(centred, self.text, self.labels)
        _, upper = np.linalg.qr(centred.T)
        return Samples(np.ascontiguousarray(upper.T), self.text, self.labels)


@dataclass(frozen=True, slots=True)
class Fit:
    """A direction of length 1, and the score between the classes."""

    direction: Float64[np.ndarray, " d"]
    threshold: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A probe, and how good its method is on these texts."""

    fit: Fit
    """On all texts."""
    distance: float
    """Between the classes' means, along it."""
    auc: Span
    """Held out."""
    control: Span
    """The same with shuffled labels: mean, and the range of 95 % of the shuffles."""
    p: float
    shuffles: int
    folds: int
    held_out: Float64[np.ndarray, " texts"]
    """Each text's score when it was held out, less the threshold of that fit: positive is called positive."""


def fit(x: X, positive: Bool[np.ndarray, " samples"], method: Method) -> Fit:
    """The direction; `x` in any coordinates.

    Raises:
        BadInput: the classes are the same in every coordinate.
    """
    means = x[positive].mean(0), x[~positive].mean(0)
    if method == "difference":
        direction, bias = means[0] - means[1], None
    else:
        direction, bias = _logistic(x, positive)
    length = float(np.linalg.norm(direction))
    if not length > 0 or not np.isfinite(length):
        raise BadInput("Both sets of texts have the same activations here, so that no direction tells them apart.")
    direction = direction / length
    middle = float((means[0] + means[1]) @ direction / 2) if bias is None else -bias / length
    return Fit(direction, middle)


def _logistic(x: X, positive: Bool[np.ndarray, " samples"]) -> tuple[Float64[np.ndarray, " d"], float]:
    from sklearn.linear_model import LogisticRegression

    mean = x.mean(0)
    scale = float(np.sqrt(((x - mean) ** 2).sum(1).mean())) or 1.0
    found = LogisticRegression(C=C, class_weight="balanced", max_iter=2000).fit((x - mean) / scale, positive)
    direction = found.coef_[0] / scale
    return direction, float(found.intercept_[0] - mean @ direction)


def train(
    samples: Samples, method: Method, seed: int = 0, *, shuffles: int = 0,
    tell: Callable[[int, int], None] | None = None,
) -> Trained:  # fmt: skip
    """A probe with its held-out AUC and the control's; `tell` gets (shuffles done, of), `shuffles` 0 chooses.

    Raises:
        BadInput: there are too few texts, or nothing tells them apart.
    """
    labels = samples.labels
    folds = min(FOLDS, int(labels.sum()), int((~labels).sum()))
    whole = fit(samples.x, labels[samples.text], method)
    some = samples.reduced()
    draw = np.random.default_rng(seed)
    right, pairs, held = _ordered(some, labels, method, folds, DEALINGS, draw)
    auc = _auc(right, pairs)
    shuffles = shuffles or (FEWER if method == "logistic" and len(samples.x) > MANY else SHUFFLES)
    chance = np.empty(shuffles)
    for n in range(shuffles):
        shuffled = draw.permutation(labels)
        chance[n] = _auc(*_ordered(some, shuffled, method, folds, 1, draw)[:2])
        if tell is not None:
            tell(n + 1, shuffles)
    along = samples.x @ whole.direction
    side = labels[samples.text]
    low, high = np.quantile(chance, [0.025, 0.975])
    return Trained(
        fit=whole, distance=float(along[side].mean() - along[~side].mean()),
        auc=Span(auc, *_interval(right, pairs, draw)), control=Span(float(chance.mean()), float(low), float(high)),
        p=float((1 + (chance >= auc).sum()) / (1 + shuffles)), shuffles=shuffles, folds=folds, held_out=held,
    )  # fmt: skip


def dealt(labels: Bool[np.ndarray, " texts"], folds: int, draw: np.random.Generator) -> Int64[np.ndarray, " texts"]:
    """The fold of each text: each class dealt out evenly, in an order drawn by chance."""
    fold = np.empty(len(labels), np.int64)
    for side in (True, False):
        members = draw.permutation(np.flatnonzero(labels == side))
        fold[members] = np.arange(len(members)) % folds
    return fold


def _ordered(
    samples: Samples, labels: Bool[np.ndarray, " texts"], method: Method, folds: int, dealings: int,
    draw: np.random.Generator,
) -> tuple[Float64[np.ndarray, "pos neg"], Float64[np.ndarray, "pos neg"], Float64[np.ndarray, " texts"]]:  # fmt: skip
    """(how often each pair of texts was in order, how often it was compared, each text's mean held-out score)."""
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    place = np.empty(len(labels), np.int64)
    place[positive], place[negative] = np.arange(len(positive)), np.arange(len(negative))
    right, pairs = np.zeros((len(positive), len(negative))), np.zeros((len(positive), len(negative)))
    held = np.zeros(len(labels))
    for _ in range(dealings):
        fold = dealt(labels, folds, draw)
        for one in range(folds):
            own = fold[samples.text] == one
            made = fit(samples.x[~own], labels[samples.text[~own]], method)
            score, text = samples.x[own] @ made.direction - made.threshold, samples.text[own]
            by_text = {int(t): np.sort(score[text == t]) for t in np.flatnonzero(fold == one)}
            for t, values in by_text.items():
                held[t] += float(values.mean()) / dealings
            for p, n, share in _pairs(by_text, labels):
                right[place[p], place[n]] += share
                pairs[place[p], place[n]] += 1
    return right, pairs, held


def _pairs(by_text: dict[int, Scores], labels: Bool[np.ndarray, " texts"]) -> Iterator[tuple[int, int, float]]:
    """(positive text, negative text, share of their pairs of samples that are in order)."""
    for p, mine in by_text.items():
        if not labels[p]:
            continue
        for n, its in by_text.items():
            if not labels[n]:
                below = np.searchsorted(its, mine, "left") + np.searchsorted(its, mine, "right")
                yield p, n, float(below.mean() / (2 * len(its)))


def _auc(right: Float64[np.ndarray, "pos neg"], pairs: Float64[np.ndarray, "pos neg"]) -> float:
    return float(right.sum() / pairs.sum())


def _interval(
    right: Float64[np.ndarray, "pos neg"], pairs: Float64[np.ndarray, "pos neg"], draw: np.random.Generator
) -> tuple[float, float]:
    """The bootstrap's 95 %, over texts of each class."""
    p, n = right.shape
    times_p = draw.multinomial(p, np.full(p, 1 / p), DRAWS).astype(float)
    times_n = draw.multinomial(n, np.full(n, 1 / n), DRAWS).astype(float)
    hit = np.einsum("bp,pn,bn->b", times_p, right, times_n, optimize=True)
    of = np.einsum("bp,pn,bn->b", times_p, pairs, times_n, optimize=True)
    found = hit[of > 0] / of[of > 0]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
