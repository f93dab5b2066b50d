"""The two ends of `python -m core community export` and `import`: files, and who may see everything.

On one machine that is whoever has its file. In Supabase it is whoever has the project's secret key, which the server's
operator has: a policy holds for everybody else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.community import exchange
from core.community.exchange import Imported
from core.community.people import People
from core.community.protocol import Community, Visit
from core.community.schema import ME
from core.errors import BadInput, NotAvailable

if TYPE_CHECKING:
    from core.community.hosted import Hosted


class Carrier:
    """Exports from and imports into one store; `secret` is Supabase's secret key."""

    def __init__(self, community: Community, secret: str) -> None:
        self._community = community
        self._visit, self._account = _everything(community, secret)

    def export(self, person: str | None = None) -> list[bytes]:
        """The lines of everything, or of what one person has, by their name."""
        local = self._community.kind == "local"
        who = None if person is None else self._named(person)
        return list(exchange.export(self._visit, person=who, subject=ME if local else None))

    def load(self, path: Path, person: str | None = None) -> Imported:
        """Imports a file; `person` names whom the file's person is here."""
        try:
            with path.open("rb") as file:
                found = exchange.read(file)
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
        if person is not None and found.person is None:
            raise BadInput("This is the export of a whole server: everybody in it stays who they are. Leave out --as.")
        owner = ME if self._community.kind == "local" and found.person else None
        if person is not None:
            owner = self._named(person)
        elif self._community.kind == "hosted" and found.person == ME:
            raise BadInput("This is the export of a workbench of one person: say who that is here, with --as NAME.")
        return exchange.load(self._visit, found, owner=owner, person=self._account)

    def _named(self, name: str) -> str:
        return People(self._community, self._visit).person(name).id


def write(path: Path, lines: list[bytes]) -> None:
    """Writes a file whole or not at all, for its owner's eyes alone: private things are in it."""
    part = None
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it so
        with os.fdopen(handle, "wb") as file:
            file.writelines(lines)
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from error


def _everything(community: Community, secret: str) -> tuple[Visit, Callable[[str], None]]:
    if community.kind == "none":
        raise NotAvailable("This server keeps nothing of people's: FEATURESCOPE_PEOPLE is none.")
    if community.kind == "local":
        return community.visit(), lambda _: None
    if not secret:
        raise NotAvailable("SUPABASE_SECRET_KEY is not set: exporting and importing take the project's secret key.")
    from core.community.hosted import Hosted

    assert isinstance(community, Hosted)
    return community.everything(secret), lambda id: _account(community, secret, id)


def _account(community: Hosted, secret: str, id: str) -> None:
    """An account that nobody can sign in to until its address is made somebody's."""
    import httpx
    from supabase_auth.errors import AuthApiError, AuthError

    from core.community.hosted import AWAY
    from core.errors import Unreachable

    wanted = {"id": id, "email": f"{id}@imported.invalid", "email_confirm": True}
    try:
        community.line.client(key=secret).auth.admin.create_user(wanted)  # type: ignore[arg-type]
    except AuthApiError as error:
        if error.status < 500 and error.code not in {"email_exists", "user_already_exists", "conflict"}:
            raise NotAvailable(f"Supabase makes no account for an imported person: {error.message}.") from error
    except (httpx.HTTPError, AuthError, ValueError) as error:
        raise Unreachable(f"{AWAY} Run the same again in a moment: what is there is not made twice.") from error
