"""What is known of attention heads: frozen records of plain values. Nothing here imports torch or numpy.

Positions count BOS as 0. Attention is after the softmax, so that a row adds up to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import BadInput
from core.records import FeatureKey, LeftOut, Shown, SourceKey, Token

Kind = Literal["previous", "duplicate", "induction"]
Side = Literal["query", "key", "value", "output"]
KINDS: tuple[Kind, ...] = ("previous", "duplicate", "induction")
NAMES: dict[Kind, str] = {"previous": "previous token", "duplicate": "duplicate token", "induction": "induction"}
SIDES: tuple[Side, ...] = ("query", "key", "value", "output")
NAMED = 0.4
"""A score on random tokens from which a head is called so; a convention (ARENA's), not a law."""
TOP = 10
"""Features of a side that are listed, unless told otherwise."""


@dataclass(frozen=True, slots=True, order=True)
class HeadKey:
    """One head of a model: `scribe-4l/2/5` is head 5 of layer 2."""

    model_id: str
    layer: int
    head: int

    @classmethod
    def parse(cls, text: str) -> HeadKey:
        """Reads `<model>/<layer>/<head>`; raises `BadInput` for anything else."""
        parts = text.strip().split("/")
        numbers = parts[1:]
        if len(parts) != 3 or not parts[0] or not all(n.isascii() and n.isdecimal() and len(n) < 6 for n in numbers):
            raise BadInput(f"“{text[:60]}” is no head: write <model>/<layer>/<head>, for example scribe-4l/2/5.")
        return cls(parts[0], int(numbers[0]), int(numbers[1]))

    def __str__(self) -> str:
        return f"{self.model_id}/{self.layer}/{self.head}"

    @property
    def name(self) -> str:
        """As the field writes it: `L2H5`."""
        return f"L{self.layer}H{self.head}"


@dataclass(frozen=True, slots=True)
class Score:
    """How much of a head's attention goes where one kind of head looks, 0 to 1."""

    value: float
    """On repeated random tokens."""
    control: float | None
    """At the same places where the second half is other random tokens: what position alone gives. None for the
    previous token, which is a position."""
    uniform: float
    """What equal attention to every token so far gives there."""
    text: float | None = None
    """On the corpus: TransformerLens's `head_detector`, the share of all attention. None where there is none."""
    text_uniform: float | None = None
    """What equal attention gives there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadScores:
    """One head's standard scores, and over the corpus what its attention goes to."""

    key: HeadKey
    previous: Score
    duplicate: Score
    induction: Score
    bos: float | None = None
    """Share of its attention on BOS, over the corpus; None without a corpus or a BOS."""
    itself: float | None = None
    """Share on the token itself."""
    before: float | None = None
    """Share on the token before."""
    distance: float | None = None
    """Tokens back that it looks on average, its attention to BOS left out."""

    def score(self, kind: Kind) -> Score:
        """One of the three."""
        found: Score = getattr(self, kind)
        return found

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What it may be called: scores of at least `NAMED` that position alone does not give."""
        own = ((kind, self.score(kind)) for kind in KINDS)
        return tuple(kind for kind, one in own if one.value >= NAMED and one.value - (one.control or 0.0) >= NAMED / 2)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HeadsRecord(Shown):
    """Every head of a model."""

    model_id: str
    heads: tuple[HeadScores, ...]
    """By layer and head."""
    period: int
    """Random tokens that are repeated once."""
    sequences: int
    """Such texts."""
    source: SourceKey | None
    """Whose build's prompts the corpus is."""
    prompts: int
    tokens: int
    """Of the corpus, BOS apart."""
    made: str
    """The date."""

    def __repr__(self) -> str:
        return f"HeadsRecord({self.model_id!r}, {len(self.heads)} heads, {self.tokens:,} tokens)"


@dataclass(frozen=True, slots=True)
class Pair:
    """A token from which a head looks, and the token that it looks at, over the corpus."""

    query: Token
    key: Token
    times: int
    """Destinations at which that was what it attended to most."""
    mean: float
    """Its attention there, on average."""
    prompt: int
    """Of the source's build, where it was strongest."""
    position: int
    """There, of the token from which it looks."""
    attended: int
    """And of the one that it looks at."""
    weight: float
    tokens: tuple[Token, ...]
    """Around both; `first` is the position of the first."""
    first: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HeadRecord(Shown):
    """One head as its page shows it."""

    scores: HeadScores
    pairs: tuple[Pair, ...]
    """What it attends to most: by attention in total, BOS and the token itself left out."""
    covered: float
    """Share of its destinations at which BOS and itself apart something has at least `LEAST` of its attention."""
    among: HeadsRecord

    def __repr__(self) -> str:
        return f"HeadRecord({self.scores.key}, {len(self.pairs)} pairs)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PatternRecord(Shown):
    """A head's attention on one text, exactly."""

    key: HeadKey
    text: str
    tokens: tuple[Token, ...]
    bos: bool
    pattern: tuple[tuple[float, ...], ...]
    """A row a token from which it looks, a value a token up to it; every row adds up to 1."""
    moved: tuple[tuple[float, ...], ...]
    """The length of what it moves: ‖attention × value · W_O‖ (Kobayashi et al. 2020). Much attention to BOS often moves
    next to nothing."""

    def __repr__(self) -> str:
        return f"PatternRecord({self.key}, {self.text!r}, {len(self.tokens)} tokens)"


@dataclass(frozen=True, slots=True)
class HeadFeature:
    """A feature that a head reads, or that reads the head, by weights alone."""

    key: FeatureKey
    score: float
    """In units of what a random direction gives: 1 is nothing special."""
    norm: float
    """Length of the decoder row, or of the encoder column, whose direction was asked."""
    label: str = ""
    density: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSide:
    """One of a head's sides, and the features that stand out there."""

    side: Side
    features: tuple[HeadFeature, ...]
    chance: float
    """The score that one of a thousand random directions passes."""
    beyond: int
    """Features above it."""
    of: int
    """Features that were looked at."""
    sources: tuple[SourceKey, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HeadFeaturesRecord(Shown):
    """The features that write what a head reads and read what it writes, by weights."""

    key: HeadKey
    sides: tuple[HeadSide, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __repr__(self) -> str:
        return f"HeadFeaturesRecord({self.key}, {', '.join(one.side for one in self.sides)})"


@dataclass(frozen=True, slots=True)
class HeadNode:
    """An active feature at a token, and its part in what a head does there."""

    key: FeatureKey
    position: int
    activation: float
    value: float
    label: str = ""
    density: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTerms:
    """A number of a head on a text as a sum over the active features of one source.

    Of `query` and `key` the attention score of the two tokens, before the softmax; of `value` the part of what the head
    writes at the one that comes from the other, along its direction: those of all tokens together are 1. Of `output` it
    is no sum: what the head gives each feature's pre-activation.
    """

    side: Side
    source: SourceKey
    nodes: tuple[HeadNode, ...]
    """The largest in size."""
    active: int
    features: float | None
    """What all nodes add up to, also those that are not listed."""
    error: float | None
    """What the source does not reconstruct, or what was written after it."""
    bias: float | None
    """What is there whatever is active."""
    total: float | None
    """What the model computed, apart from the sum."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HeadActiveRecord(Shown):
    """What the features that are active on a text give a head at one token, and what it gives others."""

    key: HeadKey
    text: str
    tokens: tuple[Token, ...]
    bos: bool
    position: int
    """From which it looks."""
    attended: int
    """At which it looks."""
    weight: float
    """Its attention there."""
    written: float
    """Length of what it writes at `position`."""
    sides: tuple[HeadTerms, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"HeadActiveRecord({self.key}, {self.position} to {self.attended}, {self.weight:.3f})"
