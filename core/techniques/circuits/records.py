"""What circuits are asked and answer with: frozen records of plain values. Nothing here imports torch or numpy.

All are about one prompt, read up to the token at `position` (its last, unless told otherwise), and about one number
there, the target's value L: the mean logit of some next tokens less that of others, or what a feature's encoder gives
before its activation function. Positions count BOS as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records import FeatureKey, LeftOut, Shown, SourceKey, Token

Part = Literal["embedding", "position", "head", "attention", "mlp", "bias", "rest"]
"""What writes into the residual stream: `attention` of a layer whose heads cannot be told apart; `bias` is what is
added whatever the text; `rest` what the hooks of the architecture leave untold, and rounding."""

TOP = 100
"""Nodes that are listed, unless told otherwise."""
LENS = 5
"""Tokens of each cell of a logit lens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitAsk:
    """A prompt and a target.

    Without tokens and without a feature the target is the model's likeliest next token against its second.
    """

    model_id: str
    text: str
    target: tuple[str, ...] = ()
    """Next tokens, written out with their leading space, or by id as `#287`."""
    against: tuple[str, ...] = ()
    """Tokens to set against them; none: the logit by itself."""
    feature: FeatureKey | None = None
    """A feature as the target, instead of tokens."""
    position: int | None = None
    """The token at which the target is read; the last, if none is named. What follows it is not read."""
    sources: tuple[SourceKey, ...] = ()
    """Whose features take part; all SAEs and transcoders of the model with weights, if there are none."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """A token that may come next."""

    token: Token
    logit: float
    probability: float
    rank: int
    """1 is the likeliest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is measured, resolved."""

    value: float
    """L. With a softcap on logits, before it, where contributions are added up."""
    position: int
    tokens: tuple[Token, ...]
    """Of the prompt, up to the position and with it."""
    bos: bool
    """Whether the first of them is the model's BOS."""
    target: tuple[NextToken, ...] = ()
    against: tuple[NextToken, ...] = ()
    likeliest: tuple[NextToken, ...] = ()
    """The model's ten likeliest next tokens."""
    feature: FeatureKey | None = None
    activation: float | None = None
    """The feature's activation: 0 where L is below its threshold."""
    label: str = ""
    """Of the feature."""


@dataclass(frozen=True, slots=True)
class LensCell:
    """What the model would say at one token if it stopped before one layer."""

    top: tuple[tuple[Token, float], ...]
    """(token, probability), the likeliest first."""
    probability: float | None
    """Of the target's tokens together; None where the target is a feature."""
    rank: int | None
    """Of the likeliest of them."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LensRecord(Shown):
    """The logit lens: the residual stream at every layer through the final norm and the unembedding."""

    ask: CircuitAsk
    target: Target
    hooks: tuple[str, ...]
    """The hook of each row; the last is what the model itself goes on from."""
    rows: tuple[tuple[LensCell, ...], ...]
    """A row a hook, a cell a token."""

    def __repr__(self) -> str:
        return f"LensRecord({self.ask.text!r}, {len(self.rows)} layers × {len(self.target.tokens)} tokens)"


@dataclass(frozen=True, slots=True)
class Component:
    """What one part of the model adds to L directly."""

    part: Part
    layer: int | None
    head: int | None
    value: float

    @property
    def name(self) -> str:
        """As the field writes it: `L2H5`, `L2 MLP`."""
        place = "" if self.layer is None else f"L{self.layer}"
        if self.part == "head":
            return f"{place}H{self.head}"
        said = {"mlp": "MLP", "attention": "attention", "rest": "not told apart", "bias": "biases"}.get(self.part)
        return f"{place} {said or self.part}".strip()


@dataclass(frozen=True, slots=True)
class Head:
    """A head that adds much, and where its share came from."""

    layer: int
    head: int
    value: float
    """What it adds to L."""
    pattern: tuple[float, ...]
    """How much of its attention the position gives to each token; they add up to 1."""
    given: tuple[float, ...]
    """What it adds to L by each token: pattern × (value · W_O · direction); they add up to `value`."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DirectRecord(Shown):
    """Direct logit attribution by component: L as a sum, the final norm's scale frozen."""

    ask: CircuitAsk
    target: Target
    components: tuple[Component, ...]
    """In the order of the model."""
    heads: tuple[Head, ...]
    """Those that add most, in size, the largest first."""
    total: float
    """The sum of the components; `target.value` is what the model gave."""
    note: str = ""
    """Why there is none, or what is left untold."""

    def __repr__(self) -> str:
        return f"DirectRecord({len(self.components)} components, {self.total:.4f} of {self.target.value:.4f})"


