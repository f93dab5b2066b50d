"""How passages are written for a language model: one line each, scaled 0 to 10, or with the active tokens delimited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from core.explain.examples import Passage
from core.records import Token

OPEN, CLOSE = "<<", ">>"
STRONG = 0.3
"""Of the maximum, above which a token is delimited."""
LONGEST = 500
"""Characters of an explanation that is read from an answer."""
_BEGINS = re.compile(
    r"^(?:\[?explanation\]?\s*[:：]|the main thing this (?:neuron|feature) does is (?:to )?find|"
    r"this (?:neuron|feature) (?:finds|fires on|activates on|detects))\s*",
    re.I,
)


def line(text: str) -> str:
    """A text on one line, with nothing in it that reads like our delimiters."""
    return text.replace("\r", "").replace("\n", "↵").replace("\t", "⇥").replace(OPEN, "< <").replace(CLOSE, "> >")


def scaled(value: float, maximum: float) -> int:
    """0 to 10, as OpenAI's automated interpretability has it: floor(10 · relu(a) / max)."""
    return 0 if maximum <= 0 else min(10, int(10 * max(0.0, value) / maximum))


def delimited(tokens: Sequence[Token], marked: Iterable[int]) -> str:
    """The text with the marked tokens between delimiters, neighbours together."""
    chosen, parts, inside = set(marked), [], False
    for n, token in enumerate(tokens):
        if (n in chosen) != inside:
            inside = not inside
            parts.append(OPEN if inside else CLOSE)
        parts.append(line(token.text))
    return "".join(parts) + (CLOSE if inside else "")


def strong(passage: Passage, maximum: float) -> list[int]:
    """Positions of the tokens that are delimited: the strong ones, and at least the peak."""
    limit = min(STRONG * maximum, passage.peak)
    return [n for n, value in enumerate(passage.values) if value > 0 and value >= limit]


def peak(passage: Passage) -> int:
    """Position of the strongest token."""
    return max(range(len(passage.values)), key=lambda n: passage.values[n])


def one_line(answer: str, *, last: str = "") -> str:
    """The explanation in an answer: the last line that begins with `last` if one does, else its last line; "" if none.

    Reasoning between <think> tags, quotes, bullets and the words that we asked to go on from are left out.
    """
    text = re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.S | re.I)
    lines = [re.sub(r"[*_`#]{2,}", "", one).strip(" \t-*•>") for one in text.splitlines()]
    lines = [one for one in lines if one]
    marked = [one for one in lines if last and one.lower().startswith(last.lower())]
    found = (marked or lines or [""])[-1]
    before = None
    while before != found:
        before, found = found, _BEGINS.sub("", found).strip(" .").strip("\"'“”‘’")
    found = re.sub(r"\s+", " ", found)
    words = any(c.isalnum() for c in found)
    return found[:LONGEST].rstrip(" .") if words and found.isprintable() else ""
