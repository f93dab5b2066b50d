"""The files of a built source, and reading them without copying.

    source.json            the manifest (core.catalog.manifest)
    features.arrow         one row a feature: statistics, histograms, logit tables, related features
    examples.arrow         one row a feature: the prompts shown, with the feature's values on them
    dfa.arrow              (attention heads) one row a feature: where the values of its examples came from
    prompts.arrow          one row a prompt: its tokens, BOS included, and the document it was cut from
    sae/                   (optional) the weights, if they were copied in
    store/offsets.npy      [width + 1] int64: where each feature's entries begin
    store/positions.npy    [entries] uint32: token, counted from the first prompt's first, ascending within a feature
    store/values.npy       [entries] float32

Arrow files are memory-mapped: reading one feature touches a few pages, whatever the width. A compact build (the demo's)
compresses larger blocks of rows and keeps the values of example strips, and numbers between -1 and 1, in float16, which
is a third of the size; reading a feature then unpacks one block. The store holds every non-zero of the counted tokens;
a source without `store/` still has its dashboards.
"""

from __future__ import annotations

import threading
import tokenize
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.errors import BadData, NotAvailable, NotFound
from core.store.grouped import Grouped

FEATURES, EXAMPLES, PROMPTS = "features.arrow", "examples.arrow", "prompts.arrow"
DFA = "dfa.arrow"
STORE = "store"
BATCH = 1024
"""Features that a build works on at once."""
ROWS, COMPACT_ROWS = 64, 256
"""Rows in one record batch of an Arrow file; larger ones compress better."""
LEVEL = 19
"""Of zstd: a compact build is made once and copied often."""
RANKS: NDArray[np.int64] = np.unique(np.round(2.0 ** (np.arange(63) / 2)).astype(np.int64))
"""Ranks, counted from 1, at which `features.arrow` keeps the strongest values of each feature."""
DAMAGED = (OSError, EOFError, ValueError, LookupError, pa.ArrowException)
"""What reading a damaged file raises, one way or another."""


def write_batches(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, compact: bool, block: int = COMPACT_ROWS
) -> None:
    """Writes record batches as one Arrow file in blocks of rows, if compact of `block`; memory is that of one batch."""
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=LEVEL) if compact else None)
    rows = block if compact else ROWS
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]), max_chunksize=rows)


def regular(path: Path) -> Path:
    """`path`, if it is a file, a folder or nothing; raises `OSError` for a pipe or device, which would never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError("it is no regular file")
    return path


@dataclass(frozen=True, slots=True)
class Entries:
    """The non-zeros of one feature: tokens counted from the build's first, and values."""

    positions: NDArray[np.uint32]
    values: NDArray[np.float32]


