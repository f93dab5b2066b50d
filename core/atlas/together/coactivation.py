"""What fires together with a feature, and what does not although it might: from counts, each with what it is worth.

Of n counted tokens this feature is active on a, another on b, both on c. Chance alone would give a·b/n. Lift is c over
that, G² the evidence against chance (`pairs.py`), and p Fisher's exact test, one-sided, times the number of
living features that were looked at (Bonferroni). Tokens of one text are not independent of each other, so p says how
surprising the counts are and not more. With a window of w tokens, c counts this feature's active tokens that have the
other within w tokens in the same prompt, and b all counted tokens that do: the same table, with the other one widened.

Cost: a few logarithms of Γ for each of the few that are listed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.atlas.together.records import Mate
from core.explain.annotation.statistics import log10_tail
from core.records import FeatureKey, SourceKey

SURE = -2.0
"""log10 of the corrected p from which on a missing overlap is listed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Another feature, as the tables or a kept list have it."""

    index: int
    correlation: float | None
    both: int
    active: int


def g2(both: int, a: int, b: int, n: int) -> float:
    """The log-likelihood ratio of a two by two table against independence."""

    def part(count: float, expected: float) -> float:
        return count * math.log(count / expected) if count else 0.0

    cells = ((both, a, b), (a - both, a, n - b), (b - both, n - a, b), (n - a - b + both, n - a, n - b))
    return max(0.0, 2 * sum(part(count, row * column / n) for count, row, column in cells))


def log10_p(both: int, a: int, b: int, n: int, tests: int = 1) -> float:
    """log10 of Fisher's p in the direction in which `both` departs from chance, times `tests`; at most 0."""
    if both * n >= a * b:
        tail = log10_tail(both, a, b, n)
    else:  # so few common tokens are so many without the other
        tail = log10_tail(a - both, a, n - b, n)
    return min(0.0, float(tail) + math.log10(max(1, tests)))


def mate(source: SourceKey, found: Found, label: str, active: int, n: int, tests: int) -> Mate:
    """One line of a list: `active` is of the feature that was asked about, `tests` the others that were looked at."""
    expected = active * found.active / n if n else 0.0
    return Mate(
        feature=FeatureKey(source.model_id, source.source_id, found.index), label=label,
        correlation=found.correlation, active=found.active, both=found.both, expected=expected,
        lift=found.both / expected if expected else 0.0, share=found.both / max(1, active),
        share_back=found.both / max(1, found.active), evidence=g2(found.both, active, found.active, n),
        log10_p=log10_p(found.both, active, found.active, n, tests),
    )  # fmt: skip


def likely(mates: Sequence[Mate], top: int) -> tuple[Mate, ...]:
    """Those that fire together more often than chance would have it, most evidence first."""
    found = [one for one in mates if one.both > one.expected]
    return tuple(sorted(found, key=lambda one: (-one.evidence, one.feature))[:top])


def avoiding(mates: Sequence[Mate], top: int) -> tuple[Mate, ...]:
    """Those that surely fire together less often than chance would have it, most evidence first."""
    found = [one for one in mates if one.both < one.expected and one.log10_p <= SURE]
    return tuple(sorted(found, key=lambda one: (-one.evidence, one.feature))[:top])


def prompt_of(starts: Sequence[int] | np.ndarray) -> np.ndarray:
    """[tokens] int32: the prompt that each token is of."""
    lengths = np.diff(np.asarray(starts))
    return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
