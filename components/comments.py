"""The comments on a feature or a list: read, written, answered, edited, taken back, reported, hidden.

A fragment of its own: writing redraws the thread and nothing else. What is typed stays in its field until it is kept;
what a person who is not signed in writes waits as a draft while they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import streamlit as st

from components import comment_panels, people
from components.markup import note
from core.community import limits
from core.community.deeds import Deed
from core.community.records import Comment, Person
from core.errors import WorkbenchError
from core.records import FeatureKey

FIRST = 30
"""Comments that are drawn before one asks for more."""
DEEPEST = 3
"""Answers to answers are set in so far at most."""
HINT = "Markdown: *italic*, **bold**, `code`, [a link](/feature?id=…). Everybody reads it."


@dataclass(frozen=True, slots=True)
class Thread:
    """What is commented on, by whom."""

    on: FeatureKey | str
    back: str
    me: Person | None
    alone: bool = False
    """Whether the thread runs again by itself, without its page."""

    def again(self) -> NoReturn:
        """Draws it anew; Streamlit refuses a fragment's own run where the whole page runs."""
        st.rerun(scope="fragment" if self.alone else "app")

    @property
    def key(self) -> str:
        """Of its widgets."""
        return f"comments-{self.on}"

    @property
    def thing(self) -> str:
        """What it is called."""
        return "feature" if isinstance(self.on, FeatureKey) else "list"


def thread(on: FeatureKey | str, found: Sequence[Comment] | WorkbenchError, me: Person | None, back: str) -> None:
    """Draw the thread; `found` is what the page knows of it, `back` the page's address."""
    with st.container(key="fs-comments"):
        _thread(Thread(on, back, me), [found])


@st.fragment
def _thread(thread: Thread, given: list[Sequence[Comment] | WorkbenchError]) -> None:
    thread = replace(thread, alone=not given)
    found = given.pop() if given else people.gather(lambda them: them.comments.on(thread.on))[0]
    if isinstance(found, WorkbenchError):
        st.html(f'<h2 class="fs-h2">Comments</h2>{note(str(found))}')
        return
    count = sum(comment.state == "shown" for comment in found)
    st.html(f'<h2 class="fs-h2" id="comments"><span>Comments{f" · {count:,}" if count else ""}</span></h2>')
    if not found:
        st.html(comment_panels.none(thread.thing))
    every = st.session_state.get(f"{thread.key}-all", False)
    depths: dict[str, int] = {}
    for comment in found if every else found[:FIRST]:
        depths[comment.id] = min(DEEPEST, depths.get(comment.parent or "", -1) + 1)
        _one(thread, comment, depths[comment.id])
    if len(found) > FIRST and not every and st.button(f"Show {len(found) - FIRST:,} more", key=f"{thread.key}-more"):
        st.session_state[f"{thread.key}-all"] = True
        thread.again()
    _write(thread, None)


def _one(thread: Thread, comment: Comment, depth: int) -> None:
    """A comment, what may be done with it, and the field that was asked for."""
    with st.container(key=f"fs-said-{depth}-{comment.id}", gap=None):
        st.html(comment_panels.comment(comment))
        ways = _ways(thread, comment)
        if ways:
            with st.container(horizontal=True, gap="small", key=f"fs-do-{comment.id}"):
                for way in ways:
                    if st.button(way, key=f"{way}-{comment.id}", type="tertiary"):
                        _open(thread, comment, way)
        opened = st.session_state.get(f"{thread.key}-open")
        if opened == (comment.id, "Reply"):
            _write(thread, comment)
        elif opened is not None and opened[0] == comment.id and opened[1] in ways:
            {"Edit": _edit, "Delete": _delete, "Report": _report, "Hide": _hide, "Show again": _show}[opened[1]](
                thread, comment
            )


