"""Whether explicit text is covered for whoever looks, and the question, asked once, whether it is to be.

A person's preference counts; of a visitor it is a choice of their browser's, in a cookie. Until somebody chose it is
covered on a shared workbench and not on one's own. Only the examples concerned are covered, and each can be shown.
"""

from __future__ import annotations

import time

import streamlit as st

from components import charts, people, resources
from components.markup import note
from core.errors import WorkbenchError

COOKIE = "featurescope-explicit"
"""`show` or `hide`; not a secret, and set by the page's own script."""
FRESH = 20.0
"""Seconds for which a person's preference is not asked for again; where it is kept is a request away."""


def hides() -> bool:
    """Whether explicit text is covered."""
    chosen = _chosen()
    return resources.workbench().community.shared if chosen is None else chosen


def _chosen() -> bool | None:
    """What whoever looks chose; None where they were not asked yet."""
    own = st.context.cookies.get(COOKIE, "")
    visitor = {"hide": True, "show": False}.get(own)
    if not people.kept():
        return visitor
    signed_in, told = _preference()
    return told if signed_in and told is not None else visitor


def _preference() -> tuple[bool, bool | None]:
    """(whether there is a person, what they chose)."""
    shared = resources.workbench().community.shared
    if shared and not people.cookie():
        return False, None
    when, found = st.session_state.get("explicit-known", (0.0, (False, None)))
    if not shared or time.monotonic() - when > FRESH:
        (asked,) = people.gather(lambda them: (them.me is not None, them.hides_explicit()))
        found = (False, None) if isinstance(asked, WorkbenchError) else asked
        st.session_state["explicit-known"] = (time.monotonic(), found)
    return found  # type: ignore[no-any-return]


def dress() -> None:
    """Put the style on the page that covers explicit text, if it is to be; takes no room."""
    if hides():
        st.html(f"<style>{charts.COVER}</style>")


def ask(*, there_is_some: bool) -> None:
    """Ask once, where something is covered and nobody chose."""
    if not there_is_some or _chosen() is not None or not hides():
        return
    said = "Some examples have explicit words and are covered."
    if _preference()[0]:
        with st.container(key="fs-explicit", horizontal=True, gap="small", vertical_alignment="center"):
            st.html(f'<span class="fs-soft">{said}</span>')
            for label, hide in (("Keep them covered", True), ("Show them", False)):
                if st.button(label, key=f"explicit-{hide}", type="tertiary"):
                    _choose(hide)
        return
    ways = "".join(
        f'<button class="fs-pill" type="button" data-choose="{COOKIE}={value}">{label}</button>'
        for value, label in (("hide", "Keep them covered"), ("show", "Show them"))
    )
    st.html(note(said, warn=False, actions=ways))


def _choose(hide: bool) -> None:
    try:
        people.people().hide_explicit(hide)
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    st.session_state.pop("explicit-known", None)
    st.rerun()