@dataclass(frozen=True, slots=True)
class Node(Shown):
    """An active feature at a token, and what it does to L."""

    key: FeatureKey
    position: int
    activation: float
    norm: float
    """|a| ‖d‖: the length of what it writes."""
    effect: float
    """activation × gradient: a d · dL/dx, a first-order estimate of what removing it takes from L."""
    direct: float | None
    """a d · u: what it adds to L directly, by no later layer; 0 at other tokens than the target's, None where it has no
    one direction in the residual stream or the target has none."""
    ablated: float | None = None
    """L less L rerun without it; None where that was not run."""
    label: str = ""
    density: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One source's own decomposition of x · dL/dx, summed over the tokens.

    Each source splits the activation at its hook; sums over several sources would count the same path more than once.
    """

    key: SourceKey
    hook: str
    """Where it writes, and the gradient is taken."""
    active: int
    """Nodes."""
    features: float
    error: float
    """Of what the dictionary does not reconstruct."""
    bias: float
    """Of what it adds whatever is active: decoder bias, mean, skip."""
    total: float
    """x · dL/dx, computed apart."""
    direct_features: float | None
    direct_error: float | None
    direct_bias: float | None
    direct_total: float | None
    """The same four with the direction of L in the residual stream in place of the gradient: x at the position · u."""

    @property
    def sum(self) -> float:
        """What the three add up to."""
        return self.features + self.error + self.bias

    @property
    def residual(self) -> float:
        """How far that is from the total: rounding."""
        return self.sum - self.total


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FeaturesRecord(Shown):
    """Every active feature's activation × gradient, source by source."""

    ask: CircuitAsk
    target: Target
    layers: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    """The largest effects in size, over all sources."""
    active: int
    """Nodes in all."""
    errors: tuple[tuple[SourceKey, int, float], ...] = ()
    """(source, position, effect) of the largest error nodes."""
    later: tuple[SourceKey, ...] = ()
    """Sources that write where the target is read, or after it: they cannot have caused it."""
    left_out: tuple[LeftOut, ...] = ()
    """Sources that could not be read, and why."""

    def __repr__(self) -> str:
        return f"FeaturesRecord({len(self.nodes)} of {self.active} nodes, {len(self.layers)} sources)"


@dataclass(frozen=True, slots=True)
class TokenShare:
    """One token of the prompt, and how L depends on it."""

    ablated: float | None
    """L less its mean with the token replaced; None for special tokens, which stay."""
    low: float | None
    high: float | None
    """The least and the most of these differences, over the replacements."""
    integrated: float | None
    """Its share by integrated gradients; None for special tokens."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DriversRecord(Shown):
    """Which tokens of the prompt drive the target."""

    ask: CircuitAsk
    target: Target
    tokens: tuple[TokenShare, ...]
    replacements: tuple[Token, ...]
    """What stood in for each token, in turn."""
    baseline: float
    """L where all tokens are the replacements' mean embedding: where integrated gradients begin."""
    steps: int
    """Of the integral."""

    @property
    def integrated(self) -> float:
        """The sum of the shares: it should be `target.value` - `baseline`."""
        return sum(one.integrated or 0.0 for one in self.tokens)

    def __repr__(self) -> str:
        return f"DriversRecord({len(self.tokens)} tokens, {self.integrated:.4f})"
