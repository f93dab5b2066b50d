"""The sign-in page: plain forms that the server's own routes take, and what waits to be done after signing in.

Only form and words; nothing here sees a password. Names of fields are such as the page's sanitiser leaves in a form.
"""

from __future__ import annotations

import streamlit as st

from components import links, people, resources
from components.markup import Html, card, esc, join, link
from core.community.back import path
from core.community.deeds import Deed
from core.community.notes import Note
from core.errors import WorkbenchError

NEW = "new"
"""`way=new` shows the form for somebody new."""
PROVIDERS = {"github": "GitHub", "google": "Google"}
LEAD = "Reading needs no account. Stars, lists, comments and test suites are kept under your name."
QUOTED = 2000
"""Characters of a text that waits that are shown."""


def page() -> None:
    """Draws it: /sign-in?next=…&draft=…&way=new."""
    door, asked = resources.workbench().community, st.query_params
    goto, draft, note = path(asked.get("next", "/")), asked.get("draft", ""), door.notes.get(asked.get("note", ""))
    deed = door.drafts.get(draft) if draft else None
    waits = waiting(deed) if deed else _gone() if draft else Html("")
    told = _told(note)
    if not door.shared:
        st.html(_frame("Nobody signs in here", f"{told}{_alone(door.community.kind)}"))
        return
    try:
        me = people.people().me
    except WorkbenchError as error:
        st.html(_frame("Sign in", f"{told}{_note(str(error))}{waits}"))
        return
    kept = _hidden(next=goto, draft=draft if deed else "")
    if me is not None:
        st.html(_frame(f"You are signed in as {me.name}", f"{told}{waits}{_here(kept, goto, bool(deed))}"))
        return
    new = asked.get("way") == NEW or bool(note and note.name)
    framed = resources.workbench().settings.framed
    forms = _forms(door.community.ways, kept, note or Note(""), new, framed)
    tabs = _tabs(new, goto, draft) if "password" in door.community.ways else ""
    st.html(_frame("Sign in", f"{told}{waits}{card(tabs + forms)}", LEAD))


def _frame(title: str, body: str, lead: str = "") -> Html:
    about = f'<p class="fs-lead">{esc(lead)}</p>' if lead else ""
    return Html(f'<div class="fs-door"><h1 class="fs-title">{esc(title)}</h1>{about}{body}</div>')


def _note(said: str, *, good: bool = False) -> Html:
    return Html(
        f'<div class="fs-note {"" if good else "warn"}" role="{"status" if good else "alert"}">{esc(said)}</div>'
    )


def _told(note: Note | None) -> Html:
    return _note(note.said, good=note.good) if note else Html("")


def _gone() -> Html:
    return _note("What you had begun is no longer kept: it was done, or a day has passed.")


# -- the forms ---------------------------------------------------------------------------------------------------------


def _tabs(new: bool, goto: str, draft: str) -> Html:
    kept = [(name, value) for name, value in (("next", goto), ("draft", draft)) if value and value != "/"]
    tabs = ((False, "Sign in", kept), (True, "New here", [("way", NEW), *kept]))
    return Html(
        '<nav class="fs-tabs" aria-label="Sign in or new">'
        + join(
            f'<a href="{esc(links.page("sign-in", *pairs))}" data-stay=""{" aria-current=page" * (which == new)}>'
            f"{name}</a>"
            for which, name, pairs in tabs
        )
        + "</nav>"
    )


def _forms(ways: tuple[str, ...], kept: Html, note: Note, new: bool, framed: bool) -> Html:
    """Every way that the server has; in a frame, those that come back by a link open a tab of their own."""
    own_tab = ' target="_blank"' if framed else ""
    email = _field("email", "Mail address", "email", note.email, "autocomplete=email required")
    parts: list[str] = []
    if "password" in ways:
        more, button, way, secret = "", "Sign in", "sign-in", "current-password"
        if new:
            rule = "2 to 32 letters, digits, “.”, “_” or “-”; everybody sees it"
            more = _field("person", "Name", "text", note.name, "autocomplete=username required maxlength=32", rule)
            button, way, secret = "Make an account", "sign-up", "new-password"
        word = _field("password", "Password", "password", "", f"autocomplete={secret} required")
        parts.append(
            f'<form action="/auth/{way}" method="post" class="fs-stack">{more}{email}{word}{kept}'
            f'<button class="fs-btn p" type="submit">{button}</button></form>'
        )
    others = [
        f'<form action="/auth/go/{one}" method="get"{own_tab}>{kept}'
        f'<button class="fs-btn" type="submit">Continue with {name}</button></form>'
        for one, name in PROVIDERS.items()
        if one in ways
    ]
    if "link" in ways and not (new and "password" in ways):
        others.append(
            f'<form action="/auth/link" method="post" class="fs-row fs-tight"{own_tab}><input class="fs-in" '
            f'name="email" type="email" value="{esc(note.email)}" aria-label="Mail address for a link" '
            f'placeholder="Mail address" autocomplete="email" required>{kept}'
            '<button class="fs-btn" type="submit">Mail me a link</button></form>'
        )
    if parts and others:
        parts.append('<div class="fs-or"><span>or</span></div>')
    return join([*parts, f'<div class="fs-stack">{join(others)}</div>' if others else ""])


