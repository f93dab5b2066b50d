"""What a store of people's things must do: the `Community` protocol, of which there are two implementations.

`core.community.alone` keeps them in a SQLite file for the one person of a local workbench; `core.community.hosted` in
Supabase, whose policies decide. A `Visit` is one person's access to the tables of `supabase/migrations` (the SQLite
file has the same tables and views); what the jobs (`core.community.people`) do with rows stands once, above both. The
contract tests run on both.

Every method raises `Unreachable` within `PATIENCE` where the store does not answer, `NotAllowed` where its policies say
no, `NotSignedIn` where nobody or somebody long gone asks for what needs a person, and `BadInput` where a constraint is
broken. A write that raised did nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.community.records import Person

PATIENCE = 2.0
"""Seconds after which a store that does not answer is said to be away."""
Row = dict[str, Any]
Where = Mapping[str, Any]
"""Column to value; a tuple or list means any of them, None means that there is no value."""
Twice = Literal["refuse", "keep", "replace"]
"""Where a row with the same key is there already: that is an error, it stays as it is, it is replaced."""
Kept = Literal["local", "hosted", "none"]
Way = Literal["password", "link", "github", "google"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What proves who somebody is to Supabase; kept sealed by `core.community.sessions` and never shown."""

    access: str
    refresh: str
    expires: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that goes on elsewhere: at a provider, or in a mail."""

    url: str
    """Where the browser goes next; empty for a mail."""
    verifier: str
    """What only the browser that began may know."""


class Visit(Protocol):
    """One person's access, or nobody's."""

    @property
    def me(self) -> Person | None:
        """Who it is; None for somebody who did not sign in."""

    def given(self, link: str) -> Visit:
        """The same access, of somebody who was given the address of an unlisted thing: `link` is the thing's id."""

    def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """Rows of a table or view; `order` names columns, with “-” before those that fall."""

    def count(self, table: str, where: Where | None = None) -> int:
        """How many there are."""

    def add(self, table: str, rows: Sequence[Row], *, twice: Twice = "refuse", key: Sequence[str] = ("id",)) -> int:
        """Adds rows, all or none; how many were new or replaced. `key` says by which columns two are the same."""

    def change(self, table: str, where: Where, values: Row) -> int:
        """Changes rows; how many there were. Those that one may not change are as if they were not there."""

    def remove(self, table: str, where: Where) -> int:
        """Deletes rows; how many there were."""

    def new_list(self, row: Row, items: Sequence[Row]) -> None:
        """A list with its features, both or neither; the same id again is kept as it is."""


class Community(Protocol):
    """Where people's things are kept."""

    @property
    def kind(self) -> Kept:
        """Local: one person and a file. Hosted: Supabase. None: people's things are switched off here."""

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways to sign in; none where there is one local person."""

    def visit(self, tokens: Tokens | None = None) -> Visit:
        """Somebody's access; nobody's without tokens. Does not ask the store yet."""
