"""Keys of the HTTP API: 256 bits of chance, shown once, kept as their SHA-256 (no salt: there is nothing to guess).

What costs money is counted here too, a row a use, against a bound a day.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets

from core.community import bounds, limits, rows
from core.community.asking import someone
from core.community.protocol import Visit
from core.community.records import ApiKey, Quota
from core.community.schema import new_id, now
from core.errors import BadInput, NotFound

PREFIX = "fs_"
WELL_FORMED = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
NO_KEY = "This API key is not in force: make one on your account page."
SHOWN = 8
"""Characters by which a key is told from others."""
COLUMNS = ("id", "owner", "name", "start", "used_at", "revoked_at", "created_at")
"""What one may read of one's keys: everything but the hash."""


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


class KeyJobs:
    """One person's keys."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def mine(self) -> tuple[ApiKey, ...]:
        """Every key, also those that were revoked."""
        me = someone(self._visit, "see your keys")
        found = self._visit.rows("api_keys", {"owner": me.id}, order=("-created_at",), limit=200)
        return tuple(rows.api_key(row) for row in found)

    def new(self, name: str) -> str:
        """Makes a key; this is the only time that it is shown."""
        me = someone(self._visit, "make a key")
        label = bounds.line(name, "The key's name", limits.KEY_NAME)
        if sum(not key.revoked for key in self.mine()) >= limits.KEYS:
            raise BadInput(f"You have {limits.KEYS} keys: revoke one first.")
        key = PREFIX + secrets.token_urlsafe(32)
        row = {"id": new_id(), "owner": me.id, "name": label, "start": key[:SHOWN], "hash": digest(key)}
        self._visit.add("api_keys", [row])
        return key

    def revoke(self, id: str) -> None:
        """Ends a key; from then on it opens nothing."""
        someone(self._visit, "revoke a key")
        where = {"id": bounds.identity(id, "key"), "revoked_at": None}
        if not self._visit.change("api_keys", where, {"revoked_at": now()}):
            raise NotFound("There is no such key of yours in force.")

    # -- what costs money ----------------------------------------------------------------------------------------------

    def quota(self, kind: str, bound: float) -> Quota:
        """What was used since midnight UTC, of a bound a day."""
        someone(self._visit, "see what you used")
        return Quota(kind, dict(self.used_today()).get(kind, 0.0), bound)

    def used_today(self) -> tuple[tuple[str, float], ...]:
        """Each kind that was used since midnight UTC, and how much of it."""
        me = someone(self._visit, "see what you used")
        return tuple(sorted(used_today(self._visit, me.id).items()))

    def use(self, kind: str, amount: float, bound: float) -> Quota:
        """Counts a use before it happens; raises `BadInput` where it would go beyond the bound."""
        me = someone(self._visit, "use this")
        quota = self.quota(kind, bound)
        if amount > quota.left:
            raise BadInput(
                f"This takes {amount:g} of your {bound:g} a day for {kind}, and {quota.left:g} are left: they are new "
                "after midnight UTC."
            )
        count(self._visit, me.id, kind, amount)
        return Quota(kind, quota.used + amount, bound)


def used_today(visit: Visit, person: str) -> dict[str, float]:
    """What a person used since midnight UTC, by kind; others' uses are seen by the server alone."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    used: dict[str, float] = {}
    for row in visit.rows("usage", {"owner": person}, order=("-created_at",), limit=10_000):
        if row["created_at"][:10] != today:
            break
        used[row["kind"]] = used.get(row["kind"], 0.0) + float(row["amount"])
    return used


def count(visit: Visit, person: str, kind: str, amount: float) -> None:
    """Counts a use of a person's."""
    visit.add("usage", [{"id": new_id(), "owner": person, "kind": kind, "amount": amount}])
