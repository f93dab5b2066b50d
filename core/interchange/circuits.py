"""Circuits as JSON. Neuronpedia has no such thing; a feature is `{modelId, layer, index}` as everywhere in this API.

`text` tells tokens by their text; a token of a list is `{id, text}`. Positions count BOS as 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from core.records import FeatureKey, SourceKey, Token
from core.techniques.circuits.records import (
    DirectRecord,
    DriversRecord,
    FeaturesRecord,
    Layer,
    LensCell,
    LensRecord,
    NextToken,
    Node,
    Target,
)

Json = dict[str, Any]


def target(one: Target, model_id: str) -> Json:
    """What is measured: the beginning of every answer."""
    return {
        "modelId": model_id,
        "strTokens": [token.text for token in one.tokens],
        "position": one.position,
        "value": one.value,
        "target": [next_token(token) for token in one.target],
        "against": [next_token(token) for token in one.against],
        "likeliest": [next_token(token) for token in one.likeliest],
        "feature": None if one.feature is None else key(one.feature) | {
            "activation": one.activation, "label": one.label,
        },
    }  # fmt: skip


def lens(record: LensRecord) -> Json:
    """`layers` of `cells`, one a token."""
    return target(record.target, record.ask.model_id) | {
        "layers": [
            {"hook": hook, "cells": [_cell(cell) for cell in row]}
            for hook, row in zip(record.hooks, record.rows, strict=True)
        ]
    }


def direct(record: DirectRecord) -> Json:
    """`components` that add up to `total`, which is `value` but for rounding."""
    return target(record.target, record.ask.model_id) | {
        "components": [
            {"name": one.name, "part": one.part, "layer": one.layer, "head": one.head, "value": one.value}
            for one in record.components
        ],
        "total": _number(record.total),
        "residual": _number(record.total - record.target.value),
        "heads": [
            {"layer": one.layer, "head": one.head, "value": one.value, "pattern": _numbers(one.pattern),
             "given": _numbers(one.given)}
            for one in record.heads
        ],
        "note": record.note,
    }  # fmt: skip


def features(record: FeaturesRecord) -> Json:
    """`layers` are decompositions of x · dL/dx, each by itself; `nodes` the largest effects over all of them."""
    return target(record.target, record.ask.model_id) | {
        "active": record.active,
        "layers": [layer(one) for one in record.layers],
        "nodes": [node(one, record.target.tokens) for one in record.nodes],
        "errors": [
            source(where) | {"position": position, "effect": effect} for where, position, effect in record.errors
        ],
        "later": [source(one) for one in record.later],
        "leftOut": [source(one.key) | {"why": one.why} for one in record.left_out],
    }


def ablated(nodes: Sequence[Node]) -> Json:
    """Nodes, each with what was measured beside the estimate."""
    return {"nodes": [node(one, ()) for one in nodes]}


def drivers(record: DriversRecord) -> Json:
    """A share a token, null for special ones."""
    return target(record.target, record.ask.model_id) | {
        "tokens": [
            {"ablated": one.ablated, "least": one.low, "most": one.high, "integrated": one.integrated}
            for one in record.tokens
        ],
        "replacements": [token(one) for one in record.replacements],
        "baseline": record.baseline,
        "steps": record.steps,
        "integrated": record.integrated,
        "residual": record.integrated - (record.target.value - record.baseline),
    }


def layer(one: Layer) -> Json:
    """One source's sums, and how far they are from the total."""
    direct = [one.direct_features, one.direct_error, one.direct_bias, one.direct_total]
    names = ("features", "error", "bias", "total")
    return source(one.key) | {
        "hook": one.hook, "active": one.active, "features": one.features, "error": one.error, "bias": one.bias,
        "total": one.total, "residual": one.residual,
        "direct": None if one.direct_total is None else dict(zip(names, direct, strict=True)),
    }  # fmt: skip


def node(one: Node, tokens: Sequence[Token]) -> Json:
    """A feature at a token."""
    return key(one.key) | {
        "position": one.position,
        "token": tokens[one.position].text if tokens else None,
        "activation": one.activation, "norm": one.norm, "effect": one.effect, "direct": one.direct,
        "ablated": one.ablated, "label": one.label, "density": one.density,
    }  # fmt: skip


def next_token(one: NextToken) -> Json:
    """A token that may come next."""
    return token(one.token) | {"logit": one.logit, "probability": one.probability, "rank": one.rank}


def token(one: Token) -> Json:
    """A vocabulary entry."""
    return {"id": one.id, "text": one.text}


def key(one: FeatureKey) -> Json:
    """A feature."""
    return {"modelId": one.model_id, "layer": one.source_id, "index": str(one.index)}


def source(one: SourceKey) -> Json:
    """A source."""
    return {"modelId": one.model_id, "layer": one.source_id}


def _cell(cell: LensCell) -> Json:
    top = [token(one) | {"probability": chance} for one, chance in cell.top]
    return {"top": top, "probability": cell.probability, "rank": cell.rank}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]
