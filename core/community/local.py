"""What a server keeps for itself: saved steering runs and directions.

A run is found by a hash of everything that it depends on. Both are in the SQLite file (`core.community.file`), also
where people's things are in Supabase.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, RowMapping, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from core.community import schema
from core.community.file import NAME, File
from core.community.schema import RUNS, VECTORS
from core.errors import BadData, BadInput, NotFound
from core.records import FeatureKey, SteerRecord, VectorRecord

__all__ = ["NAME", "Local"]
_RECORD = TypeAdapter(SteerRecord)


class Local:
    """One file. Safe to share between threads."""

    def __init__(self, data: Path, *, runs: int, vectors: int) -> None:
        self._file = File(data)
        self._runs, self._vectors = runs, vectors

    # -- steering runs -------------------------------------------------------------------------------------------------

    def keep_run(self, record: SteerRecord) -> None:
        """Keeps a run under `record.run`; the oldest go where there are more than the bound."""
        row = {
            "id": record.run, "model_id": record.ask.model_id, "made": schema.now(),
            "record": _RECORD.dump_json(record).decode(),
        }  # fmt: skip
        with self._file.writing() as db:
            db.execute(insert(RUNS).values(row).on_conflict_do_update(set_=row))
            newest = select(RUNS.c.id).order_by(RUNS.c.made.desc(), RUNS.c.id).limit(self._runs)
            db.execute(delete(RUNS).where(RUNS.c.id.not_in(newest)))

    def run(self, name: str) -> SteerRecord | None:
        """A run that was kept, or None.

        Raises:
            BadData: another version kept it, or the file is damaged.
        """
        if not name.isascii():
            return None
        with self._file.reading() as db:
            found = None if db is None else db.scalar(select(RUNS.c.record).where(RUNS.c.id == name))
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
        with self._file.writing() as db:
            if db.execute(update(VECTORS).where(_is(record.key)).values(new)).rowcount:
                return
            if (db.scalar(select(func.count()).select_from(VECTORS)) or 0) >= self._vectors:
                raise BadInput(f"There are {self._vectors:,} directions here already: delete one first.")
            db.execute(insert(VECTORS).values(row))

    def vectors(self, model_id: str | None = None) -> tuple[VectorRecord, ...]:
        """Every direction, the newest first; of one model if it is named."""
        asked = select(VECTORS).order_by(VECTORS.c.made.desc(), VECTORS.c.feature)
        if model_id is not None:
            if not model_id.isascii():
                return ()
            asked = asked.where(VECTORS.c.model_id == model_id)
        with self._file.reading() as db:
            return () if db is None else tuple(_vector(row) for row in db.execute(asked).mappings())

    def vector(self, key: FeatureKey) -> VectorRecord | None:
        """One direction, or None."""
        with self._file.reading() as db:
            row = None if db is None else db.execute(select(VECTORS).where(_is(key))).mappings().first()
        return None if row is None else _vector(row)

    def drop_vector(self, key: FeatureKey) -> None:
        """Deletes a direction; raises `NotFound` if there is none."""
        with self._file.writing() as db:
            if not db.execute(delete(VECTORS).where(_is(key))).rowcount:
                raise NotFound(f"There is no direction {key} here.")


def _is(key: FeatureKey) -> ColumnElement[bool]:
    return (
        (VECTORS.c.model_id == key.model_id)
        & (VECTORS.c.source_id == key.source_id)
        & (VECTORS.c.feature == min(key.index, 2**63 - 1))  # SQLite's largest
    )


def _vector(row: RowMapping) -> VectorRecord:
    return VectorRecord(
        key=FeatureKey(row["model_id"], row["source_id"], row["feature"]), label=row["label"], hook=row["hook"],
        values=tuple(np.frombuffer(row["values"], np.float32).tolist()), strength=row["strength"], made=row["made"],
    )  # fmt: skip
