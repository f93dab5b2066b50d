"""What scorers with a judge share: an item, a question about a few of them, and reading its answer in whatever form.

A judge is asked for a probability for each numbered text, as a JSON object. What comes back may be that, in any order,
or a list in the texts' order, or lines, or yes and no; what cannot be read of it is no answer, which is not a “no”.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.explain.examples import Passage, Tests
from core.explain.machine.client import Message

_YES = {"yes", "true", "y", "fits", "match", "correct"}
_NO = {"no", "false", "n", "none", "mismatch", "incorrect"}
_NAMES = ("id", "index", "example", "text", "number", "n", "excerpt")
_SAYS = ("probability", "p", "answer", "fits", "label", "prediction", "score", "value", "confidence")
_LINE = re.compile(
    r"^\W*(?:text|example|excerpt|no\.?|#)?\s*(\d+)\W*[:=.)\-–]+\s*[\"']?([a-z]+|[0-9.]+\s*%?)", re.I | re.M
)


@dataclass(frozen=True, slots=True)
class Item:
    """What a scorer says one thing of."""

    passage: Passage
    fires: bool
    """What would be right."""
    marked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of an item: a probability, or values of its tokens."""

    score: float
    predicted: tuple[float, ...] = ()


class Judged(Protocol):
    """A scorer that asks a language model."""

    NAME: str
    VERSION: str
    PER_ASK: int

    def items(self, tests: Tests) -> list[Item]:
        """What it is to say something of, in an order that tells nothing."""

    def messages(self, text: str, items: Sequence[Item]) -> list[Message]:
        """The question about a few items, for the explanation `text`."""

    def read(self, answer: str, items: Sequence[Item]) -> list[Said | None]:
        """What was said of each; None where nothing was."""


def chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Some at a time."""
    return [items[n : n + size] for n in range(0, len(items), size)]


def probabilities(answer: str, count: int) -> list[float | None]:
    """Of each of `count` numbered texts the probability in an answer; None where there is none."""
    text = re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.S | re.I)
    for found in reversed(_objects(text)):  # the last one, since some think first
        read = _from_json(found, count)
        if any(value is not None for value in read):
            return read
    made: list[float | None] = [None] * count
    for number, said in _LINE.findall(text):
        if 1 <= int(number[:6]) <= count:
            made[int(number) - 1] = _probability(said)
    return made


def objects(answer: str) -> list[Any]:
    """Every JSON object or list in an answer, in order, those inside others left out."""
    return _objects(re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.S | re.I))


def number(value: object) -> int | None:
    """1 of 1, "1", "text 1" or "Example 1"; None of anything else."""
    match = re.fullmatch(r"\D{0,12}?(\d{1,6})\W*", str(value).strip())
    return int(match[1]) if match and not isinstance(value, bool) else None


def _objects(text: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while (start := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, start.start())
            found.append(value)
        except (ValueError, RecursionError):
            at = start.start() + 1
    return found


def _from_json(found: Any, count: int) -> list[float | None]:
    made: list[float | None] = [None] * count
    if isinstance(found, dict):
        inner = next((v for v in found.values() if isinstance(v, list | dict)), None)
        named = {number(key): value for key, value in found.items()}
        if inner is not None and not any(n and 1 <= n <= count for n in named):
            return _from_json(inner, count)
        for n, value in named.items():
            if n is not None and 1 <= n <= count:
                made[n - 1] = _probability(_said(value))
    elif isinstance(found, list):
        if found and all(isinstance(one, dict) for one in found):
            for at, one in enumerate(found):
                low = {str(key).lower(): value for key, value in one.items()}
                n = next((number(low[key]) for key in _NAMES if key in low), at + 1)
                if n is not None and 1 <= n <= count:
                    made[n - 1] = _probability(_said(low))
        elif len(found) == count:  # with more or fewer, nobody knows which is which
            made = [_probability(value) for value in found]
    return made


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        low = {str(key).lower(): inner for key, inner in value.items()}
        return next((low[key] for key in _SAYS if key in low and not isinstance(low[key], dict | list)), None)
    return value


def _probability(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        word = value.strip().strip("\"'.").lower()
        if word in _YES or word in _NO:
            return float(word in _YES)
        try:
            value = float(word.rstrip("% ")) / (100 if word.endswith("%") else 1)
        except ValueError:
            return None
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 100:
        return None
    return float(value) if value <= 1 else float(value) / 100
