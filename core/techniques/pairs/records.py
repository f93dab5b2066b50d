"""What pairs of prompts are asked and answer with: frozen records of plain values. Nothing here imports torch or numpy.

L is the target's value as circuits know it (`core.techniques.circuits.records`), read at the last token of each prompt.
Every effect is in units of L; divided by the gap, L(clean) - L(corrupted), it is a share: 0 is the corrupted run and 1
the clean one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records import FeatureKey, LeftOut, Shown, SourceKey
from core.techniques.circuits.records import Target

Direction = Literal["denoising", "noising"]
"""Denoising puts what is clean into the corrupted run: what is enough? Noising the other way: what is needed?"""
Rank = Literal["attribution", "difference", "denoising", "noising"]
"""By the mean of both attributions, by the difference of activations, or by one attribution; all by size."""
SMALL = 1e-6
"""A gap below which there is nothing to take a share of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAsk:
    """A clean and a corrupted prompt, and a target.

    Without tokens and without a feature the target is the likeliest next token after the clean prompt against the
    likeliest after the corrupted one.
    """

    model_id: str
    clean: str
    corrupted: str
    target: tuple[str, ...] = ()
    """Next tokens, written out with their leading space, or by id as `#287`."""
    against: tuple[str, ...] = ()
    feature: FeatureKey | None = None
    """A feature as the target, instead of tokens."""
    sources: tuple[SourceKey, ...] = ()
    """Whose features take part; all SAEs and transcoders of the model with weights, if there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Which token of the clean prompt stands for which of the corrupted one."""

    pairs: tuple[tuple[int, int], ...]
    """(clean, corrupted) positions, ascending."""
    clean_only: tuple[int, ...]
    """Tokens of the clean prompt without a counterpart: nothing is patched there."""
    corrupted_only: tuple[int, ...]
    exact: bool
    """Whether both have as many tokens, so that all are aligned by position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Shown):
    """Two prompts, measured: the beginning of every answer."""

    ask: PairAsk
    clean: Target
    corrupted: Target
    alignment: Alignment

    @property
    def gap(self) -> float:
        """L(clean) - L(corrupted)."""
        return self.clean.value - self.corrupted.value

    @property
    def differing(self) -> tuple[int, ...]:
        """Of the aligned pairs those whose tokens are not the same."""
        one, two = self.clean.tokens, self.corrupted.tokens
        return tuple(n for n, (a, b) in enumerate(self.alignment.pairs) if one[a].id != two[b].id)

    def share(self, effect: float) -> float | None:
        """An effect as a share of the gap; None where there is none."""
        return effect / self.gap if abs(self.gap) > SMALL else None


@dataclass(frozen=True, slots=True)
class PairNode(Shown):
    """A feature at two tokens that stand for each other, and what its difference does to L."""

    key: FeatureKey
    position: int
    """In the clean prompt."""
    counterpart: int
    """In the corrupted one."""
    clean: float
    """Its activation there."""
    corrupted: float
    denoising: float
    """Attribution: what it writes in the clean run less what in the corrupted one, times dL/dx of the corrupted run."""
    noising: float
    """The same times dL/dx of the clean run."""
    denoised: float | None = None
    """Measured: L of the corrupted run with the feature as in the clean one, less L(corrupted)."""
    noised: float | None = None
    """Measured: L(clean) less L of the clean run with the feature as in the corrupted one."""
    label: str = ""
    density: float | None = None

    @property
    def difference(self) -> float:
        """Of the activations, clean less corrupted."""
        return self.clean - self.corrupted

    @property
    def attribution(self) -> float:
        """The mean of both."""
        return (self.denoising + self.noising) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSums:
    """One source's part of Δx · dL/dx over the aligned tokens, Δx the difference of both runs where it writes."""

    key: SourceKey
    hook: str
    nodes: int
    """Features at tokens that are active in either run and not alike."""
    denoising: tuple[float, float, float, float]
    """(features, error, bias, total); the first three add up to the last. dL/dx of the corrupted run."""
    noising: tuple[float, float, float, float]
    """The same with dL/dx of the clean run."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PairFeatures(Shown):
    """The features whose activation differs, by difference, attribution and, of the first, patching effect."""

    pair: Pair
    by: Rank
    nodes: tuple[PairNode, ...]
    active: int
    """Nodes in all."""
    sources: tuple[PairSums, ...]
    later: tuple[SourceKey, ...] = ()
    """Sources that write where the target is read, or after it."""
    left_out: tuple[LeftOut, ...] = ()

    def __repr__(self) -> str:
        return f"PairFeatures({len(self.nodes)} of {self.active} nodes, {len(self.sources)} sources)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PatchingRecord(Shown):
    """L with the residual stream patched at one layer and one token, from the other run."""

    pair: Pair
    direction: Direction
    hooks: tuple[str, ...]
    """The residual stream before every layer."""
    rows: tuple[tuple[float, ...], ...]
    """Effects, a row a layer, one for each aligned pair of tokens."""
    whole: tuple[float, ...]
    """Of each layer the effect with all aligned tokens patched together: the gap where all tokens are aligned."""

    def __repr__(self) -> str:
        return f"PatchingRecord({self.direction}, {len(self.rows)} layers × {len(self.pair.alignment.pairs)} tokens)"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """So many nodes kept as they are in the clean run, the others set to their values in the corrupted one."""

    nodes: int
    alone: float
    """Faithfulness with the error set to its corrupted value too."""
    with_error: float
    """With the error kept."""
    without: float
    """Completeness: all but these nodes kept, with the error; what is left if the circuit is taken out."""
    random: float
    """The mean of as many random nodes, without error."""
    low: float
    """The least of the draws, and the most."""
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CurveRecord(Shown):
    """Faithfulness of the first n nodes of one source: 0 where all is corrupted, 1 where nothing is."""

    pair: Pair
    key: SourceKey
    hook: str
    by: Rank
    nodes: int
    """That differ; random ones are drawn of them."""
    empty: float
    """L where every node and the error have their corrupted values, at every aligned token."""
    full: float
    """L where nothing is changed: that of the clean run."""
    points: tuple[CurvePoint, ...]
    draws: int
    seed: int

    def __repr__(self) -> str:
        return f"CurveRecord({self.key}, {self.nodes} nodes)"

    def reaching(self, share: float) -> int | None:
        """The first number of nodes whose faithfulness, with the error kept, is at least so much; None: none is."""
        return next((one.nodes for one in self.points if one.with_error >= share), None)
