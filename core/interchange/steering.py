"""Steering as Neuronpedia's JSON: a run, a saved run, a sweep of ours, presets, and directions of one's own.

Keys and meanings follow its API. Texts are what was generated, the prompt apart, in every answer (where its own chats
repeat the prompt in `raw`). What is ours: `otherLogprob` of a token, which is its log-probability under the other model
(the unsteered one for the steered text, and the other way round); `effect`; the methods CLAMP and ABLATE. The answer
about a run that is still growing has the same form, with null for what comes last (`id`, `shareUrl`). Costs a walk over
the record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from core.interchange import directory
from core.records import (
    Effect,
    FeatureKey,
    Method,
    ModelRecord,
    Preset,
    PushRecord,
    Shift,
    SourceRecord,
    SteerAsk,
    SteeredText,
    SteerRecord,
    SweepRecord,
    VectorRecord,
    Watched,
)

Json = dict[str, Any]

METHODS: dict[str, Method] = {
    "SIMPLE_ADDITIVE": "add", "ORTHOGONAL_DECOMP": "orthogonal", "PROJECTION_CAP": "cap", "CLAMP": "clamp",
    "ABLATE": "ablate",
}  # fmt: skip
"""Neuronpedia's names of the methods, and two in their style for ours."""
_NAMES = {ours: theirs for theirs, ours in METHODS.items()}
SEEDS = 2**63
"""Neuronpedia's seeds may be below 0: -1 is the largest of ours, and so on down."""


def seed_of(number: int) -> int:
    """A seed as `SteerAsk` has it, from one that may be below 0."""
    return number % SEEDS


def completion(record: SteerRecord, base: str = "/") -> Json:
    """The answer of `POST /api/steer`; `base`: the server's address, with a slash at its end."""
    return {
        "STEERED": record.steered.text,
        "DEFAULT": record.default.text,
        **_common(record, base),
        "effect": _effect(record.effect),
    }


def chat(record: SteerRecord, base: str = "/") -> Json:
    """The answer of `POST /api/steer-chat`: `raw` is what was generated, `chatTemplate` the chat with it."""
    return {
        "STEERED": _text(record, record.steered),
        "DEFAULT": _text(record, record.default),
        **_common(record, base),
        "settings": settings(record.ask),
        "effect": _effect(record.effect),
    }


def loaded(record: SteerRecord, base: str = "/") -> Json:
    """The answer of `POST /api/steer-load`: a chat's form for both kinds, and what was asked for."""
    prompt = "".join(token.text for token in record.steered_prompt) if record.ask.messages else record.ask.prompt
    return chat(record, base) | {
        "modelId": record.ask.model_id,
        "inputText": prompt,
        "outputTextIncludesPrompt": False,
        "features": _features(record.pushes),
    }


def sweep(record: SweepRecord) -> Json:
    """The answer of `POST /api/steer-sweep`, which is ours: a row of `results` a multiple of the strengths.

    A perplexity that is infinite, or that an empty text lacks, is null.
    """
    return {
        "modelId": record.ask.model_id,
        "results": [
            {
                "factor": row.factor, "text": row.text.text, "divergence": row.divergence,
                "perplexity": _finite(row.perplexity), "logProbs": _logprobs(row.text, record.ask),
            }
            for row in record.rows
        ],
        "features": _features(record.pushes),
        "settings": settings(record.ask),
    }  # fmt: skip


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def settings(ask: SteerAsk) -> Json:
    """What a run was asked for besides its text and features; the strengths of these are multiplied already."""
    return {
        "temperature": ask.temperature,
        "n_tokens": ask.length,
        "freq_penalty": ask.frequency_penalty,
        "seed": ask.seed if ask.seed < SEEDS // 2 else ask.seed - SEEDS,
        "strength_multiplier": 1,
        "steer_special_tokens": ask.special,
        "steer_method": _NAMES[ask.method],
        "normalize_steering": ask.unit,
        "n_logprobs": ask.alternatives,
        "top_p": ask.top_p,
        "where": ask.where,
        "positions": list(ask.positions),
    }


