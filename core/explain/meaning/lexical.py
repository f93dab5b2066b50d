"""Which texts have a query's words, and how much that says: BM25, in parts of what could be reached.

A word is a run of letters and digits, without case, accents and the plural's s (Harman 1991, “How effective is
suffixing?”, the S stemmer). Its weight is BM25's inverse document frequency, so that a rare word decides; how much it
counts in a text is BM25's saturation of its count, with k1 = 1.2 and b = 0.75 (Robertson and Zaragoza 2009, “The
Probabilistic Relevance Framework: BM25 and Beyond”), at most 1, which is what one mention in a text of average length
gets. The sum is divided by the weight of all words of the query, also of those that no text has: 1 says that a text has
all of them. Words such as “the” and “about” are left out of a query, unless they stand in quotation marks or there is
no other: to a feature that fires on “the” they mean nothing else. Cost: a pass over the texts when they change, and a
look-up a word.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

K1, B = 1.2, 0.75
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_QUOTED = re.compile(r"[“\"]([^“”\"]+)[”\"]")


def folded(word: str) -> str:
    """What two spellings of a word have in common."""
    return _folded(word) if len(word) < 60 else word.casefold()


@lru_cache(maxsize=200_000)
def _folded(word: str) -> str:
    plain = word.casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    plain = plain.replace("’", "'").removesuffix("'s")
    if len(plain) > 3:
        if plain.endswith("ies") and plain[-4] not in "ea":
            return plain[:-3] + "y"
        if plain.endswith("es") and plain[-3] not in "aeo":
            return plain[:-1]
        if plain.endswith("s") and plain[-2] not in "us":
            return plain[:-1]
    return plain


FUNCTION = frozenset(
    folded(word)
    for word in (
    "a about all also an and any are as at be been being but by can could did do does doing for from had has have "
    "having he her here hers him his how i if in into is it its itself just me more most my no nor not of on once only "
    "or other our out over own same she so some such than that the their them then there these they this those through "
    "to too under until up very was we were what when where which while who whom why will with would you your "
    "activate activates activation activations feature features fire fires find word words token tokens text texts "
    "something anything things thing related concerning mention mentions"
    ).split()
)  # fmt: skip
"""Of English, and those with which people ask for features; they say nothing of what a feature is about."""


def split(text: str) -> list[str]:
    """The words of a text, folded, in order."""
    return [folded(word) for word in _WORD.findall(text)]


def asked(query: str) -> tuple[str, ...]:
    """The words of a query that are looked for, each once."""
    every = split(query)
    quoted = {word for part in _QUOTED.findall(query) for word in split(part)}
    telling = [word for word in every if word in quoted or word not in FUNCTION]
    return tuple(dict.fromkeys(telling or every))


def matched(text: str, words: Iterable[str]) -> tuple[str, ...]:
    """The words of a text as they stand in it that are among folded ones, each once."""
    wanted = set(words)
    return tuple(dict.fromkeys(word for word in _WORD.findall(text) if folded(word) in wanted))


class _Numbers(dict[str, int]):
    """Numbers words as they come; most of a text's were there before, and are then one look-up each."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class Postings:
    """The words of some texts: of each the texts that have it, with its count."""

    def __init__(self, texts: Sequence[str]) -> None:
        spellings = _Numbers()
        numbers: dict[str, int] = {}
        flat: list[int] = []
        ends = np.zeros(len(texts) + 1, np.int64)
        for n, text in enumerate(texts, 1):
            flat += map(spellings.__getitem__, _WORD.findall(text))
            ends[n] = len(flat)
        each_word = np.array([numbers.setdefault(folded(word), len(numbers)) for word in spellings], np.int64)
        lengths = np.diff(ends).astype(np.int32)
        told = each_word[flat] if flat else np.zeros(0, np.int64)
        pairs = told * max(1, len(texts)) + np.repeat(np.arange(len(texts)), lengths)
        each, counts = np.unique(pairs, return_counts=True)
        self._numbers = numbers
        self._texts = (each % max(1, len(texts))).astype(np.int32)
        self._counts = counts.astype(np.float32)
        self._starts = np.searchsorted(each, np.arange(len(numbers) + 1, dtype=np.int64) * max(1, len(texts)))
        self.lengths = lengths

    def of(self, word: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(texts that have a folded word, how often)."""
        number = self._numbers.get(word)
        if number is None:
            return self._texts[:0], self._counts[:0]
        here = slice(int(self._starts[number]), int(self._starts[number + 1]))
        return self._texts[here], self._counts[here]


def scores(words: Sequence[str], postings: Sequence[Postings]) -> NDArray[np.float32]:
    """[texts of all postings]: of each text the share of a query's words, by weight, from 0 to 1."""
    sizes = [len(part.lengths) for part in postings]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    count = int(starts[-1])
    made = np.zeros(count, np.float32)
    if not count or not words:
        return made
    average = max(1.0, sum(int(part.lengths.sum()) for part in postings) / count)
    whole = 0.0
    for word in words:
        found = [part.of(word) for part in postings]
        held = sum(len(texts) for texts, _ in found)
        weight = math.log(1 + (count - held + 0.5) / (held + 0.5))
        whole += weight
        for part, at, (texts, counts) in zip(postings, starts[:-1], found, strict=True):
            if len(texts):
                room = K1 * (1 - B + B * part.lengths[texts] / average)
                made[at + texts] += weight * np.minimum(1.0, counts * (K1 + 1) / (counts + room))
    return np.minimum(1.0, made / whole) if whole else made
