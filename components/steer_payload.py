"""Steering as the small dictionaries that the page's scripts read. Pure functions over records and views.

Tokens go once into a vocabulary; a token of a text is `[vocabulary, log-probability, the other model's, alternatives]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from components import links
from components.steer_view import BOUNDS, METHODS, SCALE, USUAL, Feature, View, parameters
from components.token_strip.payload import PARTIAL, SPECIAL
from core.records import ModelRecord, Preset, SteerAsk, SteeredText, SteerRecord, Token, VectorRecord

NAMES = {"add": "Add", "orthogonal": "Orthogonal", "clamp": "Clamp", "cap": "Cap", "ablate": "Ablate"}
NUMBERS = {
    "length": ("Length", 1), "temperature": ("Temperature", 0.1), "top_p": ("Top-p", 0.05), "penalty": ("Penalty", 0.1),
    "seed": ("Seed", 1),
}  # fmt: skip
"""What a number of the link is called, and its step."""

Json = dict[str, Any]
Define = Callable[[str], str]


def feature(known: Feature) -> Json:
    """A feature as the setup shows it."""
    key = known.key
    kind = {} if known.own else {"href": links.feature(key)}
    return kind | {
        "id": str(key), "label": known.label, "max": known.maximum, "hook": known.hook, "strength": known.strength,
        "own": known.own,
    }  # fmt: skip


def vector(record: VectorRecord) -> Json:
    """A direction of somebody's own, as the list of them shows it."""
    known = Feature(key=record.key, label=record.label, maximum=None, hook=record.hook, strength=record.strength)
    return feature(known) | {"size": len(record.values)}


def setup(
    view: View,
    *,
    models: Sequence[ModelRecord],
    vectors: Sequence[VectorRecord],
    hooks: Sequence[str],
    presets: Sequence[Preset],
    define: Define,
    longest: int,
) -> Json:
    """What steers, and how."""
    ask = view.ask
    usual = parameters(USUAL) | {bound.name: _plain(getattr(USUAL, bound.field)) for bound in BOUNDS}
    return {
        "mark": mark(view),
        "model": ask.model_id,
        "models": [[model.model_id, model.name] for model in models],
        "features": [feature(known) for known in view.features],
        "watched": [feature(known) for known in view.watched],
        "asked": {
            "method": ask.method,
            "unit": ask.unit,
            **{bound.name: _plain(getattr(ask, bound.field)) for bound in BOUNDS},
            "features": [{"id": str(push.key), "strength": _plain(push.strength)} for push in ask.pushes],
            "watch": [str(key) for key in ask.watch],
        },
        "usual": usual | {"method": USUAL.method, "where": USUAL.where},
        "methods": [[name, NAMES[name], define(f"steering: {name}")] for name in METHODS],
        "numbers": [_bounds(bound.name, bound.low, bound.high, longest, define) for bound in BOUNDS],
        "vectors": [vector(record) for record in vectors],
        "hooks": list(hooks),
        "presets": [[one.name, one.note, preset_link(one)] for one in presets] if view.ready else None,
        "about": {
            "steer": define("steering"), "method": define("steering method"), "watched": define("watched features"),
            "unit": define("unit directions"), "direction": define("direction of your own"),
            "sum": define("sum of features"),
        },
    }  # fmt: skip


def _bounds(name: str, low: float, high: float, longest: int, define: Define) -> list[Any]:
    label, step = NUMBERS[name]
    largest = longest if name == "length" else high
    return [name, label, define(f"steering: {name}"), {"min": _plain(low), "max": _plain(largest), "step": step}]


def preset_link(preset: Preset) -> str:
    """Where a preset leads."""
    return links.steer(**parameters(preset.ask))


def prompt(
    view: View,
    *,
    model: ModelRecord,
    tokens: Sequence[Token] | None,
    openings: Sequence[str],
    chats: bool | None,
    define: Define,
) -> Json:
    """What the model goes on from."""
    ask = view.ask
    return {
        "mark": mark(view),
        "model": model.name,
        "asked": {
            "prompt": ask.prompt, "turns": turns(ask), "where": ask.where, "tokens": list(ask.positions),
            "special": ask.special,
        },
        "tokens": None if tokens is None else told(tokens),
        "openings": list(openings),
        "chats": chats,
        "shown": view.ready,
        "about": {
            "where": define("steered tokens"), "special": define("special tokens steered"), "chat": define("chat"),
        },
    }  # fmt: skip


def turns(ask: SteerAsk) -> list[list[str]]:
    """`[role, text]` a turn, and what the steered one said instead where that is something else."""
    pairs = zip(ask.messages, ask.steered_messages or ask.messages, strict=True)
    return [[said.role, said.content] + [other.content] * (other != said) for said, other in pairs]


def told(tokens: Sequence[Token]) -> list[list[Any]]:
    """Tokens to choose among: `[text, special, ends inside a character]`."""
    return [[t.text, t.special, t.partial] for t in tokens]


def mark(view: View) -> str:
    """What tells one ask from another."""
    return repr(view.ask) + view.run


def _plain(value: float) -> str:
    """A number as a field shows it."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


# -- texts -------------------------------------------------------------------------------------------------------------


class _Vocabulary:
    def __init__(self) -> None:
        self.entries: dict[tuple[int, str, int], int] = {}

    def __call__(self, token: Token) -> int:
        flags = SPECIAL * token.special + PARTIAL * (token.partial and not token.text)
        return self.entries.setdefault((token.id, token.text, flags), len(self.entries))


def texts(
    ask: SteerAsk,
    record: SteerRecord | None,
    *,
    mark: str,
    state: str,
    said: str,
    message: str = "",
    again: str = "",
    share: Json | None = None,
    define: Define,
) -> Json:
    """Both texts so far. `said` is how far they are, `again` where a saved run can be done anew."""
    index = _Vocabulary()

    def text(prompt: Sequence[Token], own: SteeredText | None) -> Json:
        tokens = own.tokens if own else ()
        return {
            "given": [index(token) for token in (prompt if ask.messages or ask.special else _said(prompt))],
            "tokens": [
                [index(one.token), _short(one.logprob), None if one.other is None else _short(one.other),
                 [[index(item.token), _short(item.logprob)] for item in one.top]]
                for one in tokens
            ],
            "text": own.text if own else "",
            "ended": bool(own and own.ended),
        }  # fmt: skip

    both = {
        "default": text(record.prompt if record else (), record.default if record else None),
        "steered": text(record.steered_prompt if record else (), record.steered if record else None),
    }
    return both | {
        "vocab": [list(entry) for entry in index.entries],
        "mark": mark,
        "state": state,
        "said": said,
        "message": message,
        "again": again,
        "share": share,
        "of": ask.length,
        "scale": SCALE,
        "chat": bool(ask.messages),
        "scored": not ask.steered_messages or ask.steered_messages == ask.messages,
        "about": {"colour": define("steering colour")},
    }


def _said(prompt: Sequence[Token]) -> Sequence[Token]:
    """A prompt without the BOS before it."""
    return prompt[1:] if prompt and prompt[0].special else prompt


def _short(value: float) -> float:
    return float(f"{value:.5g}")
