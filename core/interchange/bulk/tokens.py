"""Tokens of an import, which come as texts, as a vocabulary of their own: of each distinct text its bytes.

Exports hold what somebody's tokenizer drew: mostly text, sometimes the tokenizer's own writing, in which a space is “Ġ”
(byte-level, every character standing for a byte) or “▁” (SentencePiece). Where no token has a real space or line break
and some have such signs, all are read back into bytes, so that they show as the text that they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.interchange.bulk.findings import Findings, Refused
from core.interchange.bulk.spill import MOST_TOKENS, Part
from core.models.vocabulary import Vocabulary, byte_alphabet

U32 = NDArray[np.uint32]


class Tokens:
    """The distinct tokens of all parts, numbered as they are first met, and then those that are asked for."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._known: dict[str, int] = {}
        self._maps: dict[str, U32] = {}
        for part in parts:
            self._maps[part.name] = self.ids(part.tokens())

    def ids(self, texts: Sequence[str]) -> U32:
        """The number of each text; one that was not met before gets the next."""
        known = self._known
        found = np.fromiter((known.setdefault(text, len(known)) for text in texts), np.uint32, len(texts))
        if len(known) > MOST_TOKENS:
            raise Refused(f"The export has more than {MOST_TOKENS:,} distinct tokens, which no vocabulary has.")
        return found

    def of(self, part: Part) -> U32:
        """The number here of each token of a part."""
        return self._maps[part.name]

    def vocabulary(self, found: Findings) -> Vocabulary:
        """All of them; which writing was read back is a note."""
        texts = list(self._known)
        pieces, note = read_back(texts)
        if note:
            found.add("", 0, note)
        return Vocabulary(pieces, ())


def read_back(texts: Sequence[str]) -> tuple[list[bytes], str]:
    """(bytes of each token, what was done to them in words)."""
    plain = [text.encode("utf-8", "replace") for text in texts]
    if any(" " in text or "\n" in text for text in texts if not (text.startswith("<") and text.endswith(">"))):
        return plain, ""
    if any("Ġ" in text for text in texts):
        alphabet = byte_alphabet()
        if all(all(c in alphabet for c in text) for text in texts if not text.startswith("<")):
            pieces = [
                bytes(alphabet[c] for c in text) if all(c in alphabet for c in text) else one
                for text, one in zip(texts, plain, strict=True)
            ]
            return pieces, "tokens are in a byte-level tokenizer's own writing (“Ġ” for a space) and were read back"
    if any("▁" in text for text in texts):
        return (
            [text.replace("▁", " ").encode("utf-8", "replace") for text in texts],
            "tokens are in SentencePiece's own writing (“▁” for a space) and were read back",
        )
    return plain, ""
