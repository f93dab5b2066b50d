"""From the arrays of a whole graph to the record of what pruning leaves. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from core.errors import BadInput
from core.interchange.graphs import LINKS
from core.models.cache import Arrays
from core.records import FeatureKey, SourceKey, Token
from core.techniques.circuits.records import NextToken
from core.techniques.graphs.influence import Floats, Pruned, Sizes, prune, scores
from core.techniques.graphs.records import GraphAsk, GraphFacts, GraphLink, GraphNode, GraphRecord, Way

Known = Callable[[SourceKey, Sequence[int]], list[tuple[str, float | None]]]
"""(label, density) of some features of a source."""
SHOWN = {"\n": "⏎", "\t": "→", "\r": "↵"}
"""As circuit-tracer writes them."""
ABOUT: Mapping[Way, str] = {
    "transcoders": "Direct effects through transcoders at every layer, attention patterns and norms' scales frozen.",
    "residual": (
        "Activation × gradient between the residual-stream SAEs of successive layers, through the model's own "
        "attention, norms and MLPs: first-order estimates, not the direct effects of a transcoder graph."
    ),
    "elsewhere": "",
}


def record(
    ask: GraphAsk, way: Way, keys: Sequence[SourceKey], tokens: Sequence[Token], layers: int,
    next_tokens: Sequence[NextToken], made: Arrays, known: Known,
) -> GraphRecord:  # fmt: skip
    """The graph of an ask; `keys` are the sources in the order of their layers.

    Raises:
        BadInput: more links are left than are drawn.
    """
    sizes = Sizes(len(made["index"]), len(keys) * len(tokens), len(tokens), len(next_tokens))
    adjacency = whole(made, sizes)
    chances = np.array([one.probability for one in next_tokens])
    pruned = prune(adjacency, sizes, chances, nodes=ask.nodes, edges=ask.edges)
    if (left := int(np.count_nonzero(pruned.edges))) > LINKS:
        raise BadInput(f"{left:,} links are left, and at most {LINKS:,} are drawn: keep a smaller share of influence.")
    nodes = _nodes(keys, tokens, layers, next_tokens, made, pruned, sizes, known)
    targets, sources = np.nonzero(pruned.edges)
    links = tuple(
        GraphLink(nodes[source].id, nodes[target].id, float(adjacency[target, source]))
        for target, source in zip(targets.tolist(), sources.tolist(), strict=True)
    )
    replacement, completeness = scores(adjacency, sizes, chances)
    return GraphRecord(
        model_id=ask.model_id, slug=slug(ask), prompt=ask.text, tokens=tuple(said(one.text) for one in tokens), way=way,
        set_name=keys[0].source_id.split("-", 1)[1], nodes=tuple(nodes.values()), links=links,
        facts=GraphFacts(
            int(made["active"]), sizes.features, int(np.count_nonzero(adjacency)), replacement, completeness,
            residual(made),
        ),
        node_threshold=ask.nodes, edge_threshold=ask.edges, drawn=tuple(tokens), description=ABOUT[way],
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def whole(made: Arrays, sizes: Sizes) -> Floats:
    """The adjacency matrix, rows targets and columns sources."""
    found = np.zeros((sizes.nodes, sizes.nodes))
    width = sizes.nodes - sizes.logits
    found[: sizes.features, :width] = made["rows"][: sizes.features]
    found[width:, :width] = made["rows"][sizes.features :]
    return found


def residual(made: Arrays) -> float:
    """How far any row is from the model's own value, as a share of what is added up."""
    size = np.maximum(made["size"], 1e-6)
    return float((np.abs(made["sum"] - made["value"]) / size).max()) if len(size) else 0.0


def said(text: str) -> str:
    """A token's text on one line."""
    for mark, instead in SHOWN.items():
        text = text.replace(mark, instead)
    return text


def slug(ask: GraphAsk) -> str:
    """A name for it: some of the prompt, and a hash of all that was asked."""
    begins = re.sub(r"[^a-z0-9]+", "-", ask.text.lower()).strip("-")[:24].strip("-")
    return f"{begins}-{hashlib.sha256(repr(ask).encode()).hexdigest()[:8]}".strip("-")


def _nodes(
    keys: Sequence[SourceKey], tokens: Sequence[Token], layers: int, next_tokens: Sequence[NextToken], made: Arrays,
    pruned: Pruned, sizes: Sizes, known: Known,
) -> dict[int, GraphNode]:  # fmt: skip
    """Those that are kept, by their place in the graph."""
    found: dict[int, GraphNode] = {}
    kept = np.flatnonzero(pruned.nodes).tolist()
    labels = _labels(keys, made, [n for n in kept if n < sizes.features], known)
    for n in kept:
        share = float(pruned.cumulative[n])
        if n < sizes.features:
            level, position, index = (int(made[name][n]) for name in ("layer", "position", "index"))
            key = keys[level]
            found[n] = GraphNode(
                f"{key.layer}_{index}_{position}", "feature", key.layer, position, index, labels[n],
                float(made["activation"][n]), share, None, FeatureKey(key.model_id, key.source_id, index),
            )  # fmt: skip
        elif n < sizes.inner:
            level, position = divmod(n - sizes.features, sizes.tokens)
            layer = keys[level].layer
            found[n] = GraphNode(f"{layer}_-1_{position}", "error", layer, position, None, "", None, share)
        elif n < sizes.inner + sizes.tokens:
            position = n - sizes.inner
            one = tokens[position]
            found[n] = GraphNode(f"E_{one.id}_{position}", "token", -1, position, one.id, said(one.text), None, share)
        else:
            one_next, last = next_tokens[n - sizes.inner - sizes.tokens], len(tokens) - 1
            token = one_next.token
            found[n] = GraphNode(
                f"{layers + 1}_{token.id}_{last}", "logit", layers + 1, last, token.id, said(token.text), None, None,
                one_next.probability,
            )  # fmt: skip
    return found


def _labels(keys: Sequence[SourceKey], made: Arrays, kept: Sequence[int], known: Known) -> dict[int, str]:
    """What each feature fires on, where that is known."""
    found: dict[int, str] = {}
    for level, key in enumerate(keys):
        own = [n for n in kept if int(made["layer"][n]) == level]
        if own:
            said_ = known(key, [int(made["index"][n]) for n in own])
            found |= {n: label for n, (label, _) in zip(own, said_, strict=True)}
    return found
