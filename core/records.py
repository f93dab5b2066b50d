"""The records that every job of the workbench returns, and the keys by which things are asked for.

All are frozen and hold plain Python values, so that a page, the API, the command line and a notebook get the same thing
and may cache it. Nothing here imports torch, and nothing here computes; where a notebook asks, `core.notebook` draws
them, and `core.frames` makes rows of them. Positions count the BOS token as 0. An index is an integer everywhere; only
Neuronpedia-shaped JSON (`core.interchange.neuronpedia`) writes it as a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeVar, overload

from core.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["sae", "transcoder", "neurons", "directions"]
GroupKind = Literal["diverse", "raw", "interval", "random"]
Measure = Literal["value", "fraction", "percentile", "surprise"]
"""By what a search ranks; see `SearchHit`."""
Combine = Literal["max", "sum"]
Method = Literal["add", "orthogonal", "clamp", "cap", "ablate"]
"""What steering does to an activation; see `core.techniques.steering`."""
Where = Literal["all", "prompt", "generated"]
"""Whose positions are steered: of the prompt and of what is generated, or of one of them."""
Role = Literal["system", "user", "assistant"]

LONGEST = 96
"""Characters of an id at most: it names a folder."""
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SOURCE = re.compile(r"([0-9]{1,4})-([A-Za-z0-9][A-Za-z0-9.-]*(?:_[A-Za-z0-9.-]+)*)(?:__([A-Za-z0-9._-]+))?")


T = TypeVar("T")


class Shown:
    """What a notebook asks of a record; the drawing is loaded when one is first shown."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from core import notebook

        return notebook.to_html([self])

    def to_pandas(self) -> pd.DataFrame:
        """A row a source, model or release, an example of a feature, a token of a test or a run, a hit of a search."""
        from core import frames

        return frames.to_pandas([self])


