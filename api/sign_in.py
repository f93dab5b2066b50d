"""Signing in and out, at /auth: the server's own routes, since a page cannot set a cookie that scripts do not read.

A form of `/sign-in` is posted here and answered with 303: onward to `next`, a path of this site and nothing else, or
back to the form with a message (`core.community.notes`) and what was typed, but for the password. Who comes from a mail
or a provider brings a code, which only the browser that began can redeem (PKCE): what proves that waits in a cookie of
its own. A draft that waited for the sign-in is done once, as whoever signed in, and stays where that does not work.

Posts from other sites are refused, so that no page that somebody looks at signs them in or out, or says anything for
them. No password and no token goes into a log, an address or a message.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api import links, site
from api.pace import Counter
from core.community.back import path
from core.community.notes import Note
from core.errors import BadInput, WorkbenchError
from core.workbench import Workbench

if TYPE_CHECKING:
    from core.community.door import Door
    from core.community.people import People
    from core.community.protocol import Begun

TRIES = 20
"""Posts that one client may send a minute. Supabase has bounds of its own, but sees one address for all of us."""
MOST = 64 * 2**10
"""Bytes of a form."""
MAILED = "A mail is on its way to {}. Open its link in this browser, within the hour."
FAULT = "Something went wrong on this server, and it is not your input: try again in a moment."
ELSEWHERE = "This link was asked for in another browser, or too long ago: ask for another one here."
REFUSED = "This came from another site, so nothing was done."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Form:
    """What was posted, or asked for in an address."""

    next: str = "/"
    draft: str = ""
    email: str = ""
    password: str = ""
    person: str = ""
    what: str = ""

    @classmethod
    def read(cls, pairs: list[tuple[str, str]]) -> Form:
        """The known fields, the last of each; `next` is a path of this site or the root."""
        given = {name: value for name, value in pairs if name in cls.__slots__}
        return cls(**given | {"next": path(given.get("next", ""))})


Job = Callable[[Request, Form], Response]


def routes(workbench: Workbench) -> list[BaseRoute]:
    """Every route, with its path from the server's root."""
    way = SignIn(workbench)
    posts = {
        "sign-in": way.sign_in, "sign-up": way.sign_up, "link": way.link, "sign-out": way.sign_out, "draft": way.draft,
    }  # fmt: skip
    return [
        *(Route(f"/auth/{name}", way.posted(job), methods=["POST"]) for name, job in posts.items()),
        Route("/auth/go/{provider}", way.asked(way.go), methods=["GET"]),
        Route("/auth/back", way.asked(way.back), methods=["GET"]),
    ]


