"""What a person does on a page, as plain values, so that it can wait while they sign in.

A deed carries the id of what it makes, so that doing it twice does it once. A draft is a deed that waits, under a name
that cannot be guessed; the sign-in page shows it, and whoever signs in there has done it. Drafts end after a day.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import orjson
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert

from core.community import schema
from core.community.file import File
from core.community.people import People
from core.community.records import Case, Item
from core.errors import BadInput
from core.records import FeatureKey

Kind = Literal[
    "star", "unstar", "comment", "list", "suite", "save", "report",
    "comment-edit", "comment-delete", "comment-hide", "comment-show",
    "list-add", "list-change", "list-note", "list-take", "list-order", "list-delete", "list-hide", "list-show",
    "explain", "explain-edit", "explain-delete", "explain-hide", "explain-show", "vote", "mark",
    "play", "play-words", "campaign", "campaign-delete",
    "report-close", "suite-change", "suite-delete", "saved-change", "saved-drop",
]  # fmt: skip
DAY = datetime.timedelta(days=1)
MOST = 500_000
"""Bytes of a draft."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something to do; `values` are the arguments of its job, `on` a feature's or a list's id."""

    kind: Kind
    on: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=schema.new_id)


def perform(people: People, deed: Deed) -> str:
    """Does it, as whoever is signed in; the id of what it made."""
    made = _JOBS[deed.kind](people, deed)
    return made if isinstance(made, str) else deed.id


_JOBS: dict[Kind, Callable[[People, Deed], object]] = {
    "star": lambda people, deed: people.stars.add(_target(deed.on)),
    "unstar": lambda people, deed: people.stars.remove(_target(deed.on)),
    "comment": lambda people, deed: people.comments.post(
        _target(deed.on), deed.values["body"], parent=deed.values.get("parent"), id=deed.id
    ),
    "report": lambda people, deed: people.comments.report(
        deed.values["why"],
        comment=deed.values.get("comment"),
        list=deed.values.get("list"),
        explanation=deed.values.get("explanation"),
    ),
    "save": lambda people, deed: people.saved.keep(
        deed.values["link"], deed.values["name"], visibility=deed.values.get("visibility", "private"), id=deed.id
    ),
    "list": lambda people, deed: people.lists.new(**_told(deed.values), items=_items(deed.values), id=deed.id),
    "suite": lambda people, deed: people.suites.new(
        FeatureKey.parse(deed.on), **deed.values | {"cases": _cases(deed.values)}, id=deed.id
    ),
    "comment-edit": lambda people, deed: people.comments.edit(deed.on, deed.values["body"]),
    "comment-delete": lambda people, deed: people.comments.delete(deed.on),
    "comment-hide": lambda people, deed: people.comments.hide(deed.on, deed.values["why"]),
    "comment-show": lambda people, deed: people.comments.show(deed.on),
    "explain": lambda people, deed: people.explanations.write(
        FeatureKey.parse(deed.on), deed.values["text"], id=deed.id
    ),
    "explain-edit": lambda people, deed: people.explanations.edit(deed.on, deed.values["text"]),
    "explain-delete": lambda people, deed: people.explanations.delete(deed.on),
    "explain-hide": lambda people, deed: people.explanations.hide(deed.on, deed.values["why"]),
    "explain-show": lambda people, deed: people.explanations.show(deed.on),
    "vote": lambda people, deed: people.explanations.vote(
        FeatureKey.parse(deed.on), [(id, hash) for id, hash in deed.values["on"]], deed.values["vote"]
    ),
    "mark": lambda people, deed: people.explanations.mark(
        FeatureKey.parse(deed.on), deed.values["mark"], on=deed.values.get("on", True)
    ),
    "play": lambda people, deed: people.plays.answer(FeatureKey.parse(deed.on), **deed.values, id=deed.id),
    "play-words": lambda people, deed: people.plays.reword(deed.on, deed.values["words"]),
    "campaign": lambda people, deed: people.plays.begin(**deed.values, id=deed.id),
    "campaign-delete": lambda people, deed: people.plays.end(deed.on),
    "list-add": lambda people, deed: people.lists.add(deed.on, _items(deed.values)),
    "list-change": lambda people, deed: people.lists.change(deed.on, **_told(deed.values)),
    "list-note": lambda people, deed: people.lists.edit(
        deed.on,
        FeatureKey.parse(deed.values["feature"]),
        note=deed.values.get("note"),
        weight=deed.values.get("weight"),
    ),
    "list-take": lambda people, deed: people.lists.take(deed.on, map(FeatureKey.parse, deed.values["features"])),
    "list-order": lambda people, deed: people.lists.order(deed.on, [*map(FeatureKey.parse, deed.values["features"])]),
    "list-delete": lambda people, deed: people.lists.delete(deed.on),
    "list-hide": lambda people, deed: people.lists.hide(deed.on, deed.values["why"]),
    "list-show": lambda people, deed: people.lists.show(deed.on),
    "report-close": lambda people, deed: people.moderation.close(deed.on),
    "suite-change": lambda people, deed: people.suites.change(deed.on, **deed.values | {"cases": _cases(deed.values)}),
    "suite-delete": lambda people, deed: people.suites.delete(deed.on),
    "saved-change": lambda people, deed: people.saved.change(deed.on, **deed.values),
    "saved-drop": lambda people, deed: people.saved.drop(deed.on),
}
"""`on` is what a star, comment or suite is on, and of what is changed its own id."""


