"""Explanations and their scores as Neuronpedia's JSON, with fields of ours beside.

`description`, `typeName`, `explanationModelName` and a list of `scores` are its own; so are the names of score types
that it has. Ours: `origin`, `promptVersion`, `up`, `down`, and of a score its interval, control and counts. A score's
`jsonDetails` holds every example with what was said of it, as its `breakdown` has it.
"""

from __future__ import annotations

from typing import Any

import orjson

from core.explain.records import Estimate, Explanation, Progress, Score, Verdict

Json = dict[str, Any]
TYPES = {"detection": "eleuther_recall", "fuzzing": "eleuther_fuzz", "embedding": "eleuther_embedding"}
"""Scorers that Neuronpedia has, by its names."""
SCORERS = {name: scorer for scorer, name in TYPES.items()} | {"recall_alt": "detection"}


def scorer(name: str) -> str:
    """Our name of a scorer that may be called as Neuronpedia calls it."""
    return SCORERS.get(name, name)


def explanation(one: Explanation, *, details: bool = True) -> Json:
    """One explanation with its scores; `details`: whether each example of a score is told."""
    return {
        "id": one.id,
        "modelId": one.feature.model_id,
        "layer": one.feature.source_id,
        "source": one.feature.source_id,
        "index": str(one.feature.index),
        "description": one.text,
        "typeName": one.method,
        "explanationModelName": one.model or None,
        "authorId": one.author or None,
        "author": {"name": one.author_name} if one.author_name else None,
        "triggeredByUserId": one.author or None,
        "notes": None,
        "createdAt": one.made or None,
        "origin": one.origin,
        "promptVersion": one.prompt or None,
        "up": one.up,
        "down": one.down,
        "scores": [score(each, one.id, details=details) for each in one.scores],
    }


def score(one: Score, explanation_id: str, *, details: bool = True) -> Json:
    """One score."""
    return {
        "id": one.id,
        "explanationId": explanation_id,
        "explanationScoreTypeName": TYPES.get(one.scorer, one.scorer),
        "explanationScoreModelName": one.judge or None,
        "initiatedByUserId": None,
        "value": one.value,
        "createdAt": one.made or None,
        "scorer": one.scorer,
        "low": one.low,
        "high": one.high,
        "measures": dict(one.measures),
        "intervals": {name: list(ends) for name, ends in one.intervals.items()},
        "control": one.control,
        "controlOf": None if one.control_of is None else str(one.control_of),
        "examples": one.examples,
        "failed": one.failed,
        "note": one.note,
        "jsonDetails": orjson.dumps([_verdict(v) for v in one.verdicts]).decode() if details and one.verdicts else "",
    }


def _verdict(one: Verdict) -> Json:
    tokens = [token.text for token in one.tokens]
    return {
        "strTokens": tokens,
        "activations": list(one.values),
        "distance": None,
        "groundTruth": one.fires,
        "prediction": one.said,
        "highlighted": bool(one.marked),
        "markedTokens": list(one.marked),
        "probability": one.score,
        "correct": None if one.said is None else one.said == one.fires,
        "drawn": one.drawn,
        "predicted": list(one.predicted),
    }


def estimate(one: Estimate) -> Json:
    """What a run would take."""
    return {
        "model": one.model, "things": one.things, "there": one.there, "asks": one.asks, "tokensRead": one.read,
        "tokensWritten": one.written, "usd": one.usd, "note": one.note,
    }  # fmt: skip


def progress(one: Progress) -> Json:
    """How a run ended."""
    return {
        "done": one.done, "of": one.of, "there": one.there, "failed": one.failed, "asks": one.asks,
        "tokensRead": one.read, "tokensWritten": one.written, "usd": one.usd, "unanswered": one.before,
        "problem": one.problem, "stopped": one.stopped,
    }  # fmt: skip
