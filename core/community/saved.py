"""Views that a person keeps: a test, a search, a steering run, a scan. An address says all; here it has a name."""

from __future__ import annotations

import re
from typing import get_args
from urllib.parse import urlsplit

from core.community import bounds, limits, rows
from core.community.asking import someone
from core.community.protocol import Visit
from core.community.records import Saved, SavedKind
from core.community.schema import new_id
from core.errors import BadInput, NotFound

_PAGES = {"feature": "test", "search": "search", "steer": "steer", "scan": "scan"}


class SavedJobs:
    """Saved views, as one person sees them."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def keep(self, link: str, name: str, *, visibility: str = "private", id: str | None = None) -> str:
        """Keeps a view by its address (`/search?text=…`, with or without the server before it); its id."""
        me = someone(self._visit, "keep this")
        path = local_link(link)
        row = {
            "id": bounds.identity(id, "saved view") if id else new_id(), "owner": me.id, "link": path,
            "kind": _PAGES[path[1 : path.index("?")]], "name": bounds.line(name, "The name", limits.SAVED_NAME),
            "visibility": bounds.visibility(visibility),
        }  # fmt: skip
        self._visit.add("saved", [row], twice="keep")
        return str(row["id"])

    def by(self, person: str, *, kind: SavedKind | None = None) -> tuple[Saved, ...]:
        """A person's, by the person's id: all of one's own, the public ones of somebody else."""
        where = {"owner": person} | ({"kind": kind} if kind in get_args(SavedKind) else {})
        if self._visit.me is None or self._visit.me.id != person:
            where |= {"visibility": "public"}
        found = self._visit.rows("saved", where, order=("-created_at", "id"), limit=limits.SAVED)
        return tuple(rows.saved(row) for row in found)

    def change(self, id: str, *, name: str | None = None, visibility: str | None = None) -> None:
        """Changes what is given."""
        someone(self._visit, "change what you kept")
        values = {}
        if name is not None:
            values["name"] = bounds.line(name, "The name", limits.SAVED_NAME)
        if visibility is not None:
            values["visibility"] = bounds.visibility(visibility)
        if values and not self._visit.change("saved", {"id": bounds.identity(id, "saved view")}, values):
            raise NotFound("There is no such saved view of yours.")

    def drop(self, id: str) -> None:
        """Forgets one."""
        someone(self._visit, "change what you kept")
        if not self._visit.remove("saved", {"id": bounds.identity(id, "saved view")}):
            raise NotFound("There is no such saved view of yours.")


def local_link(link: str) -> str:
    """The address of a view without its server; raises `BadInput` for any other address."""
    text = bounds.clean(link.strip(), "The address")
    parts = urlsplit(text if "://" in text else f"x://x/{text.lstrip('/')}")
    page = parts.path.strip("/")
    found = f"/{page}?{parts.query}"
    if page not in _PAGES or not parts.query or re.search(r"[\s<>\"']", found):
        raise BadInput(f"“{text[:80]}” is no address of a test, search, steering or scan here.")
    if len(found) > limits.LINK:
        raise BadInput(f"The address has {len(found):,} characters: at most {limits.LINK:,} can be kept.")
    return found
