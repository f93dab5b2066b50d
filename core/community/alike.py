"""The words of an explanation: its meanings, and whether two say the same, so that a vote is offered and no twin.

The test: the sets of words are the same, or at least four words long and alike by Jaccard's measure to `NEAR`. A word
is what remains up to case, punctuation, accents' composition, order, a plural “s” and the few words that carry nothing
(`EMPTY`). Meanings (between “|”) count as words of one set. It is a test of wording, not of meaning: “mum” and “mother”
differ. Microseconds.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from core.community import bounds, limits
from core.errors import BadInput

NEAR = 0.75
EMPTY = frozenset(
    "a an and are as at be by for from in is it its of on or that the their this to with "
    "about activates concept feature fires mention mentions phrase phrases reference references related relating "
    "term terms token tokens word words".split()
)
_WORD = re.compile(r"[\w]+(?:['’][\w]+)*")


def words(text: str) -> frozenset[str]:
    """What a text is compared by; all of its words where nothing else is left."""
    every = [_plain(word) for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold())]
    return frozenset(word for word in every if word not in EMPTY) or frozenset(every or [text.strip()])


def near(one: str, other: str) -> bool:
    """Whether the second is no more than the first in other dress."""
    first, second = words(one), words(other)
    if first == second:
        return True
    return min(len(first), len(second)) >= 4 and len(first & second) / len(first | second) >= NEAR


def twins(text: str, among: Sequence[str]) -> list[int]:
    """Which of some texts say the same, by their places."""
    return [at for at, other in enumerate(among) if near(text, other)]


def meanings(text: str) -> tuple[str, ...]:
    """The meanings of an explanation: between “|” or on lines of their own, each once.

    Raises:
        BadInput: there are too many.
    """
    found = dict.fromkeys(" ".join(part.split()) for part in re.split(r"[|\n\r]", text))
    found.pop("", None)
    if len(found) > limits.MEANINGS:
        raise BadInput(f"These are {len(found)} meanings: an explanation has at most {limits.MEANINGS}.")
    return tuple(found)


def digest(text: str) -> str:
    """What a vote keeps of the words that it is for."""
    return hashlib.sha256(text.encode()).hexdigest()


def joined(text: str) -> str:
    """An explanation as it is kept: one line, its meanings joined by “ | ”. Raises `BadInput`."""
    found = " | ".join(meanings(bounds.clean(text, "The explanation")))
    return bounds.line(found, "The explanation", limits.EXPLANATION)


def _plain(word: str) -> str:
    word = word.replace("’", "'").removesuffix("'s")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
