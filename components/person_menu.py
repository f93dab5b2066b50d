"""The corner of every page: who is signed in and the way to their things, or the way to sign in.

Who it is may take a question to Supabase: a page does not wait for it longer than a blink, and what came late is drawn
when the page is.
"""

from __future__ import annotations

import streamlit as st

from components import controls, links, people, resources
from components.jobs import Job
from components.markup import Html, esc, link, tip
from core.community.records import Person

BLINK = 0.2
"""Seconds."""
PATIENCE = 2.5


class Menu:
    """Drawn where it is made; `finish` draws it where that came too early."""

    def __init__(self, page: str) -> None:
        door, cookie = resources.workbench().community, people.cookie()
        self._shared, self._page = door.shared, page
        self._slot = st.empty()
        self._job = Job(lambda tell: door.people(cookie).me) if people.kept() else None
        self._done = self._job is None or self._drawn(BLINK)

    def finish(self) -> None:
        """Once the page is drawn."""
        if not self._done and not self._drawn(PATIENCE):
            self._slot.html(_away("It does not answer."))

    def _drawn(self, seconds: float) -> bool:
        assert self._job is not None
        if not self._job.wait(seconds):
            return False
        found = self._job.outcome()
        if isinstance(found, str):
            self._slot.html(_away(found))
        elif found is None:
            self._slot.html(_sign_in(self._page))
        else:
            named = resources.workbench().settings.administrator_ids()
            adds = not self._shared or bool({"*", found.id} & named)
            self._slot.html(person(found, shared=self._shared, back=controls.here(self._page), adds=adds))
        return True


def _sign_in(page: str) -> Html:
    """The way there, and back again."""
    kept = [("next", controls.here(page))]
    if page == "sign-in":
        kept = [(name, st.query_params[name]) for name in ("next", "draft") if name in st.query_params]
    return _corner(link(links.page("sign-in", *kept), "Sign in", "fs-btn"))


def _away(why: str) -> Html:
    return _corner(f'<span class="fs-soft fs-small" {tip(why)}>People’s part is away</span>')


def person(me: Person, *, shared: bool, back: str, adds: bool = True) -> Html:
    """The menu of somebody; `adds` says whether they may add sources."""
    out = (
        f'<form action="/auth/sign-out" method="post"><input type="hidden" name="next" value="{esc(back)}">'
        '<button type="submit">Sign out everywhere</button></form>'
        if shared
        else ""
    )
    hidden = link("/add", "Add a source") if adds else ""
    hidden += link("/moderation", "Moderation") if me.moderates and shared else ""
    return _corner(
        f'<details class="fs-me"><summary><span>{esc(me.name)}</span></summary><div class="fs-me-menu">'
        f"{link(links.person(me.name), 'Your page')}{link('/account', 'Account')}{hidden}{out}</div></details>"
    )


def _corner(body: str) -> Html:
    return Html(f'<nav class="fs-corner" aria-label="You">{body}</nav>')
