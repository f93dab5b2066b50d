"""Whether a steering ask is one that can be answered: its numbers, before any model is touched.

Knows the bounds of a run (length, temperature, how many features); what needs the model, such as whether the prompt
leaves room, is `core.techniques.steer`'s. Cost: nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

from core.errors import BadInput
from core.records import Message, Method, Role, SteerAsk, Where
from core.settings import Settings

TEMPERATURE, PENALTY, ALTERNATIVES, WATCHED = 2.0, 2.0, 20, 16
STRENGTH = 1e6
"""Of a strength in size at most, so that no number overflows."""
FACTORS = 15
"""Strengths of one sweep."""
SEED = 2**63


def check(ask: SteerAsk, settings: Settings) -> None:
    """Raises `BadInput` with what is wrong, what was given, and what would do."""
    _between("length", ask.length, 1, settings.max_length, "tokens")
    _between("temperature", ask.temperature, 0, TEMPERATURE)
    _between("frequency penalty", ask.frequency_penalty, -PENALTY, PENALTY)
    _between("alternatives", ask.alternatives, 0, ALTERNATIVES)
    if not 0 < ask.top_p <= 1:
        raise BadInput(f"top-p is more than 0 and at most 1, not {ask.top_p:g}.")
    if not 0 <= ask.seed < SEED:
        raise BadInput(f"The seed is a whole number from 0 to {SEED - 1}, not {ask.seed}.")
    for name, value, kinds in (("method", ask.method, Method), ("where", ask.where, Where)):
        if value not in get_args(kinds):
            raise BadInput(f"{name} is one of {', '.join(get_args(kinds))}; there is no “{str(value)[:40]}”.")
    _pushes(ask, settings)
    if len(ask.watch) > WATCHED:
        raise BadInput(f"{len(ask.watch)} features are too many to watch: at most {WATCHED}.")
    if foreign := [key for key in ask.watch if key.model_id != ask.model_id]:
        raise BadInput(f"{foreign[0]} is not a feature of {ask.model_id}.")
    for turns in (ask.messages, ask.steered_messages):
        _chat(turns, settings)
    if ask.steered_messages and not ask.messages:
        raise BadInput("A steered chat needs the default chat beside it.")
    if ask.messages and ask.prompt:
        raise BadInput("Give a prompt or the messages of a chat, not both.")
    if len(ask.prompt) > settings.max_characters:
        raise BadInput(
            f"The prompt is too long: {len(ask.prompt):,} characters, and at most {settings.max_characters:,} are read."
        )


def check_factors(factors: Sequence[float]) -> None:
    """The same of a sweep's strengths."""
    if not 1 <= len(factors) <= FACTORS:
        raise BadInput(f"A sweep has 1 to {FACTORS} strengths, not {len(factors)}.")
    for factor in factors:
        if not math.isfinite(factor) or abs(factor) > 1000:
            raise BadInput(f"A sweep's strengths are multiples between -1000 and 1000, not {factor:g}.")


def _pushes(ask: SteerAsk, settings: Settings) -> None:
    if not ask.pushes:
        raise BadInput("Choose at least one feature to steer with.")
    if len(ask.pushes) > settings.max_steered:
        raise BadInput(f"{len(ask.pushes)} features are too many at once: at most {settings.max_steered}.")
    seen = set()
    for push in ask.pushes:
        if push.key.model_id != ask.model_id:
            raise BadInput(f"{push.key} is not a feature of {ask.model_id}.")
        if push.key in seen:
            raise BadInput(f"{push.key} is named twice: give it one strength.")
        seen.add(push.key)
        if not math.isfinite(push.strength) or abs(push.strength) > STRENGTH:
            raise BadInput(
                f"The strength of {push.key} is a number between -{STRENGTH:,.0f} and {STRENGTH:,.0f}, "
                f"not {push.strength:g}."
            )


def _chat(turns: Sequence[Message], settings: Settings) -> None:
    for n, turn in enumerate(turns):
        if turn.role not in get_args(Role):
            raise BadInput(
                f"Message {n + 1}: a role is one of {', '.join(get_args(Role))}; there is no “{str(turn.role)[:40]}”."
            )
    if sum(len(turn.content) for turn in turns) > settings.max_characters:
        raise BadInput(f"The chat is too long: at most {settings.max_characters:,} characters are read.")


def _between(name: str, value: int | float, low: int | float, high: int | float, unit: str = "") -> None:
    if not low <= value <= high:
        raise BadInput(f"The {name} is {low:g} to {high:g}{unit and ' '}{unit}, not {value:g}.")
