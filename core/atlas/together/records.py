"""What comparisons answer with: who fires with whom, sources side by side, features side by side.

Frozen records of plain values; nothing here imports torch or numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.records import FeatureKey, FeatureRecord, Histogram, LeftOut, SearchHit, Shown, SourceKey, SourceRecord, Token


@dataclass(frozen=True, slots=True)
class Near(Shown):
    """A feature, and how much it is like another: in the measure that was asked for (a cosine, a correlation)."""

    feature: FeatureKey
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mate:
    """Another feature beside the one that was asked about, over all counted tokens of the build.

    Where a window was asked for, `both` and all that follows from it is about it: on how many of the one's tokens the
    other is active within so many tokens, and `active` on how many tokens it is so near.
    """

    feature: FeatureKey
    label: str
    correlation: float | None
    """Pearson's; None where one of the two never varies."""
    active: int
    """Tokens on which it is active; with a window, tokens that have it within the window."""
    both: int
    """Tokens on which both are."""
    expected: float
    """How many these would be if neither knew of the other."""
    lift: float
    """both / expected; 0 where nothing is expected."""
    share: float
    """both / the active tokens of the feature that was asked about: P(other | this)."""
    share_back: float
    """both / `active`: P(this | other)."""
    evidence: float
    """G², the log-likelihood ratio of the two by two table against independence."""
    log10_p: float
    """log10 of Fisher's exact p, one-sided in the direction of the list, times the other source's living features
    (Bonferroni); at most 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mates:
    """What of one source goes with a feature."""

    source: SourceKey
    correlated: tuple[Mate, ...]
    """Largest correlation first."""
    together: tuple[Mate, ...]
    """Most evidence first."""
    never: tuple[Mate, ...]
    """That fire together far less than chance would have it, corrected p at most 0.01, most evidence first."""
    live: bool
    """From the stores, so that the lists may have any length and window; else from what was kept of them."""
    tails: bool
    """Whether one of the two sources is dense, so that “active” is a value in its tails, and what lies between them
    counts as 0 in correlations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What fires together with a feature, and what never does, source by source."""

    feature: FeatureKey
    label: str
    active: int
    tokens: int
    """Counted tokens of the build."""
    window: int
    """Tokens on either side in which another may fire to count; 0 is the same token."""
    sources: tuple[Mates, ...]
    left_out: tuple[LeftOut, ...]
    """Sources that could not be looked at, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A feature of one source and its partner in another."""

    a: FeatureKey
    b: FeatureKey
    correlation: float
    both: int
    """Tokens on which both are active."""
    active_a: int
    active_b: int
    label_a: str
    label_b: str

    @property
    def jaccard(self) -> float:
        """Of the tokens on which either is active, those on which both are."""
        return self.both / max(1, self.active_a + self.active_b - self.both)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lonely:
    """A feature without a partner."""

    feature: FeatureKey
    label: str
    density: float
    correlation: float | None
    """That of its best match; None if none shares three tokens with it."""
    best: FeatureKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How the features of one source are found again in another."""

    a: SourceKey
    b: SourceKey
    mean: float
    """Mean of the living features' best correlations; one without any counts as 0."""
    share: float
    """Of the living features, those with a partner: a best correlation of at least the threshold."""
    mutual: int
    """Pairs of which each is the other's best, at or above the threshold."""
    living: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Concepts:
    """What annotations say of a source."""

    kinds: tuple[tuple[str, int], ...]
    """(kind, features of it), most first; empty for a source without annotations."""
    lines: int
    """Different rules, each in one line."""
    alone: int | None
    """Living features that have a partner in none of the other sources; None where that is not known."""
    own: tuple[tuple[str, FeatureKey, float], ...]
    """(rule, feature, its score) of some of these, best score first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSide:
    """One of the sources that are compared."""

    source: SourceRecord
    densities: Histogram
    """log10 density of its living features, in the bins that all have."""
    concepts: Concepts


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesCompared:
    """Two or more sources side by side."""

    sides: tuple[SourceSide, ...]
    threshold: float
    """From which a best correlation makes a partner."""
    matrix: tuple[Matching, ...]
    """Of each ordered pair of them, where it is known."""
    missing: tuple[LeftOut, ...]
    """Pairs that are not known, under the first's name, and why."""
    can_make: bool
    """Whether what is missing can be made here, since the stores are."""
    same_figures: bool
    """Whether the quality figures of all that have some were measured on the same texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The features of two sources, matched."""

    a: SourceKey
    b: SourceKey
    threshold: float
    total: int
    """Pairs of which each is the other's best, at or above the threshold."""
    offset: int
    pairs: tuple[Pair, ...]
    """Largest correlation first."""
    alone_a: int
    """Living features of `a` whose best correlation is below the threshold."""
    alone_b: int
    lonely_a: tuple[Lonely, ...]
    """Some of these, the most active first."""
    lonely_b: tuple[Lonely, ...]
    tails: bool
    """As of `Mates`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """On how many counted tokens of the build two features are active."""

    both: int
    only_a: int
    only_b: int
    neither: int
    correlation: float | None
    log10_p: float
    """As of `Mate`, in the direction in which they depart from chance, for this one test."""
    live: bool

    @property
    def jaccard(self) -> float:
        """Of the tokens on which either is active, those on which both are."""
        return self.both / max(1, self.both + self.only_a + self.only_b)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A text on which one of two features fires and the other does not, or both do, with the values of both."""

    tokens: tuple[Token, ...]
    values: tuple[tuple[float, ...], tuple[float, ...]]
    position: int
    """The token that it is about."""
    document: int
    prompt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesCompared:
    """One feature against another."""

    a: FeatureRecord
    b: FeatureRecord
    overlap: Overlap | None
    why: str
    """Why the overlap is not known; empty if it is."""
    cosine: float | None
    """Of their decoder rows; None if these do not lie in one space, or are not here."""
    cosine_why: str
    both: tuple[Apart, ...]
    only_a: tuple[Apart, ...]
    """Where `a` is strongest and `b` is silent."""
    only_b: tuple[Apart, ...]
    exact: bool
    """Whether these are the strongest of all the build's tokens; else they are among the features' kept examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSide:
    """One source's features on a prompt."""

    source: SourceKey
    hits: tuple[SearchHit, ...]
    total: int
    partners: tuple[tuple[FeatureKey, float, bool] | None, ...]
    """Of each hit its best match in the other source, its correlation, and whether it is active on this prompt too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTogether:
    """One prompt in the codes of two sources."""

    text: str
    tokens: tuple[Token, ...]
    sides: tuple[ReadSide, ...]
