"""Signing in through Supabase Auth: password, a link by mail, GitHub, Google, an API key.

Each way ends in `Tokens`. A link and a provider come back with a code that only whoever began can redeem (PKCE): the
verifier goes into a cookie of the browser that began. An API key is looked up by its hash with the project's secret
key, and opens a session of its owner, so that row-level security decides for keys as it does for pages.

Whoever signs in waits some two seconds at most where Supabase does not answer; only what sends a mail may take longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import httpx
from supabase_auth.errors import (
    AuthApiError,
    AuthError,
    AuthRetryableError,
    AuthUnknownError,
    AuthWeakPasswordError,
)

from core.community.hosted import AWAY, ENDED, Line
from core.community.keys import NO_KEY, WELL_FORMED, digest
from core.community.protocol import Begun, Tokens
from core.community.schema import now
from core.errors import BadInput, Busy, Conflict, NotAvailable, NotSignedIn, Unreachable, WorkbenchError

T = TypeVar("T")
KEY_TRUST = 60.0
"""Seconds for which a key that opened is not looked up again: one that another server revoked ends within them."""
KEYS = 10_000
"""Keys that are remembered."""
ELSEWHERE = "This link was used before, is too old, or was asked for in another browser: ask for another."
UNSEEN = {"flow_state_not_found", "flow_state_expired", "bad_code_verifier", "otp_expired"}
AGAIN = f"{AWAY} Try again in a moment."


class Auth:
    """The ways into one Supabase project."""

    def __init__(self, line: Line, secret: str) -> None:
        self._line, self._secret = line, secret
        self._keys: dict[str, tuple[float, Tokens]] = {}
        self._lock = threading.Lock()  # guards the keys

    def sign_up(self, email: str, password: str, name: str, back: str) -> Tokens | Begun:
        """A new person; begun where a mail was sent first, whose link leads to `back`."""
        options = {"data": {"user_name": name}, "email_redirect_to": back}
        asked = {"email": email, "password": password, "options": options}
        client = self._line.client(mails=True)
        answer = _asked(lambda: client.auth.sign_up(asked))  # type: ignore[arg-type]
        return _tokens(answer.session) if answer.session else Begun("", _verifier(client.auth))

    def sign_in(self, email: str, password: str) -> Tokens:
        """By password."""
        asked = {"email": email, "password": password}
        answer = _asked(lambda: self._line.client().auth.sign_in_with_password(asked))  # type: ignore[arg-type]
        return _tokens(answer.session)

    def send_link(self, email: str, back: str) -> Begun:
        """Sends a mail with a link; who is new becomes a person by it."""
        client = self._line.client(mails=True)
        _asked(lambda: client.auth.sign_in_with_otp({"email": email, "options": {"email_redirect_to": back}}))
        return Begun("", _verifier(client.auth))

    def provider(self, name: Literal["github", "google"], back: str) -> Begun:
        """Where GitHub or Google asks the person."""
        client = self._line.client()
        answer = client.auth.sign_in_with_oauth({"provider": name, "options": {"redirect_to": back}})
        return Begun(answer.url, _verifier(client.auth))

    def redeem(self, code: str, verifier: str) -> Tokens:
        """What a link or a provider came back with."""
        asked = {"auth_code": code, "code_verifier": verifier}
        answer = _asked(lambda: self._line.client().auth.exchange_code_for_session(asked))  # type: ignore[arg-type]
        return _tokens(answer.session)

    def fresh(self, tokens: Tokens) -> Tokens:
        """New tokens for old ones; raises `NotSignedIn` where the sign-in has ended."""
        refresh = partial(self._line.client().auth.refresh_session, tokens.refresh)
        try:  # by way of the line: a service that is away is not asked again by every page
            return _tokens(_asked(lambda: self._line.asked(partial(_reached, refresh))).session)
        except BadInput as error:
            raise NotSignedIn(ENDED) from error

    def sign_out(self, tokens: Tokens) -> None:
        """Ends every sign-in of the person, everywhere; where it has ended already, that is well too."""
        try:
            _asked(lambda: self._line.client().auth.admin.sign_out(tokens.access, "global"))
        except BadInput:
            return

    def by_key(self, key: str) -> Tokens:
        """What an API key opens; raises `NotSignedIn` for one that opens nothing."""
        if not self._secret:
            raise NotAvailable("This server takes no API keys: it was started without SUPABASE_SECRET_KEY.")
        if not WELL_FORMED.fullmatch(key):
            raise NotSignedIn(NO_KEY)  # without a question to the database
        hashed = digest(key)
        with self._lock:
            found = self._keys.get(hashed)
        if found is not None and found[0] > time.monotonic() and found[1].expires > time.time() + 10:
            return found[1]
        tokens = self._open(hashed, found[1] if found else None)
        with self._lock:
            if len(self._keys) >= KEYS:
                self._keys.clear()
            self._keys[hashed] = time.monotonic() + KEY_TRUST, tokens
        return tokens

    def look_again(self) -> None:
        """Every key is looked up when it is next used, since one was revoked."""
        with self._lock:
            self._keys = {hashed: (0.0, tokens) for hashed, (_, tokens) in self._keys.items()}

    def _open(self, hashed: str, before: Tokens | None) -> Tokens:
        client = self._line.client(key=self._secret)
        asked = client.table("api_keys").select("id,owner").eq("hash", hashed).is_("revoked_at", "null")
        rows: Any = self._line.asked(asked.execute).data
        if not rows:
            with self._lock:
                self._keys.pop(hashed, None)
            raise NotSignedIn(NO_KEY)
        self._line.asked(client.table("api_keys").update({"used_at": now()}).eq("id", rows[0]["id"]).execute)
        if before is not None and before.expires > time.time() + 60:
            return before
        user = _asked(lambda: client.auth.admin.get_user_by_id(rows[0]["owner"])).user
        link = _asked(lambda: client.auth.admin.generate_link({"type": "magiclink", "email": user.email or ""}))
        once = {"token_hash": link.properties.hashed_token, "type": "magiclink"}
        answer = _asked(lambda: self._line.client().auth.verify_otp(once))  # type: ignore[arg-type]
        return _tokens(answer.session)


def _asked(ask: Callable[[], T]) -> T:
    """What Auth answers, or why it does not, as one of our errors. Its own sentences are for people: they are kept."""
    try:
        return ask()
    except (httpx.RequestError, AuthRetryableError, AuthUnknownError) as error:
        raise Unreachable(AGAIN) from error
    except AuthWeakPasswordError as error:
        raise BadInput(_sentence(error.message)) from error
    except AuthApiError as error:
        raise _said(error) from error
    except AuthError as error:
        raise BadInput(f"That did not work: {_sentence(error.message)}") from error
    except ValueError as error:  # an answer that is not Auth's: a proxy's page, say
        raise Unreachable(AGAIN) from error


def _reached(ask: Callable[[], T]) -> T:
    """What Auth answers; the library wraps what kept a request from arriving, which is unwrapped again."""
    try:
        return ask()
    except AuthRetryableError as error:
        if error.status:
            raise
        raise httpx.ConnectError(error.message) from error


def _said(error: AuthApiError) -> WorkbenchError:
    if error.status == 429:
        return Busy("There were too many tries: wait a minute.")
    if error.status >= 500 or (error.status == 401 and "API key" in error.message):  # the server's own key is wrong
        return Unreachable(AGAIN)
    if error.code == "invalid_credentials":
        return BadInput("This address and this password do not belong together.")
    if error.code in {"user_already_exists", "email_exists"}:
        return Conflict("Somebody with this address is here already: sign in.")
    if error.code == "email_not_confirmed":
        return BadInput("Confirm your address first, by the link in the mail that you were sent.")
    return BadInput(ELSEWHERE if error.code in UNSEEN else _sentence(error.message))


def _sentence(text: str) -> str:
    return text.rstrip(".") + "."


def _tokens(session: Any) -> Tokens:
    if session is None:
        raise BadInput("That did not sign you in: confirm your address by the link in the mail first.")
    expires = session.expires_at or time.time() + session.expires_in
    return Tokens(session.access_token, session.refresh_token, float(expires))


def _verifier(auth: Any) -> str:
    """Of the sign-in that this client began; the library keeps it in the client's storage."""
    found: str | None = auth._storage.get_item(f"{auth._storage_key}-code-verifier")
    assert found is not None  # the default flow is PKCE
    return found
