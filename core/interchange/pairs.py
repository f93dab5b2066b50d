"""Pairs of prompts as JSON. Effects are in units of the target's value; `shares` are of the gap, null without one.

Positions count BOS as 0; `position` is in the clean prompt and `counterpart` in the corrupted one.
"""

from __future__ import annotations

from typing import Any

from core.interchange.circuits import key, source, target
from core.techniques.pairs.records import CurveRecord, Pair, PairFeatures, PairNode, PairSums, PatchingRecord

Json = dict[str, Any]


def pair(one: Pair) -> Json:
    """Both prompts measured, and how they are aligned: the beginning of every answer."""
    model_id = one.ask.model_id
    return {
        "modelId": model_id,
        "clean": target(one.clean, model_id),
        "corrupted": target(one.corrupted, model_id),
        "gap": one.gap,
        "aligned": [list(both) for both in one.alignment.pairs],
        "cleanOnly": list(one.alignment.clean_only),
        "corruptedOnly": list(one.alignment.corrupted_only),
        "exact": one.alignment.exact,
    }


def features(record: PairFeatures) -> Json:
    """`sources` are decompositions of Δx · dL/dx, each by itself; `nodes` the first over all of them."""
    return pair(record.pair) | {
        "by": record.by,
        "active": record.active,
        "nodes": [node(record.pair, one) for one in record.nodes],
        "sources": [_sums(one) for one in record.sources],
        "later": [source(one) for one in record.later],
        "leftOut": [source(one.key) | {"why": one.why} for one in record.left_out],
    }


def residual(record: PatchingRecord) -> Json:
    """`effects` [layers][aligned pairs], `whole` [layers]."""
    return pair(record.pair) | {
        "direction": record.direction,
        "hooks": list(record.hooks),
        "effects": [list(row) for row in record.rows],
        "shares": [[record.pair.share(one) for one in row] for row in record.rows],
        "whole": list(record.whole),
    }


def curve(record: CurveRecord) -> Json:
    """`points` by the number of nodes that are kept."""
    return pair(record.pair) | source(record.key) | {
        "hook": record.hook, "by": record.by, "nodes": record.nodes, "empty": record.empty, "full": record.full,
        "draws": record.draws, "seed": record.seed,
        "points": [
            {"nodes": one.nodes, "faithfulness": one.alone, "withError": one.with_error, "completeness": one.without,
             "random": one.random, "randomLeast": one.low, "randomMost": one.high}
            for one in record.points
        ],
    }  # fmt: skip


def node(whole: Pair, one: PairNode) -> Json:
    """A feature at two tokens that stand for each other."""
    return key(one.key) | {
        "position": one.position, "counterpart": one.counterpart,
        "tokens": [whole.clean.tokens[one.position].text, whole.corrupted.tokens[one.counterpart].text],
        "clean": one.clean, "corrupted": one.corrupted, "difference": one.difference,
        "denoising": one.denoising, "noising": one.noising, "denoised": one.denoised, "noised": one.noised,
        "label": one.label, "density": one.density,
    }  # fmt: skip


def _sums(one: PairSums) -> Json:
    names = ("features", "error", "bias", "total")
    return source(one.key) | {
        "hook": one.hook, "nodes": one.nodes, "denoising": dict(zip(names, one.denoising, strict=True)),
        "noising": dict(zip(names, one.noising, strict=True)),
    }  # fmt: skip
