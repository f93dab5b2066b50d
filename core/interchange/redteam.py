"""Red-teaming as JSON. Neuronpedia has no such thing; `strTokens` and `activations` are named as it does."""

from __future__ import annotations

import math
from typing import Any

from core.explain.redteam.hypothesis import Hypothesis
from core.explain.redteam.records import Case, Counted, RedTeam

Json = dict[str, Any]


def record(one: RedTeam) -> Json:
    """A whole run, the surprising cases first."""
    (hit, missed), (false, quiet) = one.table
    return {
        "modelId": one.key.model_id,
        "source": one.key.source_id,
        "index": str(one.key.index),
        "hypothesis": hypothesis(one.hypothesis),
        "verdict": one.verdict,
        "line": one.line,
        "threshold": one.threshold,
        "share": one.share,
        "maxActivation": one.maximum,
        "seed": one.seed,
        "confusion": {
            "shouldFired": hit, "shouldSilent": missed, "shouldNotFired": false, "shouldNotSilent": quiet,
        },
        "measures": dict(one.measures),
        "intervals": {name: [None if math.isnan(v) else v for v in span] for name, span in one.intervals.items()},
        "phrases": [_counted(count) for count in one.phrases],
        "makers": [_counted(count) for count in one.makers],
        "covered": None
        if one.covered is None
        else {"texts": one.covered.texts, "by": one.covered.by, "missed": list(one.covered.missed)},
        "lacks": list(one.lacks),
        "build": one.build,
        "writerModel": one.writer or None,
        "usd": one.usd,
        "cases": [_case(case) for case in one.cases],
    }  # fmt: skip


def hypothesis(one: Hypothesis) -> Json:
    """A hypothesis and how it was read."""
    parts = [
        {"role": part.role, "phrase": part.phrase, "kindOfThing": part.kind, "letters": part.letters}
        for part in one.parts
    ]
    return {"text": one.text, "sentence": one.sentence, "parts": parts, "leftOut": list(one.left)}


def _counted(one: Counted) -> Json:
    return {
        "name": one.name, "role": one.role, "should": one.should, "shouldFired": one.should_fired,
        "shouldNot": one.silent, "shouldNotFired": one.silent_fired, "unsaid": one.unsaid,
        "unsaidFired": one.unsaid_fired, "mean": one.mean,
    }  # fmt: skip


def _case(one: Case) -> Json:
    return {
        "id": one.id, "text": one.text, "expected": one.expected, "fired": one.fired, "value": one.value,
        "right": one.right, "surprise": one.surprise, "maker": one.maker, "why": one.why, "phrase": one.phrase or None,
        "role": one.role, "onPhrase": one.on_phrase, "token": one.position, "problem": one.problem or None,
        "strTokens": [token.text for token in one.tokens], "activations": list(one.values),
    }  # fmt: skip
