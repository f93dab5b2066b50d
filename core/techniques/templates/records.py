"""What templates are asked and answer with: frozen records of plain values. Nothing here imports torch or numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records import FeatureKey, LeftOut, Shown, SourceKey

At = Literal["slot", "end", "any"]
"""Where a feature is read: at the slot's tokens, at the last token, or where in the prompt it is strongest."""
Kind = Literal["value", "position", "role"]
"""What it responds to: which filler stands there; whether it is the first, second, … mention; which slot it fills."""
PROMPTS, MOST = 64, 256
"""Prompts of a set, unless told otherwise, and at most."""
LEVEL = 0.05
"""The false discovery rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateAsk:
    """Templates of the same slots, and what goes into them."""

    model_id: str
    templates: tuple[str, ...]
    """Prompts with slots in braces; several are variants, which tell position and role apart."""
    fillers: tuple[tuple[str, tuple[str, ...]], ...]
    """(slot, its fillers). Slots that have a filler in common are never filled alike in one prompt."""
    at: At = "slot"
    sources: tuple[SourceKey, ...] = ()
    """Whose features are looked at; all SAEs and transcoders of the model with weights, if there are none."""
    prompts: int = PROMPTS
    """At most; of more combinations so many are drawn."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of a slot in one prompt."""

    slot: str
    filler: str
    begin: int
    """Of its characters in the text."""
    positions: tuple[int, ...] = ()
    """Its tokens, BOS counted."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One filled template."""

    text: str
    variant: int
    """Which of the templates."""
    mentions: tuple[Mention, ...]
    """In the order of the text."""

    def filler(self, slot: str) -> str:
        """What stands in a slot."""
        return next(one.filler for one in self.mentions if one.slot == slot)


@dataclass(frozen=True, slots=True)
class Level:
    """A value of a factor: the mean activation there."""

    name: str
    mean: float
    count: int


@dataclass(frozen=True, slots=True)
class Factor:
    """One question that is asked of every feature."""

    kind: Kind
    slots: tuple[str, ...]
    """One for a value; of position and role the slots that share fillers."""
    levels: tuple[str, ...]
    observations: int
    tested: int
    """Features that are active in enough of them, and do not stay the same."""
    found: int
    """That respond."""
    beside: tuple[Kind, ...]
    """What is held fixed: differences between its values do not count."""
    confounded: bool = False
    """Position and role go together in these templates, so that neither can be held fixed."""


@dataclass(frozen=True, slots=True)
class Response(Shown):
    """A feature that responds to something."""

    key: FeatureKey
    factor: Factor
    effect: float
    """ω²: the share of the variance that the factor explains, what chance gives taken off."""
    eta: float
    """η²: the same with chance in it."""
    f: float
    """Infinite where the factor explains everything."""
    p: float
    q: float
    """p corrected by Benjamini and Hochberg, over all tests of the record."""
    active: int
    """Observations in which it is active."""
    levels: tuple[Level, ...]
    """The largest mean first."""
    label: str = ""
    density: float | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """The same with labels shuffled."""

    shuffles: int
    found: float
    """Responses that pass, the mean over the shuffles."""
    most: int
    largest: float
    """The largest effect of a shuffle, the mean over them."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TemplateRecord(Shown):
    """What the features respond to."""

    ask: TemplateAsk
    prompts: tuple[Prompt, ...]
    combinations: int
    """That there are; more than the prompts where some were drawn."""
    factors: tuple[Factor, ...]
    tests: int
    """In the family that is corrected for."""
    level: float
    found: int
    """Responses that pass."""
    responses: tuple[Response, ...]
    """Those that pass, factor by factor, the largest effects first, of each as many as were asked for."""
    control: Control
    left_out: tuple[LeftOut, ...] = ()

    def of(self, factor: Factor) -> tuple[Response, ...]:
        """The responses to one factor."""
        return tuple(one for one in self.responses if one.factor == factor)

    def __repr__(self) -> str:
        return f"TemplateRecord({len(self.prompts)} prompts, {self.found} of {self.tests} tests)"
