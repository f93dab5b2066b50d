"""Texts in which features are planted, small enough to count by hand in plain Python."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from core.explain.annotation.corpus import Corpus, corpus
from core.models.vocabulary import Vocabulary
from core.store.grouped import Grouped

PIECES = [
    "<|bos|>", " the", " The", " is", " was", " red", " blue", " dog", " cat", "\n", ".", " vi", "et", "nam", " 12",
    "7", " of", " end", " A", " ran", " home", "\n\n", " fe", "mur", " x", " y",
]  # fmt: skip
VOCABULARY = Vocabulary([p.encode() for p in PIECES], [0])
ID = {p: n for n, p in enumerate(PIECES)}


@dataclass(frozen=True)
class Texts:
    prompts: list[list[int]]
    documents: list[int]
    parts: list[str]

    @property
    def tokens(self) -> np.ndarray:
        return np.concatenate([np.array(p, np.uint32) for p in self.prompts])

    @property
    def starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum([len(p) for p in self.prompts])]).astype(np.int64)

    def corpus(self) -> Corpus:
        return corpus(self.tokens, self.starts, np.array(self.documents), self.parts, VOCABULARY)


def texts(count: int = 120, length: int = 24, seed: int = 0) -> Texts:
    """Random words; two prompts a document; the second half of the prompts are letters, the first tales."""
    rng = random.Random(seed)
    prompts = []
    for _ in range(count):
        row = [0]
        while len(row) < length:
            words = [[ID[" vi"], ID["et"], ID["nam"]], [ID[" fe"], ID["mur"]], [rng.choice([3, 4]), ID[" red"]]]
            row += rng.choice([*words, [rng.randrange(1, 26)], [rng.randrange(1, 26)], [rng.randrange(1, 26)]])
        prompts.append(row[:length])
    return Texts(
        prompts, [n // 2 for n in range(count)], ["tales" if n < count // 2 else "letters" for n in range(count)]
    )


def active(t: Texts, fires) -> list[tuple[int, float]]:
    """(token of the texts, value) of a planted feature: `fires(prompt, position)` gives a value or nothing."""
    starts = t.starts
    return [
        (int(starts[n]) + p, float(v))
        for n, row in enumerate(t.prompts)
        for p in range(1, len(row))
        if (v := fires(n, p))
    ]


def stored(features: list[list[tuple[int, float]]]) -> Grouped:
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in features])]).astype(np.int64)
    flat = [entry for feature in features for entry in feature]
    return Grouped(offsets, np.array([p for p, _ in flat], np.uint32), np.array([v for _, v in flat], np.float32))


def planted(t: Texts) -> dict[str, list[tuple[int, float]]]:
    """Features whose meaning is known, by name."""
    rows = t.prompts
    seen = lambda n, p, k: any(rows[n][s - k : s + 1] == rows[n][p - k : p + 1] for s in range(1 + k, p))  # noqa: E731
    return {
        "single": active(t, lambda n, p: 2.0 if rows[n][p] == ID[" dog"] else 0),
        "case": active(t, lambda n, p: 1.0 if rows[n][p] in (ID[" the"], ID[" The"]) else 0),
        "phrase": active(t, lambda n, p: 3.0 * (rows[n][p] == ID[" red"] and rows[n][p - 1] == ID[" is"])),
        "part": active(t, lambda n, p: 1.5 if rows[n][p] == ID["nam"] else 0),
        "short": active(t, lambda n, p: 1.0 if p > 2 and seen(n, p, 1) else 0),
        "place": active(t, lambda n, p: 1.0 if p == 1 else 0),
        "kind": active(t, lambda n, p: 1.0 if n >= len(rows) // 2 and (n + p) % 2 else 0),
        "two": active(t, lambda n, p: 2.0 if rows[n][p] == ID[" dog"] else 1.9 if rows[n][p] == ID["mur"] else 0),
        "rare": active(t, lambda n, p: 1.0 if n == 3 and p in (2, 5) else 0),
        "dead": [],
    }  # fmt: skip
