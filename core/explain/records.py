"""The records of explanations: words on a feature, how far to trust them, and what they were made from.

Whoever wrote it, an explanation is one `Explanation`: an annotation computed from the data, a language model's, a
person's, or one that came with an import. Frozen, plain values, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from core.records import FeatureKey, Shown, SourceKey, Token

Origin = Literal["data", "model", "person", "import"]
Scorer = Literal["detection", "fuzzing", "simulation", "embedding", "rule"]
ORDER: tuple[Scorer, ...] = ("detection", "fuzzing", "rule", "embedding", "simulation")
"""Which score stands for an explanation in a list."""
Drawn = Literal["positive", "random", "near", "hard"]
"""How a test example was drawn: the feature is active on it; anything; a co-active or close feature is active on it;
its tokens are those that the feature likes, and it is not active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One test example, and what a scorer said of it."""

    tokens: tuple[Token, ...]
    values: tuple[float, ...]
    """The feature's own, a number a token; a judge never sees them."""
    marked: tuple[int, ...] = ()
    """Tokens that were delimited for the judge (fuzzing)."""
    drawn: Drawn
    fires: bool
    """Whether the explanation ought to fit: the feature is active; in fuzzing, the marks are where it is."""
    said: bool | None
    """What was said; None where no answer could be had."""
    score: float | None = None
    """A probability, a similarity or a correlation, where the scorer gives one."""
    predicted: tuple[float, ...] = ()
    """Values that were predicted, 0 to 10, a number a token (simulation)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Shown):
    """How well an explanation tells where its feature is active, on examples that its author did not see."""

    id: str
    scorer: Scorer
    judge: str
    """The model or embedder that judged; empty for the annotation's rule."""
    value: float
    """Balanced accuracy (detection, fuzzing, rule), ROC-AUC (embedding), Pearson's r over all tokens (simulation)."""
    low: float
    high: float
    """95 % confidence interval of `value`: bootstrapped over examples; of an annotation's rule after Newcombe."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """`balanced_accuracy`, `f1`, `roc_auc`, `precision`, `recall`, `specificity`: those that the scorer has."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of the measures, 95 % each, as `low` and `high` are found; empty where none were kept."""
    control: float | None = None
    """What the explanation of another, random feature gets on the same examples."""
    control_of: FeatureKey | None = None
    examples: int = 0
    failed: int = 0
    """Examples for which no answer could be had; they count in no figure."""
    verdicts: tuple[Verdict, ...] = ()
    prompt: str = ""
    """The version of our prompt."""
    made: str = ""
    note: str = ""
    """What could not be had, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Shown):
    """Words on one feature."""

    id: str
    feature: FeatureKey
    text: str
    """One line; a person may give several meanings, joined by “ | ”."""
    origin: Origin
    method: str
    """`annotation`, `oai_token-act-pair`, `np_max-act`, `np_max-act-logits`, `eleuther_acts_top20`, `person`, or what
    an import calls it (`typeName` in Neuronpedia's JSON)."""
    model: str = ""
    """Of the explainer (`explanationModelName`); empty for data and people."""
    prompt: str = ""
    """The version of our prompt."""
    author: str = ""
    """A person's id."""
    author_name: str = ""
    made: str = ""
    """ISO date and time in UTC; empty where an import does not say."""
    scores: tuple[Score, ...] = ()
    up: int = 0
    down: int = 0
    """Votes."""
    mine: int = 0
    """Of whoever asks: 1, -1 or 0."""


Rank = Literal["both", "meaning", "words"]
"""By what a search among explanations orders: how near they are to a query, which of its words they have, or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningHit(Shown):
    """An explanation that a search found, and why."""

    id: str
    key: FeatureKey
    text: str
    origin: Origin
    method: str
    model: str
    author: str
    trust: float | None
    """The explanation's own score, as `Brief.score`; None without one."""
    scorer: str
    density: float
    """Of the feature: the fraction of tokens on which it is active."""
    similarity: float | None
    """Cosine of the query's and the explanation's embeddings, -1 to 1; None where only words were asked for."""
    words: float
    """The share of the query's words that it has, by weight, 0 to 1; see `core.explain.meaning.lexical`."""
    matched: tuple[str, ...]
    """Those words, as the explanation writes them."""
    score: float
    """What the order is by: `similarity`, `words`, or the mean of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningRecord(Shown):
    """A page of the explanations that a search found, the best first."""

    query: str
    rank: Rank
    embedder: str
    """What made the vectors; empty where only words were asked for."""
    cut: bool
    """Whether the embedder read only the query's beginning."""
    hits: tuple[MeaningHit, ...]
    total: int
    """Explanations that pass all filters (with words alone: and have one of them), on all pages."""
    offset: int
    looked: int
    """Explanations of the sources that were looked into."""
    sources: tuple[SourceKey, ...]
    """Those that were looked into."""
    methods: tuple[tuple[str, int], ...] = ()
    """Methods of their explanations, each with how many, the most frequent first."""
    lacking: tuple[str, ...] = ()
    """Why some explanations could not be looked at, in words."""

    @property
    def next_offset(self) -> int | None:
        """Of the next page; None if this is the last."""
        end = self.offset + len(self.hits)
        return end if self.hits and end < self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(Shown):
    """What asking a language model would take, before it is asked."""

    model: str
    things: int
    """Features, or explanations that are to be scored."""
    there: int
    """Those of them that have it already, which costs nothing."""
    asks: int
    read: int
    written: int
    """Tokens, about."""
    usd: float | None
    """US dollars, about; None where the price is not known."""
    note: str = ""
    """How it was estimated, and what could not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Shown):
    """How far a run is that asks a language model."""

    done: int = 0
    of: int = 0
    there: int = 0
    """Of `done`: those that were there before."""
    failed: int = 0
    asks: int = 0
    """Questions that were answered, in this run."""
    read: int = 0
    written: int = 0
    usd: float | None = 0.0
    """Spent in this run; None where the price is not known."""
    before: int = 0
    """Questions of an interrupted run that were asked and never answered: whether they were paid nobody knows here."""
    made: tuple[Explanation, ...] = ()
    """What was finished since the last step: of `explain`, the explanation; of `score`, it with its scores."""
    problem: str = ""
    """What was wrong with the one that failed last."""
    stopped: str = ""
    """Why the run ended before all was done; empty while it goes on, or if it is."""


@dataclass(frozen=True, slots=True)
class Brief:
    """An explanation as search and tables need it: light, since there may be 300,000."""

    id: str
    index: int
    """Of the feature, in the source that was asked for."""
    text: str
    origin: Origin
    method: str
    model: str = ""
    author: str = ""
    score: float = float("nan")
    """The newest of the first scorer that it has: detection, fuzzing, rule, embedding, simulation."""
    scorer: str = ""


class Provider(Protocol):
    """Somewhere that explanations come from; `core.explain.door` asks all of them."""

    origin: Origin

    def of(self, feature: FeatureKey) -> Sequence[Explanation]:
        """Those of one feature."""

    def briefs(self, source: SourceKey) -> Sequence[Brief]:
        """Those of a whole source."""

    def mark(self, source: SourceKey) -> str:
        """Another text as soon as something about the source's explanations changed; cheap."""


# -- annotations: computed from the data (core.explain.annotation) -----------------------------------------------------

Kind = Literal[
    "single token", "few tokens", "token class", "word part", "phrase", "position", "long-prefix induction",
    "short-prefix induction",
    "context", "unclear", "too rare",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """A category of tokens that is over-represented among a feature's active ones."""

    attribute: str
    """`token`, `word`, `pair`, `prev`, `prev2`, `before`, `shape`, `place`, `line`, `repeat` or `part`."""
    name: str
    seen: int
    """Active tokens of the category."""
    expected: float
    """What chance would give: the category's tokens times the feature's density."""
    tokens: int
    """All counted tokens of the category."""
    log_odds: float
    """Natural logarithm of the odds ratio, half a token added to each cell."""
    log10_p: float
    """Of Fisher's exact test, one-sided, times the number of categories (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A token of the build's prompts on which the feature is active."""

    prompt: int
    position: int
    value: float
    tokens: tuple[Token, ...] = ()
    """Some around it."""
    at: int = 0
    """Which of these it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Active tokens that belong together."""

    label: str
    tokens: tuple[str, ...]
    """Those with the largest activation first; without regard to case and spaces."""
    share: float
    """Of the feature's activation."""
    score: float
    """Balanced accuracy of the label on held-out documents: this meaning's active tokens against all tokens on which
    the feature is not active or means something else; NaN where it has none."""
    precision: float
    """Share of the held-out tokens that the label fits on which the feature is active with this meaning; NaN where it
    fits none."""
    active: int
    """The meaning's active tokens in held-out documents."""
    examples: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A part of a rule: clauses are joined by “or”, and each counts what the ones before it leave over."""

    words: str
    """With every category of its sets."""
    fits: int
    """Held-out tokens."""
    active: int
    """Of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(Shown):
    """What the data say of one feature, and how far that goes on documents that played no part in it."""

    feature: FeatureKey
    line: str
    """What a reader is told: the rule by whole words, the largest activation first, a few of each set."""
    kind: Kind
    test: str
    """What decided the kind, with its figures."""
    promotes: str
    """The tokens that it raises most, separated by “ · ”."""
    enrichments: tuple[Enrichment, ...]
    """The surest first."""
    meanings: tuple[Meaning, ...]
    """The one with the largest share first; what is in none of them is the rest."""
    rule: tuple[Clause, ...]
    """What is scored, with every category."""
    measures: Mapping[str, float]
    """On held-out tokens: `balanced_accuracy`, `precision`, `recall`, `specificity`, `f1`. NaN where the feature is
    active on none."""
    low: float
    high: float
    """95 % interval of the balanced accuracy, from Wilson's intervals of its two halves (Newcombe 1998)."""
    control: float
    """Balanced accuracy of another, random feature's rule on the same tokens."""
    control_of: FeatureKey | None
    train_active: int
    """Active tokens in the documents that the rule was chosen on."""
    test_active: int
    test_tokens: int
    """Counted tokens of the held-out documents."""
    held_out: str
    """What was held out, in words."""
    active_means: str
    """What counted as active."""
    made: str
    """ISO date."""
