"""The records of play: a round, what it came to, and what many rounds teach. Frozen, plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.errors import BadInput
from core.explain.examples import Passage
from core.records import FeatureKey, Shown, SourceKey

Asked = Passage
"""A text that is asked about."""
Kind = Literal["predict", "odd", "name", "compare"]
KINDS: tuple[Kind, ...] = ("predict", "odd", "name", "compare")


@dataclass(frozen=True, slots=True)
class RoundKey:
    """Which round: everything about it follows from this and the data."""

    kind: Kind
    feature: FeatureKey
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.feature}/{self.seed}"

    @classmethod
    def parse(cls, text: str) -> RoundKey:
        """From its text.

        Raises:
            BadInput: it is none.
        """
        kind, _, rest = text.strip().partition("/")
        feature, _, seed = rest.rpartition("/")
        for one in KINDS:
            if kind == one and seed.isascii() and seed.isdigit() and int(seed) < 2**32:
                return cls(one, FeatureKey.parse(feature), int(seed))
        raise BadInput(f"“{text[:80]}” is no round: it is <kind>/<model>/<source>/<index>/<seed>.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An explanation to choose, without who said it or how it was scored."""

    id: str
    text: str
    feature: FeatureKey
    """Of which feature it was said; not to be shown before the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round(Shown):
    """What is shown, and what is asked. `truth` and the passages' values are not to be shown before the answer."""

    key: RoundKey
    shown: tuple[Passage, ...]
    """On which the feature is active, as an explainer sees them, strongest first."""
    items: tuple[Passage, ...]
    """Held-out texts that are asked about. In “odd” all but one have the feature."""
    truth: tuple[bool, ...]
    """Whether the feature is active on each."""
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Shown):
    """An answer beside the truth."""

    right: int
    wrong: int
    unsure: int
    points: int
    agreed: float | None
    """Balanced accuracy over what was answered; None where nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(Shown):
    """How well people tell where a feature is active, over all rounds of those who are trusted."""

    feature: FeatureKey
    agreed: float
    """Mean balanced accuracy of rounds."""
    rounds: int
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt(Shown):
    """A feature whose explanation people doubt, and why."""

    feature: FeatureKey
    doubt: float
    """Votes against beyond those for, each mark, and how far agreement falls short: what the queue is sorted by."""
    up: int
    down: int
    marks: Mapping[str, int]
    agreement: Agreement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust(Shown):
    """Whether a person's answers count, and why not."""

    counts: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Shown):
    """From what rounds are drawn."""

    sources: tuple[SourceKey, ...]
    kinds: tuple[Kind, ...] = KINDS
