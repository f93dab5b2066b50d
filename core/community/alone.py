"""People's things on one machine: the `Community` protocol over a SQLite file, for the one person of a local workbench.

There is nobody to sign in and no password: whoever reaches the server is that person, which is why it listens on this
machine alone unless told otherwise. Other people's rows may be there too, where an export of a shared workbench was
imported; they are read, and changed by nobody. Cost: a millisecond a request.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Literal

import orjson
from sqlalchemy import ColumnElement, Connection, Select, Table, delete, select, text, update
from sqlalchemy import column as named
from sqlalchemy import func as sql
from sqlalchemy import table as view
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError

from core.community import limits, schema
from core.community.file import File
from core.community.protocol import Row, Tokens, Twice, Visit, Way, Where
from core.community.records import Person
from core.community.schema import ME
from core.errors import BadInput, Conflict, NotFound

_DOCUMENTS = frozenset({"cases", "results", "record", "sources", "answer"})
HOUR = datetime.timedelta(hours=1)
TAKEN = {"profiles": "This name is taken: choose another."}
"""What to say where there is one already, a table."""


class Alone:
    """The community of one; `name` is what the settings call the person."""

    kind: Literal["local"] = "local"
    ways: tuple[Way, ...] = ()

    def __init__(self, file: File, name: str) -> None:
        self._file, self._name = file, name

    def visit(self, tokens: Tokens | None = None) -> Visit:
        """The person's access, whoever asks."""
        return AloneVisit(self._file, self._name)


class AloneVisit:
    """Everything in the file, as its person."""

    def __init__(self, file: File, name: str) -> None:
        self._file, self._name = file, name
        self._me: Person | None = None

    @property
    def me(self) -> Person:
        """The person; there without a file, too."""
        if self._me is None:
            found = self.rows("profiles", {"id": ME})
            row = found[0] if found else {"name": self._name, "about": "", "created_at": ""}
            self._me = Person(ME, row["name"], row["about"], row["created_at"], moderates=True)
        return self._me

    def given(self, link: str) -> AloneVisit:
        """See `Visit`; one person sees everything, with a link or without."""
        return self

    def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """See `Visit`."""
        asked: Select[Any] = select(text("*")).select_from(_source(table)).where(*_wheres(where))
        for name in order:
            found: ColumnElement[Any] = named(name.removeprefix("-"))
            asked = asked.order_by(found.desc() if name.startswith("-") else found.asc())
        with self._file.reading() as db:
            if db is None or not _made(db):
                return []
            rows = db.execute(asked.limit(limit).offset(offset)).mappings()
            return [{name: _read(name, value) for name, value in row.items()} for row in rows]

    def count(self, table: str, where: Where | None = None) -> int:
        """See `Visit`."""
        with self._file.reading() as db:
            if db is None or not _made(db):
                return 0
            return db.scalar(select(sql.count()).select_from(_source(table)).where(*_wheres(where))) or 0

    def add(self, table: str, rows: Sequence[Row], *, twice: Twice = "refuse", key: Sequence[str] = ("id",)) -> int:
        """See `Visit`."""
        target = schema.METADATA.tables[table]
        mine = "owner" in target.c and any(row.get("owner", ME) == ME for row in rows)
        with self._file.writing() as db:
            if mine:
                self._be(db)
            return self._add(db, target, rows, twice, key)

    def change(self, table: str, where: Where, values: Row) -> int:
        """See `Visit`; of what has an owner, only what is one's own."""
        target = schema.METADATA.tables[table]
        if table == "profiles":
            self._me = None
        try:
            with self._file.writing() as db:
                self._be(db)
                wheres = [*_wheres(where), *_own(target, values)]
                if table == "explanations" and "text" in values:
                    _spent(db, target, [*wheres, target.c.text != values["text"]])
                    _slow(db, target)
                return db.execute(update(target).where(*wheres).values(values)).rowcount
        except IntegrityError as error:
            raise _why(table, error) from error

    def remove(self, table: str, where: Where) -> int:
        """See `Visit`."""
        target = schema.METADATA.tables[table]
        with self._file.writing() as db:
            wheres = [*_wheres(where), *_own(target, {})]
            if table in limits.PACES:
                _spent(db, target, [*wheres, target.c.created_at > _hour_ago()])
            return db.execute(delete(target).where(*wheres)).rowcount

    def new_list(self, row: Row, items: Sequence[Row]) -> None:
        """See `Visit`."""
        with self._file.writing() as db:
            self._be(db)
            if self._add(db, schema.LISTS, [row], "keep", ("id",)):
                self._add(db, schema.ITEMS, [item | {"list_id": row["id"]} for item in items], "refuse", ())

    def _add(self, db: Connection, table: Table, rows: Sequence[Row], twice: Twice, key: Sequence[str]) -> int:
        added = 0
        for row in rows:
            if table is schema.PROFILES and row["id"] == ME:
                self._me = None
            own = row | ({"owner": row.get("owner", ME)} if "owner" in table.c else {})
            asked = insert(table).values(own)
            if twice == "keep":
                asked = asked.on_conflict_do_nothing()
            elif twice == "replace":
                asked = asked.on_conflict_do_update(index_elements=list(key), set_=own)
            try:
                added += max(db.execute(asked).rowcount, 0)
            except IntegrityError as error:
                raise _why(table.name, error) from error
        if added and table.name in _MOST:
            _few(db, table)
        if added and table.name in limits.PACES:
            _slow(db, table)
        return added

    def _be(self, db: Connection) -> None:
        """The person's own row, which everything of theirs belongs to, is made with their first."""
        of_me = select(sql.count()).select_from(schema.PROFILES).where(schema.PROFILES.c.id == ME)
        for name in (self._name, *(f"{self._name[:28]}-{n}" for n in range(2, 100))):  # somebody imported may have it
            if db.scalar(of_me):
                return
            db.execute(insert(schema.PROFILES).values(id=ME, name=name).on_conflict_do_nothing())


