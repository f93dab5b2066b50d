"""Records as the small dictionaries that the strip's script reads. Pure functions.

Tokens go once into a vocabulary and texts once into a list, values only where they are not zero: sixty examples of 128
tokens stay near 35 KiB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from components.charts import scale
from core.community.explicit import explicit_tokens
from core.records import Attribution, Example, FeatureRecord, Member, TestRecord, Token

SPECIAL, PARTIAL = 1, 2
BEFORE, AFTER = 10, 7
"""Tokens of a folded context on either side of its own."""
FAINT = 0.01
"""Of the largest attribution, below which one is not worth a colour."""
MEMBERS = 5
"""Folded contexts that are shown of an example."""


def _short(value: float) -> float:
    return float(f"{value:.4g}")


class _Texts:
    """Tokens and texts, each once."""

    def __init__(self) -> None:
        self.vocabulary: dict[tuple[int, str, int], int] = {}
        self.texts: dict[object, int] = {}
        self.rows: list[dict[str, Any]] = []

    def add(self, mark: object, tokens: Sequence[Token], values: Sequence[float]) -> int:
        if mark in self.texts:
            return self.texts[mark]
        row = []
        for token in tokens:
            flags = SPECIAL * token.special + PARTIAL * (token.partial and not token.text)
            row.append(self.vocabulary.setdefault((token.id, token.text, flags), len(self.vocabulary)))
        lit = [[i, _short(v)] for i, v in enumerate(values) if v]
        self.rows.append({"t": row, "v": lit} | ({"e": 1} if explicit_tokens(tokens) else {}))
        self.texts[mark] = len(self.rows) - 1
        return self.texts[mark]

    def data(self, record: FeatureRecord) -> dict[str, Any]:
        return {
            "id": str(record.key),
            "scale": scale(record),
            "signed": record.source.signed,
            "vocab": [list(entry) for entry in self.vocabulary],
            "texts": self.rows,
        }


def examples(record: FeatureRecord, prompt: Callable[[int], Sequence[Token]] | None = None) -> dict[str, Any]:
    """Every group of a feature's examples.

    `prompt` reads the tokens of a prompt: with it, the contexts that are folded into an example come along,
    a few tokens on either side.
    """
    texts = _Texts()

    def member(item: Member) -> list[Any]:
        told: list[Any] = [item.prompt, item.position, _short(item.value)]
        if prompt is not None:
            first = max(0, item.position - BEFORE)
            tokens = prompt(item.prompt)[first : item.position + AFTER + 1]
            values = [item.value if first + i == item.position else 0.0 for i in range(len(tokens))]
            told += [texts.add((item.prompt, item.position), tokens, values), first]
        return told

    def line(item: Example) -> dict[str, Any]:
        return {
            "x": texts.add(item.prompt, item.tokens, item.values),
            "prompt": item.prompt,
            "document": item.document,
            "part": item.part,
            "at": item.position,
            "value": _short(item.value),
            "repeats": item.repeats,
            "members": [member(m) for m in item.members[:MEMBERS]],
        } | _sources(item.dfa)

    groups = [
        {
            "kind": group.kind,
            "low": _short(group.low),
            "high": _short(group.high),
            "share": group.share,
            "rows": [line(item) for item in group.examples],
        }
        for group in record.groups
    ]
    return texts.data(record) | {"groups": groups}


def _sources(found: Attribution | None) -> dict[str, Any]:
    """Where a value came from, if that is known."""
    if found is None:
        return {}
    least = FAINT * max(map(abs, found.values), default=0.0)
    lit = [[i, _short(v)] for i, v in enumerate(found.values) if abs(v) > least]
    heads = [_short(v) for v in found.heads]
    return {"dfa": {"at": found.target, "v": lit, "heads": heads, "bias": _short(found.bias)}}


def tests(record: FeatureRecord, done: Sequence[TestRecord]) -> dict[str, Any]:
    """Tested texts, on the scale of the examples."""
    texts = _Texts()
    rows = [
        {"x": texts.add(i, t.tokens, t.values), "text": t.text, "max": _short(t.maximum), "at": t.position}
        | _sources(t.dfa)
        for i, t in enumerate(done)
    ]
    data = texts.data(record)
    if not data["scale"]:  # a feature without a maximum of its own: the texts are their own scale
        data["scale"] = max((abs(t.maximum) for t in done), default=0) or 1
        data["own"] = True
    return data | {"tests": rows}