class Records(tuple[T, ...]):
    """Several records of one kind: a tuple in every way, drawn together in a notebook and read as one data frame."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Records[T]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> T | Records[T]:
        if isinstance(index, slice):
            return Records(tuple.__getitem__(self, index))
        return tuple.__getitem__(self, index)

    def __repr__(self) -> str:
        return f"Records({list(self)!r})"

    def _repr_html_(self) -> str:
        from core import notebook

        return notebook.to_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """The rows of every record, one below the other; see `Shown.to_pandas`."""
        from core import frames

        return frames.to_pandas(self)


@dataclass(frozen=True, slots=True, order=True)
class SourceKey:
    """One dictionary at one hook point of one model: `<model_id>/<layer>-<set>[__suffix]`."""

    model_id: str
    source_id: str

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.model_id) or len(self.model_id) > LONGEST:
            raise BadInput(
                f"“{self.model_id[:LONGEST]}” is not a model id: letters, digits, “.”, “_” and “-” only, "
                f"at most {LONGEST}."
            )
        if not _SOURCE.fullmatch(self.source_id) or len(self.source_id) > LONGEST:
            raise BadInput(
                f"“{self.source_id[:LONGEST]}” is not a source id: it is <layer>-<set>, "
                "for example 8-res-jb or 8-res-jb__32k."
            )

    @classmethod
    def parse(cls, text: str) -> SourceKey:
        """From `gpt2-small/8-res-jb`."""
        parts = text.strip().strip("/").split("/")
        if len(parts) != 2:
            raise BadInput(f"“{text}” does not name a source: write <model>/<source>, for example gpt2-small/8-res-jb.")
        return cls(*parts)

    @classmethod
    def of(cls, model_id: str, text: str) -> SourceKey:
        """From `8-res-jb`, of a model; or from the whole name, which may be of another."""
        return cls.parse(text) if "/" in text else cls(model_id, text)

    @property
    def layer(self) -> int:
        """The layer that the id names."""
        return int(self.source_id.split("-", 1)[0])

    @property
    def set_name(self) -> str:
        """The source set: `res-jb` of `8-res-jb__32k`."""
        match = _SOURCE.fullmatch(self.source_id)
        assert match is not None  # __post_init__ checked
        return match[2]

    def __str__(self) -> str:
        return f"{self.model_id}/{self.source_id}"


@dataclass(frozen=True, slots=True, order=True)
class FeatureKey:
    """One feature: `<model_id>/<source_id>/<index>`."""

    model_id: str
    source_id: str
    index: int

    def __post_init__(self) -> None:
        SourceKey(self.model_id, self.source_id)
        if self.index < 0:
            raise BadInput(f"A feature's index is 0 or more, not {self.index}.")

    @classmethod
    def parse(cls, text: str) -> FeatureKey:
        """From `gpt2-small/8-res-jb/123`; the forgiving reader of pasted links is `core.catalog.resolve`."""
        parts = text.strip().strip("/").split("/")
        if len(parts) != 3 or not re.fullmatch(r"[0-9]{1,12}", parts[2]):
            raise BadInput(
                f"“{text}” does not name a feature: write <model>/<source>/<index>, "
                "for example gpt2-small/8-res-jb/123."
            )
        return cls(parts[0], parts[1], int(parts[2]))

    @property
    def source(self) -> SourceKey:
        """The source that the feature belongs to."""
        return SourceKey(self.model_id, self.source_id)

    def __str__(self) -> str:
        return f"{self.model_id}/{self.source_id}/{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How good a source is, measured on the texts that `dataset` names; see `core.evaluate.reconstruction`."""

    tokens: int
    """Tokens that the means run over, BOS left out."""
    l0: float
    """Mean number of active features a token."""
    explained_variance: float
    """1 - E|x - x̂|² / (E|x|² - |E x|²), over all tokens at once, in float64."""
    dead_fraction: float
    """Fraction of features that no counted token activates."""
    ce_loss: float
    """The model's own next-token cross entropy, in nats."""
    ce_loss_spliced: float
    """The same with the reconstruction in place of the activation."""
    ce_loss_zero: float
    """The same with zeros in place of the activation."""
    ce_loss_score: float
    """(zero - spliced) / (zero - own): 1 is a perfect reconstruction."""
    dataset: str
    """The texts, as the evaluation names them."""
    made: str
    """ISO date of the measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord(Shown):
    """A language model as the catalog knows it, without loading it."""

    model_id: str
    name: str
    architecture: str
    layers: int
    d_model: int
    d_mlp: int
    heads: int
    d_vocab: int
    context: int
    """Most tokens of one text, BOS included."""
    parameters: int
    origin: str
    """Where the weights come from: a folder or a hub repository, as a person would write it."""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord(Shown):
    """A published family of sources."""

    name: str
    description: str
    creator: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord(Shown):
    """One source as its manifest describes it."""

    key: SourceKey
    kind: Kind
    architecture: str
    """SAELens's name of the encoder (`standard`, `jumprelu`, …); `identity` for neurons, `linear` for directions."""
    hook: str
    """TransformerLens's name of the activation that is encoded."""
    layer: int
    width: int
    """Number of features, `d_sae`."""
    d_in: int
    signed: bool
    """Whether values below zero mean something (neurons, directions)."""
    release: ReleaseRecord
    dataset: str
    dataset_sha256: str
    prompts: int
    context: int
    """Tokens of a prompt at most, BOS included."""
    tokens: int
    """Tokens counted in the statistics: special tokens such as BOS are left out."""
    alive: int
    """Features that at least one counted token activates."""
    dtype: str
    has: tuple[str, ...]
    """What is at hand: `dashboards`, `weights`, `store`, …"""
    active: str
    """What “active” means for this kind, in words."""
    built: str
    """ISO date of the build."""
    origin: str
    """Where the weights come from, as a person would write it."""
    hook_out: str = ""
    """Where the decoder rows belong, if elsewhere than at `hook`: a transcoder's output, neurons' MLP's; else empty."""
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text, as it is drawn."""

    id: int
    text: str
    """What this token adds to the text; of tokens that share a character the last has it, the others are empty."""
    special: bool = False
    """BOS and the like: left out of every statistic."""
    partial: bool = False
    """Whether the token ends inside a character, which a later token draws."""


@dataclass(frozen=True, slots=True)
class TokenValue:
    """A vocabulary entry and a number: one line of a logit table."""

    token: Token
    value: float


@dataclass(frozen=True, slots=True)
class Related:
    """Another feature, neuron or coordinate, and how it relates."""

    index: int
    value: float
    """The measure that the list is sorted by: signed coordinate, Pearson correlation or cosine."""
    cosine: float | None = None
    """Cosine of the two activation vectors, where the list is one of correlations."""
    share: float | None = None
    """|coordinate| / L1 norm of the decoder row, where the list is one of coordinates."""
    label: str = ""
    """Tokens that tell a reader what the related feature is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts in equal bins between `low` and `high`."""

    low: float
    high: float
    counts: tuple[int, ...]

    @property
    def centres(self) -> tuple[float, ...]:
        """The middle of each bin."""
        step = (self.high - self.low) / max(1, len(self.counts))
        return tuple(self.low + (i + 0.5) * step for i in range(len(self.counts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the contexts folded into an example."""

    prompt: int
    position: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Where the value of a feature on attention heads came from (direct feature attribution, core.techniques.dfa)."""

    target: int
    """The token whose value it is."""
    values: tuple[float, ...]
    """What each token gave, up to `target` at least; missing ones gave nothing."""
    heads: tuple[float, ...]
    """The same sum, by head."""
    bias: float
    """What no token gave: the sum of `values` and this is the feature's pre-activation at `target`."""
    by_head: tuple[tuple[float, ...], ...] = ()
    """[heads][tokens], whose sums `heads` and `values` are; empty where only these are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt of the build and the feature's values on it."""

    prompt: int
    """Row of the prompt among the build's prompts."""
    document: int
    """Number of the document that the prompt was cut from."""
    part: str
    """The file or subset of the dataset that the document stands in."""
    position: int
    """Position of the token that the example is about: the prompt's maximum, or the token drawn for an interval."""
    value: float
    """Value at `position`."""
    tokens: tuple[Token, ...]
    """The whole prompt, BOS included."""
    values: tuple[float, ...]
    """Value at every token; 0 where the feature is not active and at special tokens."""
    repeats: int = 1
    """Prompts whose context is near-identical to this one, itself included; exact over the whole build."""
    members: tuple[Member, ...] = ()
    """Some of the folded prompts, strongest first, without this one."""
    dfa: Attribution | None = None
    """Where the value at `position` came from, for a source on attention heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleGroup:
    """Examples of one kind, strongest first."""

    kind: GroupKind
    low: float
    high: float
    """Values of the group lie in (low, high]; for the top groups these are 0 and the maximum."""
    share: float
    """Fraction of all counted tokens on which the feature is active with a value in the group's range. Of a signed
    source these are tokens in its tails: values between the tails count as not active."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FeatureRecord(Shown):
    """Everything the feature page shows."""

    key: FeatureKey
    source: SourceRecord
    label: str
    """Tokens over-represented where the feature is strong: enough to tell it from others, not an explanation."""
    active: int
    """Counted tokens on which the feature is active."""
    density: float
    """active / counted tokens."""
    maximum: float
    minimum: float
    mean: float
    """Mean over the active tokens (over all counted tokens if the source is signed)."""
    deviation: float
    """Standard deviation over the same tokens."""
    histogram: Histogram | None
    """Of the active values (of all values if signed); None for a dead feature."""
    logit_histogram: Histogram | None
    """Of the logit effects over the vocabulary."""
    top_logits: tuple[TokenValue, ...]
    """Tokens that the decoder row raises most, W_dec[i] @ W_U."""
    bottom_logits: tuple[TokenValue, ...]
    alignment: tuple[Related, ...]
    """Largest coordinates of the decoder row."""
    correlated_neurons: tuple[Related, ...]
    """Coordinates of the hook point whose values go with the feature's."""
    correlated_features: tuple[Related, ...]
    """Features of this source whose values go with this feature's, over all counted tokens."""
    neighbours: tuple[Related, ...]
    """Nearest decoder rows in this source by cosine."""
    groups: tuple[ExampleGroup, ...]
    """Diverse, raw, interval and random examples, in that order."""
    bos: bool = False
    """Whether every prompt begins with the model's BOS."""

    @property
    def dead(self) -> bool:
        """No counted token activates it."""
        return self.active == 0

    def __repr__(self) -> str:  # the generated one writes out every token of sixty examples
        return f"FeatureRecord({self.key}, label={self.label!r}, active={self.active}, maximum={self.maximum:.4g})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TestRecord(Shown):
    """One text and one feature's values on it."""

    key: FeatureKey
    text: str
    tokens: tuple[Token, ...]
    """BOS included, if the model has one."""
    values: tuple[float, ...]
    """One a token; special tokens keep the value the encoder gives them, but do not count for the maximum."""
    maximum: float
    """Largest value over tokens that are not special; of largest magnitude if the source is signed."""
    position: int | None
    """Where the maximum is; None if no token is active."""
    bos: bool = False
    """Whether the first token is the model's BOS, put before the text."""
    dfa: Attribution | None = None
    """Where the value at `position` came from, for a source on attention heads."""

    __test__ = False  # the name is not pytest's

    def __repr__(self) -> str:
        return f"TestRecord({self.key}, {self.text!r}, maximum={self.maximum:.4g}, position={self.position})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DfaRecord(Shown):
    """Where a feature's value at one token of a text came from."""

    key: FeatureKey
    text: str
    tokens: tuple[Token, ...]
    """BOS included, if the model has one."""
    bos: bool
    value: float
    """The feature's value at the target token; 0 where it is not active."""
    dfa: Attribution

    def __repr__(self) -> str:
        return f"DfaRecord({self.key}, {self.text!r}, target={self.dfa.target}, value={self.value:.4g})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SearchHit(Shown):
    """A feature that a text activates."""

    key: FeatureKey
    layer: int
    values: tuple[float, ...]
    """One a token of the text."""
    maximum: float
    """Largest value over the tokens that the search looked at; of largest magnitude if the source is signed."""
    position: int
    """Where that is."""
    score: float
    """What the search ranked by."""
    fraction: float
    """maximum / the feature's largest value on the build's texts, both in size if the source is signed."""
    percentile: float
    """Share of the feature's active tokens on which it is weaker (of all counted tokens, if it is dense)."""
    surprise: float
    """-log10 of the share of the build's tokens on which it is as strong: 3 is one token in a thousand."""
    density: float
    label: str
    promotes: str
    own: bool
    """Whether its name's first token is the token that it is strongest on here."""
    dfa: Attribution | None = None
    """Where the value at `position` came from, for a source on attention heads."""

    def __repr__(self) -> str:
        return f"SearchHit({self.key}, {self.label!r}, maximum={self.maximum:.4g}, position={self.position})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCount:
    """How one source takes part in a search."""

    key: SourceKey
    kind: Kind
    layer: int
    active: int
    """Features of it that are active on the tokens looked at and were not left out."""
    among: int
    """How many of the search's best hits are of this source, of the `BEST` that are looked at."""
    own: int
    """Of this source's own 25 best, how many have the token that they are strongest on as their name's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A source that a search over all of them could not read."""

    key: SourceKey
    why: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SearchRecord(Shown):
    """The features that a text activates, strongest first."""

    model_id: str
    text: str
    tokens: tuple[Token, ...]
    """BOS included, if the model has one."""
    bos: bool
    measure: Measure
    combine: Combine
    """The strongest token, or the sum over those that were looked at."""
    positions: tuple[int, ...]
    """The tokens that were chosen; empty for all: without the special ones, unless they were asked for."""
    hits: tuple[SearchHit, ...]
    total: int
    """Features that are active, over all sources, and were not left out."""
    offset: int
    """How many hits come before the first."""
    sources: tuple[SourceCount, ...]
    """Those that were looked into."""
    exact: bool
    """Whether percentile and surprise are counts over a whole store, and not between kept ranks."""
    left_out: tuple[LeftOut, ...] = ()
    """Sources that it should have looked into and could not: their weights are gone, or do not fit any more."""

    def __repr__(self) -> str:
        return f"SearchRecord({self.model_id!r}, {self.text!r}, {len(self.hits)} of {self.total} hits)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHit:
    """A feature that is among the strongest of one token."""

    key: FeatureKey
    value: float
    label: str
    density: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHits:
    """One token and its strongest features."""

    position: int
    hits: tuple[TokenHit, ...]
    """Strongest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurring:
    """A feature that is among the strongest of some tokens of a text."""

    key: FeatureKey
    frequency: int
    """Of how many."""
    strength: float
    """Its largest value on these tokens; of largest magnitude if the source is signed."""
    position: int
    """Where that is."""
    label: str
    density: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ByTokenRecord(Shown):
    """Each token of a text with its strongest features in one source."""

    key: SourceKey
    text: str
    tokens: tuple[Token, ...]
    """BOS included, if the model has one."""
    bos: bool
    """Whether the first token is the model's BOS, put before the text."""
    rows: tuple[TokenHits, ...]
    """The tokens that were looked at, in order: special ones only if that was asked for."""
    features: tuple[Recurring, ...]
    """Every feature of `rows` once, the most frequent first, of equally frequent ones the strongest."""

    def __repr__(self) -> str:
        return f"ByTokenRecord({self.key}, {self.text!r}, {len(self.rows)} tokens, {len(self.features)} features)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ActivationsRecord(Shown):
    """Everything that one source gives on a text."""

    key: SourceKey
    text: str
    tokens: tuple[Token, ...]
    """BOS included, if the model has one."""
    bos: bool
    """Whether the first token is the model's BOS, put before the text."""
    entries: tuple[tuple[int, int, float], ...]
    """(feature, position, value) of every value that is not 0, by feature and then by position."""

    def __repr__(self) -> str:
        return f"ActivationsRecord({self.key}, {self.text!r}, {len(self.entries)} values)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A feature on two texts."""

    key: FeatureKey
    layer: int
    values: tuple[tuple[float, ...], tuple[float, ...]]
    """On each text, one a token."""
    maxima: tuple[float, float]
    """Largest value on each text; of largest magnitude if the source is signed; 0 where it is not active."""
    positions: tuple[int | None, int | None]
    """Where these are; None where it is not active."""
    scores: tuple[float, float]
    """The measure of each of them; 0 where it is not active."""
    difference: float
    """First score minus second."""
    reach: float
    """The feature's largest value on the build's texts, in size if the source is signed; 0 if it has none."""
    density: float
    label: str
    promotes: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ContrastRecord(Shown):
    """The features that tell two texts apart."""

    model_id: str
    texts: tuple[str, str]
    tokens: tuple[tuple[Token, ...], tuple[Token, ...]]
    """Of each text, BOS included, if the model has one."""
    bos: bool
    """Whether each begins with the model's BOS, put before the text."""
    measure: Measure
    first: tuple[Contrast, ...]
    """Stronger on the first text, the largest difference first."""
    second: tuple[Contrast, ...]
    """Stronger on the second text, the largest difference first."""
    totals: tuple[int, int]
    """Features that are stronger on the first and on the second text, over all sources, and were not left out."""
    offset: int
    """How many of each come before the first."""
    exact: bool
    """Whether percentile and surprise are counts over a whole store, and not between kept ranks."""
    left_out: tuple[LeftOut, ...] = ()
    """Sources that it should have looked into and could not."""

    def __repr__(self) -> str:
        shown = f"{len(self.first)} and {len(self.second)} features"
        return f"ContrastRecord({self.model_id!r}, {self.texts[0]!r}, {self.texts[1]!r}, {shown})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A sentence with one word in its slot, and a feature's values on it."""

    word: str
    text: str
    tokens: tuple[Token, ...]
    """BOS included, if the model has one."""
    values: tuple[float, ...]
    """One a token; special tokens keep the value the encoder gives them, but do not count for the maximum."""
    maximum: float
    """Largest value over tokens that are not special; of largest magnitude if the source is signed."""
    position: int | None
    """Where that is; None if no token is active."""
    slot: tuple[int, ...]
    """The tokens that the word has a part in; empty if the tokenizer changed the text so that it is not to be found."""
    at_slot: float
    """Largest value over these; 0 if none is active."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SubstitutionRecord(Shown):
    """A feature on one sentence whose slot is filled with one word after another."""

    key: FeatureKey
    sentence: str
    """With `{}` for the slot."""
    fillings: tuple[Filling, ...]
    """In the order of the words."""
    bos: bool
    """Whether each begins with the model's BOS, put before the text."""

    def __repr__(self) -> str:
        return f"SubstitutionRecord({self.key}, {self.sentence!r}, {len(self.fillings)} words)"


