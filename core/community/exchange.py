"""People's things as JSON lines: out of one store and into another, between SQLite and Supabase both ways.

A file begins with a line that says what it is and ends with one that says how many rows there were; between them is a
row a line, `{"table": ..., "row": {...}}`, in an order in which each stands after what it belongs to. A file is read
whole and checked against every bound before anything is written, since it may be anybody's. Rows keep their ids, so
that importing twice is importing once. API keys stay behind: a key is a secret of the server that made it, and is made
anew. Cost: the export in memory, and some requests per thousand rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from core.community import shapes
from core.community.protocol import Row, Visit
from core.community.rows import threaded
from core.community.schema import ME, METADATA
from core.errors import BadInput, Conflict, NotFound

FORMAT = 1
AT_ONCE = 500
"""Rows of one request."""
ASKED = 100
"""Ids of one question, which stand in an address."""
LONGEST = 4_000_000
"""Bytes of a line."""
ORDER = (
    "profiles", "moderators", "preferences", "lists", "list_items", "stars", "comments", "explanations",
    "explanation_votes", "explanation_marks", "reports", "moderation", "suites", "suite_runs", "saved", "campaigns",
    "plays", "usage",
)  # fmt: skip
_SERVERS = frozenset({"moderators", "moderation"})
"""What belongs to a server and to nobody."""
_PEOPLE = ("owner", "person", "moderator")
_REFERENCES = {
    "list_id": "lists", "comment_id": "comments", "parent": "comments", "suite_id": "suites",
    "explanation_id": "explanations", "campaign_id": "campaigns",
}  # fmt: skip
_TRAIL = frozenset({"moderation"})
"""Where such a column only says what there was."""
_ONCE = {
    "stars": ("owner", "model_id", "source_id", "feature", "list_id"),
    "explanation_votes": ("owner", "model_id", "source_id", "feature", "explanation"),
    "explanation_marks": ("owner", "model_id", "source_id", "feature", "mark"),
    "plays": ("owner", "model_id", "source_id", "feature", "kind", "seed"),
    "reports": ("owner", "comment_id", "list_id", "explanation_id"),
}  # fmt: skip
"""By what two rows are the same though their ids are not."""


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was read and found whole."""

    person: str | None
    """Whose it is; None where it is a whole server's."""
    rows: Mapping[str, Sequence[Row]]


@dataclass(slots=True)
class Imported:
    """What became of a file's rows."""

    new: dict[str, int] = field(default_factory=dict)
    there: int = 0
    """That were there before."""
    left_out: int = 0
    """On a list or comment that is neither in the file nor here."""


# -- out ---------------------------------------------------------------------------------------------------------------


def export(visit: Visit, *, person: str | None = None, subject: str | None = None) -> Iterator[bytes]:
    """The lines of a file: of one person by their id, or of all that the visit sees.

    `subject` is the person whose file it is; where `person` is given it is they.
    """
    subject = person or subject
    yield _line({"featurescope": "people", "format": FORMAT, "person": subject})
    count = 0
    lists = _ids(visit, "lists", person)
    suites = _ids(visit, "suites", person)
    for table in ORDER:
        for row in _sorted(table, _rows(visit, table, person, lists, suites)):
            count += 1
            yield _line({"table": table, "row": row})
    yield _line({"end": True, "rows": count})


def _ids(visit: Visit, table: str, person: str | None) -> list[str]:
    return [] if person is None else [row["id"] for row in visit.rows(table, {"owner": person}, order=("id",))]


def _rows(visit: Visit, table: str, person: str | None, lists: list[str], suites: list[str]) -> list[Row]:
    key = tuple(column.name for column in METADATA.tables[table].primary_key)
    if person is None:
        return visit.rows(table, order=key)
    if table in _SERVERS:
        return []
    if table in {"list_items", "suite_runs"}:
        name, of = ("list_id", lists) if table == "list_items" else ("suite_id", suites)
        return [row for some in _some(of, ASKED) for row in visit.rows(table, {name: some}, order=key)]
    return visit.rows(table, {"id" if table == "profiles" else "owner": person}, order=key)


def _sorted(table: str, rows: list[Row]) -> list[Row]:
    """In one order and one way of writing, whichever store they are of; an answer stands after its comment."""
    found = {tuple(row[name] for name in _key(table)): shapes.written(table, row) for row in rows}
    ordered = [found[key] for key in sorted(found)]
    return threaded(ordered) if table == "comments" else ordered


def _key(table: str) -> tuple[str, ...]:
    return tuple(column.name for column in METADATA.tables[table].primary_key)


def _line(value: Row) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


# -- in ----------------------------------------------------------------------------------------------------------------


