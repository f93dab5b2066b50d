"""Who is signed in here: a cookie of 64 random bytes a browser, and what it opens.

Half of the cookie names a row of the SQLite file, where only its hash stands; the other half is the key by which the
row's tokens are sealed (Fernet: AES and HMAC), which is kept nowhere. So the file alone signs nobody in, and a cookie
is worth nothing without the file. A refresh token is good once, so tokens are made fresh under a lock; where another
process on the same file was faster, its tokens are taken.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

import orjson
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert

from core.community.file import File
from core.community.protocol import Tokens
from core.community.schema import SESSIONS, now
from core.errors import NotSignedIn, Unreachable

COOKIE = "featurescope"
"""Its name; set by the server's own routes, never by a page, and not readable by scripts."""
LASTS = datetime.timedelta(days=30)
"""After which a browser signs in anew."""
HALF = 32
"""Bytes."""
EARLY = 60.0
"""Seconds before its end at which a token is made fresh."""
LOCKS = 64


class Sessions:
    """The sign-ins of one server. Safe to share between threads."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._locks = tuple(threading.Lock() for _ in range(LOCKS))  # one refresh of a sign-in at a time

    def begin(self, person: str, tokens: Tokens) -> str:
        """Keeps a sign-in; what the cookie holds. Those that are too old are forgotten."""
        raw = secrets.token_bytes(2 * HALF)
        row = {"id": _name(raw), "person": person, "sealed": _seal(raw, tokens), "made": now()}
        with self._file.writing() as db:
            db.execute(delete(SESSIONS).where(SESSIONS.c.made < _oldest()))
            db.execute(insert(SESSIONS).values(row))
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def tokens(self, cookie: str, fresh: Callable[[Tokens], Tokens]) -> Tokens | None:
        """What a cookie opens; None where it opens nothing (any more). `fresh` makes new tokens of old ones.

        Raises:
            Unreachable: the tokens have ended and cannot be made fresh now.
        """
        raw = _raw(cookie)
        found = None if raw is None else self._read(raw)
        if raw is None or found is None or found.expires > time.time() + EARLY:
            return found
        with self._locks[raw[0] % LOCKS]:
            found = self._read(raw)
            if found is None or found.expires > time.time() + EARLY:
                return found  # another request was faster
            return self._renewed(raw, found, fresh)

    def end(self, cookie: str) -> None:
        """Forgets a sign-in."""
        raw = _raw(cookie)
        if raw is not None:
            with self._file.writing() as db:
                db.execute(delete(SESSIONS).where(SESSIONS.c.id == _name(raw)))

    def end_all(self, person: str) -> None:
        """Forgets every sign-in of a person on this server."""
        with self._file.writing() as db:
            db.execute(delete(SESSIONS).where(SESSIONS.c.person == person))

    def _renewed(self, raw: bytes, old: Tokens, fresh: Callable[[Tokens], Tokens]) -> Tokens | None:
        try:
            new = fresh(old)
        except NotSignedIn:
            there = self._read(raw)
            if there is not None and there.refresh != old.refresh:
                return there  # another process was faster
            with self._file.writing() as db:
                db.execute(delete(SESSIONS).where(SESSIONS.c.id == _name(raw)))
            return None
        except Unreachable:
            if old.expires > time.time():
                return old  # it is good for another moment
            raise
        with self._file.writing() as db:
            db.execute(update(SESSIONS).where(SESSIONS.c.id == _name(raw)).values(sealed=_seal(raw, new)))
        return new

    def _read(self, raw: bytes) -> Tokens | None:
        asked = select(SESSIONS.c.sealed).where(SESSIONS.c.id == _name(raw), SESSIONS.c.made >= _oldest())
        with self._file.reading() as db:
            sealed = None if db is None else db.scalar(asked)
        if sealed is None:
            return None
        try:
            return Tokens(**orjson.loads(_box(raw).decrypt(sealed)))
        except InvalidToken:
            return None


def _oldest() -> str:
    return (datetime.datetime.now(datetime.UTC) - LASTS).isoformat(timespec="microseconds")


def _raw(cookie: str) -> bytes | None:
    try:
        raw = base64.urlsafe_b64decode(cookie.encode("ascii") + b"=" * (-len(cookie) % 4))
    except ValueError:
        return None
    return raw if len(raw) == 2 * HALF else None


def _name(raw: bytes) -> str:
    return hashlib.sha256(raw[:HALF]).hexdigest()


def _box(raw: bytes) -> Fernet:
    # Hashed first: of a Fernet key only one half is checked, so a changed bit of the other could decrypt to rubbish.
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(raw[HALF:]).digest()))


def _seal(raw: bytes, tokens: Tokens) -> bytes:
    return _box(raw).encrypt(orjson.dumps(asdict(tokens)))
