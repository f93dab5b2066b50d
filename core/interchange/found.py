"""Explanations that a search found, as Neuronpedia's JSON; what this workbench adds is said where it is added."""

from __future__ import annotations

from typing import Any

from core.explain.records import MeaningHit, MeaningRecord

Json = dict[str, Any]


def search(record: MeaningRecord, request: Json) -> Json:
    """The answer of `POST /api/explanation/search*`; `request` is what was asked, sent back.

    All from `total` on is ours.
    """
    return {
        "request": request,
        "results": [hit(one) for one in record.hits],
        "resultsCount": len(record.hits),
        "hasMore": record.next_offset is not None,
        "nextOffset": record.next_offset,
        "total": record.total,
        "rank": record.rank,
        "embedder": record.embedder or None,
        "queryCut": record.cut,
        "lacking": list(record.lacking),
    }


def hit(one: MeaningHit) -> Json:
    """One result; `id`, `authorId` and all from `score` on are ours."""
    name = {"modelId": one.key.model_id, "layer": one.key.source_id, "index": str(one.key.index)}
    return name | {
        "id": one.id,
        "description": one.text,
        "explanationModelName": one.model or None,
        "typeName": one.method,
        "authorId": one.author or None,
        "cosine_similarity": one.similarity,
        "neuron": name | {"frac_nonzero": one.density},
        "score": one.score,
        "words": one.words,
        "matched": list(one.matched),
        "origin": one.origin,
        "trust": one.trust,
        "scorer": one.scorer or None,
    }
