"""Where graphs are kept: `<writable root>/<model>/graphs/<slug>.graph.json`, each the file that others read.

A name is taken once: what is kept under it is replaced only by whoever says so. A file is written beside and renamed;
one that cannot be read counts as absent from the list, and says why when it is asked for. Cost: a list reads every file
once, and again when it changes. Torch-free.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from dataclasses import replace
from pathlib import Path

import orjson

from core.errors import BadData, BadInput, Conflict, NotAvailable, NotFound, WorkbenchError
from core.interchange import graphs as shape
from core.records import Records
from core.techniques.graphs.records import GraphEntry, GraphRecord

SUFFIX = ".graph.json"
MOST = 500
"""Graphs of one model."""
ROOM = 4 << 30
"""Bytes of all graphs, of whatever model: a file's own need not be here."""
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


class Kept:
    """The graphs of one data root. Safe to share between threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()  # guards _seen
        self._seen: dict[Path, tuple[tuple[int, int], GraphEntry | None]] = {}

    def entries(self, model_id: str | None = None) -> Records[GraphEntry]:
        """What is kept, of one model or of all, the newest first."""
        pattern = f"{model_id}/graphs/*{SUFFIX}" if model_id and _MODEL.fullmatch(model_id) else f"*/graphs/*{SUFFIX}"
        paths = [] if model_id and not _MODEL.fullmatch(model_id) else self._root.glob(pattern)
        found = [(path, self._entry(path)) for path in paths if not path.name.startswith(".")]
        here = [entry for _, entry in found if entry is not None]
        return Records(sorted(here, key=lambda one: (one.made, one.slug), reverse=True))

    def load(self, model_id: str, slug: str) -> GraphRecord:
        """One graph.

        Raises:
            NotFound: there is none of that name.
            BadData: its file is damaged.
        """
        path = self._path(model_id, slug)
        try:
            body = path.read_bytes()
        except OSError:
            raise NotFound(f"There is no graph “{slug[:100]}” of {model_id[:96]} here.") from None
        try:
            return replace(shape.read(body), model_id=model_id, slug=slug)
        except BadInput as error:
            raise BadData(f"The graph “{slug}” is damaged: {error}") from error

    def save(self, record: GraphRecord, *, replacing: bool = False) -> GraphRecord:
        """Keeps one under its model and slug.

        Raises:
            BadInput: a name is none that can be kept.
            Conflict: there is another of that name.
            NotAvailable: there are too many, or the folder cannot be written.
        """
        path = self._path(record.model_id, record.slug)
        body = orjson.dumps(shape.write(record), option=orjson.OPT_APPEND_NEWLINE)
        if len(body) > shape.LARGEST:
            raise BadInput(f"The graph has {len(body) >> 20} MB: at most {shape.LARGEST >> 20} MB are kept. Prune it.")
        if not path.exists() and len(list(path.parent.glob(f"*{SUFFIX}"))) >= MOST:
            raise NotAvailable(f"{MOST} graphs of {record.model_id} are kept here, which is all there is room for.")
        if self._size() + len(body) > ROOM:
            raise NotAvailable(f"The graphs that are kept here fill the {ROOM >> 20:,} MB that they may take.")
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(body)
            try:
                if replacing:
                    os.replace(beside, path)
                else:
                    os.link(beside, path)
            finally:
                beside.unlink(missing_ok=True)
        except FileExistsError:
            raise Conflict(
                f"{record.model_id} has a graph “{record.slug}” already: choose another name for this one."
            ) from None
        except OSError as error:
            raise NotAvailable(f"{path.parent} cannot be written: {error.strerror or error}.") from error
        return record

    def drop(self, model_id: str, slug: str) -> None:
        """Forgets one; raises `NotFound`."""
        try:
            self._path(model_id, slug).unlink()
        except OSError:
            raise NotFound(f"There is no graph “{slug[:100]}” of {model_id[:96]} here.") from None

    def _path(self, model_id: str, slug: str) -> Path:
        if not _MODEL.fullmatch(model_id):
            raise BadInput(f"“{model_id[:96]}” is not a model id: letters, digits, “.”, “_” and “-” only.")
        if not shape.SLUG.fullmatch(slug):
            raise BadInput(f"“{slug[:100]}” is no name for a graph: 1 to 100 letters, digits, “-” and “_”.")
        return self._root / model_id / "graphs" / f"{slug}{SUFFIX}"

    def _size(self) -> int:
        """Bytes of all that is kept."""
        found = 0
        for path in self._root.glob(f"*/graphs/*{SUFFIX}"):
            with contextlib.suppress(OSError):  # somebody was quicker
                found += path.stat().st_size
        return found

    def _entry(self, path: Path) -> GraphEntry | None:
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            with self._lock:
                held = self._seen.get(path)
            if held is None or held[0] != stamp:
                held = (stamp, self._read(path))
                with self._lock:
                    self._seen[path] = held
            return held[1]
        except OSError:
            return None

    def _read(self, path: Path) -> GraphEntry | None:
        try:
            one = shape.read(path.read_bytes())
        except WorkbenchError:
            return None
        return GraphEntry(
            model_id=path.parent.parent.name, slug=path.name.removesuffix(SUFFIX), prompt=one.prompt,
            nodes=len(one.nodes), links=len(one.links), made=one.made,
        )  # fmt: skip
