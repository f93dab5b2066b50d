"""Attention heads as JSON. Neuronpedia has no such thing; a feature is `{modelId, layer, index}` as everywhere here.

A head is `{modelId, layer, head}`, both numbers. Positions count BOS as 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.interchange.circuits import key as feature
from core.interchange.circuits import source, token
from core.techniques.heads.records import (
    KINDS,
    HeadActiveRecord,
    HeadFeaturesRecord,
    HeadKey,
    HeadRecord,
    HeadScores,
    HeadsRecord,
    PatternRecord,
)

Json = dict[str, Any]


def heads(record: HeadsRecord) -> Json:
    """All heads of a model with their scores, and what these were measured on."""
    return {
        "modelId": record.model_id, "made": record.made, "period": record.period, "sequences": record.sequences,
        "corpus": None if record.source is None else source(record.source) | {
            "prompts": record.prompts, "tokens": record.tokens,
        },
        "heads": [scores(one) for one in record.heads],
    }  # fmt: skip


def scores(one: HeadScores) -> Json:
    """One head's scores and shares; `text` and the shares are null without a corpus."""
    each = {kind: one.score(kind) for kind in KINDS}
    return key(one.key) | {
        "kinds": list(one.kinds), "bos": one.bos, "self": one.itself, "before": one.before, "distance": one.distance,
    } | {
        kind: {
            "score": found.value, "control": found.control, "uniform": found.uniform, "text": found.text,
            "textUniform": found.text_uniform,
        }
        for kind, found in each.items()
    }  # fmt: skip


def head(record: HeadRecord) -> Json:
    """One head with the pairs of tokens that it attends to most."""
    return scores(record.scores) | {
        "covered": record.covered,
        "pairs": [
            {
                "query": token(one.query), "key": token(one.key), "times": one.times, "mean": one.mean,
                "prompt": one.prompt, "position": one.position, "attended": one.attended, "attention": one.weight,
                "strTokens": [item.text for item in one.tokens], "first": one.first,
            }
            for one in record.pairs
        ],
    }  # fmt: skip


def pattern(record: PatternRecord) -> Json:
    """A row a token; `moved` is the length of what attention × value writes."""
    return key(record.key) | {
        "strTokens": [item.text for item in record.tokens],
        "pattern": [list(row) for row in record.pattern],
        "moved": [list(row) for row in record.moved],
    }


def features(record: HeadFeaturesRecord) -> Json:
    """By side; `score` is in units of a random direction's, `chance` what one of a thousand of these passes."""
    return key(record.key) | {
        "sides": [
            {
                "side": side.side, "chance": side.chance, "beyond": side.beyond, "of": side.of, "note": side.note,
                "sources": [one.source_id for one in side.sources],
                "features": [
                    feature(one.key)
                    | {"score": one.score, "norm": one.norm, "label": one.label, "density": one.density}
                    for one in side.features
                ],
            }
            for side in record.sides
        ],
        "leftOut": [source(one.key) | {"why": one.why} for one in record.left_out],
    }  # fmt: skip


def active(record: HeadActiveRecord) -> Json:
    """By side; `features` + `error` + `bias` = `total`, but for `output`, where each value is by itself."""
    return key(record.key) | {
        "strTokens": [item.text for item in record.tokens], "position": record.position, "attended": record.attended,
        "attention": record.weight, "written": record.written, "notes": list(record.notes),
        "sides": [
            {
                "side": side.side, "source": side.source.source_id, "active": side.active,
                "features": side.features, "error": side.error, "bias": side.bias, "total": side.total,
                "nodes": [
                    feature(one.key)
                    | {
                        "position": one.position, "activation": one.activation, "value": one.value,
                        "label": one.label, "density": one.density,
                    }
                    for one in side.nodes
                ],
            }
            for side in record.sides
        ],
    }  # fmt: skip


def key(one: HeadKey) -> Json:
    """A head."""
    return {"modelId": one.model_id, "layer": one.layer, "head": one.head}


def to_csv(found: Iterable[HeadScores]) -> str:
    """A line a head."""
    names = [name for kind in KINDS for name in (kind, f"{kind}_control", f"{kind}_text")]
    lines = [",".join(["layer", "head", *names, "bos", "self", "before", "distance"])]
    for one in found:
        values = [value for kind in KINDS for value in _three(one, kind)]
        cells = [*values, one.bos, one.itself, one.before, one.distance]
        numbers = ["" if value is None else f"{value:.6g}" for value in cells]
        lines.append(",".join([str(one.key.layer), str(one.key.head), *numbers]))
    return "\n".join(lines) + "\n"


def _three(one: HeadScores, kind: Any) -> tuple[float | None, ...]:
    found = one.score(kind)
    return found.value, found.control, found.text
