"""Lists among each other, and how one begins: from nothing, pasted ids, a file, or a link that names features.

A list that is not kept yet is its address (`/quick-list`): a search, a source's table or a pasted set leads there,
notes are written beside the features, and one deed keeps it all.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from components import controls, links, list_edit, list_panels, list_rows, people, resources
from components.lists import NEW, mine
from components.markup import Html, card, link, note
from core.community import limits
from core.community.deeds import Deed
from core.community.records import Item, ListCard
from core.errors import NotSignedIn, WorkbenchError
from core.interchange import lists as files
from core.interchange.lists import QUICK, Draft
from core.records import FeatureKey

NEWEST = 60
"""Public lists on the page of lists."""


# -- all lists ---------------------------------------------------------------------------------------------------------


def shelves() -> None:
    """One's own lists and the newest public ones."""
    if not people.kept():
        st.html(note("People’s lists are switched off on this server.", actions=link("/", "Home", "fs-pill")))
        return
    own, newest = people.gather(lambda them: them.lists.mine(), lambda them: them.lists.newest(limit=NEWEST))
    with st.container(key="fs-list-acts", horizontal=True):
        if st.button(":material/add: Make a list", key="list-new", type="primary"):
            make()
    if isinstance(newest, WorkbenchError):
        st.html(note(str(newest)))
        return
    if isinstance(own, NotSignedIn):
        way = links.page("sign-in", ("next", controls.here("lists")))
        st.html(f'<p class="fs-soft">{link(way, "Sign in", "fs-act")} to see your own lists and to keep new ones.</p>')
    elif not isinstance(own, WorkbenchError):
        st.html('<h2 class="fs-h2">Yours</h2>')
        st.html(list_panels.cards(own, mine=True) if own else _none())
    mines = set() if isinstance(own, WorkbenchError) else {one.id for one in own}
    others = [one for one in newest if one.id not in mines]
    if others or isinstance(own, WorkbenchError):
        st.html('<h2 class="fs-h2">Newest public lists</h2>')
        st.html(list_panels.cards(others) if others else card('<div class="fs-empty">Nobody made one yet.</div>'))


def _none() -> Html:
    return card(
        '<div class="fs-empty"><b>You have no lists yet</b>Make one here, or tick features in a '
        f"{link('/search', 'search', 'fs-act')} or in a {link('/source', 'source’s table', 'fs-act')} and choose "
        "“Make a list”.</div>"
    )


@st.dialog("Make a list", width="medium")
def make() -> None:
    """From nothing or from ids, or from a file that a list was exported to."""
    write, read = st.tabs(["Write", "From a file"])
    with write:
        _written()
    with read:
        _from_file()


def _written() -> None:
    with st.form("list-new-form", border=False):
        values = list_edit.fields("", "", "public", "", "new")
        said = st.text_area("Features, if you have their ids", key="new-ids", height=88, placeholder=list_edit.IDS)
        sent = st.form_submit_button("Make it", type="primary")
    if not sent:
        return
    keys, wrong = files.read_ids(said, resources.workbench().resolve)
    if wrong:  # nothing is made of half of what was meant
        st.html(list_edit.wrong_ids(wrong))
        return
    _keep(values, [list_edit.plain(Item(key)) for key in keys], "list-new")


def _from_file() -> None:
    given = st.file_uploader("The JSON of a list", type="json", key="new-file", max_upload_size=4)
    if given is None:
        return
    try:
        draft = files.from_json(given.getvalue())
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    st.html(f'<p class="fs-soft">{list_panels.described(draft)}</p>')
    if st.button("Make it", key="new-from-file", type="primary"):
        _keep(told(draft), [list_edit.plain(item) for item in draft.items], "list-new")


def told(draft: Draft) -> dict[str, str]:
    """What a list says, as a deed holds it."""
    return {
        "name": draft.name, "about": draft.about, "visibility": draft.visibility, "test_text": draft.test_text,
    }  # fmt: skip


def _keep(values: dict[str, str], items: Sequence[dict[str, object]], name: str) -> None:
    """Keeps a new list and opens it; pressing again keeps it once."""
    told = values | {"items": list(items)}
    id = people.once(name, told)
    if people.do(Deed("list", "", told, id=id), links.list_(id), for_what="keep this list"):
        people.made(name)
        st.switch_page("list.py", query_params={"id": id})


