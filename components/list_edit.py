"""What an owner may change of a list: what it says, its features, their notes, weights and order.

Each is a deed. Fields keep what was typed until it is kept; what is taken out can be put back.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from components import controls, markup, people, resources
from components.list_panels import Row
from components.lists import ABOUT_SEEN, SEEN
from components.markup import esc, note
from core.community import limits
from core.community.deeds import Deed
from core.community.records import FeatureList, Item, ListCard
from core.interchange import lists as files


def _do(deed: Deed, back: str, for_what: str = "change this list") -> bool:
    if people.do(deed, back, for_what=for_what):
        st.rerun()
    return False


# -- a feature of it ---------------------------------------------------------------------------------------------------


def ways(found: FeatureList, row: Row, place: int, back: str, *, movable: bool) -> None:
    """What may be done with one feature; moving only where the features stand as they were put."""
    key = str(row.item.feature)
    with st.container(horizontal=True, gap="small", key=f"fs-do-{key}"):
        if movable:
            up = st.button("↑ Up", key=f"up-{key}", type="tertiary", disabled=place == 1)
            down = st.button("↓ Down", key=f"down-{key}", type="tertiary", disabled=place == len(found.items))
            if up or down:
                _do(_moved(found, place, place - 1 if up else place + 1), back)
        if st.button("Edit", key=f"note-{key}", type="tertiary"):
            item(found, row, place, back)
        if st.button("Remove", key=f"take-{key}", type="tertiary"):
            st.session_state[f"taken-{found.card.id}"] = (row.item, [str(one.feature) for one in found.items])
            _do(Deed("list-take", found.card.id, {"features": [key]}), back)


def _moved(found: FeatureList, place: int, to: int) -> Deed:
    """The feature at one place put to another; places count from 1."""
    keys = [str(one.feature) for one in found.items]
    keys.insert(to - 1, keys.pop(place - 1))
    return Deed("list-order", found.card.id, {"features": keys})


@st.dialog("A feature of the list")
def item(found: FeatureList, row: Row, place: int, back: str) -> None:
    """Its note, its weight, its place."""
    key, kept = str(row.item.feature), row.item
    st.html(f'<b>{esc(markup.title(row.record) if row.record else key)}</b> <span class="fs-where">{esc(key)}</span>')
    with st.form(f"item-{key}", border=False):
        said = st.text_area(
            "Note", kept.note, key=f"item-note-{key}", height=130, max_chars=limits.NOTE, help="Markdown"
        )
        with st.container(horizontal=True):
            weight = st.number_input(
                "Weight", -limits.WEIGHT, limits.WEIGHT, kept.weight, step=0.5, format="%g", key=f"item-weight-{key}",
                help="Of this feature where the list is tested or steers as one; below zero the other way",
            )  # fmt: skip
            to = st.number_input("Place", 1, len(found.items), place, key=f"item-place-{key}")
        sent = st.form_submit_button("Save", type="primary")
    if not sent:
        return
    done = True
    if said.strip() != kept.note or weight != kept.weight:
        values = {"feature": key, "note": said, "weight": float(weight)}
        done = people.do(Deed("list-note", found.card.id, values), back, for_what="change this list")
    if done and to != place:
        done = people.do(_moved(found, place, int(to)), back, for_what="change this list")
    if done:
        st.rerun()


def undo(found: FeatureList, back: str) -> None:
    """Offers to put back what was just taken out."""
    name = f"taken-{found.card.id}"
    if name not in st.session_state:
        return
    taken, order = st.session_state[name]
    if any(one.feature == taken.feature for one in found.items):
        del st.session_state[name]  # it is there again, or never went
        return
    with st.container(horizontal=True, vertical_alignment="center", key="fs-undo"):
        st.html(f'<span class="fs-soft" role="status">{esc(taken.feature)} was taken out.</span>')
        if st.button("Put it back", key="undo", type="tertiary"):
            values = {"items": [plain(taken)]}
            if people.do(Deed("list-add", found.card.id, values), back, for_what="change this list"):
                _do(Deed("list-order", found.card.id, {"features": order}), back)


def plain(item: Item) -> dict[str, object]:
    """As a deed holds it."""
    return {"feature": str(item.feature), "note": item.note, "weight": item.weight}


def more(found: FeatureList, back: str) -> None:
    """Adds features by their ids; what cannot be read is named, and the rest added."""
    name = f"more-{found.card.id}"
    version = st.session_state.setdefault(f"{name}-version", 0)
    with st.container(key="fs-more-ids"):
        with st.form(name, border=False):
            said = st.text_area("Add features by their ids", key=f"{name}-{version}", height=88, placeholder=IDS)
            sent = st.form_submit_button("Add")
        if not sent:
            controls.draw(wrong_ids(st.session_state.pop(f"{name}-wrong", ())))
            return
        keys, wrong = files.read_ids(said, resources.workbench().resolve)
        if not keys:
            st.html(wrong_ids(wrong) if wrong else note("No id was given: write some."))
            return
        items = [plain(Item(key)) for key in keys]
        if people.do(Deed("list-add", found.card.id, {"items": items}), back, for_what="add to this list"):
            st.session_state[f"{name}-version"], st.session_state[f"{name}-wrong"] = version + 1, wrong
            st.rerun()


IDS = "One a line or with commas between: 2-res/78, a link to a feature, model/source/index"


def wrong_ids(wrong: Sequence[str], first: int = 8) -> str:
    """Each line that could not be read, by name; nothing where all could."""
    if not wrong:
        return ""
    said = "".join(f"<li>{esc(one)}</li>" for one in wrong[:first])
    rest = f"<li>and {len(wrong) - first:,} more</li>" if len(wrong) > first else ""
    return f'<div class="fs-note warn" role="status">Left out:<ul class="fs-wrong">{said}{rest}</ul></div>'


# -- the list itself ---------------------------------------------------------------------------------------------------


@st.dialog("Edit the list")
def about(found: FeatureList, back: str) -> None:
    """What it says, and who sees it; or its end."""
    one = found.card
    with st.form("list-about", border=False):
        values = fields(one.name, one.about, one.visibility, one.test_text, "edit")
        sent = st.form_submit_button("Save", type="primary")
    if sent:
        _do(Deed("list-change", one.id, values), back)
    with st.expander("Delete this list"):
        st.html('<p class="fs-soft fs-small">Its notes and comments go with it, for everybody.</p>')
        if st.button("Delete it for good", key="list-delete"):
            if people.do(Deed("list-delete", one.id), back, for_what="delete this list"):
                st.switch_page("lists.py")


def fields(name: str, about: str, visibility: str, test_text: str, key: str) -> dict[str, str]:
    """The fields of a list, within a form; what they hold."""
    return {
        "name": st.text_input("Name", name, key=f"{key}-name", max_chars=limits.TITLE),
        "about": st.text_area(
            "Description", about, key=f"{key}-about", height=88, max_chars=limits.DESCRIPTION, help="Markdown"
        ),
        "visibility": st.segmented_control(
            "Who sees it", list(SEEN), default=visibility, key=f"{key}-seen", format_func=SEEN.get, help=ABOUT_SEEN
        )
        or visibility,
        "test_text": st.text_input(
            "Test text", test_text, key=f"{key}-text", max_chars=limits.TEST_TEXT,
            help="Run over all its features for whoever opens the list",
        ),
    }  # fmt: skip


@st.dialog("Report this list")
def report(one: ListCard, back: str) -> None:
    """Asks a moderator to look at it."""
    with st.form("list-report-form", border=False):
        why = st.text_input("What is wrong with it? A moderator reads this.", key="report-why", max_chars=limits.REASON)
        sent = st.form_submit_button("Report", type="primary")
    if sent and people.do(Deed("report", one.id, {"why": why, "list": one.id}), back, for_what="report this list"):
        st.html(note("Thank you: a moderator will look at it.", warn=False))


@st.dialog("Hide this list")
def hide(one: ListCard, back: str) -> None:
    """Hides it from all but its owner and moderators."""
    with st.form("list-hide-form", border=False):
        why = st.text_input("The reason, which its owner reads", key="hide-why", max_chars=limits.REASON)
        sent = st.form_submit_button("Hide it", type="primary")
    if sent:
        _do(Deed("list-hide", one.id, {"why": why}), back, "hide this list")
