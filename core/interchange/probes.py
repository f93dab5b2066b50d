"""Probes as JSON. Neuronpedia has no such thing; what names a direction is named as there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.sources.probe_records import ProbeRecord

Json = dict[str, Any]


def record(one: ProbeRecord, base: str = "/") -> Json:
    """A probe; `base` is where the pages are."""
    key = one.key
    return {
        "modelId": key.model_id,
        "source": key.source_id,
        "index": str(key.index),
        "label": one.label,
        "hookName": one.hook,
        "method": one.method,
        "pooled": one.pooled,
        "seed": one.seed,
        "auc": asdict(one.auc),
        "shuffledAuc": asdict(one.control),
        "p": one.p,
        "shuffles": one.shuffles,
        "folds": one.folds,
        "accuracy": one.accuracy,
        "threshold": one.threshold,
        "distance": one.distance,
        "samples": one.samples,
        "repeated": one.dropped,
        "texts": [{"text": t.text, "positive": t.positive, "heldOut": t.score, "right": t.right} for t in one.texts],
        "vector": list(one.values),
        "createdAt": one.made,
        "url": f"{base}probe?id={key}",
    }