@st.dialog("Keep these features", width="medium")
def keep_features(keys: Sequence[FeatureKey], name: str = "") -> None:
    """In a new list, or in one of one's own; asked for where features were selected, such as on the map."""
    own = mine()
    st.html(f'<p class="fs-soft">{len(keys):,} {"feature" if len(keys) == 1 else "features"}</p>')
    with st.form("keep-features", border=False):
        values, to = _keeping(name, "", own, heading=False)
        sent = st.form_submit_button("Keep as a list", type="primary")
    if sent:
        _kept(values, to, [list_edit.plain(Item(key)) for key in keys])


# -- a list that is its address ----------------------------------------------------------------------------------------


def asked() -> tuple[str, tuple[FeatureKey, ...], tuple[str, ...]]:
    """(the name, the features that the link names, what is wrong with the others)."""
    name = " ".join(st.query_params.get("name", "").split())[: limits.TITLE]
    text = st.query_params.get("features", "").strip()
    if text.startswith("["):
        try:
            return name, *files.read_quick(text)
        except WorkbenchError as error:
            return name, (), (str(error),)
    keys, wrong = files.read_ids(text, resources.workbench().resolve, QUICK)
    return name, keys, wrong


def quick(name: str, keys: Sequence[FeatureKey], wrong: Sequence[str]) -> None:
    """The features of the link, with what a text does to them, and a form that keeps them as a list."""
    copy = '<button class="fs-btn p" type="button" data-copy="">Copy link</button>'
    st.html(list_panels.quick_head(name, len(keys), copy))
    controls.draw(list_edit.wrong_ids(wrong))
    if not keys:
        st.html(list_panels.quick_empty())
        return
    items, text = [Item(key) for key in keys], st.query_params.get("text", "")
    fields = [(one, st.query_params.get(one, "")) for one in ("name", "features") if one in st.query_params]
    st.html(list_panels.form("/quick-list", fields, text, keys[0].model_id))
    tested = list_rows.test(items, text)
    for message in tested.wrong if tested else ():
        st.html(note(message))
    controls.draw(list_rows.as_one(items, tested))
    rows = [list_rows.known(item, tested) for item in items]
    if not people.kept():
        _drawn(rows, notes=False)
        return
    own = mine()
    with st.form("quick", border=False):
        notes = _drawn(rows, notes=True)
        with st.container(key="fs-keep"):
            values, to = _keeping(name, text, own)
            sent = st.form_submit_button("Keep as a list", type="primary")
    if sent:
        _kept(values, to, [list_edit.plain(Item(key, notes[key])) for key in keys])


def _drawn(rows: Sequence[list_panels.Row], *, notes: bool) -> dict[FeatureKey, str]:
    """The features, each with a line for a note; the notes."""
    said = {}
    with st.container(key="fs-items"):
        for place, row in enumerate(rows, 1):
            key = row.item.feature
            with st.container(key=f"fs-item-{key}", gap=None):
                st.html(list_panels.row(row, place))
                if notes:
                    said[key] = st.text_input(
                        f"Note to {key}", key=f"quick-note-{key}", label_visibility="collapsed",
                        placeholder="Note: what you think it does, and why", max_chars=limits.NOTE,
                    )  # fmt: skip
    return said


def _keeping(name: str, text: str, own: Sequence[ListCard], *, heading: bool = True) -> tuple[dict[str, str], str]:
    """(what the new list says, the id of the list of one's own that takes the features instead)."""
    if heading:
        st.html('<h2 class="fs-h2">Keep these features</h2>')
    to = ""
    if own:
        names = {"": NEW} | {one.id: f"{one.name} · {one.items:,}" for one in own}
        to = st.selectbox("In", list(names), format_func=lambda id: names.get(id, NEW), key="quick-to")
    return list_edit.fields(name, "", "public", text, "quick"), to or ""


def _kept(values: dict[str, str], to: str, items: list[dict[str, object]]) -> None:
    if not to:
        _keep(values, items, "quick")
    elif people.do(Deed("list-add", to, {"items": items}), links.list_(to), for_what="add to this list"):
        st.switch_page("list.py", query_params={"id": to})
