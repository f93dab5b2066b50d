"""JSON lines, one at a time, plain or gzipped, however large the file is; and JSON values, read without surprises.

A file that cannot be read on (it stops in the middle, it is damaged, a line is absurdly long) is a grave finding, and
what came before still counts. Python's exporters write NaN and Infinity, which JSON does not have, and halves of
characters: the first are refused by name, of the second the text is mended.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import IO, Any

import orjson

from core.interchange.bulk.findings import Findings, Refused
from core.interchange.bulk.places import BLOCK, Inflating, Place

MOST_LINE = 64 << 20
"""Bytes of one line; a dashboard with its vector has some thousands."""
_BROKEN = (OSError, EOFError, zlib.error, Refused, RuntimeError, NotImplementedError, ValueError)
"""What reading a damaged or hostile file raises; `zipfile` raises several of these."""


class Wrong(Exception):
    """A row that is not what it should be; the message says how."""


def lines(place: Place, name: str, found: Findings) -> Iterator[tuple[int, bytes]]:
    """(number from 1, bytes) of each line that is not empty."""
    number, rest = 0, bytearray()
    for block in _blocks(place, name, found):
        begin = 0
        while (end := block.find(b"\n", begin)) >= 0:
            number += 1
            line = bytes(rest) + block[begin:end] if rest else block[begin:end]
            rest.clear()
            begin = end + 1
            if line.strip():
                yield number, line
        rest += block[begin:]
        if len(rest) > MOST_LINE:
            found.add(name, number + 1, f"it is longer than {MOST_LINE >> 20} MiB", grave=True)
            return
    if rest.strip():
        yield number + 1, bytes(rest)


def whole(place: Place, name: str, found: Findings, most: int) -> bytes | None:
    """All of a file of at most `most` bytes, unpacked; None if it cannot be had."""
    before, parts, size = found.grave, [], 0
    for block in _blocks(place, name, found):
        size += len(block)
        if size > most:
            found.add(name, 0, f"it is larger than {most >> 20} MiB", grave=True)
            return None
        parts.append(block)
    return b"".join(parts) if found.grave == before else None


def _blocks(place: Place, name: str, found: Findings) -> Iterator[bytes]:
    """The file's bytes, unpacked; a grave finding where they end too early."""
    try:
        raw = place.open(name)
    except (*_BROKEN, KeyError) as error:
        found.add(name, 0, f"it cannot be opened: {error}", grave=True)
        return
    with raw:
        stream: Inflating | IO[bytes] = raw
        try:
            head = raw.read(2) if name.endswith(".gz") else b""
            if head == b"\x1f\x8b":
                stream = Inflating(_Again(head, raw), name)  # type: ignore[arg-type]
            elif head or name.endswith(".gz"):
                found.add(name, 0, "it is not gzipped, as its name says" if head else "it is empty", grave=True)
                return
            while block := stream.read(BLOCK):
                yield block
        except _BROKEN as error:
            found.add(name, 0, f"it cannot be read to its end: {error}", grave=True)


class _Again:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int) -> bytes:
        head, self._head = self._head, b""
        return head + self._rest.read(size - len(head))


def value(text: bytes) -> Any:
    """A JSON value.

    Raises:
        Wrong: it is none; the message says why.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return _mended(json.loads(text, parse_constant=_constant, object_pairs_hook=dict))
        except Wrong:
            raise
        except (ValueError, RecursionError):
            raise Wrong(f"it is no JSON: {error}") from None


def _constant(name: str) -> Any:
    raise Wrong(f"it has the number {name}, which JSON does not have and nothing can be drawn with")


def _mended(found: Any) -> Any:
    """Halves of characters, which Python's JSON lets pass, as the sign for what cannot be read."""
    if isinstance(found, str):
        return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(found, list):
        return [_mended(one) for one in found]
    if isinstance(found, dict):
        return {str(_mended(name)): _mended(one) for name, one in found.items()}
    return found
