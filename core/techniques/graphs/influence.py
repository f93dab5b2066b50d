"""How much each node of a graph has to do with the output, and what is left when the rest is cut away.

Rows of the adjacency matrix A are targets, columns sources. Each row's sizes, divided by their sum, say where a node's
input comes from; with w the logits' probabilities the influence of all nodes is w (N + N² + …), which ends since the
graph has no circles. Kept are the fewest nodes that hold a share of all influence, then of the edges between them those
that hold a share of the edges' score (N of what is left × the influence of the edge's target), then nodes that still
have both inputs and outputs. Tokens and logits stay. The method, its names and its thresholds are those of
circuit-tracer (https://github.com/safety-research/circuit-tracer, `graph.py`), of Ameisen et al., "Circuit Tracing",
2025. Cost: as many products of a vector with the matrix as the graph is deep. Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NODES, EDGES = 0.8, 0.98
"""Shares that circuit-tracer keeps."""
_LEAST = 1e-10


@dataclass(frozen=True, slots=True)
class Sizes:
    """How the nodes of a graph lie: features, then an error for each layer and token, then tokens, then logits."""

    features: int
    errors: int
    tokens: int
    logits: int

    @property
    def nodes(self) -> int:
        """All of them."""
        return self.features + self.errors + self.tokens + self.logits

    @property
    def inner(self) -> int:
        """Features and errors, which may be cut."""
        return self.features + self.errors


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is kept, and how influential every node is."""

    nodes: Flags
    edges: Flags
    cumulative: Floats
    """Of each node: the share of all influence that it and the more influential ones hold."""


def normalised(adjacency: Floats) -> Floats:
    """Sizes, each row divided by its sum."""
    sizes = np.abs(adjacency)
    found: Floats = sizes / np.maximum(sizes.sum(1, keepdims=True), _LEAST)
    return found


def influence(matrix: Floats, weights: Floats) -> Floats:
    """The sum w (N + N² + …) of a normalised matrix.

    Raises:
        ValueError: the graph has a circle.
    """
    now = weights @ matrix
    total = now.copy()
    for _ in range(len(matrix)):
        if not now.any():
            return total
        now = now @ matrix
        total += now
    if now.any():
        raise ValueError("A graph's edges go round in a circle.")
    return total


def node_influence(adjacency: Floats, weights: Floats) -> Floats:
    """Of every node on the logits, whose weights are at their places in `weights`."""
    return influence(normalised(adjacency), weights)


def edge_influence(adjacency: Floats, weights: Floats) -> Floats:
    """Of every edge: its share of its target's input times what its target has to do with the output."""
    matrix = normalised(adjacency)
    found: Floats = matrix * (influence(matrix, weights) + weights)[:, None]
    return found


def partial(rows: Floats, of: NDArray[np.int64], weights: Floats) -> Floats:
    """Influence where only some rows of the matrix are known; `of` is the node of each, `weights` as above."""
    matrix = normalised(rows)
    total, now = np.zeros_like(weights), weights
    for _ in range(len(rows) + 1):
        now = now[of] @ matrix
        if not now.any():
            break
        total += now
    return total


def threshold(scores: Floats, share: float) -> float:
    """The least score among the fewest that hold so large a share of the sum."""
    ranked = np.sort(scores)[::-1]
    whole = ranked.sum()
    if not whole > 0:
        return 0.0
    place = int(np.searchsorted(np.cumsum(ranked) / whole, share))
    return float(ranked[min(place, len(ranked) - 1)])


def prune(adjacency: Floats, sizes: Sizes, chances: Floats, *, nodes: float = NODES, edges: float = EDGES) -> Pruned:
    """The graph that is left; `chances` are the logits' probabilities."""
    weights = np.zeros(sizes.nodes)
    weights[sizes.nodes - sizes.logits :] = chances
    of_nodes = node_influence(adjacency, weights)
    kept: Flags = of_nodes >= threshold(of_nodes, nodes)
    kept[sizes.inner :] = True
    left = adjacency * kept[:, None] * kept
    of_edges = edge_influence(left, weights)
    between: Flags = (of_edges >= threshold(of_edges.ravel(), edges)) & (of_edges > 0)
    while True:
        before = kept.copy()
        kept[: sizes.inner] &= between[:, : sizes.inner].any(0)
        kept[: sizes.features] &= between[: sizes.features].any(1)
        between &= kept[:, None] & kept
        if (kept == before).all():
            break
    order = np.argsort(-of_nodes, kind="stable")
    cumulative = np.zeros(sizes.nodes)
    cumulative[order] = np.cumsum(of_nodes[order]) / max(of_nodes.sum(), _LEAST)
    return Pruned(kept, between, cumulative)


def scores(adjacency: Floats, sizes: Sizes, chances: Floats) -> tuple[float, float]:
    """(replacement, completeness) of a whole graph.

    Replacement: of the influence that comes from tokens or errors, the tokens' share. Completeness: of every node's
    input, weighted by the node's influence, the share that does not come from errors.
    """
    weights = np.zeros(sizes.nodes)
    weights[sizes.nodes - sizes.logits :] = chances
    matrix = normalised(adjacency)
    found = influence(matrix, weights)
    tokens = found[sizes.inner : sizes.inner + sizes.tokens].sum()
    errors = found[sizes.features : sizes.inner].sum()
    known = 1 - matrix[:, sizes.features : sizes.inner].sum(1)
    output = found + weights
    if not tokens + errors > 0:
        return 0.0, 0.0
    return float(tokens / (tokens + errors)), float((known * output).sum() / output.sum())