def presets(
    model: ModelRecord, sources: Sequence[SourceRecord], found: Sequence[Preset], vectors: Sequence[VectorRecord]
) -> Json:
    """The answer of `POST /api/steer/presets`: directions of one's own first, then the presets."""
    own = [
        {
            "name": vector.label,
            "features": [{**_names(vector.key), "explanation": vector.label, "strength": vector.strength,
                          "hasVector": True}],
            "isUserVector": True,
        }
        for vector in vectors
    ]  # fmt: skip
    prompts = {one.ask.prompt: one.name for one in reversed(found) if one.ask.prompt}
    return {
        "model": directory.model(model, sources),
        "defaultPrompt": "",
        "promptPresets": [{"name": name, "prompt": prompt} for prompt, name in reversed(prompts.items())],
        "featurePresets": own + [_preset(one) for one in found],
        "defaultSelectedFeatures": [],
    }


def _preset(preset: Preset) -> Json:
    return {
        "name": preset.name,
        "note": preset.note,
        "features": [
            {**_names(push.key), "explanation": preset.note, "strength": push.strength} for push in preset.ask.pushes
        ],
        "steerMethod": _NAMES[preset.ask.method],
        "prompt": preset.ask.prompt,
        "settings": settings(preset.ask),
    }


def new_vector(record: VectorRecord, base: str = "/") -> Json:
    """The answer of `POST /api/vector/new`; `url` leads to the page that steers with it."""
    key = record.key
    return {
        "message": "Success",
        "url": f"{base}steer?model={key.model_id}&features={key.source_id}/{key.index}:{record.strength:g}",
        "vector": {
            "modelId": key.model_id,
            "source": key.source_id,
            "index": str(key.index),
            "label": record.label,
            "createdAt": record.made,
            "defaultSteerStrength": record.strength,
            "hookName": record.hook,
            "values": list(record.values),
        },
    }


def vector(record: VectorRecord) -> Json:
    """What `POST /api/vector/get` has under `vector`, and `list-owned` under `vectors`: a row of features with it."""
    return {
        "modelId": record.key.model_id,
        "layer": record.key.source_id,
        "index": str(record.key.index),
        "sourceSetName": record.key.source.set_name,
        "hookName": record.hook,
        "hasVector": True,
        "vector": list(record.values),
        "vectorLabel": record.label,
        "vectorDefaultSteerStrength": record.strength,
        "createdAt": record.made,
        "creatorId": None,
    }


def _common(record: SteerRecord, base: str) -> Json:
    return {
        "steeredLogProbs": _logprobs(record.steered, record.ask),
        "defaultLogProbs": _logprobs(record.default, record.ask),
        "id": record.run or None,
        "shareUrl": f"{base}steer?run={record.run}" if record.run else None,
        "limit": None,
    }


def _text(record: SteerRecord, text: SteeredText) -> Json:
    ask = record.ask
    turns = ask.steered_messages if text is record.steered and ask.steered_messages else ask.messages
    said = [{"role": turn.role, "content": turn.content} for turn in turns]
    return {
        "raw": text.text,
        "chatTemplate": [*said, {"role": "assistant", "content": text.text}] if said else None,
        "logprobs": _logprobs(text, ask),
    }


def _logprobs(text: SteeredText, ask: SteerAsk) -> list[Json] | None:
    """Each generated token with the likeliest in its place; None if none were asked for."""
    if not ask.alternatives:
        return None
    return [
        {
            "token": one.token.text,
            "logprob": one.logprob,
            "otherLogprob": one.other,
            "topLogprobs": [{"token": likely.token.text, "logprob": likely.logprob} for likely in one.top],
        }
        for one in text.tokens
    ]


def _features(pushes: Sequence[PushRecord]) -> list[Json]:
    return [
        {
            **_names(push.key), "strength": push.strength, "maxActApprox": push.maximum, "label": push.label,
            "hookName": push.hook, "norm": push.norm,
        }
        for push in pushes
    ]  # fmt: skip


def _names(key: FeatureKey) -> Json:
    return {"modelId": key.model_id, "layer": key.source_id, "index": str(key.index)}


def _effect(effect: Effect | None) -> Json | None:
    if effect is None:
        return None
    return {
        "divergence": effect.divergence,
        "gains": [_shift(shift) for shift in effect.gains],
        "losses": [_shift(shift) for shift in effect.losses],
        "watched": [_watched(one) for one in effect.watched],
    }


def _shift(shift: Shift) -> Json:
    return {"token": shift.token.text, "before": shift.before, "after": shift.after}


def _watched(one: Watched) -> Json:
    return {**_names(one.key), "label": one.label, "before": list(one.before), "after": list(one.after)}
