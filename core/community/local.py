"""What is kept on one machine without any service: a SQLite file in the writable data root.

Saved steering runs, found by a hash of everything that they depend on, and the directions that people brought. The
file is made at the first write; reading without one finds nothing. Writes are transactions with write-ahead logging,
so that several threads and processes may use the file at once. Cost: milliseconds.
"""

from __future__ import annotations

import datetime
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateIndex, CreateTable

from core.errors import BadData, BadInput, NotAvailable, NotFound
from core.records import FeatureKey, SteerRecord, VectorRecord

NAME = "featurescope.sqlite"
PATIENCE = 5.0
"""Seconds to wait for others who write."""
_METADATA = MetaData()
_RUNS = Table(
    "steer_run", _METADATA,
    Column("id", String, primary_key=True), Column("made", String, nullable=False, index=True),
    Column("model_id", String, nullable=False), Column("record", String, nullable=False),
)  # fmt: skip
_VECTORS = Table(
    "vector", _METADATA,
    Column("model_id", String, primary_key=True), Column("source_id", String, primary_key=True),
    Column("feature", Integer, primary_key=True), Column("label", String, nullable=False),
    Column("hook", String, nullable=False), Column("values", LargeBinary, nullable=False),
    Column("strength", Float, nullable=False), Column("made", String, nullable=False),
)  # fmt: skip
_RECORD = TypeAdapter(SteerRecord)


class Local:
    """One file. Safe to share between threads."""

    def __init__(self, data: Path, *, runs: int, vectors: int) -> None:
        self._path = data / NAME
        self._runs, self._vectors = runs, vectors
        self._engine: Engine | None = None
        self._mark: tuple[int, int, bool] | None = None
        """Of the file that the engine is of."""
        self._lock = threading.Lock()  # guards both

    # -- steering runs -------------------------------------------------------------------------------------------------

    def keep_run(self, record: SteerRecord) -> None:
        """Keeps a run under `record.run`; the oldest go where there are more than the bound."""
        row = {
            "id": record.run, "model_id": record.ask.model_id, "made": _now(),
            "record": _RECORD.dump_json(record).decode(),
        }  # fmt: skip
        with self._writing() as db:
            db.execute(insert(_RUNS).values(row).on_conflict_do_update(set_=row))
            newest = select(_RUNS.c.id).order_by(_RUNS.c.made.desc(), _RUNS.c.id).limit(self._runs)
            db.execute(delete(_RUNS).where(_RUNS.c.id.not_in(newest)))

    def run(self, name: str) -> SteerRecord | None:
        """A run that was kept, or None.

        Raises:
            BadData: another version kept it, or the file is damaged.
        """
        if not name.isascii():
            return None
        with self._reading() as db:
            found = None if db is None else db.scalar(select(_RUNS.c.record).where(_RUNS.c.id == name))
        if found is None:
            return None
        try:
            return _RECORD.validate_json(found)
        except ValidationError as error:
            raise BadData(f"The saved run {name} cannot be read: it was kept by another version.") from error

    # -- directions ----------------------------------------------------------------------------------------------------

    def keep_vector(self, record: VectorRecord) -> None:
        """Keeps a direction; one of the same key is replaced.

        Raises:
            BadInput: there are as many as may be.
        """
        row = {
            "model_id": record.key.model_id, "source_id": record.key.source_id, "feature": record.key.index,
            "label": record.label, "hook": record.hook, "values": np.array(record.values, np.float32).tobytes(),
            "strength": record.strength, "made": record.made,
        }  # fmt: skip
        new = {name: row[name] for name in ("label", "strength", "made")}
        with self._writing() as db:
            if db.execute(update(_VECTORS).where(_is(record.key)).values(new)).rowcount:
                return
            if (db.scalar(select(func.count()).select_from(_VECTORS)) or 0) >= self._vectors:
                raise BadInput(f"There are {self._vectors:,} directions here already: delete one first.")
            db.execute(insert(_VECTORS).values(row))

    def vectors(self, model_id: str | None = None) -> tuple[VectorRecord, ...]:
        """Every direction, the newest first; of one model if it is named."""
        asked = select(_VECTORS).order_by(_VECTORS.c.made.desc(), _VECTORS.c.feature)
        if model_id is not None:
            if not model_id.isascii():
                return ()
            asked = asked.where(_VECTORS.c.model_id == model_id)
        with self._reading() as db:
            return () if db is None else tuple(_vector(row) for row in db.execute(asked).mappings())

    def vector(self, key: FeatureKey) -> VectorRecord | None:
        """One direction, or None."""
        with self._reading() as db:
            row = None if db is None else db.execute(select(_VECTORS).where(_is(key))).mappings().first()
        return None if row is None else _vector(row)

    def drop_vector(self, key: FeatureKey) -> None:
        """Deletes a direction; raises `NotFound` if there is none."""
        with self._writing() as db:
            if not db.execute(delete(_VECTORS).where(_is(key))).rowcount:
                raise NotFound(f"There is no direction {key} here.")

    # -- the file ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
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
    def _writing(self) -> Iterator[Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._open().begin() as db:
                yield db
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
                    _make(engine)
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


def _make(engine: Engine) -> None:
    """The tables, where they are not there; another process may be about it too."""
    with engine.begin() as db:
        for table in _METADATA.sorted_tables:
            db.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                db.execute(CreateIndex(index, if_not_exists=True))


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


def _is(key: FeatureKey) -> ColumnElement[bool]:
    return (
        (_VECTORS.c.model_id == key.model_id)
        & (_VECTORS.c.source_id == key.source_id)
        & (_VECTORS.c.feature == min(key.index, 2**63 - 1))  # SQLite's largest
    )


def _vector(row: RowMapping) -> VectorRecord:
    return VectorRecord(
        key=FeatureKey(row["model_id"], row["source_id"], row["feature"]), label=row["label"], hook=row["hook"],
        values=tuple(np.frombuffer(row["values"], np.float32).tolist()), strength=row["strength"], made=row["made"],
    )  # fmt: skip


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
