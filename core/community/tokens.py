"""What an access token of Supabase says. It is read, never checked: the database checks it at every request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import jwt

from core.community import limits
from core.errors import NotSignedIn


@dataclass(frozen=True, slots=True)
class Claims:
    """Who a token is of."""

    person: str
    anonymous: bool
    wished: str
    """What their provider calls them; never from their address."""

    def names(self) -> Iterator[str]:
        """Names to try for a new profile: the provider's, then with a few digits, then one of digits alone."""
        base = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.wished).strip("._-")[:24]
        if limits.NAME.fullmatch(base):
            yield base
            yield f"{base}-{self.person[:4]}"
        yield f"person-{self.person[:8]}"
        yield f"person-{self.person.replace('-', '')[:24]}"


def read(access: str) -> Claims:
    """The claims of a token; raises `NotSignedIn` for one that is none."""
    try:
        found = jwt.decode(access, options={"verify_signature": False})
        told = found.get("user_metadata") or {}
        wished = next((str(told[name]) for name in ("user_name", "preferred_username", "name") if told.get(name)), "")
        return Claims(str(found["sub"]), bool(found.get("is_anonymous")), wished)
    except (jwt.PyJWTError, KeyError) as error:
        raise NotSignedIn("Your sign-in cannot be read: sign in again.") from error
