"""What the atlas answers with: frozen records of plain values. Nothing here imports torch or numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records import FeatureKey, Kind, LeftOut, Shown, SourceKey

By = Literal["decoder", "encoder", "logits", "explanation", "correlation"]
"""What two features are compared by; see `core.atlas.near.similar`."""
Level = Literal["yes", "partly", "no"]
Side = Literal["decoder", "encoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What the nearest there is to others than the feature that was asked for."""

    median: float
    """Of the best value that other features of its source have there: half have less."""
    high: float
    """95 % of them have less."""
    sample: int
    """Other features that were looked at."""
    random: float | None = None
    """Median of the best value that random directions have there; None where there are no directions."""
    pair: float | None = None
    """By explanation: 95 % of the pairs of one of these features and any there have less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarHit:
    """A feature that is like the one that was asked for."""

    feature: FeatureKey
    value: float
    label: str = ""
    density: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarPlace:
    """One source that was looked into."""

    key: SourceKey
    kind: Kind
    best: SimilarHit | None
    """None where nothing there has a value."""
    chance: Chance | None
    note: str = ""
    """How its rows differ in kind from the feature's own; empty where they do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronAnswer:
    """Whether there is a neuron for a feature."""

    best: SimilarHit
    neurons: int
    """Among so many."""
    chance: Chance
    level: Level
    """`yes` from a cosine of 0.7, `partly` from 0.4 where 95 % of other features have less, else `no`."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SimilarRecord(Shown):
    """Features that are like one, over some sources."""

    key: FeatureKey
    by: By
    hits: tuple[SimilarHit, ...]
    """The largest value first, equal ones by source and index."""
    places: tuple[SimilarPlace, ...]
    """By source, as they were asked for."""
    neuron: NeuronAnswer | None = None
    left_out: tuple[LeftOut, ...] = ()
    """Sources that could not be compared, and why."""

    def __repr__(self) -> str:
        return f"SimilarRecord({self.key}, by={self.by!r}, {len(self.hits)} features of {len(self.places)} sources)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GlanceRecord(Shown):
    """The nearest decoder rows in other sources, from a table that was made beforehand: no weights are loaded."""

    key: FeatureKey
    hits: tuple[SimilarHit, ...]
    """The largest first: the best of every source, and the best of the others."""
    missing: tuple[SourceKey, ...] = ()
    """Sources of the model that the table does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """A step from a feature to its best match in the next source."""

    source: SourceKey
    """The next one."""
    best: SimilarHit
    """The best match there; its `value` is the cosine."""
    back: SimilarHit
    """The best match of that one, back where the step began."""
    held: bool
    """Whether the chain goes on: the two are each other's best, and the value is not below the threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainMember:
    """A feature of a chain."""

    hit: SimilarHit
    """`value` is the cosine with the feature that was asked for."""
    layer: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChainRecord(Shown):
    """A feature through the layers of its set, by mutual best matches."""

    key: FeatureKey
    by: By
    threshold: float
    members: tuple[ChainMember, ...]
    """By layer, the feature itself among them."""
    down: tuple[ChainLink, ...]
    """From the feature towards layer 0; the last is the one that did not hold, unless the layers ended."""
    up: tuple[ChainLink, ...]
    """The same towards the last layer."""
    sources: tuple[SourceKey, ...]
    """Of the set, by layer: those that the chain could go through."""
    random: float
    """Median of the best value of random directions, over these sources."""
    left_out: tuple[LeftOut, ...] = ()

    def __repr__(self) -> str:
        return f"ChainRecord({self.key}, {' → '.join(str(one.hit.feature) for one in self.members)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the features whose rows add up to another's."""

    hit: SimilarHit
    """`value` is the cosine with the feature's row."""
    weight: float
    """Of its unit row in the sum; the feature's own row has length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A feature's decoder row as a sum of a few rows of another source, with weights of 0 or more."""

    source: SourceKey
    width: int
    parts: tuple[Part, ...]
    explained: float
    """1 − |row − sum|² / |row|²."""
    single: float
    """The same with the nearest row alone: its cosine squared, or 0 if that is below 0."""
    chance: float
    """Median of `explained` for other features of the same source, with as many parts."""
    random: float
    """The same for random directions."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FamilyRecord(Shown):
    """Near-duplicates of a feature in its source, and what it becomes in other sources."""

    key: FeatureKey
    threshold: float
    duplicates: tuple[SimilarHit, ...]
    """Features of its own source whose decoder cosine is not below the threshold."""
    nearest: SimilarHit | None
    """In its own source, whether or not it is above."""
    splits: tuple[Split, ...]
    """Wider sources first."""
    left_out: tuple[LeftOut, ...] = ()

    def __repr__(self) -> str:
        return f"FamilyRecord({self.key}, {len(self.duplicates)} near-duplicates, {len(self.splits)} sources)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplittingParent:
    """A feature of a narrow dictionary with those of a wider one that are nearest to it."""

    hit: SimilarHit
    children: int
    """Wide features whose nearest narrow row is its, not below the threshold."""
    listed: tuple[SimilarHit, ...]
    """The nearest of them."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SplittingRecord(Shown):
    """What becomes of a narrow dictionary's features in a wider one of the same hook: of features that are alive."""

    narrow: SourceKey
    wide: SourceKey
    threshold: float
    parents: int
    """Living features of the narrow one."""
    children: int
    """Living features of the wide one."""
    split: int
    """Narrow features with two children or more."""
    persist: int
    """Narrow features with one."""
    gone: int
    """Narrow features without any."""
    new: int
    """Wide features without a parent."""
    chance: float
    """The share of wide features that would have a parent among as many random directions."""
    counts: tuple[int, ...]
    """Narrow features with 0, 1, 2, … children; the last with so many or more."""
    best: tuple[int, ...]
    """Wide features by the cosine of their nearest narrow row, in equal bins from 0 to 1."""
    best_by_chance: tuple[int, ...]
    """The same with random directions in place of the narrow rows."""
    rows: tuple[SplittingParent, ...]
    """Those with the most children first."""
    offset: int = 0

    def __repr__(self) -> str:
        return f"SplittingRecord({self.narrow} in {self.wide}, {self.split} split, {self.new} new)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A direct path through the residual stream, from what one feature writes to what another reads."""

    hit: SimilarHit
    """The other feature; `value` is the cosine of the decoder row with the encoder row."""
    weight: float | None
    """Their product: what a unit of the writer adds to the reader before its bias. None behind a norm, whose scale
    differs from token to token."""
    adds: float | None
    """The same at the writer's largest value on the build's texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WirePlace:
    """One source on the other end."""

    key: SourceKey
    kind: Kind
    chance: float
    """Median, over other features of this feature's source, of the largest cosine with a feature there, in size."""
    random: float
    """The same of random directions."""
    norm: str = ""
    """The norm that stands before the reader, if there is one."""
    wires: tuple[Wire, ...] = ()
    """The largest in size first."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WiringRecord(Shown):
    """What writes into what a feature reads, and what reads what it writes, from weights alone."""

    key: FeatureKey
    reads: tuple[WirePlace, ...]
    """Earlier sources, the nearest first."""
    writes: tuple[WirePlace, ...]
    """Later sources, the nearest first."""
    left_out: tuple[LeftOut, ...] = ()
    silent: str = ""
    """Why there are no reads, or no writes, where the feature stands outside the stream."""

    def __repr__(self) -> str:
        return f"WiringRecord({self.key}, reads {len(self.reads)} sources, writes to {len(self.writes)})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RowRecord(Shown):
    """A feature's decoder row or encoder row, as on disk."""

    key: FeatureKey
    side: Side
    hook: str
    """Where it belongs: the hook out of a decoder row, the hook point of an encoder row."""
    values: tuple[float, ...]
    norm: float

    def __repr__(self) -> str:
        return f"RowRecord({self.key}, {self.side}, {self.hook}, {len(self.values)} numbers)"
