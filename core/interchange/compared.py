"""Comparisons as JSON, in this workbench's own shape: features by id, numbers by the names that records have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core.atlas.together.records import (
    Apart,
    FeaturesCompared,
    Lonely,
    Matches,
    Mate,
    Overlap,
    Pair,
    ReadTogether,
    SourcesCompared,
    Together,
)
from core.records import FeatureKey, LeftOut

Json = dict[str, Any]


def together(record: Together) -> Json:
    """What fires with a feature, source by source."""
    return {
        "feature": str(record.feature), "label": record.label, "active": record.active, "tokens": record.tokens,
        "window": record.window,
        "sources": [
            {
                "source": str(one.source), "live": one.live, "tails": one.tails,
                "correlated": [_mate(m) for m in one.correlated], "together": [_mate(m) for m in one.together],
                "never": [_mate(m) for m in one.never],
            }
            for one in record.sources
        ],
        "leftOut": _left(record.left_out),
    }  # fmt: skip


def _mate(mate: Mate) -> Json:
    return {
        "feature": str(mate.feature), "label": mate.label, "correlation": mate.correlation, "common": mate.both,
        "active": mate.active, "expected": mate.expected, "lift": mate.lift, "share": mate.share,
        "shareBack": mate.share_back, "evidence": mate.evidence, "log10P": mate.log10_p,
    }  # fmt: skip


def _left(left_out: Sequence[LeftOut]) -> list[Json]:
    return [{"source": str(one.key), "why": one.why} for one in left_out]


def sources(record: SourcesCompared) -> Json:
    """Sources side by side."""
    return {
        "threshold": record.threshold,
        "sources": [
            {
                "source": str(side.source.key), "kind": side.source.kind, "width": side.source.width,
                "alive": side.source.alive, "figures": asdict(side.source.figures) if side.source.figures else None,
                "densities": asdict(side.densities), "kinds": dict(side.concepts.kinds), "rules": side.concepts.lines,
                "alone": side.concepts.alone,
                "ownRules": [
                    {"rule": line, "feature": str(key), "score": score} for line, key, score in side.concepts.own
                ],
            }
            for side in record.sides
        ],
        "matrix": [
            {"a": str(one.a), "b": str(one.b), "meanCorrelation": one.mean, "share": one.share, "mutual": one.mutual,
             "living": one.living}
            for one in record.matrix
        ],
        "sameFigures": record.same_figures,
        "missing": _left(record.missing),
    }  # fmt: skip


def matches(record: Matches) -> Json:
    """Matched pairs, and features without a partner."""
    return {
        "a": str(record.a), "b": str(record.b), "threshold": record.threshold, "total": record.total,
        "offset": record.offset, "pairs": [_pair(one) for one in record.pairs], "tails": record.tails,
        "aloneInA": record.alone_a, "aloneInB": record.alone_b,
        "lonelyA": [_lonely(one) for one in record.lonely_a], "lonelyB": [_lonely(one) for one in record.lonely_b],
    }  # fmt: skip


def _pair(one: Pair) -> Json:
    return {
        "a": str(one.a), "b": str(one.b), "correlation": one.correlation, "common": one.both, "activeA": one.active_a,
        "activeB": one.active_b, "jaccard": one.jaccard, "labelA": one.label_a, "labelB": one.label_b,
    }  # fmt: skip


def _lonely(one: Lonely) -> Json:
    return {
        "feature": str(one.feature), "label": one.label, "density": one.density, "correlation": one.correlation,
        "best": str(one.best) if one.best else None,
    }  # fmt: skip


def features(record: FeaturesCompared) -> Json:
    """One feature against another."""
    return {
        "a": str(record.a.key), "b": str(record.b.key), "labelA": record.a.label, "labelB": record.b.label,
        "overlap": _overlap(record.overlap), "why": record.why or None, "cosine": record.cosine,
        "cosineWhy": record.cosine_why or None, "exact": record.exact,
        "both": [_apart(one) for one in record.both], "onlyA": [_apart(one) for one in record.only_a],
        "onlyB": [_apart(one) for one in record.only_b],
    }  # fmt: skip


def _overlap(one: Overlap | None) -> Json | None:
    if one is None:
        return None
    return {
        "both": one.both, "onlyA": one.only_a, "onlyB": one.only_b, "neither": one.neither, "jaccard": one.jaccard,
        "correlation": one.correlation, "log10P": one.log10_p, "live": one.live,
    }  # fmt: skip


def _apart(one: Apart) -> Json:
    return {
        "prompt": one.prompt, "document": one.document, "position": one.position,
        "tokens": [token.text for token in one.tokens], "valuesA": list(one.values[0]), "valuesB": list(one.values[1]),
    }  # fmt: skip


def read(record: ReadTogether) -> Json:
    """One prompt in the codes of some sources: of each its features with their partners in the next one."""
    return {
        "text": record.text, "tokens": [token.text for token in record.tokens],
        "sources": [
            {
                "source": str(side.source), "active": side.total,
                "features": [
                    {
                        "feature": str(hit.key), "label": hit.label, "values": list(hit.values),
                        "position": hit.position, "surprise": hit.surprise, "partner": _partner(partner),
                    }
                    for hit, partner in zip(side.hits, side.partners, strict=True)
                ],
            }
            for side in record.sides
        ],
    }  # fmt: skip


def _partner(found: tuple[FeatureKey, float, bool] | None) -> Json | None:
    if found is None:
        return None
    return {"feature": str(found[0]), "correlation": found[1], "activeHere": found[2]}