def _cases(values: dict[str, Any]) -> list[Case]:
    return [Case(one["text"], one["fires"]) for one in values["cases"]]


class Drafts:
    """Deeds that wait for a sign-in, in the server's SQLite file."""

    def __init__(self, file: File) -> None:
        self._file = file

    def keep(self, deed: Deed) -> str:
        """Keeps a deed; the name to ask for it by."""
        said = orjson.dumps({"kind": deed.kind, "on": deed.on, "values": deed.values, "id": deed.id})
        if len(said) > MOST:
            raise BadInput("This is too long to be kept while you sign in: sign in first.")
        name = secrets.token_urlsafe(24)
        old = (datetime.datetime.now(datetime.UTC) - DAY).isoformat(timespec="microseconds")
        with self._file.writing() as db:
            db.execute(delete(schema.DRAFTS).where(schema.DRAFTS.c.made < old))
            db.execute(insert(schema.DRAFTS).values(id=name, deed=said.decode(), made=schema.now()))
        return name

    def get(self, name: str) -> Deed | None:
        """A deed that waits; None where there is none (any more)."""
        with self._file.reading() as db:
            if db is None or not name.isascii():
                return None
            said = db.scalar(select(schema.DRAFTS.c.deed).where(schema.DRAFTS.c.id == name))
        if said is None:
            return None
        found = orjson.loads(said)
        assert found["kind"] in get_args(Kind)  # this class wrote it
        return Deed(found["kind"], found["on"], found["values"], found["id"])

    @contextmanager
    def taking(self, name: str) -> Iterator[Deed | None]:
        """A deed for whoever asks first: forgotten when the block ends well, and waiting again where it raises."""
        deed = self.get(name)
        held = f"{name} {secrets.token_hex(8)}"  # a name that nobody can ask for
        if deed is None or not self._rename(name, held):
            yield None
            return
        try:
            yield deed
        except BaseException:
            self._rename(held, name)
            raise
        self.drop(held)

    def drop(self, name: str) -> None:
        """Forgets it."""
        with self._file.writing() as db:
            db.execute(delete(schema.DRAFTS).where(schema.DRAFTS.c.id == name))

    def _rename(self, name: str, to: str) -> bool:
        with self._file.writing() as db:
            return db.execute(update(schema.DRAFTS).where(schema.DRAFTS.c.id == name).values(id=to)).rowcount == 1


def _items(values: dict[str, Any]) -> list[Item]:
    return [
        Item(FeatureKey.parse(one["feature"]), one.get("note", ""), one.get("weight", 1.0)) for one in values["items"]
    ]


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """What is said of a list, and nothing else."""
    return {name: values[name] for name in ("name", "about", "visibility", "test_text") if name in values}


def _target(on: str) -> FeatureKey | str:
    return FeatureKey.parse(on) if "/" in on else on
