"""What is kept on one machine without any service: a SQLite file in the writable data root.

Saved steering runs, found by a hash of everything that they depend on, and the directions that people brought. The
file is made at the first write; reading without one finds nothing. Writes are transactions with write-ahead logging,
so that several threads and processes may use the file at once. Cost: milliseconds.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import (
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
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from core.errors import BadData, BadInput, NotAvailable, NotFound
from core.records import FeatureKey, SteerRecord, VectorRecord

NAME = "featurescope.sqlite"
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
        self._lock = threading.Lock()  # guards _engine

    # -- steering runs -------------------------------------------------------------------------------------------------

    def keep_run(self, record: SteerRecord) -> None:
        """Keeps a run under `record.run`; the oldest go where there are more than the bound."""
        row = {
            "id": record.run, "model_id": record.ask.model_id, "made": _now(),
            "record": _RECORD.dump_json(record).decode(),
        }  # fmt: skip
        with self._writing() as db:
            db.execute(insert(_RUNS).values(row).on_conflict_do_nothing())
            newest = select(_RUNS.c.id).order_by(_RUNS.c.made.desc(), _RUNS.c.id).limit(self._runs)
            db.execute(delete(_RUNS).where(_RUNS.c.id.not_in(newest)))

    def run(self, name: str) -> SteerRecord | None:
        """A run that was kept, or None."""
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
        new = insert(_VECTORS).values(row)
        with self._writing() as db:
            same = db.scalar(select(func.count()).select_from(_VECTORS).where(_is(record.key)))
            if not same and (db.scalar(select(func.count()).select_from(_VECTORS)) or 0) >= self._vectors:
                raise BadInput(f"There are {self._vectors:,} directions here already: delete one first.")
            db.execute(new.on_conflict_do_update(set_={"label": new.excluded.label, "strength": new.excluded.strength}))

    def vectors(self, model_id: str | None = None) -> tuple[VectorRecord, ...]:
        """Every direction, the newest first; of one model if it is named."""
        asked = select(_VECTORS).order_by(_VECTORS.c.made.desc(), _VECTORS.c.feature)
        if model_id is not None:
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
        with self._lock:
            if self._engine is None:
                engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": 5})
                event.listen(engine, "connect", _configure)
                _METADATA.create_all(engine)
                self._engine = engine
            return self._engine


def _configure(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # sqlite3's own
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _is(key: FeatureKey) -> ColumnElement[bool]:
    return (
        (_VECTORS.c.model_id == key.model_id)
        & (_VECTORS.c.source_id == key.source_id)
        & (_VECTORS.c.feature == key.index)
    )


def _vector(row: RowMapping) -> VectorRecord:
    return VectorRecord(
        key=FeatureKey(row["model_id"], row["source_id"], row["feature"]), label=row["label"], hook=row["hook"],
        values=tuple(np.frombuffer(row["values"], np.float32).tolist()), strength=row["strength"], made=row["made"],
    )  # fmt: skip


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
