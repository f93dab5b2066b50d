"""One's own account: name, API keys, what is hidden, what was used today, everything to take along, signing out.

What is typed goes to the jobs of `core.community.people` as it is; what they refuse is said where it was asked for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import streamlit as st

from components import links, people, resources
from components.markup import Html, card, esc, join, link, note
from core.community import limits
from core.community.people import People
from core.community.records import ApiKey, Person
from core.errors import WorkbenchError

SHOWN = "account-new-key"
"""Where a new key waits to be copied, until something else is done on the page."""


def page() -> None:
    """Draws it."""
    if not people.kept():
        st.html(card("<p>Stars, lists and comments are switched off on this server, so there are no accounts.</p>"))
        return
    mine = people.people()
    try:
        me = mine.me
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    if me is None:
        way = links.page("sign-in", ("next", "/account"))
        st.html(card(f'<div class="fs-empty"><b>Nobody is signed in</b>{link(way, "Sign in", "fs-btn p")}</div>'))
        return
    with st.container(key="fs-account"):
        _profile(mine, me)
        _keys(mine)
        _explicit(mine)
        _used(mine)
        _take(mine, me)
        _leave()


def _section(key: str, title: str, about: str) -> st.delta_generator.DeltaGenerator:
    box = st.container(key=f"fs-account-{key}", border=True)
    box.html(f'<h2 class="fs-h2"><span>{esc(title)}</span></h2><p class="fs-soft fs-account-about">{about}</p>')
    return box


def _tried(job: Callable[[], object], done: str) -> bool:
    """Does it, and says that it was done or why not."""
    try:
        job()
    except WorkbenchError as error:
        st.html(note(str(error)))
        return False
    st.html(f'<div class="fs-note" role="status">{esc(done)}</div>')
    return True


def _profile(mine: People, me: Person) -> None:
    page_of = link(links.person(me.name), "your page")
    with _section("profile", "Name", f"It stands beside all that you share, and in the address of {page_of}."):
        with st.form("account-profile", border=False):
            name = st.text_input("Name", me.name, max_chars=32)
            about = st.text_area("About you", me.about, max_chars=limits.ABOUT, height=90)
            sent = st.form_submit_button("Save")
        if sent and _tried(lambda: mine.describe(name=name, about=about), "Saved."):
            st.session_state.pop(SHOWN, None)


# -- keys --------------------------------------------------------------------------------------------------------------


def _keys(mine: People) -> None:
    door = resources.workbench().community
    about = (
        'For programs that use the <a href="/api/docs">API</a> as you: they send it as <code>X-Api-Key</code>. A key '
        "is shown once and kept as a hash."
    )
    with _section("keys", "API keys", about):
        with st.form("account-key", border=False, clear_on_submit=True):
            name = st.text_input("What it is for", max_chars=limits.KEY_NAME, placeholder="notebook on my laptop")
            sent = st.form_submit_button("New key")
        if sent:
            st.session_state.pop(SHOWN, None)
            try:
                st.session_state[SHOWN] = mine.keys.new(name)
            except WorkbenchError as error:
                st.html(note(str(error)))
        if found := st.session_state.get(SHOWN):
            st.html(_new_key(found))
        try:
            held = mine.keys.mine()
        except WorkbenchError as error:
            st.html(note(str(error)))
            return
        for key in (key for key in held if not key.revoked):
            with st.container(key=f"fs-key-{key.id}", horizontal=True, vertical_alignment="center"):
                st.html(_key(key))
                if st.button("Revoke", key=f"revoke-{key.id}", help="Whatever uses it is refused from then on"):
                    st.session_state.pop(SHOWN, None)
                    if _tried(lambda key=key: door.revoke(mine, key.id), "Revoked."):  # type: ignore[misc]
                        st.rerun()
        ended = [key for key in held if key.revoked]
        if ended:
            st.html(
                f'<details class="fs-more"><summary>{len(ended)} revoked</summary>{join(map(_key, ended))}</details>'
            )


def _new_key(key: str) -> Html:
    return Html(
        '<div class="fs-note" role="status"><b>Copy it now</b>: it is not shown again.'
        f'<div class="fs-code" style="margin:8px 0 0"><code>{esc(key)}</code>'
        f'<button class="fs-btn" type="button" data-copy="{esc(key)}">Copy</button></div></div>'
    )


def _key(key: ApiKey) -> Html:
    used = f"last used {_day(key.used)}" if key.used else "not used yet"
    ended = f" · revoked {_day(key.revoked)}" if key.revoked else ""
    return Html(
        f'<div class="fs-key"><b>{esc(key.name)}</b> <code class="fs-mono">{esc(key.start)}…</code>'
        f'<div class="fs-soft fs-small">made {_day(key.made)} · {used}{ended}</div></div>'
    )


def _day(moment: str) -> str:
    try:
        found = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return esc(moment)
    return f"{found.day} {found:%B %Y}"


# -- the rest ----------------------------------------------------------------------------------------------------------


def _explicit(mine: People) -> None:
    about = (
        "Examples with words of a list of explicit ones are covered until you open them. A feature is never hidden as "
        "a whole."
    )
    with _section("explicit", "Explicit text", about):
        try:
            chosen = mine.hides_explicit()
        except WorkbenchError as error:
            st.html(note(str(error)))
            return
        now = resources.workbench().community.shared if chosen is None else chosen
        wanted = st.toggle("Cover examples with explicit text", now, key="account-explicit")
        if wanted != now:
            _tried(lambda: mine.hide_explicit(wanted), "Saved.")


def _used(mine: People) -> None:
    settings = resources.workbench().settings
    pace = (
        f"Running models costs nothing here; the API answers {settings.requests_a_minute:,} such requests a minute."
        if settings.requests_a_minute
        else "Running models costs nothing here, and is not counted."
    )
    with _section("used", "Today", f"What costs money is counted a day, from midnight UTC. {pace}"):
        try:
            used = mine.keys.used_today()
        except WorkbenchError as error:
            st.html(note(str(error)))
            return
        rows = join(f"<dt>{esc(kind)}</dt><dd>{amount:g}</dd>" for kind, amount in used)
        st.html(f'<dl class="fs-facts">{rows}</dl>' if used else '<p class="fs-soft">Nothing was used today.</p>')


def _take(mine: People, me: Person) -> None:
    about = (
        "Everything that you keep here as lines of JSON: profile, lists, stars, comments, test suites, saved views. "
        "Of API keys their names alone."
    )
    with _section("take", "Take everything along", about):
        st.download_button(
            "Download", mine.everything, f"featurescope_{me.name}.jsonl", "application/x-ndjson",
            key="account-export", on_click="ignore",
        )  # fmt: skip


def _leave() -> None:
    if not resources.workbench().community.shared:
        return
    with _section("leave", "Sign out", "In every browser and on every device."):
        st.html(
            '<form action="/auth/sign-out" method="post"><button class="fs-btn" type="submit">Sign out everywhere'
            "</button></form>"
        )