@dataclass(frozen=True, slots=True)
class Push:
    """A feature or a custom direction, and how strongly it is steered."""

    key: FeatureKey
    strength: float = 0.0
    """In units of the feature's value; its meaning is the method's. `ablate` has none."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SteerAsk:
    """Everything that a steered text depends on."""

    model_id: str
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    """Instead of `prompt`: a chat, through the model's template."""
    steered_messages: tuple[Message, ...] = ()
    """The chat of the steered text, where it differs: its earlier answers were steered too."""
    pushes: tuple[Push, ...]
    method: Method = "add"
    unit: bool = False
    """Whether directions are divided by their length first."""
    where: Where = "all"
    positions: tuple[int, ...] = ()
    """Tokens of the prompt to steer, instead of all of them; BOS is 0."""
    special: bool = False
    """Whether special tokens of the prompt, such as BOS, are steered too."""
    length: int = 48
    """Tokens to generate at most."""
    temperature: float = 0.7
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Only the likeliest tokens that have so much probability together are drawn from."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit for each time that it was generated before."""
    seed: int = 16
    alternatives: int = 5
    """Likeliest tokens to record at each place."""
    watch: tuple[FeatureKey, ...] = ()
    """Features whose values on the prompt are compared."""

    @classmethod
    def of(cls, model_id: str, prompt: str, features: Mapping[str | FeatureKey, float], **more: Any) -> SteerAsk:
        """As a person writes it: `SteerAsk.of("scribe-4l", "The old house", {"scribe-4l/2-res/78": 30}, seed=1)`.

        Raises:
            BadInput: what is to name a feature does not.
        """
        keys = [key if isinstance(key, FeatureKey) else FeatureKey.parse(key) for key in features]
        pushes = tuple(Push(key, float(s)) for key, s in zip(keys, features.values(), strict=True))
        return cls(model_id=model_id, prompt=prompt, pushes=pushes, **more)


