"""What universality answers with: frozen records of plain values. Nothing here imports torch or numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records import FeatureKey, Shown, SourceKey, Token

By = Literal["value", "margin", "words", "index"]
"""Orders of matches: the correlation, what it is above its bound, above the best single token, or the own index."""


@dataclass(frozen=True, slots=True)
class Match(Shown):
    """What is most like a feature in one source of another model, and what chance makes of it."""

    of: FeatureKey
    feature: FeatureKey
    value: float
    """Correlation over the bytes of the text that both models read."""
    bound: float
    """What 99 of 100 best matches stay below when the texts are shifted against each other."""
    p: float
    """The share of such matches that are at least as good."""
    mutual: bool
    """Whether the match's own best match in this feature's source is this feature."""
    token: Token
    """The token of the other model's vocabulary that is most like the feature."""
    token_value: float
    """Its correlation: what a match has to be better than to say more than which token stands there."""

    @property
    def universal(self) -> bool:
        """Whether the match is better than 99 of 100 by chance."""
        return self.value > self.bound


@dataclass(frozen=True, slots=True)
class PairRecord(Shown):
    """The best matches that the features of one source have in another model's source, all together."""

    key: SourceKey
    other: SourceKey
    compared: int
    """Features that are active on enough of the text to be compared."""
    width: int
    universal: int
    """Features whose best match is above its bound."""
    expected: float
    """The share of features that are above it in a shifted text, where 0.01 is meant: what chance gives."""
    better_than_token: int
    """Of the universal ones, those whose match is better than the best single token of the other vocabulary."""
    mutual: int
    """Of the universal ones, those that are each other's best match."""
    median: float
    """Of the best matches' correlations."""
    chance: float
    """Of those in shifted texts."""
    counts: tuple[int, ...]
    """Features by their best match's correlation, in equal bins from 0 to 1."""
    chance_counts: tuple[float, ...]
    """The same in a shifted text, the mean over all shifts."""

    @property
    def share(self) -> float:
        """Universal features among those compared."""
        return self.universal / self.compared if self.compared else 0.0


@dataclass(frozen=True, slots=True)
class MatchesRecord(Shown):
    """Some of the matches between two sources."""

    pair: PairRecord
    by: str
    offset: int
    total: int
    """Matches that were asked for, on all pages."""
    matches: tuple[Match, ...]

    @property
    def next_offset(self) -> int | None:
        """Where the next page begins; None after the last."""
        end = self.offset + len(self.matches)
        return end if self.matches and end < self.total else None


@dataclass(frozen=True, slots=True)
class UniversalRecord(Shown):
    """A source and what its features have in common with those of another model."""

    key: SourceKey
    model_id: str
    """The other model."""
    bytes: int
    documents: int
    """Of the text that both models read."""
    draws: int
    """Shifted texts."""
    made: str
    pairs: tuple[PairRecord, ...]
    """With each source of the other model."""
    compared: int
    universal: int
    """Features whose best match in any of those sources is above the bound of such best matches."""
    expected: float
    """As in `PairRecord`."""

    @property
    def share(self) -> float:
        """Universal features among those compared."""
        return self.universal / self.compared if self.compared else 0.0
