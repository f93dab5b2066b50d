"""Who looks at the page, and what they do on it: one way for every button that writes.

A deed of somebody who is signed in is done at once; of anybody else it waits as a draft, and the page offers to sign in
for it. Whatever goes wrong is said where it was asked for, and what was typed stays in its field.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import streamlit as st

from components import links, markup, resources
from core.community.deeds import Deed, perform
from core.community.people import People
from core.errors import NotSignedIn, Unreachable, WorkbenchError

PATIENCE = 2.0
"""Seconds that a page waits for people's things; the stores give up by then, too."""
AWAY = "What keeps people’s things is slow or away. Features can be read all the same; try again in a moment."


def cookie() -> str:
    """What the browser's cookie holds; set by the server's own routes, never by a page, and not readable by scripts."""
    return st.context.cookies.get(resources.workbench().community.cookie, "")


def people() -> People:
    """Whoever looks at the page."""
    return resources.workbench().community.people(cookie())


def kept() -> bool:
    """Whether people's things are kept here at all."""
    return resources.workbench().community.community.kind != "none"


def gather(*jobs: Callable[[People], Any]) -> tuple[Any, ...]:
    """What each job finds, all of them asked at once: a page waits for people's things once and not for long.

    In the place of what could not be found is the error; `Unreachable` for what took longer than `PATIENCE`.
    """
    door, own = resources.workbench().community, cookie()
    pool = ThreadPoolExecutor(len(jobs), thread_name_prefix="people")
    asked = [pool.submit(lambda job=job: job(door.people(own))) for job in jobs]  # type: ignore[misc]
    done, _ = wait(asked, PATIENCE)
    pool.shutdown(wait=False)
    return tuple(_outcome(one) if one in done else Unreachable(AWAY) for one in asked)


def _outcome(asked: Future[Any]) -> Any:
    try:
        return asked.result()
    except WorkbenchError as error:
        return error


def once(name: str, *said: object) -> str:
    """The id of what is about to be made of `said`: the same while this visitor sends the same.

    A first try that was kept although the store did not say so is then not kept again. `name` tells forms apart; one
    that made something forgets it with `made`.
    """
    seed = st.session_state.setdefault(f"once-{name}", str(uuid.uuid4()))
    return str(uuid.uuid5(uuid.UUID(seed), repr(said)))


def made(name: str) -> None:
    """The next that this form sends is something new, even if it is the same."""
    st.session_state.pop(f"once-{name}", None)


def do(deed: Deed, back: str, *, for_what: str) -> bool:
    """Does it, or says what is in the way; whether it was done.

    `back` is the address of the page as it stands, `for_what` what the sign-in is for (“post this comment”).
    """
    try:
        perform(people(), deed)
    except NotSignedIn:
        draft = resources.workbench().community.drafts.keep(deed)
        way = links.page("sign-in", ("next", back), ("draft", draft))
        st.html(
            '<div class="fs-note" role="status">What you did is kept: '
            f'<a class="fs-act" href="{markup.esc(way)}">sign in to {markup.esc(for_what)}</a>.</div>'
        )
        return False
    except WorkbenchError as error:
        st.html(markup.note(str(error)))  # not Streamlit's own, which would read a person's words as Markdown
        return False
    return True