class SourceData:
    """A built source's files, open. Safe to share between threads: everything is read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.features = Rows(folder / FEATURES)
        self.examples = Rows(folder / EXAMPLES)
        self.prompts = Rows(folder / PROMPTS)
        self.dfa = Rows(folder / DFA) if (folder / DFA).is_file() else None
        """Where the examples' values came from, for a source on attention heads."""
        self._starts: NDArray[np.int64] | None = None
        self._store: Grouped | None = None

    def prompt(self, number: int) -> dict[str, Any]:
        """`{tokens, document, part}` of one prompt."""
        return self.prompts.row(number)

    @property
    def starts(self) -> NDArray[np.int64]:
        """[prompts + 1]: where each prompt's tokens begin among all tokens."""
        if self._starts is None:
            lengths = pc.list_value_length(self.prompts.column("tokens")).to_numpy()
            self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return self._starts

    def store_values(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(offsets, values) of the store; raises `NotAvailable` for a source without one."""
        store = self.store()
        return store.offsets, store.values

    def store(self) -> Grouped:
        """The store, memory-mapped; raises `NotAvailable` for a source without one."""
        if self._store is None:
            self._store = _open_store(self.folder)
        offsets = self._store.offsets
        if not int(offsets[0]) == 0 or not (np.diff(offsets) >= 0).all():
            raise BadData(f"The store of {_name(self.folder)} is damaged. Build it again.")
        return self._store

    def fitting_store(self, width: int) -> Grouped:
        """The store of so many features, which a loop may trust: one look at every position.

        Raises:
            NotAvailable: the source was kept without one.
            BadData: it is damaged, or does not fit the prompts.
        """
        store = self.store()
        if not store.fits(width, int(self.starts[-1])):
            raise BadData(f"The store of {_name(self.folder)} does not fit its prompts. Build it again.")
        return store

    def entries(self, feature: int) -> Entries:
        """Every non-zero of one feature; raises `NotAvailable` for a source without a store."""
        if self._store is None:
            self._store = _open_store(self.folder)
        store = self._store
        if not 0 <= feature < store.width:
            raise NotFound(f"The store of {_name(self.folder)} has features 0 to {store.width - 1}, and no {feature}.")
        if not 0 <= int(store.offsets[feature]) <= int(store.offsets[feature + 1]) <= len(store.values):
            raise BadData(f"The store of {_name(self.folder)} is damaged. Build it again.")
        return Entries(*store.of(feature))


def _open_store(folder: Path) -> Grouped:
    """Memory-mapped."""
    store = folder / STORE
    if not store.is_dir():
        raise NotAvailable(f"{_name(folder)} was kept without its activation store.")
    try:
        offsets, positions, values = (
            np.asarray(np.load(regular(store / f"{n}.npy"), mmap_mode="r")) for n in ("offsets", "positions", "values")
        )
        if not int(offsets[-1]) == len(positions) == len(values):
            raise ValueError("its files are not of one length")
    except (*DAMAGED, OverflowError, SyntaxError, TypeError, tokenize.TokenError) as error:  # the last from npy headers
        raise BadData(f"The store of {_name(folder)} cannot be read: {error}. Build it again.") from error
    return Grouped(offsets, positions, values)


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


class Rows:
    """An Arrow file, memory-mapped, of which single rows and whole columns are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._source = pa.memory_map(str(regular(path)))  # the file as it is now, whatever takes its name later
            self._file = pa.ipc.open_file(self._source)
            self._rows = max(1, self._file.get_batch(0).num_rows) if self._file.num_record_batches else 1
        except DAMAGED as error:
            raise self._damaged(error) from error
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._recent: OrderedDict[int, pa.RecordBatch] = OrderedDict()
        self._lock = threading.Lock()  # guards _recent and the file's reader

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return list(self._file.schema.names)

    def row(self, number: int) -> dict[str, Any]:
        """One row as Python values; lists of numbers as NumPy arrays."""
        try:
            batch = self._batch(number // self._rows)
            local = number % self._rows
            return {name: _value(batch.column(i), local) for i, name in enumerate(batch.schema.names)}
        except DAMAGED as error:
            raise self._damaged(error) from error

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column; kept once read, since a compact file has to unpack it."""
        if name not in self._columns:
            try:
                options = pa.ipc.IpcReadOptions(included_fields=[self._file.schema.names.index(name)])
                column = pa.ipc.open_file(self._source, options=options).read_all()[name]
                column.validate(full=True)
            except DAMAGED as error:
                raise self._damaged(error) from error
            self._columns[name] = column
        return self._columns[name]

    def _batch(self, which: int) -> pa.RecordBatch:
        """A block, from the last few used; checked once, since a damaged one could lead outside its memory."""
        with self._lock:
            if which not in self._recent:
                batch = self._file.get_batch(which)
                batch.validate(full=True)
                self._recent[which] = batch
                if len(self._recent) > 64:
                    self._recent.popitem(last=False)
            return self._recent[which]

    def _damaged(self, error: Exception) -> BadData:
        return BadData(f"{self._path.name} of {_name(self._path.parent)} cannot be read: {error}. Build it again.")


def _value(column: pa.Array, row: int) -> Any:
    scalar = column[row]
    values = getattr(scalar, "values", None)
    if isinstance(values, pa.Array) and not pa.types.is_nested(values.type) and not pa.types.is_string(values.type):
        return values.to_numpy(zero_copy_only=False)
    return scalar.as_py()


class OpenSources:
    """The built sources that are open, newest use last; a source that was built again is opened again."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, tuple[int, SourceData]] = OrderedDict()
        self._lock = threading.Lock()  # guards _open

    def get(self, folder: Path) -> SourceData:
        """The files of the source in `folder`."""
        try:
            mark = (folder / "source.json").stat().st_mtime_ns
        except OSError as error:
            raise NotFound(f"{_name(folder)} is not here any more.") from error
        with self._lock:
            held = self._open.get(folder)
            if held is None or held[0] != mark:
                held = (mark, SourceData(folder))
            self._open[folder] = held
            self._open.move_to_end(folder)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
            return held[1]
