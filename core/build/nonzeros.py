"""Non-zeros (feature, token, value): taken from activations, written chunk by chunk, merged by feature.

During the pass a chunk's entries are held twice: by token, as they come, and by feature, after one counting sort. A
finished chunk is on disk in both orders; merging walks the chunks feature block by feature block, so that memory does
not grow with the number of tokens. Within a feature tokens ascend, whatever the size of a chunk.

Cost: one look at every activation (a compare), 16 bytes of disk an entry during the build and 8 after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from core.kernel import F32, I32, I64, U32, compiled, no_type_check
from core.store.grouped import Grouped


@dataclass(frozen=True, slots=True)
class Chunk:
    """The entries of some tokens, by token and by feature."""

    tokens: U32
    """[rows]: the number of each counted token."""
    row_offsets: I64
    """[rows + 1]"""
    row_features: I32
    row_values: F32
    offsets: I64
    """[width + 1]"""
    rows: I32
    """By feature: the row, not the token's number."""
    values: F32

    @classmethod
    def load(cls, folder: Path) -> Chunk:
        """A chunk that was written, memory-mapped; raises `ValueError` if its files hold other kinds of numbers."""
        arrays = [np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(cls)]
        if [a.dtype for a in arrays] != [np.uint32, np.int64, np.int32, np.float32, np.int64, np.int32, np.float32]:
            raise ValueError(f"{folder.name} holds other kinds of numbers than a chunk does")
        return cls(*arrays)

    def fits(self, width: int, tokens: int) -> bool:
        """Whether a loop may trust it: lengths, order and bounds, for `width` features and so many tokens."""
        rows, entries = len(self.tokens), len(self.values)
        return bool(
            _cover(self.row_offsets, rows, entries) and _cover(self.offsets, width, entries)
            and len(self.row_features) == len(self.row_values) == len(self.rows) == entries
            and _within(self.row_features, width) and _within(self.rows, rows) and _within(self.tokens, tokens)
            and (np.diff(self.tokens.astype(np.int64)) > 0).all()
        )  # fmt: skip

    def write(self, folder: Path) -> None:
        """Writes it into an empty folder."""
        for f in fields(self):
            np.save(folder / f"{f.name}.npy", getattr(self, f.name))


def _cover(offsets: I64, parts: int, entries: int) -> bool:
    """Whether offsets cut so many entries into so many parts."""
    right = len(offsets) == parts + 1 and offsets[0] == 0 and offsets[-1] == entries
    return bool(right and (np.diff(offsets) >= 0).all())


def _within(numbers: I32 | U32, end: int) -> bool:
    return not len(numbers) or bool(numbers.min() >= 0 and numbers.max() < end)


@dataclass(frozen=True, slots=True)
class Rows:
    """The entries of a few tokens, by token."""

    counts: I64
    """[rows]"""
    features: I32
    values: F32


