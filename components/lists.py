"""Lists where they meet a feature: the row of what one may do with it, the lists that it stands in, adding it to one.

A page asks for all of people's things at once (`found`) and hands them to the parts, so that a store that is away costs
the page one wait and every part says so for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from components import comments, controls, list_panels, people, stars
from components.markup import card, join, note
from core.community import limits
from core.community.deeds import Deed
from core.community.records import ListCard, Listed
from core.errors import NotSignedIn, WorkbenchError
from core.records import FeatureKey

NEW = "A new list"
SEEN = {"public": "Public", "unlisted": "With the link", "private": "Only me"}
"""What each visibility is called where one chooses."""
ABOUT_SEEN = "Public lists are found by everybody. With the link: whoever has its address. Only me: nobody else."


def feature(key: FeatureKey, row: Any, side: Any, below: Any, back: str) -> None:
    """Draw people's parts of a feature's page into their places; nothing where nothing of people's is kept."""
    if not people.kept():
        return
    starred, held, said, me = people.gather(
        lambda them: them.stars.of(key), lambda them: them.lists.holding(key), lambda them: them.comments.on(key),
        lambda them: them.me,
    )  # fmt: skip
    me = None if isinstance(me, WorkbenchError) else me
    with row:
        if isinstance(starred, WorkbenchError):
            st.html(note(str(starred)))
        else:
            stars.button(key, starred, back)
            if st.button(":material/playlist_add: Add to a list", key=f"add-{key}"):
                add([key], back)
    with side:
        controls.draw(holding(held))
    with below:
        comments.thread(key, said, me, back)


def holding(found: Sequence[Listed] | WorkbenchError) -> str:
    """The lists that a feature stands in, with the notes to it; nothing where it stands in none."""
    if isinstance(found, WorkbenchError):
        return card(note(str(found)), "In lists")
    if not found:
        return ""
    return card(join(list_panels.listed(one) for one in found), "In lists", f"{len(found):,}")


@st.dialog("Add to a list")
def add(keys: Sequence[FeatureKey], back: str) -> None:
    """Asks which of one's lists, or for a new one, and for a note; adds the features."""
    own = mine()
    names = {one.id: f"{one.name} · {one.items:,}" for one in own} | {"": NEW}
    chosen = ""
    if own:  # outside of the form: a new list has fields of its own
        chosen = st.selectbox("List", list(names), format_func=lambda id: names.get(id, NEW), key="add-which") or ""
    with st.form("add-to-list", border=False):
        name, seen = "", None
        if not chosen:
            name = st.text_input("Name of the list", key="add-name", max_chars=limits.TITLE)
            seen = st.segmented_control(
                "Who sees it", list(SEEN), default="public", key="add-seen", format_func=SEEN.get, help=ABOUT_SEEN
            )
        said = st.text_area("Note to this feature", key="add-note", height=88, max_chars=limits.NOTE)
        sent = st.form_submit_button("Add", type="primary")
    if not sent:
        return
    items = [{"feature": str(key), "note": said} for key in keys]
    if chosen:
        deed = Deed("list-add", chosen, {"items": items})
    else:
        values = {"name": name, "visibility": seen or "public", "items": items}
        deed = Deed("list", "", values, id=people.once("add-to-list", values))
    if people.do(deed, back, for_what="add this to a list"):
        people.made("add-to-list")
        st.rerun()


def mine() -> tuple[ListCard, ...]:
    """One's lists, the last changed first; none, said where that is not plain, for who cannot see them."""
    (found,) = people.gather(lambda them: them.lists.mine())
    if isinstance(found, WorkbenchError):
        if not isinstance(found, NotSignedIn):
            st.html(note(str(found)))
        return ()
    return found  # type: ignore[no-any-return]