class SignIn:
    """The routes over one workbench."""

    def __init__(self, workbench: Workbench) -> None:
        self._bench, self._site = workbench, site.Site(workbench.settings)
        tries = min(TRIES, workbench.settings.requests_a_minute)
        self._counter = Counter(tries, proxies=workbench.settings.proxies, what="may be sent by one visitor")

    # -- how every request is taken ------------------------------------------------------------------------------------

    def posted(self, job: Job) -> Callable[[Request], Awaitable[Response]]:
        """A route that takes a form of our own pages."""

        async def handle(request: Request) -> Response:
            if not self._site.own(request):
                return _plain("Nothing was done", REFUSED, 403)
            body = await _body(request)
            if body is None:
                return _plain("Nothing was done", f"The form is too long: at most {MOST // 2**10} KiB are read.", 413)
            pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=None)
            return await run_in_threadpool(self._done, job, request, Form.read(pairs))

        return handle

    def asked(self, job: Job) -> Callable[[Request], Response]:
        """A route that is led to by a link. What waits is only named by one of our own pages."""

        def handle(request: Request) -> Response:
            form = Form.read(request.query_params.multi_items())
            if not self._site.own(request):
                form = Form(next=form.next)
            return self._done(job, request, form)

        return handle

    def _done(self, job: Job, request: Request, form: Form) -> Response:
        try:
            self._counter(request.scope)
            answer = job(request, form)
        except Exception as error:
            answer = self._again(form, _words(error))
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    # -- the routes ----------------------------------------------------------------------------------------------------

    def sign_in(self, request: Request, form: Form) -> Response:
        """By address and password."""
        return self._in(request, form, self._door.sign_in(form.email, form.password))

    def sign_up(self, request: Request, form: Form) -> Response:
        """As somebody new; where the project wants the address confirmed, by a mail."""
        found = self._door.sign_up(form.email, form.password, form.person, self._back_to(request))
        return self._in(request, form, found) if isinstance(found, str) else self._mailed(request, form, found)

    def link(self, request: Request, form: Form) -> Response:
        """By a link in a mail."""
        return self._mailed(request, form, self._door.send_link(form.email, self._back_to(request)))

    def go(self, request: Request, form: Form) -> Response:
        """To GitHub or Google."""
        begun = self._door.provider(request.path_params["provider"], self._back_to(request))
        return self._site.keep_way(request, _to(begun.url), begun.verifier, form.next, form.draft)

    def back(self, request: Request, form: Form) -> Response:
        """From a mail or a provider, with a code."""
        kept, given = self._site.way(request), request.query_params
        if kept is None:
            raise BadInput(ELSEWHERE)
        form = Form(next=kept.next, draft=kept.draft)
        if not given.get("code"):
            why = given.get("error_code") or given.get("error") or ""
            named = f" ({why})" if re.fullmatch("[a-z_]{1,40}", why) else ""
            old = why == "otp_expired"
            return self._again(form, ELSEWHERE if old else f"That did not sign you in{named}: try again.")
        try:
            cookie = self._door.redeem(given["code"], kept.verifier)
        except Exception as error:
            return self._again(form, _words(error))
        return self._site.drop_way(request, self._in(request, form, cookie))

    def sign_out(self, request: Request, form: Form) -> Response:
        """Everywhere. This server forgets the sign-in also where Supabase does not answer."""
        answer = _to(form.next)
        try:
            self._door.sign_out(request.cookies.get(self._door.cookie, ""))
        except Exception as error:
            answer = self._again(form, f"You are signed out here. Elsewhere perhaps not yet: {_words(error)}")
        return self._site.drop(request, answer, self._door.cookie)

    def draft(self, request: Request, form: Form) -> Response:
        """Does what waited, or forgets it, as somebody who is signed in already."""
        if form.what == "drop":
            self._door.drafts.drop(form.draft)
            return _to(form.next)
        return self._onward(form, self._door.people(request.cookies.get(self._door.cookie, "")))

    # -- what follows --------------------------------------------------------------------------------------------------

    @property
    def _door(self) -> Door:
        return self._bench.community

    def _back_to(self, request: Request) -> str:
        return f"{self._site.address(request)}/auth/back"

    def _mailed(self, request: Request, form: Form, begun: Begun) -> Response:
        answer = self._again(form, MAILED.format(form.email.strip()), good=True)
        return self._site.keep_way(request, answer, begun.verifier, form.next, form.draft)

    def _in(self, request: Request, form: Form, cookie: str) -> Response:
        """Signed in: the cookie is set, and what waited is done."""
        if before := request.cookies.get(self._door.cookie):
            self._door.leave(before)
        return self._site.keep(request, self._onward(form, self._door.people(cookie)), self._door.cookie, cookie)

    def _onward(self, form: Form, people: People) -> Response:
        """To where they came from, once what waited is done; else back, where it waits on."""
        if not form.draft:
            return _to(form.next)
        from core.community.deeds import perform

        try:
            with self._door.drafts.taking(form.draft) as deed:
                if deed is not None:
                    perform(people, deed)
        except Exception as error:
            return self._again(form, f"What you had begun could not be done yet. {_words(error)}")
        return _to(form.next)

    def _again(self, form: Form, said: str, *, good: bool = False) -> Response:
        """Back to the form, with a message and what was typed."""
        note = self._door.notes.keep(Note(said, good, form.email[:254], form.person[:80]))
        given = {"next": form.next if form.next != "/" else "", "draft": form.draft[:80], "note": note}
        return _to(f"/sign-in?{urlencode({name: value for name, value in given.items() if value}, safe='/')}")


def _words(error: Exception) -> str:
    """What went wrong, for the person."""
    if isinstance(error, WorkbenchError):
        return str(error)
    # the error's own words are left out of the log too: what was typed may be among them
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a route of /auth failed with %s\n%s", type(error).__name__, where)
    return FAULT


def _to(address: str) -> Response:
    return RedirectResponse(address, 303)


def _plain(title: str, said: str, status: int) -> Response:
    return HTMLResponse(links.plain(title, said), status)


async def _body(request: Request) -> bytes | None:
    """The form as it was sent; None where it is too long."""
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > MOST:
            return None
    return found
