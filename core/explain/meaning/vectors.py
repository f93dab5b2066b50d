"""Vectors on disk, beside the source whose explanations they are of, each under the hash of its text.

`<root>/<model>/<source>/derived/meaning-<hash of the embedder's name>/<hash>.arrow` holds texts' hashes and vectors,
and in its metadata who made them; a file of another embedder, or of another format, is not read. Files are written
beside their place and renamed, and never changed: while thousands of texts are embedded a file is written now and then,
so that what was done survives a kill, and at the end they are put together into one. Files of both data roots count, so
that the demo's, which ship with it, are never made again. Vectors are float32 and memory-mapped; 300,000 of 384 numbers
take 460 MB of disk and page cache. A compact file, as the demo's, is a quarter of that: bytes in place of numbers
(similarities are then within two thousandths), made float32 when it is opened. A damaged file counts as absent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.explain.meaning.embedder import Vectors
from core.store.layout import DAMAGED, regular

FORMAT = "1"
HASH = 16
"""Bytes of a text's hash: that two of a billion texts share one is out of the question."""


def text_hash(text: str) -> bytes:
    """What a text's vector is kept under."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:HASH]


def folder_name(embedder: str) -> str:
    """Of the folder below `derived/` that holds an embedder's vectors."""
    return f"meaning-{hashlib.sha256(embedder.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One file, open."""

    path: Path
    hashes: tuple[bytes, ...]
    vectors: Vectors
    """[texts, dimensions]"""


class Kept:
    """The vectors of one source: those of every file that is there, the first of a text winning."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._rows: dict[bytes, int] = {}
        at = 0
        for part in self.parts:
            for n, one in enumerate(part.hashes):
                self._rows.setdefault(one, at + n)
            at += len(part.hashes)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, text: bytes) -> int | None:
        """Of a text's hash, counted over all parts one after another; None without a vector."""
        return self._rows.get(text)

    def take(self, rows: NDArray[np.int64]) -> Vectors:
        """[texts, dimensions]: the vectors at some rows."""
        return _rows(self, rows)

    def dot(self, query: Vectors) -> NDArray[np.float32]:
        """[rows]: the product of every vector with one; [rows, m] with m columns."""
        found = [part.vectors @ query for part in self.parts]
        return np.concatenate(found) if found else np.zeros(0, np.float32)


def open_kept(folders: Iterable[Path], embedder: str, more: Iterable[Part] = ()) -> Kept:
    """What a source's folders, one in each data root, hold of an embedder's vectors, and `more` that they do not."""
    parts: list[Part] = list(more)
    for folder in folders:
        found = [_open(path, embedder) for path in sorted((folder / "derived" / folder_name(embedder)).glob("*.arrow"))]
        parts += [part for part in found if part is not None]
    return Kept([part for part in parts if part.vectors.shape[1] == parts[0].vectors.shape[1]])


def _open(path: Path, embedder: str) -> Part | None:
    try:
        with pa.memory_map(str(regular(path))) as file:
            reader = pa.ipc.open_file(file)
            about = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
            if about.get("format") != FORMAT or about.get("embedder") != embedder:
                return None
            batch = reader.read_all().combine_chunks()
        hashes = tuple(batch["hash"].to_pylist())
        (column,) = batch["vector"].chunks or [pa.array([], batch.schema.field("vector").type)]
        vectors = column.flatten().to_numpy(zero_copy_only=True).reshape(len(hashes), column.type.list_size)
        if vectors.dtype == np.int8:
            vectors = _unit(vectors.astype(np.float32))
    except (*DAMAGED, UnicodeDecodeError):
        return None
    return Part(path, hashes, vectors) if len(hashes) else None


def write_part(folder: Path, embedder: str, hashes: Sequence[bytes], vectors: Vectors, *, compact: bool) -> Path:
    """One more file of the source in `folder`; its name is that of its texts."""
    target = folder / "derived" / folder_name(embedder)
    target.mkdir(parents=True, exist_ok=True)
    kept = _bytes(vectors) if compact else np.ascontiguousarray(vectors, np.float32)
    flat = pa.array(kept.reshape(-1))
    table = pa.table(
        {
            "hash": pa.array(list(hashes), pa.binary(HASH)),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    ).replace_schema_metadata({"format": FORMAT, "embedder": embedder})
    path = target / f"{hashlib.sha256(b''.join(hashes)).hexdigest()[:12]}.arrow"
    beside = target / f".{path.name}.{os.getpid()}"
    with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    os.replace(beside, path)
    return path


def _bytes(vectors: Vectors) -> NDArray[np.int8]:
    """Each vector in 255 steps of its own largest number; its length is 1, so that nothing else need be kept."""
    return np.rint(vectors * (127 / np.abs(vectors).max(axis=1, keepdims=True))).astype(np.int8)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def put_together(folder: Path, embedder: str, needed: Iterable[bytes], *, compact: bool) -> None:
    """One file, of the texts that are still said, in place of the several in the source's `folder`."""
    kept = open_kept([folder], embedder)
    wanted = [one for one in dict.fromkeys(needed) if kept.row(one) is not None]
    if len(kept.parts) < 2 or not wanted:
        return
    rows = np.array([kept.row(one) for one in wanted], np.int64)
    made = write_part(folder, embedder, wanted, _rows(kept, rows), compact=compact)
    for part in kept.parts:
        if part.path != made:
            part.path.unlink(missing_ok=True)  # who has it open keeps reading it


def _rows(kept: Kept, rows: NDArray[np.int64]) -> Vectors:
    made = np.empty((len(rows), kept.parts[0].vectors.shape[1]), np.float32)
    at = 0
    for part in kept.parts:
        here = (rows >= at) & (rows < at + len(part.hashes))
        made[here] = part.vectors[rows[here] - at]
        at += len(part.hashes)
    return made
