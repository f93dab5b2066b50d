"""People's things in Supabase: the `Community` protocol over `supabase`, where row-level security decides.

Every visit has a client of its own, with its own token, over one pool of connections: a client that two people share
would write as whoever signed in last. Nothing is tried again by itself, since a write that timed out may have been
done; ids that the caller chose make a second try harmless. A store that did not answer is left alone for a moment, so
that a page with several of people's parts waits once. Importing takes 0.6 s, so nothing imports this before it is
needed; a request costs its way to the database and back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import httpx
from postgrest.exceptions import APIError
from supabase.lib.client_options import SyncClientOptions

from core.community import hurry
from core.community.protocol import PATIENCE, Row, Tokens, Twice, Way, Where
from core.community.records import Person
from core.community.rows import person
from core.community.tokens import Claims, read
from core.errors import BadInput, Conflict, NotAllowed, NotAvailable, NotFound, NotSignedIn, Unreachable
from supabase import Client, create_client

T = TypeVar("T")
AWAY = "The service that keeps people's things does not answer."
ENDED = "Your sign-in has ended: sign in again."
REST = 5.0
"""Seconds for which a store that did not answer is not asked."""
WAITS = PATIENCE * 0.9
"""Seconds for one answer."""
MAILS = 10.0
"""Seconds that Auth may take to send a mail."""
MINUTE = 60.0
MET = 10_000
PAGE = 1000
"""Rows that Supabase gives at once."""
LACKS = {"42P01", "42703", "42883", "PGRST200", "PGRST202", "PGRST204", "PGRST205"}
"""A table, a column or a function that is not there."""
_COLUMNS = {"api_keys": "id,owner,name,start,used_at,revoked_at,created_at"}
"""Where not every column may be read."""


class Line:
    """The way to one Supabase project: its pool of connections, and whether it answered lately."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self._away_until = 0.0
        self._http, self._slow = hurry.client(WAITS), hurry.client(MAILS)
        self._http.event_hooks |= {"response": [_answers]}

    def client(
        self, access: str | None = None, *, key: str | None = None, link: str | None = None, mails: bool = False
    ) -> Client:
        """A client of its own session; `mails`: for what sends a mail before it answers."""
        key = key or self.key
        headers = {"Authorization": f"Bearer {access or key}"} | ({"x-featurescope-link": link} if link else {})
        options = SyncClientOptions(
            headers=headers, auto_refresh_token=False, persist_session=False, postgrest_client_retry=False,
            httpx_client=self._slow if mails else self._http,
        )  # fmt: skip
        made = create_client(self.url, key, options)
        if access:  # the client puts its key in their place
            made.options.headers["Authorization"] = headers["Authorization"]
        return made

    def asked(self, ask: Callable[[], T], *, writes: bool = False) -> T:
        """What the store answers, or why it does not, as one of our errors."""
        if time.monotonic() < self._away_until:
            raise Unreachable(f"{AWAY} {_KEPT if writes else _LATER}")
        try:
            return ask()
        except httpx.HTTPError as error:
            self._away_until = time.monotonic() + REST
            raise Unreachable(f"{AWAY} {_KEPT if writes else _LATER}") from error
        except APIError as error:
            raise _said(error, writes) from error
        except ValueError as error:  # an answer that is none, such as a page of a proxy
            raise Unreachable(f"{AWAY} {_KEPT if writes else _LATER}") from error

    def close(self) -> None:
        """Gives the connections back."""
        self._http.close()
        self._slow.close()


_LATER = "Features can be read all the same; try this again in a moment."
_KEPT = "What you wrote is still here: try again in a moment. It is kept once, however often you try."


