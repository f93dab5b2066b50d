"""The SQLite file in the writable data root: what is kept on one machine without any service.

It is made at the first write; reading without one finds nothing. Writes are transactions with write-ahead logging, so
that several threads and processes may use the file at once. Cost: milliseconds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError

from core.community import schema
from core.errors import BadData, NotAvailable

NAME = "featurescope.sqlite"
PATIENCE = 5.0
"""Seconds to wait for others who write."""


class File:
    """One file. Safe to share between threads."""

    def __init__(self, data: Path) -> None:
        self._path = data / NAME
        self._engine: Engine | None = None
        self._mark: tuple[int, int, bool] | None = None
        """Of the file that the engine is of."""
        self._lock = threading.Lock()  # guards both

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """A connection; None where nothing was ever kept."""
        if not self._path.is_file():
            yield None
            return
        try:
            with self._open().connect() as db:
                yield db
        except DatabaseError as error:
            raise BadData(f"{NAME} cannot be read: {error.orig}") from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._open().begin() as db:
                yield db
        except IntegrityError:  # a constraint said no: whoever writes says it in words
            raise
        except (DatabaseError, OSError) as error:
            reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
            raise NotAvailable(f"{NAME} cannot be written ({reason}), so nothing was kept.") from error

    def _open(self) -> Engine:
        """The engine; made anew where the file is another than it was."""
        with self._lock:
            if self._engine is None or self._mark != self._looks():
                if self._engine is not None:
                    self._engine.dispose()
                    self._engine = None
                engine = create_engine(self._url(), connect_args={"timeout": PATIENCE})
                if self._writable():
                    event.listen(engine, "connect", _configure)
                    schema.make(engine)
                self._engine, self._mark = engine, self._looks()
            return self._engine

    def _looks(self) -> tuple[int, int, bool] | None:
        """Which file it is: it may be deleted, or put back, while it is open."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino, self._writable()

    def _writable(self) -> bool:
        places = (self._path.parent, self._path) if self._path.exists() else (self._path.parent,)
        return all(os.access(place, os.W_OK) for place in places)

    def _url(self) -> URL:
        """Where nothing may be written, SQLite is told that nobody else writes either, or it would want to."""
        if self._writable() or self._path.with_name(f"{NAME}-wal").exists():
            return URL.create("sqlite", database=str(self._path))
        return URL.create("sqlite", database=f"file:{quote(str(self._path))}", query={"immutable": "1", "uri": "true"})


def _configure(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # sqlite3's own
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    until = time.monotonic() + PATIENCE
    while True:  # SQLite does not wait by itself where several processes make the file at once
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)
    cursor.close()
