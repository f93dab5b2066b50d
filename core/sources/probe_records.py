"""What a probe is, as frozen records: its figures, its texts, its direction. No arithmetic (core.techniques.probe)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.records import FeatureKey, Shown, TestRecord


@dataclass(frozen=True, slots=True)
class Span:
    """A number, and what 95 % of its kind lie between."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeText:
    """One of its texts."""

    text: str
    positive: bool
    score: float
    """Where it lay when it was held out: above 0 it was called positive. In units of the activation, along the fit."""

    @property
    def right(self) -> bool:
        """Whether it was called what it is."""
        return (self.score > 0) == self.positive


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProbeRecord(Shown):
    """A direction that tells two sets of texts apart."""

    key: FeatureKey
    """Under which the direction is tested and steered with."""
    label: str
    hook: str
    method: str
    """`difference` of means, or `logistic` regression."""
    pooled: str
    """What a sample is: the `mean` of a text's tokens, its `last` token, or `each` of them."""
    seed: int
    auc: Span
    """On held-out texts, with a bootstrap's 95 % interval over texts."""
    control: Span
    """The same with labels shuffled over texts: mean, and what 95 % of the shuffles lie between."""
    p: float
    """Share of shuffles that do as well."""
    shuffles: int
    folds: int
    threshold: float
    """Of x · direction: above it a sample is called positive."""
    distance: float
    """Between the means of the classes, along the direction: a strength to begin with."""
    texts: tuple[ProbeText, ...]
    dropped: int
    """Texts that stood twice in a set, and are used once."""
    samples: int
    dtype: str
    made: str
    """ISO time."""
    values: tuple[float, ...] = ()
    """The direction, of length 1."""

    def sample(self, test: TestRecord) -> float:
        """What of a text is held against the threshold: its own tokens' mean, or for a probe of last tokens the last.

        A text of special tokens alone has none: NaN.
        """
        own = [value for token, value in zip(test.tokens, test.values, strict=True) if not token.special]
        if not own:
            return math.nan
        return own[-1] if self.pooled == "last" else sum(own) / len(own)

    @property
    def accuracy(self) -> float:
        """Mean over the classes of the share of held-out texts that are called what they are."""
        sides = ([t.right for t in self.texts if t.positive is side] for side in (True, False))
        return sum(sum(side) / len(side) for side in sides) / 2

    def __repr__(self) -> str:
        return f"ProbeRecord({self.key}, {self.label!r}, AUC {self.auc.value:.3f}, shuffled {self.control.value:.3f})"
