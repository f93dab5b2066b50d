"""The way in to people's things: which store there is, who a cookie or a key belongs to, signing in and out.

`Workbench.community` is one of these. Nothing of Supabase is imported before it is needed.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from core.community.alone import Alone
from core.community.bounds import person_name
from core.community.closed import Away, Off
from core.community.deeds import Drafts
from core.community.file import File
from core.community.keys import NO_KEY, digest
from core.community.notes import Notes
from core.community.people import People
from core.community.protocol import Begun, Community, Tokens, Visit, Way
from core.community.sessions import COOKIE, Sessions
from core.errors import BadInput, Busy, NotAvailable, NotSignedIn
from core.settings import Settings

if TYPE_CHECKING:
    from core.community.auth import Auth
    from core.community.hosted import Hosted

PROVIDERS: tuple[Literal["github"], Literal["google"]] = ("github", "google")
WAYS: tuple[Way, ...] = ("password", "link", "github", "google")


class Door:
    """People's things of one server."""

    cookie = COOKIE
    """What the cookie is called that `people` reads."""

    def __init__(self, settings: Settings, file: File) -> None:
        self._settings, self._file = settings, file
        self._sessions, self.drafts, self.notes = Sessions(file), Drafts(file), Notes()

    @cached_property
    def community(self) -> Community:
        """Where people's things are kept."""
        if self._settings.people == "none" or (self._settings.people == "shared" and not self.shared):
            return Off()
        return self._hosted if self._settings.supabase_url else Alone(self._file, self._settings.person)

    @property
    def shared(self) -> bool:
        """Whether people sign in: there is Supabase."""
        return self._settings.people != "none" and bool(self._settings.supabase_url)

    def people(self, cookie: str = "") -> People:
        """Whoever a browser's cookie belongs to; nobody without one, and the one person of a local workbench.

        Where a sign-in cannot be made fresh since Supabase is away, this does not raise: the first job does.
        """
        if not self.shared:
            return People(self.community, self.community.visit())
        try:
            tokens = self._sessions.tokens(cookie, self._auth.fresh) if cookie else None
        except Busy as error:
            return People(self.community, Away(str(error)))
        return People(self.community, self.community.visit(tokens))

    def by_key(self, key: str) -> People:
        """Whoever an API key belongs to; raises `NotSignedIn` for one that is not in force."""
        if self.shared:
            return People(self.community, self.community.visit(self._auth.by_key(key)))
        visit = self.community.visit()
        if not visit.rows("api_keys", {"hash": digest(key), "revoked_at": None}):
            raise NotSignedIn(NO_KEY)
        return People(self.community, visit)

    def revoke(self, people: People, id: str) -> None:
        """Ends an API key of theirs; on this server at once."""
        people.keys.revoke(id)
        if self.shared:
            self._auth.look_again()

    def referee(self) -> Visit | None:
        """Who may write points: this machine's person, or a server with the project's secret key; else nobody."""
        store = self.community
        if store.kind != "hosted":
            return store.visit() if store.kind == "local" else None
        secret = self._settings.supabase_secret_key.get_secret_value()
        return self._hosted.everything(secret) if secret else None

    # -- signing in; each gives what the cookie is to hold, or what goes on elsewhere ----------------------------------

    def sign_in(self, email: str, password: str) -> str:
        """By password."""
        self._way("password")
        return self._begin(self._auth.sign_in(_address(email), _given(password)))

    def sign_up(self, email: str, password: str, name: str, back: str) -> str | Begun:
        """As somebody new; begun where a mail has to be answered first, whose link comes back to `back` with a code."""
        self._way("password")
        found = self._auth.sign_up(_address(email), _given(password), person_name(name), back)
        return self._begin(found) if isinstance(found, Tokens) else found

    def send_link(self, email: str, back: str) -> Begun:
        """By a mail, whose link comes back to the address `back` with a code."""
        self._way("link")
        return self._auth.send_link(_address(email), back)

    def provider(self, name: str, back: str) -> Begun:
        """By GitHub or Google, which come back with a code."""
        for one in PROVIDERS:
            if name == one:
                self._way(one)
                return self._auth.provider(one, back)
        raise BadInput(f"“{name[:40]}” is no way to sign in.")

    def redeem(self, code: str, verifier: str) -> str:
        """The code with which a link or a provider came back."""
        self._way()
        return self._begin(self._auth.redeem(code, verifier))

    def leave(self, cookie: str) -> None:
        """Forgets one browser's sign-in, since it begins another."""
        self._sessions.end(cookie)

    def sign_out(self, cookie: str) -> None:
        """Ends every sign-in of the person, in every browser; on this server also where Supabase does not answer."""
        if not self.shared:
            return
        try:
            tokens = self._sessions.tokens(cookie, self._auth.fresh)  # Supabase wants one that is in force
        except Busy:
            tokens = self._sessions.tokens(cookie, lambda old: old)
        self._sessions.end(cookie)
        if tokens is None:
            return
        from core.community.tokens import read

        self._sessions.end_all(read(tokens.access).person)
        self._auth.sign_out(tokens)

    def _begin(self, tokens: Tokens) -> str:
        from core.community.tokens import read

        return self._sessions.begin(read(tokens.access).person, tokens)

    def _way(self, way: Way | None = None) -> None:
        if not self.shared:
            raise NotAvailable("Nobody signs in here: this workbench has one person, or none.")
        if way is not None and way not in self.community.ways:
            raise NotAvailable(f"This server has no sign-in by {way}.")

    @cached_property
    def _hosted(self) -> Hosted:
        from core.community.hosted import Hosted

        asked = [part.strip() for part in self._settings.sign_in.split(",")]
        ways = tuple(way for way in WAYS if way in asked)
        return Hosted(self._settings.supabase_url, self._settings.supabase_key.get_secret_value(), ways)

    @cached_property
    def _auth(self) -> Auth:
        from core.community.auth import Auth

        return Auth(self._hosted.line, self._settings.supabase_secret_key.get_secret_value())


def _address(text: str) -> str:
    found = text.strip()
    if "@" not in found.strip("@") or len(found) > 254 or any(c.isspace() or not c.isprintable() for c in found):
        raise BadInput(f"“{found[:60]}” is no mail address." if found else "Write your mail address.")
    return found


def _given(password: str) -> str:
    if not password:
        raise BadInput("Write a password.")
    return password
