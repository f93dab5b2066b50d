"""What was read of each file of an import, on disk: a part a file, whole or not there, so that an import goes on.

    <work>/parts/<name>/meta.json        the file's mark, counts and findings
    <work>/parts/<name>/rows.arrow       features, explanations, scores: index, line, the row as it came
    <work>/parts/<name>/activations.arrow   one row an activation: its interval, its non-zeros, what else came with it
    <work>/parts/<name>/prompts.arrow    the distinct token lists among them, by their hash
    <work>/parts/<name>/tokens.arrow     the distinct tokens among those

Arrow files in blocks of `ROWS`, memory-mapped when they are put together: a part takes the memory of one block while it
is written, and of its distinct tokens and prompts' hashes (at most `HELD`; beyond it a prompt may be written twice).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.interchange.bulk.findings import Findings
from core.interchange.bulk.places import Item
from core.interchange.bulk.rows import Activation

ROWS = 1024
"""In one block."""
HELD = 200_000
MOST_TOKENS = 4 << 20
"""Distinct tokens of one file; a vocabulary has at most some hundred thousand."""
_ROWS = pa.schema([("index", pa.uint32()), ("line", pa.uint32()), ("row", pa.large_binary())])
_ACTIVATIONS = pa.schema([
    ("index", pa.uint32()), ("line", pa.uint32()), ("prompt", pa.uint32()), ("peak", pa.float32()),
    ("low", pa.float64()), ("high", pa.float64()), ("share", pa.float64()), ("place", pa.uint32()),
    ("at", pa.list_(pa.uint32())), ("value", pa.list_(pa.float32())), ("rest", pa.large_binary()),
])  # fmt: skip
_PROMPTS = pa.schema([("hash", pa.binary(16)), ("tokens", pa.list_(pa.uint32())), ("part", pa.string())])
_TOKENS = pa.schema([("token", pa.string())])
U32, F32, F64 = NDArray[np.uint32], NDArray[np.float32], NDArray[np.float64]


class _Sink:
    """An Arrow file that rows are added to one by one, written in blocks of `ROWS`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)
        self._schema, self._rows, self.count = schema, [], 0  # type: tuple[pa.Schema, list[tuple[Any, ...]], int]

    def add(self, *row: object) -> int:
        """Adds a row; returns its number."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == ROWS:
            self._flush()
        return self.count - 1

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [_column(list(values), field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()
        self._file.close()


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """A column; lists of numbers, which are arrays here, without a Python object for each."""
    if pa.types.is_list(kind):
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        flat = np.concatenate(values) if sizes.sum() else np.empty(0)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        inner = flat.astype(kind.value_type.to_pandas_dtype(), copy=False)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(inner, kind.value_type))
    return pa.array(values, kind)


class Writing:
    """A part that is being read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = _Sink(folder / "rows.arrow", _ROWS)
        self._activations = _Sink(folder / "activations.arrow", _ACTIVATIONS)
        self._prompts = _Sink(folder / "prompts.arrow", _PROMPTS)
        self._tokens: dict[str, int] = {}
        self._known: dict[bytes, int] = {}
        self._lowest = 0.0
        self.facts: dict[str, Any] = {}
        """What else the reader wants to be known when the parts are put together."""

    def row(self, index: int, line: int, row: bytes) -> None:
        """Adds a feature, an explanation or a score, as it came."""
        self._rows.add(index, line, row)

    def said(self, index: int, mean: float | None, deviation: float | None, minimum: float) -> None:
        """Keeps figures of a feature that its row has no place for."""
        self.facts.setdefault("said", {})[str(index)] = [mean or 0.0, deviation or 0.0, minimum]

    @property
    def count(self) -> int:
        """Rows and activations so far."""
        return self._rows.count + self._activations.count

    def activation(self, line: int, one: Activation, rest: bytes) -> None:
        """Adds one; `rest` is what else its row has."""
        digest = hashlib.blake2b("\0".join(one.tokens).encode(), digest_size=16).digest()
        prompt = self._known.get(digest)
        if prompt is None:
            known = self._tokens
            for token in one.tokens:
                if token not in known:
                    known[token] = len(known)
            ids = np.fromiter(map(known.__getitem__, one.tokens), np.uint32, len(one.tokens))
            if len(self._known) >= HELD:
                self._known.clear()
            prompt = self._known[digest] = self._prompts.add(digest, ids, one.part)
        at = np.flatnonzero(one.values)
        peak, least = float(one.values.max()), float(one.values.min())
        self._lowest = min(self._lowest, least)
        self._activations.add(
            one.index, line, prompt, peak, one.low, one.high, one.share, one.place, at.astype(np.uint32),
            one.values[at].astype(np.float32), rest,
        )  # fmt: skip

    @property
    def crowded(self) -> bool:
        """Whether there are more distinct tokens than any vocabulary has."""
        return len(self._tokens) > MOST_TOKENS

    def close(self) -> None:
        """Writes what is left."""
        tokens = _Sink(self.folder / "tokens.arrow", _TOKENS)
        for token in self._tokens:
            tokens.add(token)
        for sink in (self._rows, self._activations, self._prompts, tokens):
            sink.close()
        self.facts |= {
            "rows": self._rows.count, "activations": self._activations.count, "prompts": self._prompts.count,
            "tokens": len(self._tokens), "lowest": self._lowest,
        }  # fmt: skip


