"""From the arrays that techniques compute, and the cache keeps, to records. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadInput
from core.models.vocabulary import Vocabulary
from core.records import FeatureKey, SourceKey, Token
from core.techniques.circuits.records import (
    CircuitAsk,
    Component,
    DirectRecord,
    DriversRecord,
    FeaturesRecord,
    Head,
    Layer,
    LensCell,
    LensRecord,
    Node,
    Part,
    Target,
    TokenShare,
)

if TYPE_CHECKING:
    from core.models.cache import Arrays
    from core.techniques.circuits.features import Found

Known = Callable[[SourceKey, Sequence[int]], list[tuple[str, float | None]]]
"""(label, density) of some features of a source."""
PARTS: tuple[Part, ...] = ("embedding", "position", "head", "attention", "mlp", "bias", "rest")
"""By the number that `core.techniques.circuits.direct` writes."""
ERRORS = 12
"""Error nodes that are listed."""
NO_DIRECTION = (
    "Direct attribution is of logits, and of features that read the residual stream by one encoder column: this target "
    "is neither."
)
UNTOLD = "The hooks of this architecture leave a part of the residual stream untold; it stands as one component."


def drawn(ids: Sequence[int], vocabulary: Vocabulary) -> tuple[Token, ...]:
    """Tokens each by itself, as in a list."""
    return tuple(vocabulary.draw([int(i)])[0] for i in ids)


def lens(
    ask: CircuitAsk, target: Target, hooks: tuple[str, ...], made: Arrays, vocabulary: Vocabulary
) -> LensRecord:
    """The lens's arrays as cells."""
    top, chances = made["top"], made["probability"]
    token = {int(i): vocabulary.draw([int(i)])[0] for i in np.unique(top)}
    share, rank = made.get("share"), made.get("rank")
    rows = tuple(
        tuple(
            LensCell(
                tuple((token[int(i)], float(p)) for i, p in zip(top[row, at], chances[row, at], strict=True)),
                None if share is None else float(share[row, at]),
                None if rank is None else int(rank[row, at]),
            )
            for at in range(top.shape[1])
        )
        for row in range(top.shape[0])
    )
    return LensRecord(ask=ask, target=target, hooks=hooks, rows=rows)


def direct(ask: CircuitAsk, target: Target, made: Arrays, most: int) -> DirectRecord:
    """Components in the order of the model, and the heads that add most with their attention."""
    if "none" in made:
        return DirectRecord(ask=ask, target=target, components=(), heads=(), total=math.nan, note=NO_DIRECTION)
    components: list[Component] = []
    heads: list[Head] = []
    for part, layer, head, value in made["rows"].tolist():
        name = PARTS[int(part)]
        place, which = (None if number < 0 else int(number) for number in (layer, head))
        components.append(Component(name, place, which, value))
        if name == "head":
            pattern, given = (tuple(made[rows][len(heads)].tolist()) for rows in ("pattern", "given"))
            heads.append(Head(int(layer), int(head), value, pattern, given))
    heads.sort(key=lambda one: -abs(one.value))
    untold = any(one.part == "rest" for one in components)
    return DirectRecord(
        ask=ask, target=target, components=tuple(components), heads=tuple(heads[:most]),
        total=sum(one.value for one in components), note=UNTOLD if untold else "",
    )  # fmt: skip


def features(
    ask: CircuitAsk, target: Target, parts: Mapping[SourceKey, Found],
    hooks: Mapping[SourceKey, str], top: int, known: Known,
) -> FeaturesRecord:  # fmt: skip
    """The nodes of largest effect over all sources, and each source's sums."""
    each = list(parts)
    sizes = [np.abs(found.effects[:top]) for found in parts.values()]  # each source's are in order
    owners = np.repeat(np.arange(len(each)), [len(size) for size in sizes])
    places = np.concatenate([np.arange(len(size)) for size in sizes]) if sizes else owners
    ranked = np.argsort(-np.concatenate(sizes), kind="stable")[:top] if sizes else owners
    chosen = [(each[owner], place) for owner, place in zip(owners[ranked], places[ranked].tolist(), strict=True)]
    errors = [
        (key, at, float(value)) for key, found in parts.items() for at, value in enumerate(found.errors.tolist())
    ]
    errors.sort(key=lambda one: -abs(one[2]))
    return FeaturesRecord(
        ask=ask, target=target, layers=tuple(_layer(key, hooks[key], found) for key, found in parts.items()),
        nodes=_nodes(parts, chosen, known), active=sum(int(found.sums[8]) for found in parts.values()),
        errors=tuple(errors[:ERRORS]),
    )  # fmt: skip


def nodes(
    parts: Mapping[SourceKey, Found], asked: Sequence[tuple[FeatureKey, int]], known: Known
) -> tuple[Node, ...]:
    """Those that are asked for.

    Raises:
        BadInput: one is not active at its token.
    """
    chosen = []
    for key, position in asked:
        found = parts[key.source]
        at = np.flatnonzero((found.features == key.index) & (found.positions == position))
        if not len(at):
            raise BadInput(f"{key} is not active at token {position}, so there is nothing to take out.")
        chosen.append((key.source, int(at[0])))
    return _nodes(parts, chosen, known)


def _layer(key: SourceKey, hook: str, found: Found) -> Layer:
    features, error, bias, total, *direct, active = found.sums.tolist()
    shares = [None if math.isnan(one) else one for one in direct]
    return Layer(
        key=key, hook=hook, active=int(active), features=features, error=error, bias=bias, total=total,
        direct_features=shares[0], direct_error=shares[1], direct_bias=shares[2], direct_total=shares[3],
    )  # fmt: skip


def _nodes(
    parts: Mapping[SourceKey, Found], chosen: Sequence[tuple[SourceKey, int]], known: Known
) -> tuple[Node, ...]:
    """Nodes by (source, place in its arrays), in the order in which they are given."""
    own: dict[SourceKey, list[int]] = {}
    for key, n in chosen:
        own.setdefault(key, []).append(n)
    said = {key: iter(known(key, parts[key].features[rows].tolist())) for key, rows in own.items()}
    made = []
    for key, n in chosen:
        found, (label, density) = parts[key], next(said[key])
        direct = float(found.direct[n])
        made.append(
            Node(
                FeatureKey(key.model_id, key.source_id, int(found.features[n])), int(found.positions[n]),
                float(found.values[n]), float(found.norms[n]), float(found.effects[n]),
                None if math.isnan(direct) else direct, None, label, density,
            )
        )  # fmt: skip
    return tuple(made)


def drivers(
    ask: CircuitAsk, target: Target, own: Sequence[int], stand_ins: tuple[Token, ...], made: Arrays, steps: int
) -> DriversRecord:
    """A share a token; special tokens have none, nor has one for which there is no stand-in."""
    rows = {position: made["replaced"][n] for n, position in enumerate(own) if made["replaced"].size}
    shares = tuple(
        TokenShare(
            float(rows[n].mean()), float(rows[n].min()), float(rows[n].max()), float(made["shares"][n])
        ) if n in rows else TokenShare(None, None, None, None)
        for n in range(len(target.tokens))
    )  # fmt: skip
    return DriversRecord(
        ask=ask, target=target, tokens=shares, replacements=stand_ins, baseline=float(made["baseline"]), steps=steps
    )
