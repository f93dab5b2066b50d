"""A text cut in two ways, and features planted on its characters, small enough to be laid out densely."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from core.atlas.universal.characters import Reading
from core.atlas.universal.matching import Model
from core.records import SourceKey
from core.store.grouped import Grouped

BOS, IDS = 0, 50
PARTS = ("letters", "tales")


def words(count: int, seed: int) -> list[bytes]:
    """Distinct words with a space before each."""
    rng = random.Random(seed)
    found: dict[bytes, None] = {}
    while len(found) < count:
        found[(" " + "".join(rng.choice("abcdefgäh") for _ in range(rng.randint(2, 8)))).encode()] = None
    return list(found)


@dataclass(frozen=True)
class Text:
    """Documents as lists of words."""

    vocabulary: list[bytes]
    documents: list[list[int]]
    parts: list[str]

    @classmethod
    def random(cls, documents: int = 40, length: int = 90, vocabulary: int = 120, seed: int = 0) -> Text:
        rng = random.Random(seed)
        return cls(
            words(vocabulary, seed),
            [[rng.randrange(vocabulary) for _ in range(length)] for _ in range(documents)],
            [PARTS[n >= documents // 2] for n in range(documents)],
        )

    def document(self, n: int) -> bytes:
        return b"".join(self.vocabulary[w] for w in self.documents[n])

    def spread(self, value: np.ndarray) -> list[np.ndarray]:
        """For each document a word's value at each of its bytes; `value` is by word."""
        return [
            np.concatenate([np.full(len(self.vocabulary[w]), value[w]) for w in document])
            for document in self.documents
        ]


def cut(text: Text, rng: random.Random, *, whole: bool, order: list[int] | None = None) -> list[list[int]]:
    """For each document (in `order`) the ends of its tokens: 1 to 5 bytes, never over a word's end if `whole`."""
    found = []
    for n in order or range(len(text.documents)):
        lengths = [len(text.vocabulary[w]) for w in text.documents[n]]
        ends, at = [], 0
        for size in lengths if whole else [sum(lengths)]:
            end = at + size
            while at < end:
                at = min(at + rng.randint(1, 5), end)
                ends.append(at)
        found.append(ends)
    return found


def reading(text: Text, cuts: list[list[int]], order: list[int] | None = None) -> tuple[Reading, list[np.ndarray]]:
    """What a build reads that runs each document as one prompt; and of each document the numbers of its tokens."""
    order = list(order or range(len(text.documents)))
    documents, numbers, at, token = [0], [], 0, 0
    for n, ends in zip(order, cuts, strict=True):
        numbers.append(np.arange(token + 1, token + 1 + len(ends)))
        token += 1 + len(ends)
        at += len(text.document(n))
        documents.append(at)
    ids = np.random.default_rng(3).integers(1, IDS, token).astype(np.uint32)
    ids[[int(some[0]) - 1 for some in numbers]] = BOS
    joined = b"".join(text.document(n) for n in order)
    return Reading(
        joined, np.array(_begins(cuts, documents)), np.array(documents), tuple(text.parts[n] for n in order), ids
    ), numbers


def _begins(cuts: list[list[int]], documents: list[int]) -> list[int]:
    """Where each token begins, BOS with no bytes before a document's first; then the text's length."""
    found: list[int] = []
    for ends, begin in zip(cuts, documents[:-1], strict=True):
        found += [begin, begin, *(begin + e for e in ends[:-1])]
    return [*found, documents[-1]]


def columns(values: list[dict[int, float]]) -> Grouped:
    """From each feature's {token: value}."""
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64)
    pairs = [item for v in values for item in sorted(v.items())]
    return Grouped(offsets, np.array([p for p, _ in pairs], np.uint32), np.array([v for _, v in pairs], np.float32))


def on_tokens(
    spread: list[np.ndarray], cuts: list[list[int]], numbers: list[np.ndarray], order: list[int] | None = None
) -> dict[int, float]:
    """A function on bytes as a model with these tokens has it: the mean over a token's bytes, where that is not 0."""
    found: dict[int, float] = {}
    for n, ends, tokens in zip(order or range(len(spread)), cuts, numbers, strict=True):
        means = np.add.reduceat(spread[n], [0, *ends[:-1]]) / np.diff([0, *ends])
        found |= {int(t): float(m) for t, m in zip(tokens, means, strict=True) if m}
    return found


def dense(read: Reading, found: Grouped) -> np.ndarray:
    """[features, bytes of the build's own text]."""
    table = np.zeros((found.width, len(read.text)))
    for f in range(found.width):
        for n in range(found.offsets[f], found.offsets[f + 1]):
            t = int(found.positions[n])
            table[f, read.begins[t] : read.begins[t + 1]] = found.values[n]
    return table


def model(name: str, read: Reading, **sources: Grouped) -> Model:
    return Model(read, IDS, {SourceKey(name, key.replace("_", "-")): found for key, found in sources.items()})
