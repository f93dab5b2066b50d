"""What was computed of texts before, kept in memory and on disk: activations at hooks, and sources' codes.

Content-addressed: an entry's name is a SHA-256 over everything that its numbers depend on (the model's fingerprint, its
dtype, the hook, the token ids, the source's weights), so an entry can be unused, and never out of date. Both keeps are
bounded, and what was used longest ago goes first; on disk that is what was written or read from there. On disk an entry
is written beside and renamed, by a thread of its own, so that nobody waits for it, but for a process that ends, which
waits `LAST` seconds at most; one that cannot be read, or does not hold what its name says, is removed and computed
again. Several processes may share a folder: each looks at all of it when it begins and whenever it has filled it.

Cost: a hash a look-up; some hundred kilobytes a prompt, hook or source.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import queue
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Of the entries; those of another version are removed."""
WAITING = 64 * 2**20
"""Bytes that wait to be written at most; what comes beyond stays in memory alone."""
BESIDES = 1024
"""Bytes of an entry in memory besides its arrays' own."""
LAST = 5.0
"""Seconds that a process waits, when it ends, for what is still to be written."""
STALE = 60.0
"""Seconds after which a file that is no entry is nobody's unfinished one."""

Arrays = Mapping[str, NDArray[Any]]


def name_of(*parts: object) -> str:
    """The name of what depends on `parts`, which must be JSON."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Held:
    """What a cache holds, and how it was used."""

    entries: int
    bytes: int
    disk_bytes: int | None
    """None until this process has looked, which it does before it writes its first entry."""
    hits: int
    misses: int


class Cache:
    """Arrays by name. Safe to share between threads; `folder=None` keeps nothing on disk."""

    def __init__(self, folder: Path | None, *, memory: int, disk: int) -> None:
        self._root = None if folder is None or disk <= 0 else folder
        self._folder = None if self._root is None else self._root / f"v{VERSION}"
        self._most, self._most_disk = memory, disk
        self._entries: OrderedDict[str, Arrays] = OrderedDict()
        self._bytes = self._hits = self._misses = self._unwritten = 0
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()  # guards all of the above
        self._queue: queue.Queue[tuple[str, Arrays]] = queue.Queue()
        self._disk_bytes: int | None = None
        """As far as this process knows; only the writer changes it, and looks before its first entry."""

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
        size = _size(arrays)
        if self._folder is None or size > self._most_disk:
            return
        with self._lock:
            if self._unwritten + size > WAITING:
                return
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, daemon=True, name="activation cache")
                self._writer.start()
                atexit.register(self.flush, LAST)  # who asks for one text leaves it for the next process
            self._unwritten += size
            self._queue.put((name, arrays))

    def held(self) -> Held:
        """What is here now."""
        with self._lock:
            return Held(len(self._entries), self._bytes, self._disk_bytes, self._hits, self._misses)

    def flush(self, seconds: float | None = None) -> bool:
        """Waits until everything that was put is on disk, at most so long; whether it is."""
        with self._queue.all_tasks_done:
            return self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, seconds)

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
        except FileNotFoundError:
            return None
        except Exception:  # a damaged file raises whatever NumPy's and Python's readers stumble over
            with contextlib.suppress(OSError):  # a folder that may only be read
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # as above
            os.utime(path)  # used now
        for array in found.values():
            array.setflags(write=False)
        return found

    def _write_all(self) -> None:
        while True:
            name, arrays = self._queue.get()
            try:
                self._write(name, arrays)
            except Exception:  # a full disk, or what cannot be written: what is kept in memory is enough
                pass
            finally:
                with self._lock:
                    self._unwritten -= _size(arrays)
                del arrays  # or the last one written would stay
                self._queue.task_done()

    def _write(self, name: str, arrays: Arrays) -> None:
        if self._disk_bytes is None:
            self._disk_bytes = self._trim()
        path = self._place(name)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
        try:
            with beside.open("xb") as file:
                np.savez(file, allow_pickle=False, name=np.array(name), **arrays)
            size = beside.stat().st_size
            beside.rename(path)
        finally:
            beside.unlink(missing_ok=True)
        self._disk_bytes += size
        if self._disk_bytes > self._most_disk:
            self._disk_bytes = self._trim()

    def _trim(self) -> int:
        """Bytes on disk, after what is no entry of this version has gone and, of too many, those used longest ago."""
        assert self._root is not None and self._folder is not None
        for other in self._root.glob("v[0-9]*"):
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process was quicker
                stat = path.stat()
                if path == self._place(path.stem):
                    found.append((stat.st_mtime, stat.st_size, path))
                elif time.time() - stat.st_mtime > STALE:
                    path.unlink()
        total = sum(size for _, size, _ in found)
        room = self._most_disk if total <= self._most_disk else self._most_disk * 9 // 10  # not at every entry again
        for _, size, path in sorted(found):
            if total <= room:
                break
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                total -= size
        return total


def _size(arrays: Arrays) -> int:
    return BESIDES + sum(array.nbytes for array in arrays.values())


def ids_of(ids: Sequence[int]) -> str:
    """Token ids as a name's part."""
    return ",".join(map(str, ids))