class Nonzeros:
    """The entries of the chunk that is being run."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._parts: list[Rows] = []
        self._tokens: list[U32] = []

    def add(self, tokens: U32, parts: list[Rows]) -> None:
        """The entries of one tile; `tokens` are the numbers of its rows."""
        self._tokens.append(tokens)
        self._parts += parts

    def chunk(self) -> Chunk:
        """Everything added since the last call."""
        whole = joined(self._parts)
        tokens = np.concatenate(self._tokens) if self._tokens else np.empty(0, np.uint32)
        self._parts, self._tokens = [], []
        offsets = np.concatenate([[0], np.cumsum(whole.counts)])
        return Chunk(tokens, offsets, whole.features, whole.values, *by_feature(whole, self.width))


def joined(parts: list[Rows]) -> Rows:
    """Some rows one after another."""
    if not parts:
        return Rows(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("counts", "features", "values")))


def positive(acts: torch.Tensor) -> Rows:
    """The entries of `[n, width]` activations that are greater than zero, and those that are no number."""
    if acts.device.type != "cpu":
        return _kept(acts, ~(acts <= 0))
    dense = acts.numpy()
    counts = _count(dense)
    total = int(counts.sum())
    features, values = np.empty(total, np.int32), np.empty(total, np.float32)
    _fill(dense, features, values)
    return Rows(counts, features, values)


def outside(acts: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> Rows:
    """The entries of `[n, width]` values that lie below `low` or above `high` of their feature."""
    return _kept(acts, (acts < low) | (acts > high))


def _kept(acts: torch.Tensor, keep: torch.Tensor) -> Rows:
    rows, features = keep.nonzero(as_tuple=True)
    counts = np.bincount(rows.cpu().numpy(), minlength=len(acts))
    return Rows(counts, features.cpu().numpy().astype(np.int32), to_numpy(acts[rows, features]))


@compiled()
@no_type_check
def _count(acts: F32) -> I64:
    counts = np.zeros(acts.shape[0], np.int64)
    for r in range(acts.shape[0]):
        n = 0
        for c in range(acts.shape[1]):
            n += not acts[r, c] <= 0
        counts[r] = n
    return counts


@compiled()
@no_type_check
def _fill(acts: F32, features: I32, values: F32) -> None:
    n = 0
    for r in range(acts.shape[0]):
        for c in range(acts.shape[1]):
            if not acts[r, c] <= 0:
                features[n] = c
                values[n] = acts[r, c]
                n += 1


def by_feature(whole: Rows, width: int) -> tuple[I64, I32, F32]:
    """(offsets, rows, values) by feature, rows ascending within one: a counting sort."""
    counts = np.bincount(whole.features, minlength=width)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows, values = np.empty(len(whole.values), np.int32), np.empty(len(whole.values), np.float32)
    _scatter(whole.counts, whole.features, whole.values, offsets[:-1].copy(), rows, values)
    return offsets, rows, values


@compiled()
@no_type_check
def _scatter(counts: I64, features: I32, values: F32, place: I64, rows: I32, out: F32) -> None:
    n = 0
    for r in range(len(counts)):
        for _ in range(counts[r]):
            at = place[features[n]]
            rows[at], out[at] = r, values[n]
            place[features[n]] = at + 1
            n += 1


def merge(chunks: list[Path], width: int, folder: Path, block: int) -> Grouped:
    """Writes `folder`'s offsets, positions and values from chunks in order, `block` features at a time; maps them."""
    folder.mkdir()
    offsets = np.sum([np.load(chunk / "offsets.npy") for chunk in chunks], axis=0)
    np.save(folder / "offsets.npy", offsets)
    total = int(offsets[-1])
    with (
        _array(folder / "positions.npy", np.uint32, total) as where,
        _array(folder / "values.npy", np.float32, total) as what,
    ):
        for begin in range(0, width, block):
            positions, values = _block(chunks, begin, min(begin + block, width), offsets)
            where.write(positions.data)
            what.write(values.data)
    return Grouped(offsets, *(np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("positions", "values")))


def _block(chunks: list[Path], begin: int, end: int, offsets: I64) -> tuple[U32, F32]:
    """Positions and values of features `begin` to `end` from all chunks."""
    size = int(offsets[end] - offsets[begin])
    positions, values = np.empty(size, np.uint32), np.empty(size, np.float32)
    place = offsets[begin:end] - offsets[begin]
    for path in chunks:
        chunk = Chunk.load(path)
        some = np.asarray(chunk.offsets[begin : end + 1])
        part = slice(some[0], some[-1])
        _append(
            some - some[0], chunk.tokens[chunk.rows[part]], np.asarray(chunk.values[part]), place, positions, values
        )
    return positions, values


@compiled()
@no_type_check
def _append(offsets: I64, tokens: U32, part: F32, place: I64, positions: U32, values: F32) -> None:
    for f in range(len(offsets) - 1):
        for n in range(offsets[f], offsets[f + 1]):
            positions[place[f]], values[place[f]] = tokens[n], part[n]
            place[f] += 1


@contextmanager
def _array(path: Path, dtype: type, length: int) -> Iterator[BinaryIO]:
    """An npy file of one dimension, to be written from its beginning to its end."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (length,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def mapped(chunks: list[Path]) -> Iterator[Chunk]:
    """Each chunk, mapped only while it is looked at, so that resident memory does not add up."""
    for path in chunks:
        yield Chunk.load(path)


def to_numpy(x: torch.Tensor) -> F32:
    """A float32 array, sharing memory where it can."""
    return x.detach().to("cpu", torch.float32).numpy()