class HostedVisit:
    """One person's access, or nobody's."""

    def __init__(
        self, line: Line, tokens: Tokens | None, known: Known, *, link: str | None = None, key: str | None = None
    ) -> None:
        self._line, self._tokens, self._known, self._link = line, tokens, known, link
        patient = key is not None  # a whole server's rows take longer than a page waits
        self._client = line.client(tokens.access if tokens else None, key=key, link=link, mails=patient)

    @property
    def me(self) -> Person | None:
        """Who is signed in; their profile is made at their first visit."""
        if self._tokens is None:
            return None
        claims = read(self._tokens.access)
        return None if claims.anonymous else self._known.get(claims.person, lambda: self._profile(claims))

    def given(self, link: str) -> HostedVisit:
        """See `Visit`."""
        return self if link == self._link else HostedVisit(self._line, self._tokens, self._known, link=link)

    def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """See `Visit`; asks for as many pages as it takes."""
        found: list[Row] = []
        while True:
            few = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self._page(table, where, order, few, offset + len(found))
            found += page
            if len(page) < PAGE or len(found) == limit:
                return found

    def count(self, table: str, where: Where | None = None) -> int:
        """See `Visit`."""
        asked = _filtered(self._client.table(table).select(_COLUMNS.get(table, "*"), count="exact", head=True), where)  # type: ignore[arg-type]
        return _counted(self._line.asked(asked.execute), writes=False)

    def add(self, table: str, rows: Sequence[Row], *, twice: Twice = "refuse", key: Sequence[str] = ("id",)) -> int:
        """See `Visit`."""
        if not rows:
            return 0
        to, given = self._client.table(table), [dict(row) for row in rows]
        if twice == "refuse":
            asked = to.insert(given, count="exact", returning="minimal")  # type: ignore[arg-type]
        else:
            asked = to.upsert(
                given, count="exact", returning="minimal", on_conflict=",".join(key),  # type: ignore[arg-type]
                ignore_duplicates=twice == "keep",
            )  # fmt: skip
        return _counted(self._line.asked(asked.execute, writes=True))

    def change(self, table: str, where: Where, values: Row) -> int:
        """See `Visit`."""
        if table == "profiles":
            self._known.forget()
        asked = self._client.table(table).update(values, count="exact", returning="minimal")  # type: ignore[arg-type]
        return _counted(self._line.asked(_filtered(asked, where).execute, writes=True))

    def remove(self, table: str, where: Where) -> int:
        """See `Visit`."""
        asked = self._client.table(table).delete(count="exact", returning="minimal")  # type: ignore[arg-type]
        return _counted(self._line.asked(_filtered(asked, where).execute, writes=True))

    def new_list(self, row: Row, items: Sequence[Row]) -> None:
        """See `Visit`; a function of the database, which does both or neither."""
        asked = self._client.rpc("new_list", {"list": row, "items": list(items)})
        if self._line.asked(asked.execute, writes=True).data != row["id"]:
            raise Unreachable(f"{AWAY} {_KEPT}")

    def _page(self, table: str, where: Where | None, order: Sequence[str], limit: int, offset: int) -> list[Row]:
        asked = _filtered(self._client.table(table).select(_COLUMNS.get(table, "*")), where)
        for name in order:
            asked = asked.order(name.removeprefix("-"), desc=name.startswith("-"))
        found: Any = self._line.asked(asked.range(offset, offset + limit - 1).execute).data
        if not isinstance(found, list):
            raise Unreachable(f"{AWAY} {_LATER}")
        return found

    def _profile(self, claims: Claims) -> Person:
        found = self.rows("profiles", {"id": claims.person})
        if not found:
            for name in claims.names():
                try:
                    self.add("profiles", [{"id": claims.person, "name": name}], twice="refuse")
                except Conflict:  # the name is taken, or another page of theirs was faster
                    pass
                except NotFound as error:  # the account is gone, and its token not yet
                    raise NotSignedIn(ENDED) from error
                if found := self.rows("profiles", {"id": claims.person}):
                    break
        if not found:
            raise NotSignedIn(ENDED)
        return person(found[0], moderates=self.count("moderators", {"person": claims.person}) > 0)


class Known:
    """Whom a server met in the last minute, so that not every part of a page asks who somebody is."""

    def __init__(self) -> None:
        self._met: dict[str, tuple[float, Person]] = {}

    def get(self, id: str, ask: Callable[[], Person]) -> Person:
        """Somebody by their id."""
        found = self._met.get(id)
        if found is None or found[0] < time.monotonic():
            if len(self._met) > MET:
                self._met.clear()
            found = self._met[id] = time.monotonic() + MINUTE, ask()
        return found[1]

    def forget(self) -> None:
        """Everybody, where one of them changed."""
        self._met.clear()


class Hosted:
    """People's things of many, in one Supabase project."""

    kind: Literal["hosted"] = "hosted"

    def __init__(self, url: str, key: str, ways: Sequence[Way]) -> None:
        self.line, self._known = Line(url, key), Known()
        self.ways = tuple(ways)

    def visit(self, tokens: Tokens | None = None) -> HostedVisit:
        """Somebody's access."""
        return HostedVisit(self.line, tokens, self._known)

    def everything(self, secret: str) -> HostedVisit:
        """The access of whoever has the project's secret key: no policy holds for it."""
        return HostedVisit(self.line, None, self._known, key=secret)


def _answers(response: httpx.Response) -> None:
    """Raises for what is no answer of Supabase's, such as the page of a proxy or nothing at all."""
    kind = response.headers.get("content-type", "")
    if response.request.method == "GET" and response.is_success and "json" not in kind:
        raise httpx.RemoteProtocolError("no JSON", request=response.request)


def _counted(answer: Any, *, writes: bool = True) -> int:
    """How many rows; whoever does not say so is not Supabase."""
    if answer.count is None:
        raise Unreachable(f"{AWAY} {_KEPT if writes else _LATER}")
    return int(answer.count)


def _filtered(asked: Any, where: Where | None) -> Any:
    for name, value in (where or {}).items():
        if value is None:
            asked = asked.is_(name, "null")
        elif isinstance(value, tuple | list):
            asked = asked.in_(name, list(value))
        else:
            asked = asked.eq(name, str(value).lower() if isinstance(value, bool) else value)
    return asked


def _said(error: APIError, writes: bool) -> Exception:
    """What the database said, as one of our errors. Codes are PostgreSQL's and PostgREST's."""
    code, message = error.code or "", error.message or ""
    if code in {"PGRST301", "PGRST303", "401"} or "JWT" in message:
        return NotSignedIn(ENDED)
    if code in {"42501", "403"}:
        return NotAllowed(message if message.startswith("Only ") else "You may not do this here.")
    if code == "23505":
        return Conflict("It is there already.")
    if code == "23503":
        return NotFound("What it belongs to is no longer here.")
    if code in {"23514", "22001", "22003", "22P02", "22P05", "22021", "23502"}:
        own = message.startswith(("A person has", "A list has", "A reply"))
        return BadInput(message if own else f"It does not fit: {message}.")
    if code in LACKS:
        return NotAvailable(f"The Supabase project lacks a part of supabase/migrations: apply them ({message}).")
    if "API key" in message:
        return NotAvailable("Supabase does not take SUPABASE_KEY: it is not a key of the project at SUPABASE_URL.")
    return Unreachable(f"{AWAY} {_KEPT if writes else _LATER}")
