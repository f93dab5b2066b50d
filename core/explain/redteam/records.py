"""The records of red-teaming: texts with what a hypothesis says of them, and what came of it. Frozen, plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.explain.redteam.hypothesis import Hypothesis, Role
from core.records import FeatureKey, Shown, Token

SHARE, TEXTS = 0.1, 120
"""Of the feature's maximum, above which a text fires; and how many texts are made: unless told otherwise."""
FEWEST, MOST = 8, 200
"""Texts of a run; a test suite holds as many."""
Verdict = Literal["holds", "fires on more", "fires on less", "wrong", "undecided"]
"""`wrong`: silent on nearly all that it should fire on, or on much of it and firing on much else; `undecided`: one kind
of texts is lacking."""
GOOD = 0.8
"""Of the texts that should fire, and of those that should not, so many have to: then the hypothesis holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that somebody or something made."""

    text: str
    expected: bool | None
    """Whether the feature should fire on it by the hypothesis; None where that says nothing."""
    maker: str
    why: str
    """How it was made, in a few words."""
    phrase: str = ""
    """Which phrase it is about, the hypothesis's or one of its own; empty for none."""
    begin: int | None = None
    """Where in the text that stands."""
    role: Role | None = None
    """What the hypothesis says of the phrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Shown):
    """A text, and what came of it."""

    id: str
    """Eight digits, of the text."""
    text: str
    expected: bool | None
    maker: str
    why: str
    phrase: str
    role: Role | None
    value: float | None
    """The feature's largest value over the tokens, BOS left out; None where the text could not be read."""
    fired: bool
    position: int | None
    """The token with that value; None where no token is active."""
    on_phrase: bool | None
    """Whether that token has a part in the phrase, or comes right after it; None where there is neither."""
    surprise: float
    """0 where it came out as expected, or nothing was; else up to 1: by how much it is on the wrong side of the
    threshold, of the threshold if it should have fired and of the feature's maximum if not."""
    problem: str = ""
    tokens: tuple[Token, ...] = ()
    values: tuple[float, ...] = ()

    @property
    def right(self) -> bool | None:
        """Whether it came out as expected; None where nothing was, or it was not read."""
        return None if self.expected is None or self.value is None else self.fired == self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The cases of one phrase or one maker."""

    name: str
    role: Role | None = None
    should: int = 0
    should_fired: int = 0
    silent: int = 0
    """Those that should not fire."""
    silent_fired: int = 0
    unsaid: int = 0
    """Those of which the hypothesis says nothing."""
    unsaid_fired: int = 0
    mean: float = 0.0
    """Of the largest values."""
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Of the strongest texts that the feature's page shows, how many have a phrase of the hypothesis."""

    texts: int
    by: int
    missed: tuple[str, ...] = ()
    """Tokens on which the feature is strong in the others, the most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RedTeam(Shown):
    """A hypothesis about a feature, tested with texts that were made to break it; the surprising cases first."""

    key: FeatureKey
    hypothesis: Hypothesis
    threshold: float
    """A text fires where the feature's largest value is above it."""
    share: float
    """Of the feature's maximum that the threshold is."""
    maximum: float
    seed: int
    cases: tuple[Case, ...]
    """Those that came out otherwise first, the most surprising of each kind before the next of each; then those of
    which the hypothesis says nothing, the strongest first; then those as expected, the closest to the threshold first.
    """
    verdict: Verdict
    line: str
    """The verdict as a sentence."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """`balanced_accuracy`, `precision`, `recall`, `specificity`, `f1`, over all cases of which something is said; empty
    where one kind is lacking."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % of each but f1: Wilson's, of the balanced accuracy after Newcombe."""
    phrases: tuple[Counted, ...] = ()
    makers: tuple[Counted, ...] = ()
    covered: Covered | None = None
    lacks: tuple[str, ...] = ()
    """What could not be had, in sentences."""
    build: str = ""
    writer: str = ""
    """The language model that wrote some of the texts."""
    usd: float | None = 0.0
    """Spent on it in this run; None where its price is not known."""

    def __repr__(self) -> str:
        return f"RedTeam({self.key}, {self.hypothesis.sentence!r}: {self.line!r})"

    @property
    def surprising(self) -> tuple[Case, ...]:
        """Those that came out otherwise than the hypothesis says."""
        return tuple(case for case in self.cases if case.right is False)

    @property
    def table(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((should and fired, should and silent), (should not and fired, should not and silent))."""
        rows = []
        for expected in (True, False):
            some = [case.fired for case in self.cases if case.right is not None and case.expected is expected]
            rows.append((sum(some), len(some) - sum(some)))
        return rows[0], rows[1]
