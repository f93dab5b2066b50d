"""Influence and pruning: circuit-tracer's published numbers, and what must hold of any graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.techniques.graphs.influence import (
    Sizes,
    edge_influence,
    influence,
    node_influence,
    normalised,
    partial,
    prune,
    scores,
    threshold,
)

PUBLISHED = [1 / 12, 1 / 3, 0, 1 / 4, 0, 0, 1 / 3, 0, 1 / 4, 1 / 4, 1 / 6, 0]
"""Of circuit-tracer's tests/test_graph.py: 12 nodes, of which 5 are features, 4 errors, 2 tokens and one a logit."""


def published():
    """(adjacency, weights) of that graph: all edges are of one size."""
    adjacency = np.zeros((12, 12))
    for target, sources in ((11, (1, 3, 6, 8)), (3, (0, 1, 6)), (1, (9, 10)), (0, (9,))):
        adjacency[target, list(sources)] = 10
    weights = np.zeros(12)
    weights[11] = 1
    return adjacency, weights


def test_the_published_influence_vector():
    assert node_influence(*published()) == pytest.approx(PUBLISHED)


def test_the_published_influence_of_edges_after_pruning():
    adjacency, weights = published()
    adjacency[0, 9] = adjacency[3, 0] = 0
    expected = np.zeros((12, 12))
    expected[11, [1, 3, 6, 8]] = 1 / 4
    expected[3, [1, 6]] = 1 / 8
    expected[1, [9, 10]] = 3 / 16
    assert edge_influence(adjacency, weights) == pytest.approx(expected)


def test_the_published_graph_pruned():
    """At 0.8 node 0 goes, and with it what leads to it."""
    found = prune(published()[0], Sizes(5, 4, 2, 1), np.ones(1))
    assert found.nodes.tolist() == [False, True, False, True, False, False, True, False, True, True, True, True]
    assert found.edges.sum() == 8 and not found.edges[0].any() and not found.edges[3, 0]
    ranked = np.argsort(-np.array(PUBLISHED), kind="stable")
    assert found.cumulative[ranked] == pytest.approx(np.cumsum(np.array(PUBLISHED)[ranked]) / sum(PUBLISHED))


@st.composite
def graphs(draw):
    """A graph as circuit-tracer lays it out: features by depth, errors, tokens, logits."""
    features, tokens, logits = draw(st.integers(0, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sizes = Sizes(features, tokens, tokens, logits)
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    adjacency = rng.normal(size=(sizes.nodes, sizes.nodes)) * (rng.random((sizes.nodes, sizes.nodes)) < 0.6)
    adjacency[features : sizes.inner + tokens] = 0
    adjacency[:features, :features] *= np.tri(features, k=-1)
    adjacency[:, sizes.nodes - logits :] = 0
    return adjacency, sizes, rng.dirichlet(np.ones(logits))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_influence_is_the_sum_over_all_paths(given_):
    adjacency, sizes, chances = given_
    weights = np.zeros(sizes.nodes)
    weights[sizes.nodes - sizes.logits :] = chances
    matrix = normalised(adjacency)
    series = weights @ (np.linalg.inv(np.eye(sizes.nodes) - matrix) - np.eye(sizes.nodes))
    found = influence(matrix, weights)
    assert found == pytest.approx(series, abs=1e-9)
    assert partial(adjacency, np.arange(sizes.nodes), weights) == pytest.approx(found)
    fed = np.abs(adjacency[sizes.nodes - sizes.logits :]).sum(1) > 0
    assert found.sum() >= chances[fed].sum() - 1e-9, "all of a fed logit comes from somewhere"


@settings(max_examples=60, deadline=None)
@given(graphs(), st.floats(0.1, 1), st.floats(0.1, 1))
def test_what_is_left_hangs_together(given_, nodes, edges):
    adjacency, sizes, chances = given_
    found = prune(adjacency, sizes, chances, nodes=nodes, edges=edges)
    assert found.nodes[sizes.inner :].all(), "tokens and logits stay"
    assert not found.edges[~found.nodes].any() and not found.edges[:, ~found.nodes].any()
    assert not (found.edges & (adjacency == 0)).any()
    inner = np.flatnonzero(found.nodes[: sizes.inner])
    assert found.edges[:, inner].any(0).all(), "features and errors lead somewhere"
    assert found.edges[inner[inner < sizes.features]].any(1).all(), "features come from somewhere"
    assert (found.cumulative >= -1e-12).all() and (found.cumulative <= 1 + 1e-9).all()
    more = prune(adjacency, sizes, chances, nodes=1.0, edges=1.0)
    assert (more.nodes >= found.nodes).all() and (more.edges >= found.edges).all()
    assert all(-1e-9 <= one <= 1 + 1e-9 for one in scores(adjacency, sizes, chances))


def test_a_threshold_keeps_the_fewest_that_hold_the_share():
    scores_ = np.array([0.1, 0.4, 0.2, 0.3])
    assert [threshold(scores_, share) for share in (0.3, 0.4, 0.69, 0.71, 1.0)] == [0.4, 0.4, 0.3, 0.2, 0.1]
    assert threshold(np.zeros(3), 0.8) == 0


def test_a_circle_is_refused():
    with pytest.raises(ValueError, match="circle"):
        influence(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 0.0]))


def test_without_errors_all_is_replaced_and_complete():
    adjacency = np.zeros((4, 4))  # feature, error, token, logit
    adjacency[3, 0], adjacency[0, 2] = 2.0, -1.0
    assert scores(adjacency, Sizes(1, 1, 1, 1), np.ones(1)) == (1.0, 1.0)
    adjacency[0, 1] = 1.0
    replacement, completeness = scores(adjacency, Sizes(1, 1, 1, 1), np.ones(1))
    assert (replacement, completeness) == (pytest.approx(0.5), pytest.approx((0.5 * 1 + 0.5 + 0.5 + 1) / 3))
