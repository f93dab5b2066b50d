"""The texts of a build as sentences and words.

Cost: drawing at most `READ` prompts once (half a second), kept for the last two builds that were asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from core.records import SourceKey, Token

if TYPE_CHECKING:
    from core.workbench import Workbench

READ = 8192
"""Prompts that are read at most, evenly spread."""
SHORTEST, LONGEST = 20, 240
"""Characters of a sentence."""
LOOKED = 400
"""Places of a phrase that tell what kind of word it is."""
_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][”\"’)])\s+|\n+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Corpus:
    """The prompts of a build as text. Safe to share between threads."""

    def __init__(self, bench: Workbench, key: SourceKey) -> None:
        prompts = bench.source(key).prompts
        step = max(1, -(-prompts // READ))
        self._texts = [(n, written(bench.prompt(key, n))) for n in range(0, prompts, step)]

    @cached_property
    def sentences(self) -> tuple[tuple[int, str], ...]:
        """(prompt, sentence), each sentence once."""
        found: dict[str, int] = {}
        for prompt, text in self._texts:
            for begin, end in cuts(text)[1:]:  # the first is often the end of one
                if SHORTEST <= end - begin <= LONGEST:
                    found.setdefault(text[begin:end], prompt)
        return tuple((prompt, sentence) for sentence, prompt in found.items())

    @cached_property
    def words(self) -> Counter[str]:
        """Every word, as it is written, with how often."""
        return Counter(word for _, text in self._texts for word in _WORD.findall(text))

    def beside(self, phrase: str) -> list[tuple[str, str]]:
        """(the word or sign before, that after) of the first `LOOKED` places at which a phrase stands by itself."""
        pattern = re.compile(rf"(\w+|[^\w\s]|^)\s*(?<!\w){re.escape(phrase)}(?!\w)\s*(\w+|[^\w\s]|$)")
        found = (match for _, text in self._texts if phrase in text for match in pattern.finditer(text))
        return [(match[1], match[2]) for match in islice(found, LOOKED)]

    @staticmethod
    def split(text: str) -> set[str]:
        """The words of a text."""
        return set(_WORD.findall(text))


@lru_cache(maxsize=2)
def _corpus(bench: Workbench, key: SourceKey, build: str) -> Corpus:
    return Corpus(bench, key)


def corpus(bench: Workbench, key: SourceKey) -> Corpus:
    """That of a source as it is built now."""
    return _corpus(bench, key, bench.build_of(key))


def written(tokens: tuple[Token, ...]) -> str:
    """A prompt as text, special tokens left out."""
    return "".join(token.text for token in tokens if not token.special)


def cuts(text: str) -> list[tuple[int, int]]:
    """(begin, end) of every sentence or line, without blank space around it."""
    ends = [match.span() for match in _END.finditer(text)]
    begins = [0, *(end for _, end in ends)]
    spans = zip(begins, [*(begin for begin, _ in ends), len(text)], strict=True)
    found = []
    for begin, end in spans:
        part = text[begin:end]
        bare = part.strip()
        if bare:
            first = begin + part.index(bare)
            found.append((first, first + len(bare)))
    return found


def around(tokens: tuple[Token, ...], position: int) -> str:
    """The sentence in which a token stands, up to `LONGEST` characters of it; empty if it has none."""
    at = len(written(tokens[:position])) + len(tokens[position].text) - len(tokens[position].text.lstrip())
    text = written(tokens)
    span = next(((begin, end) for begin, end in cuts(text) if begin <= at < end), None)
    if span is None:
        return ""
    begin, end = span
    if end - begin > LONGEST:
        begin = max(begin, at - LONGEST * 3 // 4)
        begin = text.find(" ", begin, at) + 1 or begin if begin > span[0] else begin
        end = min(end, begin + LONGEST)
        end = end if end == span[1] else max(at + 1, text.rfind(" ", at, end))
    return text[begin:end].strip()
