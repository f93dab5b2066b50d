"""What the server's routes say on the next page: a message, and what was typed, under a name that cannot be guessed.

A message in an address could be anybody's, and an address is no place for what somebody typed. So only the name stands
in it. Kept in this process, the latest few hundred for some minutes; a password is never among it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

MOST = 500
LASTS = 900.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Note:
    """One message, with what was typed beside it."""

    said: str
    good: bool = False
    """Whether it says that something went well."""
    email: str = ""
    name: str = ""


class Notes:
    """The latest notes. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Note]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, note: Note) -> str:
        """Keeps a note; the name to ask for it by."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = time.monotonic() + LASTS, note
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Note | None:
        """A note; None where there is none (any more)."""
        with self._lock:
            found = self._kept.get(name)
        return found[1] if found is not None and found[0] > time.monotonic() else None