def _field(name: str, label: str, kind: str, value: str, more: str, hint: str = "") -> Html:
    under = f'<span class="fs-soft fs-small" id="fs-{name}-hint">{esc(hint)}</span>' if hint else ""
    tied = f' aria-describedby="fs-{name}-hint"' if hint else ""
    return Html(
        f'<div class="fs-field"><label for="fs-{name}">{esc(label)}</label><input class="fs-in" id="fs-{name}" '
        f'name="{name}" type="{kind}" value="{esc(value)}" {more}{tied}>{under}</div>'
    )


def _hidden(**fields: str) -> Html:
    return join(f'<input type="hidden" name="{name}" value="{esc(value)}">' for name, value in fields.items() if value)


# -- other states ------------------------------------------------------------------------------------------------------


def _here(kept: Html, goto: str, waits: bool) -> Html:
    """For somebody who is signed in already."""
    back = link(goto, "Go on", "fs-btn p")
    if waits:
        back = join(
            f'<form action="/auth/draft" method="post">{kept}<input type="hidden" name="what" value="{what}">'
            f'<button class="fs-btn{extra}" type="submit">{said}</button></form>'
            for what, said, extra in (("do", "Do it now", " p"), ("drop", "Forget it", ""))
        )
    return Html(f'<div class="fs-row">{back}{link("/account", "Your account", "fs-btn")}</div>')


def _alone(kind: str) -> Html:
    if kind == "none":
        return card("<p>Stars, lists and comments are switched off on this server. Everything else works.</p>")
    name = people.people().me
    assert name is not None  # a local workbench has its person
    return card(
        f"<p>This workbench has one person, <b>{esc(name.name)}</b>: whoever opens it. What you star, list and write "
        "is kept in a file on its machine.</p>"
        f'<div class="fs-row">{link(links.person(name.name), "Your page", "fs-btn p")}'
        f"{link('/account', 'Name and API keys', 'fs-btn')}</div>"
    )


# -- what waits --------------------------------------------------------------------------------------------------------


def waiting(deed: Deed) -> Html:
    """What will be done after signing in, as it will be done."""
    on = f" on {_thing(deed.on)}" if deed.on else ""
    told, values = "", deed.values
    if deed.kind == "comment":
        what, told = f"{'Your answer' if values.get('parent') else 'Your comment'}{on}", values.get("body", "")
    elif deed.kind in ("explain", "explain-edit"):
        what, told = f"What you say that a feature means{on if deed.kind == 'explain' else ''}", values.get("text", "")
    elif deed.kind == "vote":
        what = f"{'Taking back your vote' if not values.get('vote') else 'Your vote'}{on}"
    elif deed.kind == "play":
        what, told = f"Your answer to a round of play{on}", values.get("words", "")
    elif deed.kind == "mark":
        what = f"Your mark{on}"
    elif deed.kind in ("star", "unstar"):
        what = f"{'Your star for' if deed.kind == 'star' else 'Taking back your star for'} {_thing(deed.on)}"
    elif deed.kind == "list":
        count = len(values.get("items", ()))
        what = f"Your list <b>{esc(values.get('name', ''))}</b>, with {count} feature{'s' * (count != 1)}"
        told = values.get("about", "")
    elif deed.kind == "suite":
        count = len(values.get("cases", ()))
        what = f"Your test suite <b>{esc(values.get('name', ''))}</b>{on}, with {count} text{'s' * (count != 1)}"
    elif deed.kind == "save":
        what = f"Keeping this view as <b>{esc(values.get('name', ''))}</b>"
    elif deed.kind == "report":
        what, told = "Your report to the moderators", values.get("why", "")
    else:
        what = f"What you began{on}"
    text = str(told)
    shown = text if len(text) <= QUOTED else f"{text[:QUOTED]}…"
    quoted = f'<blockquote class="fs-waits-text">{esc(shown)}</blockquote>' if shown else ""
    copy = f'<button class="fs-btn" type="button" data-copy="{esc(text)}">Copy the text</button>' if text else ""
    return Html(
        f'<section class="fs-card fs-waits"><h2><span>Waits for you to sign in</span><span>{copy}</span></h2>'
        f"<p>{what}</p>{quoted}</section>"
    )


def _thing(on: str) -> Html:
    """A feature by its id; a list's id says nothing to a reader."""
    return link(links.feature(on), on) if on.count("/") == 2 else Html("a list")
