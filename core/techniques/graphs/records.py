"""Attribution graphs as frozen records of plain values. Nothing here imports torch or numpy.

A graph is about one prompt: which active feature acts on which, from the tokens to the likeliest next tokens. What is
kept of it, drawn and exchanged is what pruning leaves. Positions count BOS as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records import FeatureKey, Shown, Token

Way = Literal["transcoders", "residual", "elsewhere"]
"""`transcoders`: exact direct effects through transcoders at every layer, as circuit-tracer makes them; `residual`:
activation × gradient between the SAEs of successive layers; `elsewhere`: read from a file that does not say."""
Part = Literal["feature", "error", "token", "logit"]
ADDS_UP: dict[Way, str] = {
    "transcoders": "to each node", "residual": "to activation × gradient, which is not the node itself,",
    "elsewhere": "to each node",
}  # fmt: skip
"""What a node's inputs and biases add up to."""

LOGITS, CHANCE = 10, 0.95
NODES, EDGES = 0.8, 0.98
"""Shares of influence that pruning keeps, as in circuit-tracer."""
FEATURES = 2000
"""Features of one graph at most, the most influential, unless fewer are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphAsk:
    """A prompt, whose features, and how much to keep."""

    model_id: str
    text: str
    set_name: str = ""
    """The set of sources, one a layer, as `mlp`; without one transcoders of every layer, or else residual SAEs."""
    target: tuple[str, ...] = ()
    """Next tokens as nodes, with their leading space or by id as `#287`; without any the likeliest."""
    logits: int = LOGITS
    """So many of the likeliest at most,"""
    chance: float = CHANCE
    """and no more than add up to this probability."""
    nodes: float = NODES
    edges: float = EDGES
    features: int = FEATURES


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A feature at a token, what a layer's source leaves out at a token, a token, or a next token."""

    id: str
    """As circuit-tracer writes it: `2_447_5` is feature 447 of layer 2 at token 5."""
    part: Part
    layer: int
    """-1 of tokens; of next tokens one more than the last layer."""
    position: int
    index: int | None
    """Of the feature in its source, or of the token in the vocabulary; None of errors."""
    label: str = ""
    activation: float | None = None
    influence: float | None = None
    """The share of all influence on the output that this node and the more influential ones hold."""
    probability: float | None = None
    """Of a next token."""
    key: FeatureKey | None = None
    """The feature, where it is known which source it is of."""


@dataclass(frozen=True, slots=True)
class GraphLink:
    """What one node adds to another: to a feature's pre-activation, or to a logit less the mean of all logits."""

    source: str
    target: str
    weight: float


@dataclass(frozen=True, slots=True)
class Supernode:
    """Nodes that a person takes together."""

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Of the whole graph, before pruning."""

    active: int
    """Active features in all."""
    features: int
    """Of them in the graph: the most influential."""
    links: int
    replacement: float
    """The tokens' share of the influence that comes from tokens or errors."""
    completeness: float
    """The share of nodes' input, weighted by influence, that does not come from errors."""
    residual: float
    """The largest distance between what a node's inputs and biases add up to and what they must (its value, or of
    residual SAEs activation × gradient as a whole), as a share of what is added up: rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GraphRecord(Shown):
    """One graph, pruned, with what a person made of it."""

    model_id: str
    slug: str
    prompt: str
    tokens: tuple[str, ...]
    way: Way
    set_name: str = ""
    nodes: tuple[GraphNode, ...]
    links: tuple[GraphLink, ...]
    facts: GraphFacts | None = None
    """None of a graph from elsewhere."""
    node_threshold: float | None = None
    edge_threshold: float | None = None
    pinned: tuple[str, ...] = ()
    supernodes: tuple[Supernode, ...] = ()
    clicked: str = ""
    drawn: tuple[Token, ...] = ()
    """The tokens as the vocabulary has them; empty of a graph from a file."""
    description: str = ""
    made: str = ""
    """When, in UTC."""

    def __repr__(self) -> str:
        return f"GraphRecord({self.prompt!r}, {len(self.nodes)} nodes, {len(self.links)} links)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEntry(Shown):
    """A graph that is kept, as a list shows it."""

    model_id: str
    slug: str
    prompt: str
    nodes: int
    links: int
    made: str