@dataclass(frozen=True, slots=True)
class Likely:
    """A token and its log-probability."""

    token: Token
    logprob: float


@dataclass(frozen=True, slots=True)
class Written:
    """A generated token."""

    token: Token
    logprob: float
    """Under the model that wrote it, in nats: at temperature 1 and without penalty, whatever drew it."""
    other: float | None
    """Of the same token after the same text under the other one: the unsteered model for the steered text, and the
    other way round; None until it is known."""
    top: tuple[Likely, ...] = ()
    """The likeliest tokens in its place, under the model that wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredText:
    """What one of the two wrote."""

    text: str
    """Without the prompt and without special tokens."""
    tokens: tuple[Written, ...]
    ended: bool
    """Whether it came to the model's end of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRecord:
    """A feature that steers, as a page shows it."""

    key: FeatureKey
    strength: float
    maximum: float | None
    """The feature's largest value on the build's texts; None for a custom direction."""
    label: str
    hook: str
    """Where the direction is added."""
    norm: float
    """Length of the direction as it is on disk."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A token's probability at the prompt's end, before and after."""

    token: Token
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A feature's values on the prompt, without and with steering, one a token."""

    key: FeatureKey
    label: str
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What steering does to the prompt besides text."""

    gains: tuple[Shift, ...]
    """Next tokens whose probability grows most, first the one that gains most."""
    losses: tuple[Shift, ...]
    divergence: float
    """KL(steered ‖ unsteered) of the next token at the prompt's end, in nats."""
    watched: tuple[Watched, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SteerRecord(Shown):
    """A default and a steered text, so far or whole."""

    ask: SteerAsk
    prompt: tuple[Token, ...]
    """BOS included, if the model has one; of a chat, what its template makes of it."""
    steered_prompt: tuple[Token, ...]
    """The same, unless the chats differ."""
    pushes: tuple[PushRecord, ...]
    default: SteeredText
    steered: SteeredText
    effect: Effect | None
    """None where the two prompts differ."""
    done: bool = True
    run: str = ""
    """Under which it was saved, if it was."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{p.key}={p.strength:g}" for p in self.pushes)
        return f"SteerRecord({shown}, default={self.default.text!r}, steered={self.steered.text!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The text at one strength."""

    factor: float
    """Times the strengths that were asked for."""
    text: SteeredText
    divergence: float
    """KL(steered ‖ unsteered) of the next token at the prompt's end, in nats."""
    perplexity: float | None
    """Of the text under the unsteered model, after the prompt; None for an empty text."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SweepRecord(Shown):
    """One prompt at several strengths."""

    ask: SteerAsk
    prompt: tuple[Token, ...]
    pushes: tuple[PushRecord, ...]
    rows: tuple[Sweep, ...]
    """In the order of the factors."""

    def __repr__(self) -> str:
        return f"SweepRecord({', '.join(f'{row.factor:g}: {row.text.text!r}' for row in self.rows)})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VectorRecord(Shown):
    """A direction that a person brought."""

    key: FeatureKey
    """Under the source `<layer>-vectors-<place>`, which has no dashboards."""
    label: str
    hook: str
    values: tuple[float, ...]
    strength: float
    """To begin with."""
    made: str
    """ISO time."""

    def __repr__(self) -> str:
        return f"VectorRecord({self.key}, {self.label!r}, {self.hook}, {len(self.values)} numbers)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A steering to begin with, from `configs/steer.yaml`."""

    name: str
    note: str
    ask: SteerAsk


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """One line of a source's table."""

    index: int
    density: float
    maximum: float
    active: int
    label: str
    """Tokens over-represented where it is strong."""
    promotes: str
    """Tokens that it raises most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a request is that runs a model."""

    doing: Literal["waiting", "loading", "reading", "embedding", "writing", "mapping", "measuring"]
    before: int = 0
    """Waiting: requests that are to be done before it, besides those at work."""
    what: str = ""
    """Loading: the model or source. Reading: the source that is done; empty before the first. Mapping,
    measuring: what of it."""
    done: int = 0
    """Of the sources to be loaded, the texts times sources to be read, the explanations to be embedded, or the
    tokens to be written."""
    of: int = 0
    tokens: int = 0
    """Reading: of all its texts."""
    sources: int = 0
    """Reading: those that have to be; what was read before is known."""


Tell = Callable[[Step], None]
"""Is told each step; must return at once, since it may be called by whoever reads for several requests together.

Raising in it ends work that only its own request waits for: one that waits its turn, or that writes.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """What the process holds of one model or source."""

    name: str
    state: Literal["absent", "loading", "ready", "failed"]
    megabytes: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """What the process holds, who waits for it, and what bounds a request."""

    version: str
    seconds: float
    """Since the workbench was opened."""
    device: str
    dtype: str
    """Of models, where they run on new texts."""
    process_megabytes: float | None
    """Memory of the whole process, files that it has open and reads included; None where the system does not say."""
    residents: tuple[Resident, ...]
    budget_megabytes: float
    """What models and sources may take together."""
    waiting: int
    """Requests that wait for a model."""
    at_work: int
    """Requests that a model is at work for, in one batch each model."""
    cache_entries: int
    """Activations and codes of texts read before, in memory."""
    cache_megabytes: float
    cache_most_megabytes: float
    cache_disk_megabytes: float | None
    """None until this process has looked; what is there is found all the same."""
    cache_disk_most_megabytes: float
    cache_hits: int
    cache_misses: int
    limits: tuple[tuple[str, float], ...]
    """Settings that bound requests: name and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build made."""

    sources: tuple[SourceRecord, ...]
    seconds: float
    tokens: int
    skipped: tuple[SourceKey, ...] = field(default=())
    """Sources that were there already, complete."""
