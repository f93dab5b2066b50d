"""What each token id adds to a text, in bytes, and how a sequence of tokens is drawn.

Byte-level vocabularies (GPT-2, Llama 3) cut inside characters: “’” may be three tokens. A character is drawn once, on
the token that completes it; the tokens before it are empty and marked `partial`. Bytes that complete no character are
drawn as “�”. No torch and no tokenizer is needed for drawing: the bytes are kept in `vocabulary.arrow` beside
`model.json`.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from core.errors import BadData
from core.records import Token
from core.store.layout import regular


@runtime_checkable
class Reads(Protocol):
    """What techniques ask of a model that read a text, here or elsewhere."""

    @property
    def vocabulary(self) -> Vocabulary:
        """How its tokens are drawn."""

    @property
    def bos(self) -> int | None:
        """The token that every text begins with."""


class Vocabulary:
    """The bytes of every token id, and which ids are special. Immutable."""

    def __init__(self, pieces: Sequence[bytes], special: Iterable[int]) -> None:
        self.pieces = list(pieces)
        self.special = frozenset(special)
        self._whole: dict[int, Token] = {}  # tokens that are drawn the same wherever they stand

    def __len__(self) -> int:
        return len(self.pieces)

    def draw(self, ids: Sequence[int]) -> tuple[Token, ...]:
        """The tokens of one text in order, with each character on the token that completes it."""
        try:  # nearly every text: all its tokens were drawn before, and each is whole characters
            return tuple(map(self._whole.__getitem__, ids))
        except KeyError:
            whole = [self._whole[i] if i in self._whole else self._stand(i) for i in ids]
        result: list[Token] = []
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for n, i in enumerate(ids):
            pending = bool(result) and result[-1].partial
            one = whole[n]
            if one is not None and not pending:
                result.append(one)
                continue
            if one is not None and one.special:  # nothing completes the bytes before it
                result[-1] = Token(result[-1].id, result[-1].text + "\ufffd")
                decoder.reset()
                result.append(one)
                continue
            text = decoder.decode(self.piece(i), final=n == len(ids) - 1)
            result.append(Token(i, text, partial=bool(decoder.getstate()[0])))
        return tuple(result)

    def _stand(self, i: int) -> Token | None:
        """The token if its bytes are whole characters, else None; kept, since prompts repeat their tokens."""
        try:
            token = Token(i, self._name(i), special=True) if i in self.special else Token(i, self.piece(i).decode())
        except UnicodeDecodeError:
            return None
        self._whole[i] = token
        return token

    def alone(self, i: int) -> Token:
        r"""One vocabulary entry, as a logit table shows it; bytes that are no character are written as `\xE2`."""
        if i in self.special:
            return Token(i, self._name(i), special=True)
        piece = self.piece(i)
        return Token(i, piece.decode("utf-8", errors="backslashreplace"))

    def piece(self, i: int) -> bytes:
        """The bytes of token `i`; empty for an id that the tokenizer has no entry for (padded embeddings)."""
        return self.pieces[i] if 0 <= i < len(self.pieces) else b""

    def text(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return b"".join(self.piece(i) for i in ids if i not in self.special).decode("utf-8", errors="replace")

    def _name(self, i: int) -> str:
        return self.piece(i).decode("utf-8", errors="replace")

    def write(self, path: Path) -> None:
        """Writes `vocabulary.arrow` beside and renames it."""
        table = pa.table({"bytes": pa.array(self.pieces, pa.binary())})
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        os.replace(beside, path)

    @classmethod
    def read(cls, path: Path, special: Iterable[int]) -> Vocabulary:
        """Reads `vocabulary.arrow`."""
        try:
            with pa.memory_map(str(regular(path))) as source:
                column = pa.ipc.open_file(source).read_all()["bytes"]
                column.validate(full=True)
                return cls(column.cast(pa.binary()).to_pylist(), special)
        except (OSError, LookupError, pa.ArrowException) as error:
            raise BadData(f"The vocabulary of {path.parent.name} cannot be read: {error}") from error


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes, as every byte-level tokenizer writes them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in printable}
    table.update({chr(256 + n): b for n, b in enumerate(b for b in range(256) if b not in set(printable))})
    return table


def pieces_of(tokenizer: Any, size: int) -> list[bytes]:
    """The bytes of ids 0 to `size` - 1 of a Hugging Face fast tokenizer: byte-level, SentencePiece or plain text."""
    alphabet = byte_alphabet()
    added = {int(i): t for i, t in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    byte_level = _is_byte_level(tokenizer)
    result: list[bytes] = []
    for i in range(size):
        if i in added:
            result.append(str(added[i].content).encode())
            continue
        token = tokenizer.convert_ids_to_tokens(i) if i < len(tokenizer) else None
        if token is None:
            result.append(b"")
        elif byte_level:
            result.append(bytes(alphabet[c] for c in token) if all(c in alphabet for c in token) else token.encode())
        elif re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", token):
            result.append(bytes([int(token[3:5], 16)]))
        else:
            result.append(token.replace("\u2581", " ").encode())
    return result


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether the tokenizer's own pipeline says so."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in f"{backend.pre_tokenizer!r}{backend.decoder!r}"
