"""What an unfinished build of one source has on disk, so that it goes on where it was killed.

    <root>/<model>/.<source>.lock          held while a build is at work
    <root>/<model>/.<source>.work-<hash>/
        chunk-00000/      a finished chunk: its entries (core.build.nonzeros.Chunk)
        chunk-00001/      the last one also holds state.npz: all sums up to and with it

The hash is that of everything the source depends on: another configuration begins anew, and the folder of an earlier
one is removed. A chunk is written beside and renamed, so what has a name is whole. The folder goes when the source
stands.

Cost: the sums are written once a chunk, 8 bytes times width times d_in for an SAE.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from core.build.moments import State
from core.build.nonzeros import Chunk
from core.errors import NotAvailable

FORMAT = 1
"""Of what is in a work folder; another one's is not gone on from."""
STATE = "state.npz"


class Work:
    """The chunks of one source that are done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = 0
        """Finished chunks, counted from the first."""

    @property
    def chunks(self) -> list[Path]:
        """The finished chunks in order."""
        return [self._place(n) for n in range(self.done)]

    def resume(self, width: int, tokens: int, empty: State) -> State | None:
        """The sums of the chunks that are finished; None, and an empty folder, if there are none or one is damaged.

        Everything is looked at that a loop over it would trust: the shapes of the sums must be those of `empty`, and a
        chunk must be one of `width` features and of tokens below `tokens`.
        """
        for path in self.folder.glob("*.writing"):
            _remove(path)
        while self._place(self.done).is_dir():
            self.done += 1
        try:
            if self.done and all(Chunk.load(path).fits(width, tokens) for path in self.chunks):
                with np.load(self.chunks[-1] / STATE, allow_pickle=False) as held:
                    state = dict(held)
                if _alike(state, empty):
                    return state
        except Exception:  # a damaged file raises whatever NumPy's and Python's readers stumble over
            pass
        for path in self.chunks:
            _remove(path)
        self.done = 0
        return None

    def finish(self, chunk: Chunk, state: State) -> None:
        """Writes the next chunk with the sums up to it; only then the sums before it go.

        Raises:
            NotAvailable: it cannot be written; what was finished before stays.
        """
        target = self._place(self.done)
        beside = target.with_suffix(".writing")
        try:
            beside.mkdir()
            chunk.write(beside)
            np.savez(beside / STATE, allow_pickle=False, **state)
            beside.rename(target)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise NotAvailable(
                f"The build stopped: {self.folder} cannot be written ({error.strerror or error}). Make room and run "
                "the same command again: it goes on from here."
            ) from error
        if self.done:
            (self._place(self.done - 1) / STATE).unlink(missing_ok=True)
        self.done += 1

    def remove(self) -> None:
        """The source stands: nothing of this is needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, number: int) -> Path:
        return self.folder / f"chunk-{number:05d}"


def _alike(state: State, empty: State) -> bool:
    """Whether sums have the shapes of `empty`, and numbers that can be gone on with."""
    if not all(n in state and (state[n].shape, state[n].dtype) == (a.shape, a.dtype) for n, a in empty.items()):
        return False
    size = empty["x" if "x" in empty else "f"].shape
    rows = (state[n] for n in ("shift", "lower", "upper") if n in state)  # not there before the first token
    sound = "shift" not in state or all(np.isfinite(a).all() for a in state.values())
    return (
        sound
        and all(row.shape == size and row.dtype == np.dtype(np.float32) for row in rows)
        and bool((state.get("step", np.ones(1)) > 0).all())
    )


def _remove(path: Path) -> None:
    """Removes a folder or a file; of a link the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def opened(source: Path, stamp: dict[str, Any]) -> Iterator[Work]:
    """The work folder of the source to be built at `source` from `stamp`, locked.

    Raises:
        NotAvailable: another build of this source is at work, or the folder cannot be written.
    """
    name = hashlib.sha256(json.dumps([FORMAT, stamp], sort_keys=True).encode()).hexdigest()[:16]
    folder = source.with_name(f".{source.name}.work-{name}")
    source.parent.mkdir(parents=True, exist_ok=True)
    with (source.parent / f".{source.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotAvailable(f"{source.parent.name}/{source.name} is being built by another process.") from None
        for other in source.parent.glob(f".{source.name}.work-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        if folder.is_symlink():  # it would have the build write, and remove, elsewhere
            folder.unlink()
        folder.mkdir(exist_ok=True)
        yield Work(folder)