def _ways(thread: Thread, comment: Comment) -> list[str]:
    """What this reader may do with a comment."""
    mine = thread.me is not None and thread.me.id == comment.owner
    moderates = thread.me is not None and thread.me.moderates
    if comment.state == "hidden":
        return ["Show again"] * moderates
    if comment.state == "deleted":
        return []
    return ["Reply"] + (["Edit", "Delete"] if mine else ["Report"] + ["Hide"] * moderates)


def _open(thread: Thread, comment: Comment | None, way: str = "") -> None:
    """One field is open at a time; asking for it again closes it."""
    name, now = f"{thread.key}-open", None if comment is None else (comment.id, way)
    st.session_state[name] = None if st.session_state.get(name) == now else now
    thread.again()


def _done(thread: Thread, deed: Deed, for_what: str) -> None:
    """Does it; then the field closes."""
    if people.do(deed, thread.back, for_what=for_what):
        _open(thread, None)


def _write(thread: Thread, to: Comment | None) -> None:
    """A field for a new comment, or for an answer."""
    name = f"{thread.key}-{to.id if to else 'new'}"
    version = st.session_state.setdefault(f"{name}-version", 0)
    with st.form(f"{name}-form", border=False):
        said = st.text_area(
            f"Answer to {to.owner_name}" if to else f"Say something about this {thread.thing}",
            key=f"{name}-{version}", height=88, placeholder=HINT, max_chars=limits.COMMENT,
        )  # fmt: skip
        sent = st.form_submit_button("Post the answer" if to else "Post", type="primary")
    if not sent:
        return
    values = {"body": said, "parent": to.id if to else None}
    deed = Deed("comment", str(thread.on), values, id=people.once(name, values))
    if people.do(deed, thread.back, for_what="post this comment"):
        people.made(name)
        st.session_state[f"{name}-version"] = version + 1  # an empty field
        st.session_state[f"{thread.key}-open"] = None
        st.session_state[f"{thread.key}-all"] = True  # so that one sees one's own
        thread.again()


def _edit(thread: Thread, comment: Comment) -> None:
    with st.form(f"edit-{comment.id}-form", border=False):
        said = st.text_area("Your comment", comment.body, key=f"edit-{comment.id}", max_chars=limits.COMMENT)
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        _done(thread, Deed("comment-edit", comment.id, {"body": said}), "edit this comment")


def _delete(thread: Thread, comment: Comment) -> None:
    st.html('<p class="fs-soft fs-small">The words go; the answers to them stay.</p>')
    if st.button("Delete it", key=f"really-{comment.id}", type="primary"):
        _done(thread, Deed("comment-delete", comment.id), "delete this comment")


def _why(thread: Thread, comment: Comment, kind: str, label: str, send: str) -> str | None:
    """The reason for something, once it is sent."""
    with st.form(f"{kind}-{comment.id}-form", border=False):
        why = st.text_input(label, key=f"{kind}-{comment.id}", max_chars=limits.REASON)
        return why if st.form_submit_button(send, type="primary") else None


def _report(thread: Thread, comment: Comment) -> None:
    why = _why(thread, comment, "report", "What is wrong with it? A moderator reads this.", "Report")
    if why is None:
        return
    values = {"why": why, "comment": comment.id, "list": thread.on if isinstance(thread.on, str) else None}
    if people.do(Deed("report", str(thread.on), values), thread.back, for_what="report this comment"):
        st.session_state[f"{thread.key}-open"] = None
        st.html(note("Thank you: a moderator will look at it.", warn=False))


def _hide(thread: Thread, comment: Comment) -> None:
    why = _why(thread, comment, "hide", "The reason, which stands in its place", "Hide it")
    if why is not None:
        _done(thread, Deed("comment-hide", comment.id, {"why": why}), "hide this comment")


def _show(thread: Thread, comment: Comment) -> None:
    st.html('<p class="fs-soft fs-small">It is shown again as it was.</p>')
    if st.button("Show it", key=f"really-{comment.id}", type="primary"):
        _done(thread, Deed("comment-show", comment.id), "show this comment")