@contextmanager
def writing(work: Path, item: Item, found: Findings) -> Iterator[Writing]:
    """A part to fill; it is there when the block ends without an error, and `part` finds it then."""
    target = _place(work, item.name)
    beside = target.with_name(f".{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    made = Writing(beside)
    try:
        yield made
    finally:
        made.close()
    meta = {"name": item.name, "size": item.size, "mark": item.mark, "findings": found.json(), **made.facts}
    (beside / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(beside, target)


def _place(work: Path, name: str) -> Path:
    return work / "parts" / hashlib.sha256(name.encode()).hexdigest()[:24]


def part(work: Path, item: Item) -> Part | None:
    """What was read of a file, if it was read to its end and has not changed since."""
    folder = _place(work, item.name)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if (meta.get("size"), meta.get("mark")) != (item.size, item.mark):
        return None
    return Part(folder, meta)


class Part:
    """What was read of one file. Not to be shared between threads."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self._folder, self.meta = folder, meta
        self.name: str = meta["name"]
        self._open: OrderedDict[tuple[str, int], pa.RecordBatch] = OrderedDict()

    @property
    def findings(self) -> Findings:
        """What was wrong in it."""
        return Findings.read(self.meta["findings"])

    def column(self, file: str, name: str) -> NDArray[Any]:
        """A whole column of numbers."""
        with self._reading(file) as reader:
            blocks = [reader.get_batch(n).column(name) for n in range(reader.num_record_batches)]
            return pa.chunked_array(blocks, reader.schema.field(name).type).to_numpy()

    def hashes(self) -> NDArray[np.uint64]:
        """[prompts, 2]: the hash of each distinct prompt."""
        with self._reading("prompts") as reader:
            blocks = [reader.get_batch(n).column("hash") for n in range(reader.num_record_batches)]
            made = [np.frombuffer(one.buffers()[1], np.uint64, 2 * len(one)).reshape(-1, 2) for one in blocks]
            return np.concatenate([np.empty((0, 2), np.uint64), *made])

    def tokens(self) -> list[str]:
        """Its distinct tokens."""
        with self._reading("tokens") as reader:
            blocks = [reader.get_batch(n).column("token") for n in range(reader.num_record_batches)]
            return [one for block in blocks for one in block.to_pylist()]

    def lengths(self) -> NDArray[np.int64]:
        """[prompts]: how many tokens each has."""
        with self._reading("prompts") as reader:
            blocks = [reader.get_batch(n).column("tokens") for n in range(reader.num_record_batches)]
            return np.concatenate([np.empty(0, np.int64), *(np.diff(one.offsets.to_numpy()) for one in blocks)])

    def numbers(self, file: str, name: str, row: int) -> NDArray[Any]:
        """One row's list of numbers."""
        column, at = self._block(file, row).column(name), row % ROWS
        begin, end = column.offsets[at : at + 2].to_numpy()
        return column.values[begin:end].to_numpy()

    def value(self, file: str, name: str, row: int) -> Any:
        """One row's value."""
        return self._block(file, row).column(name)[row % ROWS].as_py()

    def _block(self, file: str, row: int) -> pa.RecordBatch:
        """A block, mapped; a few are kept open, since there are more parts than a process may have files."""
        key = (file, row // ROWS)
        if key not in self._open:
            with self._reading(file) as reader:
                self._open[key] = reader.get_batch(key[1])
            if len(self._open) > 6:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    @contextmanager
    def _reading(self, file: str) -> Iterator[Any]:
        with pa.memory_map(str(self._folder / f"{file}.arrow")) as source:
            yield pa.ipc.open_file(source)
