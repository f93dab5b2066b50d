"""What was computed of texts before, kept in memory and on disk: activations at hooks, and sources' codes.

Content-addressed: an entry's name is a SHA-256 over everything that its numbers depend on (the model's fingerprint, its
dtype, the hook, the token ids, the source's weights), so an entry can be unused, and never out of date. Both keeps are
bounded, and what was used longest ago goes first. On disk an entry is written beside and renamed, by a thread of its
own, so that nobody waits for it; one that cannot be read, or does not hold what its name says, is removed and computed
again.

Cost: a hash a look-up; some hundred kilobytes a prompt, hook or source.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Of the entries; those of another version are removed."""
WAITING = 256
"""Entries that wait to be written at most; what comes beyond stays in memory alone."""

Arrays = Mapping[str, NDArray[Any]]


def name_of(*parts: object) -> str:
    """The name of what depends on `parts`, which must be JSON."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Held:
    """What a cache holds, and how it was used."""

    entries: int
    bytes: int
    disk_bytes: int
    hits: int
    misses: int


class Cache:
    """Arrays by name. Safe to share between threads; `folder=None` keeps nothing on disk."""

    def __init__(self, folder: Path | None, *, memory: int, disk: int) -> None:
        self._root = None if folder is None or disk <= 0 else folder
        self._folder = None if self._root is None else self._root / f"v{VERSION}"
        self._most, self._most_disk = memory, disk
        self._entries: OrderedDict[str, Arrays] = OrderedDict()
        self._bytes = self._hits = self._misses = 0
        self._lock = threading.Lock()  # guards all of the above
        self._queue: queue.Queue[tuple[str, Arrays]] = queue.Queue(WAITING)
        self._writer: threading.Thread | None = None
        self._on_disk: OrderedDict[str, int] | None = None
        """Name and size, longest unused first; read by the first who writes, and only the writer changes it."""

    def get(self, name: str) -> Arrays | None:
        """What is kept under `name`."""
        with self._lock:
            found = self._entries.get(name)
            if found is not None:
                self._entries.move_to_end(name)
                self._hits += 1
                return found
        found = self._read(name)
        with self._lock:
            self._hits += found is not None
            self._misses += found is None
        if found is not None:
            self._keep(name, found)
        return found

    def put(self, name: str, arrays: Arrays) -> None:
        """Keeps arrays under `name`; nobody may write into them any more."""
        for array in arrays.values():
            array.setflags(write=False)
        self._keep(name, arrays)
        if self._folder is None:
            return
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, daemon=True, name="activation cache")
                self._writer.start()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((name, arrays))

    def held(self) -> Held:
        """What is here now."""
        with self._lock:
            disk = sum((self._on_disk or {}).values())
            return Held(len(self._entries), self._bytes, disk, self._hits, self._misses)

    def flush(self) -> None:
        """Waits until everything that was put is on disk."""
        self._queue.join()

    # -- memory ------------------------------------------------------------------------------------------------------

    def _keep(self, name: str, arrays: Arrays) -> None:
        size = _size(arrays)
        if size > self._most:
            return
        with self._lock:
            if name in self._entries:
                return
            self._entries[name] = arrays
            self._bytes += size
            while self._bytes > self._most:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= _size(gone)

    # -- disk --------------------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / name[:2] / f"{name}.npz"

    def _read(self, name: str) -> Arrays | None:
        if self._folder is None:
            return None
        path = self._place(name)
        try:
            with np.load(path, allow_pickle=False) as file:
                found = dict(file)
            if str(found.pop("name")) != name:
                raise ValueError("it was written under another name")
            os.utime(path)  # used now
        except FileNotFoundError:
            return None
        except Exception:  # a damaged file raises whatever NumPy's and Python's readers stumble over
            path.unlink(missing_ok=True)
            return None
        for array in found.values():
            array.setflags(write=False)
        return found

    def _write_all(self) -> None:
        while True:
            name, arrays = self._queue.get()
            try:
                self._write(name, arrays)
            except OSError:  # a full disk: what is kept in memory is enough
                pass
            finally:
                self._queue.task_done()

    def _write(self, name: str, arrays: Arrays) -> None:
        path = self._place(name)
        kept = self._listing()
        if name in kept:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp.npz")
        try:
            np.savez(beside, allow_pickle=False, name=np.array(name), **arrays)
            size = beside.stat().st_size
            beside.rename(path)
        finally:
            beside.unlink(missing_ok=True)
        kept[name] = size
        total = sum(kept.values())
        while total > self._most_disk and kept:
            old, size = kept.popitem(last=False)
            self._place(old).unlink(missing_ok=True)
            total -= size

    def _listing(self) -> OrderedDict[str, int]:
        """What is on disk; other versions' entries and unfinished ones go."""
        if self._on_disk is not None:
            return self._on_disk
        assert self._root is not None and self._folder is not None
        found: list[tuple[float, str, int]] = []
        for path in self._root.glob("v*/*/*.npz"):
            with contextlib.suppress(OSError):
                if path.parent.parent != self._folder or len(path.stem) != 64:
                    path.unlink()
                    continue
                stat = path.stat()
                found.append((stat.st_mtime, path.stem, stat.st_size))
        self._on_disk = OrderedDict((name, size) for _, name, size in sorted(found))
        return self._on_disk


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def ids_of(ids: Sequence[int]) -> str:
    """Token ids as a name's part."""
    return ",".join(map(str, ids))