def read(lines: Iterable[bytes]) -> Export:
    """A file, checked; raises `BadInput` with the line for one that is cut, damaged or no export."""
    rows: dict[str, list[Row]] = {table: [] for table in ORDER}
    keys: set[tuple[str, ...]] = set()
    person, at, ended = None, 0, False
    for at, line in enumerate(lines, 1):
        try:
            found = _parsed(line)
            if at == 1:
                person = _begins(found)
            elif ended:
                raise BadInput("there is something after the end.")
            elif "end" in found:
                ended = _ends(found, len(keys))
            else:
                table, row = _row(found)
                key = (table, *(str(row[name]) for name in _key(table)))
                if key in keys:
                    raise BadInput("this row is in the file twice.")
                keys.add(key)
                rows[table].append(row)
        except BadInput as error:
            raise BadInput(f"Line {at}: {error} Nothing was imported.") from error
    if not ended:
        raise BadInput(f"Line {at + 1}: the file ends here, before its end: it was cut. Nothing was imported.")
    known = {row["id"] for row in rows["profiles"]} | {person}
    for table in ORDER:
        for row in rows[table]:
            if any(row.get(name) not in known for name in _PEOPLE if row.get(name) is not None):
                raise BadInput(f"A row of {table} belongs to nobody in the file. Nothing was imported.")
    return Export(person, rows | {"comments": threaded(rows["comments"])})


def _parsed(line: bytes) -> Row:
    if len(line) > LONGEST:
        raise BadInput("it is too long for a row.")
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput("it is no JSON: this is no export, or a damaged one.") from error
    if not isinstance(found, dict):
        raise BadInput("it is no row.")
    return found


def _begins(found: Row) -> str | None:
    if found.get("featurescope") != "people":
        raise BadInput("this is no export of people's things: it does not begin as one.")
    if found.get("format") != FORMAT:
        raise BadInput(f"this export is of format {found.get('format')!r}, and this version reads {FORMAT}.")
    person = found.get("person")
    return None if person is None else shapes.identity(person)


def _ends(found: Row, count: int) -> bool:
    if found.get("rows") != count:
        raise BadInput(f"there should be {found.get('rows')} rows before it, and there are {count}.")
    return True


def _row(found: Row) -> tuple[str, Row]:
    table, row = found.get("table"), found.get("row")
    if table not in ORDER or not isinstance(row, dict):
        raise BadInput(f"there is no table “{str(table)[:40]}” here.")
    return table, shapes.checked(table, row)


def load(visit: Visit, found: Export, *, owner: str | None, person: Callable[[str], None]) -> Imported:
    """Writes what a file holds and the store does not.

    `owner` is who the file's person is here; None: who they were. `person` makes an account by its id, where the store
    has such things.
    """
    done = Imported()
    became = {found.person: owner} if found.person and owner else {}
    for row in found.rows["profiles"]:
        if became.get(row["id"], row["id"]) == row["id"]:
            _profile(visit, row, person, done)
        else:
            done.there += 1
    gone: dict[str, set[str]] = {table: set() for table in ORDER}
    for table in ORDER[1:]:
        rows = [row | {n: became.get(row[n], row[n]) for n in _PEOPLE if n in row} for row in found.rows[table]]
        if table == "plays" and owner not in (None, ME):  # a person's file may say anything: the server judges again
            rows = [row | {"points": None, "agreed": None} for row in rows]
        kept = _referring(visit, found, table, rows, gone)
        done.left_out += len(rows) - len(kept)
        new = _absent(visit, table, kept)
        added = sum(
            visit.add(table, some, twice="keep", key=_ONCE.get(table, _key(table))) for some in _some(new, AT_ONCE)
        )
        done.there += len(kept) - added
        if added:
            done.new[table] = added
    return done


def _profile(visit: Visit, row: Row, person: Callable[[str], None], done: Imported) -> None:
    """Somebody who is not here yet; where their name is taken they get another."""
    if visit.rows("profiles", {"id": row["id"]}):
        done.there += 1
        return
    person(row["id"])
    for name in (row["name"], f"{row['name'][:27]}-{row['id'][:4]}", f"person-{row['id'][:8]}"):
        try:
            visit.add("profiles", [row | {"name": name}])
        except Conflict:
            continue
        done.new["profiles"] = done.new.get("profiles", 0) + 1
        return
    raise NotFound(f"No name was free for “{row['name']}”.")


def _referring(visit: Visit, found: Export, table: str, rows: list[Row], gone: dict[str, set[str]]) -> list[Row]:
    """Those whose list, suite or comment is in the file or here; what is left out takes along what is on it."""
    if table in _TRAIL:
        return rows
    names = [name for name in _REFERENCES if rows and name in rows[0]]
    for name in names:
        to = _REFERENCES[name]
        in_file = {row["id"] for row in found.rows[to]}
        asked = {row[name] for row in rows if row[name] is not None} - in_file
        gone[to] |= asked - {row["id"] for row in _found(visit, to, sorted(asked))}
    kept = []
    for row in rows:  # an answer stands after its comment
        if any(row[name] in gone[_REFERENCES[name]] for name in names):
            gone[table].add(row.get("id", ""))
        else:
            kept.append(row)
    return kept


def _absent(visit: Visit, table: str, rows: list[Row]) -> list[Row]:
    """Those that the store has not, by their ids."""
    if "id" not in _key(table):
        return rows
    there = {row["id"] for row in _found(visit, table, [row["id"] for row in rows])}
    return [row for row in rows if row["id"] not in there]


def _found(visit: Visit, table: str, ids: list[str]) -> list[Row]:
    return [row for some in _some(ids, ASKED) for row in visit.rows(table, {"id": some})]


def _some(rows: list[Any], most: int) -> Iterator[list[Any]]:
    for first in range(0, len(rows), most):
        yield rows[first : first + most]