_MOST = {
    "lists": (limits.LISTS, "lists"), "suites": (limits.SUITES, "test suites"), "saved": (limits.SAVED, "saved views"),
    "api_keys": (limits.KEYS, "API keys"),
}  # fmt: skip
"""How many of a table a person may have."""
_MODERATED = frozenset({"hidden_at", "hidden_why", "closed_at"})
_PARENTS = {"list_items": (schema.LISTS, "list_id"), "suite_runs": (schema.SUITES, "suite_id")}


def _few(db: Connection, table: Table) -> None:
    """Raises where the person has too many, which takes back what was written."""
    most, what = _MOST[table.name]
    asked = select(sql.count()).select_from(table).where(table.c.owner == ME)
    if "revoked_at" in table.c:
        asked = asked.where(table.c.revoked_at.is_(None))
    if (db.scalar(asked) or 0) > most:
        raise BadInput(f"A person has at most {most} {what}.")


def _slow(db: Connection, table: Table) -> None:
    """Raises where the person added too many in the last hour, as `_few` does; also of what is gone since."""
    most, what = limits.PACES[table.name]
    asked = select(sql.count()).select_from(table).where(table.c.owner == ME, table.c.created_at > _hour_ago())
    kept = schema.PACES.c
    gone = select(sql.sum(kept.n)).where(kept.owner == ME, kept.what == table.name, kept.created_at > _hour_ago())
    if (db.scalar(asked) or 0) + (db.scalar(gone) or 0) > most:
        raise BadInput(f"A person has at most {most} {what} an hour: go on a little later.")


def _spent(db: Connection, table: Table, wheres: Sequence[ColumnElement[bool]]) -> None:
    """Keeps how many rows are about to go, or to be written anew: they count towards the person's pace all the same."""
    count = db.scalar(select(sql.count()).select_from(table).where(*wheres)) or 0
    db.execute(delete(schema.PACES).where(schema.PACES.c.created_at < _hour_ago()))
    if count:
        db.execute(insert(schema.PACES).values(owner=ME, what=table.name, n=count))


def _hour_ago() -> str:
    return (datetime.datetime.now(datetime.UTC) - HOUR).isoformat(timespec="microseconds")


def _own(table: Table, values: Row) -> list[ColumnElement[bool]]:
    """Only what is one's own is changed, but by the moderator that the one person is."""
    if values and values.keys() <= _MODERATED:
        return []
    if "owner" in table.c:
        return [table.c.owner == ME]
    if table.name in _PARENTS:
        parent, name = _PARENTS[table.name]
        return [table.c[name].in_(select(parent.c.id).where(parent.c.owner == ME))]
    return [table.c.id == ME] if table is schema.PROFILES else []


def _made(db: Connection) -> bool:
    """Whether the tables are there: a file that may only be read can be of before they were thought of."""
    return db.scalar(text("PRAGMA user_version")) == schema.VERSION


def _source(name: str) -> Any:
    found = schema.METADATA.tables.get(name)
    return view(name) if found is None else found


def _wheres(where: Where | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for name, value in (where or {}).items():
        of: ColumnElement[Any] = named(name)
        if value is None:
            found.append(of.is_(None))
        elif isinstance(value, tuple | list):
            found.append(of.in_(value))
        else:
            found.append(of == value)
    return found


def _read(name: str, value: Any) -> Any:
    """JSON columns come as text, since views have no types; the rest as it is."""
    if name in _DOCUMENTS and isinstance(value, str):
        return orjson.loads(value)
    return bool(value) if name == "hide_explicit" and value is not None else value


def _why(table: str, error: IntegrityError) -> Exception:
    said = str(error.orig)
    if "UNIQUE" in said:
        return Conflict(TAKEN.get(table, "It is there already."))
    if "FOREIGN KEY" in said:
        return NotFound("What it belongs to is no longer here.")
    return BadInput(f"It does not fit: {said}.")
