"""The frozen records of quality: what was measured of a source, of baselines and of controls, and the leaderboard.

No torch, no arithmetic beyond naming: what is measured, and how, is said by the module of each part. A figure is a
`Measured`, a number with its interval; `FIGURES` names those that stand for a dictionary in tables and plots, so that
a page, the API and the command line draw any of them alike. A part has its own token set and date, since parts are
measured when somebody asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from core.records import Kind, Shown, SourceKey

Part = Literal["reconstruction", "features", "absorption", "probing", "tpp", "interp"]
PARTS: tuple[Part, ...] = get_args(Part)
SubjectKind = Literal["source", "pca", "neurons", "coordinates", "random", "control"]
"""`coordinates`: the hook point's own, where it has no neurons."""
ControlKind = Literal["random", "kept", "other"]
"""Of a control: the model's weights randomised with its embeddings, or without them; or a kind of your own."""
Better = Literal["higher", "lower", ""]


@dataclass(frozen=True, slots=True)
class Measured:
    """A number, and its 95 % interval; NaN on both sides where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What a part was measured on."""

    name: str
    sha256: str
    """Of the tokens and of how they are divided into prompts and documents."""
    tokens: int
    """Tokens that count: BOS and other special tokens left out."""
    prompts: int
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One number a feature, as a histogram; `counts` has one fewer than `edges`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float
    median: float
    low: float
    """5 % of the features are below it."""
    high: float
    """5 % are above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionFigures:
    """See `core.evaluate.reconstruction`; intervals are a bootstrap over documents."""

    tokens: int
    """Tokens that the means run over."""
    l0: Measured
    l1: Measured
    mse: Measured
    """Mean over tokens of |x - x̂|², summed over coordinates."""
    explained_variance: Measured
    relative_reconstruction_bias: Measured
    """E|x̂|² / E[x · x̂]: below 1 where the reconstruction is too short."""
    l2_ratio: Measured
    """Mean over tokens of |x̂| / |x|."""
    cosine: Measured
    """Mean over tokens of the cosine of x and x̂."""
    ce_loss: Measured
    ce_loss_spliced: Measured
    ce_loss_zero: Measured
    ce_loss_mean: Measured
    """With the mean activation in place of each."""
    ce_loss_score: Measured
    """Against zeros."""
    ce_loss_score_mean: Measured
    """Against the mean."""
    kl_spliced: Measured
    """KL(own || spliced) of the next token, in nats."""
    kl_zero: Measured
    kl_mean: Measured
    kl_score: Measured
    kl_score_mean: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What the dictionary gives back, and what that costs the model."""

    on: TokenSet
    made: str
    """ISO date and time, UTC; so everywhere here."""
    figures: ReconstructionFigures
    with_bos: ReconstructionFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the features are like as a set; see `core.evaluate.shape`.

    Intervals of shares are Wilson's over features, of means a bootstrap over features.
    """

    on: TokenSet
    made: str
    width: int
    dead_fraction: Measured
    """Features that no counted token activates."""
    dense_fraction: Measured
    """Features active on more than a tenth of the counted tokens."""
    frequent_fraction: Measured
    """On more than a hundredth."""
    density: Distribution
    """log10 of the density of the features that are not dead."""
    encoder_decoder: Distribution | None
    """Cosine of each feature's encoder and decoder rows; None where they live in different spaces or there is none."""
    encoder_decoder_cosine: Measured | None
    """The mean of it."""
    redundancy: Distribution
    """Largest cosine of each feature's decoder row with another feature's."""
    redundancy_cosine: Measured
    """The mean of it."""
    redundancy_chance: float
    """The same mean of as many random directions in as many dimensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterAbsorption:
    """One first letter."""

    letter: str
    words: int
    """Uses of held-out words that begin with it and that the probe gets right."""
    features: tuple[int, ...]
    """The features that together tell the letter, the best first (feature splitting if more than one)."""
    f1: float
    """Of the best of them as a classifier, on held-out words."""
    probe_f1: float
    """Of the linear probe on the activation."""
    absorbed: int
    """Of these, uses on which none of `features` fires and others do its work."""
    rate: float
    """`absorbed` / `words`."""
    fraction: float
    """Mean over words of the share of the probe's direction that absorbing features carry."""
    absorbers: tuple[tuple[str, int], ...] = ()
    """(word, the feature that absorbed it), at most a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorption:
    """First-letter absorption; see `core.evaluate.absorption`. Intervals are a bootstrap over letters."""

    on: TokenSet
    made: str
    letters: tuple[LetterAbsorption, ...]
    rate: Measured
    """Mean over letters."""
    fraction: Measured
    splitting: Measured
    """Mean over letters of how many features tell it."""
    k1_f1: Measured
    """Mean over letters of the best feature's F1."""
    probe_f1: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTask:
    """One label against the others."""

    label: str
    train: int
    """Texts."""
    test: int
    accuracy: Mapping[str, Measured]
    """On held-out texts, balanced over both classes, by `1`, `2`, `5` (features), `full` (all of the activation),
    `shuffled` (five features chosen and fitted on shuffled labels). Intervals are a bootstrap over held-out texts."""
    features: tuple[int, ...]
    """The five that were chosen, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """Sparse probing of text kinds; see `core.evaluate.probing`."""

    on: TokenSet
    made: str
    tasks: tuple[ProbeTask, ...]
    k1: Measured
    """Means over tasks, with intervals over held-out texts."""
    k2: Measured
    k5: Measured
    full: Measured
    shuffled: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class TppEffect:
    """What ablating the features of a label does."""

    k: int
    """How many features of each label are ablated."""
    score: Measured
    """`intended` - `unintended`: a bootstrap over held-out texts."""
    intended: float
    """Mean drop of the accuracy of the label's own probe."""
    unintended: float
    """Mean drop of the others'."""
    drops: tuple[tuple[float, ...], ...]
    """Of the probe of the column's label where the features of the row's are ablated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tpp:
    """Targeted probe perturbation over text kinds; see `core.evaluate.tpp`."""

    on: TokenSet
    made: str
    labels: tuple[str, ...]
    accuracy: tuple[float, ...]
    """Of each label's probe on the held-out texts as they are."""
    effects: tuple[TppEffect, ...]
    score: Measured
    """Of the effect with `k` features."""
    k: int


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A class of annotation, and how many of the living features are of it."""

    name: str
    features: int
    share: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Interp:
    """How well words tell where features are active; see `core.evaluate.interp`.

    Intervals are a bootstrap over features, of shares Wilson's.
    """

    on: TokenSet
    made: str
    features: int
    """Features that have an annotation with a score."""
    annotation: Measured | None
    """Median balanced accuracy of annotations' rules on held-out documents."""
    annotation_control: Measured | None
    """The same of another, random feature's rule."""
    annotation_good: Measured | None
    """Share of features with an interval that lies above 0.7."""
    classes: tuple[ClassShare, ...]
    detected: int
    """Features with an explanation that a judge scored by detection."""
    detection: Measured | None
    """Median balanced accuracy of detection."""
    detection_judges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What was measured of one dictionary: the source, a baseline or a control."""

    name: str
    """`source`, `pca`, `neurons`, `coordinates`, `random`, or a control's own name."""
    kind: SubjectKind
    what: str
    """In a sentence."""
    width: int
    control: ControlKind | None = None
    weights_sha256: str = ""
    reconstruction: Reconstruction | None = None
    features: Shape | None = None
    absorption: Absorption | None = None
    probing: Probing | None = None
    tpp: Tpp | None = None
    interp: Interp | None = None

    def figures(self) -> dict[str, Measured]:
        """The figures of `FIGURES` that it has, by key."""
        return {f.key: found for f in FIGURES if (found := _read(self, f)) is not None}

    def parts(self) -> tuple[Part, ...]:
        """Those that were measured."""
        return tuple(p for p in PARTS if getattr(self, p) is not None)

    def on(self, part: Part) -> tuple[TokenSet, str] | None:
        """(token set, date) of a part; None if it was not measured."""
        found = getattr(self, part)
        return None if found is None else (found.on, found.made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Shown):
    """A source's quality, with what would come out of something simpler and out of nothing."""

    source: SourceKey
    own: Quality
    baselines: tuple[Quality, ...] = ()
    controls: tuple[Quality, ...] = ()
    lacking: tuple[tuple[str, str], ...] = ()
    """(part, why it could not be measured), in words; of a record that is read, what nobody has measured is absent."""

    def all(self) -> Iterator[Quality]:
        """The source, baselines, controls."""
        yield self.own
        yield from self.baselines
        yield from self.controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An SAE of the same recipe on a randomised model: what `measure` is told."""

    path: str
    """A SAELens folder."""
    kind: ControlKind
    """`random`, `kept`: `core.models.randomised.randomised(model, keep_embeddings, seed)` is the model it reads."""
    seed: int = 0
    model: str = ""
    """A Hugging Face folder of the model it reads; needed for `other`, in place of randomising otherwise."""
    name: str = ""
    """Under which it is kept; default: `control-<kind>-<seed>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardRow(Shown):
    """One source: its newest figures. One that nobody measured has none."""

    name: str
    """`<model>/<source>` of a source here; of results from elsewhere, what they call it."""
    source: SourceKey | None
    """None for results from elsewhere."""
    kind: Kind
    architecture: str
    hook: str
    layer: int
    width: int
    release: str
    set_name: str
    model_id: str
    figures: Mapping[str, Measured] = field(default_factory=dict)
    """By the keys of `FIGURES`."""
    on: Mapping[str, TokenSet] = field(default_factory=dict)
    """By part."""
    made: str = ""
    """The newest part's."""
    provenance: str = ""
    """Who measured, and on what: `measured here`, or the file that it was read from."""
    of: SourceKey | None = None
    """Of results from elsewhere: the source here that is the same SAE, if there is one."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that stands for a dictionary in tables and plots."""

    key: str
    part: Part
    field: str
    name: str
    """As tables head it."""
    better: Better
    term: str
    """Where its definition is in the glossary."""


_R: Part = "reconstruction"
FIGURES: tuple[Figure, ...] = (
    Figure("l0", _R, "figures.l0", "L0", "", "l0"),
    Figure("explained_variance", _R, "figures.explained_variance", "explained variance", "higher",
           "explained variance"),
    Figure("mse", _R, "figures.mse", "MSE", "lower", "mse"),
    Figure("relative_reconstruction_bias", _R, "figures.relative_reconstruction_bias", "reconstruction bias", "",
           "reconstruction bias"),
    Figure("l2_ratio", _R, "figures.l2_ratio", "L2 ratio", "", "l2 ratio"),
    Figure("cosine", _R, "figures.cosine", "cosine", "higher", "reconstruction cosine"),
    Figure("ce_loss_score", _R, "figures.ce_loss_score", "CE loss score", "higher", "ce loss score"),
    Figure("ce_loss_score_mean", _R, "figures.ce_loss_score_mean", "CE score, mean", "higher", "ce loss score mean"),
    Figure("kl_score", _R, "figures.kl_score", "KL score", "higher", "kl score"),
    Figure("kl_score_mean", _R, "figures.kl_score_mean", "KL score, mean", "higher", "kl score mean"),
    Figure("dead_fraction", "features", "dead_fraction", "dead", "lower", "dead"),
    Figure("dense_fraction", "features", "dense_fraction", "dense", "lower", "dense fraction"),
    Figure("encoder_decoder_cosine", "features", "encoder_decoder_cosine", "encoder–decoder cosine", "",
           "encoder-decoder cosine"),
    Figure("redundancy_cosine", "features", "redundancy_cosine", "redundancy", "lower", "decoder redundancy"),
    Figure("absorption_rate", "absorption", "rate", "absorption", "lower", "absorption"),
    Figure("absorption_fraction", "absorption", "fraction", "absorption fraction", "lower", "absorption fraction"),
    Figure("probing_k1", "probing", "k1", "probing, k = 1", "higher", "sparse probing"),
    Figure("probing_k2", "probing", "k2", "probing, k = 2", "higher", "sparse probing"),
    Figure("probing_k5", "probing", "k5", "probing, k = 5", "higher", "sparse probing"),
    Figure("tpp", "tpp", "score", "TPP", "higher", "targeted probe perturbation"),
    Figure("annotation", "interp", "annotation", "annotation score", "higher", "annotation quality"),
    Figure("annotation_good", "interp", "annotation_good", "annotated well", "higher", "annotated well"),
    Figure("detection", "interp", "detection", "detection score", "higher", "detection quality"),
)  # fmt: skip
FIGURE: Mapping[str, Figure] = {figure.key: figure for figure in FIGURES}


def _read(quality: Quality, figure: Figure) -> Measured | None:
    found: object = getattr(quality, figure.part)
    for name in figure.field.split("."):
        found = None if found is None else getattr(found, name)
    return found if isinstance(found, Measured) else None
