"""One list: what the link names, what its reader may do with it, and what its owner may change.

Reading is HTML; what changes something is a widget, through `people.do`. After a change the page is drawn anew, so that
everything on it is as it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from components import (
    comments,
    controls,
    links,
    list_edit,
    list_panels,
    list_rows,
    people,
    resources,
    stars,
)
from components.list_rows import Tested
from components.markup import Html, esc, link, note
from core.community.deeds import Deed
from core.community.records import Comment, FeatureList, Person, Stars
from core.errors import NotFound, WorkbenchError
from core.interchange import lists as files


@dataclass(frozen=True, slots=True)
class Opened:
    """A list as one reader finds it."""

    list: FeatureList
    me: Person | None
    stars: Stars | WorkbenchError
    comments: Sequence[Comment] | WorkbenchError
    text: str
    """That is run over its features: of the link, or the list's own."""
    order: str

    @property
    def mine(self) -> bool:
        """Whether the reader may change it."""
        return self.me is not None and self.me.id == self.list.card.owner

    @property
    def back(self) -> str:
        """The page's address."""
        return controls.here("list")


def opened() -> Opened | None:
    """The list that the URL names; None, said, where there is none for this reader."""
    id = st.query_params.get("id", "").strip()
    if not people.kept():
        lost("People’s lists are switched off on this server.")
        return None
    if not id:
        lost("The link names no list. A link to a list is /list?id=<its id>.")
        return None
    found, starred, said, me = people.gather(
        lambda them: them.lists.get(id), lambda them: them.stars.of(id), lambda them: them.comments.on(id),
        lambda them: them.me,
    )  # fmt: skip
    if isinstance(found, WorkbenchError):
        lost(str(found), missing=isinstance(found, NotFound))
        return None
    own = found.card.test_text
    return Opened(
        found, None if isinstance(me, WorkbenchError) else me, starred, said,
        st.query_params.get("text", own),
        controls.choice("order", list_rows.ORDERS, "list"),
    )  # fmt: skip


def lost(message: str, *, missing: bool = False) -> None:
    """A page for a list that cannot be shown: why, and where to go."""
    ways = link("/lists", "Lists", "fs-pill") + link("/", "Home", "fs-pill")
    if missing and people.kept() and resources.workbench().community.shared:
        back = controls.here("list")
        ways = f'<a class="fs-pill" href="{esc(links.page("sign-in", ("next", back)))}">Sign in</a>{ways}'
    st.html(f'<h1 class="fs-title" style="margin-bottom:10px">This list is not shown</h1>{note(message, actions=ways)}')


def head(one: Opened) -> None:
    """Its name and what it is about, and everything that one may do with it as a whole."""
    copy = '<button class="fs-btn p" type="button" data-copy="">Copy link</button>'
    st.html(list_panels.head(one.list, copy))
    card = one.list.card
    with st.container(key="fs-list-acts", horizontal=True, vertical_alignment="center"):
        if isinstance(one.stars, WorkbenchError):
            st.html(note(str(one.stars)))
        else:
            stars.button(card.id, one.stars, one.back)
        if one.list.items:
            st.html(_steer(one))
        if one.mine and st.button(":material/edit: Edit", key="list-edit"):
            list_edit.about(one.list, one.back)
        with st.popover(":material/download: Export", key="list-export"):
            _files(one.list)
        with st.popover(":material/code: Embed", key="list-embed"):
            _embed(one)
        if not one.mine and st.button(":material/flag: Report", key="list-report"):
            list_edit.report(card, one.back)
        if one.me is not None and one.me.moderates and not one.mine:
            if card.hidden and st.button(":material/visibility: Show again", key="list-show"):
                _again(Deed("list-show", card.id), one.back, "show this list")
            elif not card.hidden and st.button(":material/visibility_off: Hide", key="list-hide"):
                list_edit.hide(card, one.back)


def _again(deed: Deed, back: str, for_what: str) -> None:
    """Does it, and draws the page anew."""
    if people.do(deed, back, for_what=for_what):
        st.rerun()


def _steer(one: Opened) -> Html:
    way, about = list_rows.steer(one.list.items)
    if not way:
        return Html(f'<span class="fs-btn" aria-disabled="true" data-tip="{esc(about)}">Steer as one</span>')
    return Html(f'<a class="fs-btn" href="{esc(way)}" data-tip="{esc(about)}">Steer as one</a>')


def _files(found: FeatureList) -> None:
    """The list as files; each is made when it is asked for."""
    name = "".join(c if c.isalnum() else "-" for c in found.card.name.lower())[:60].strip("-") or "list"
    made: list[tuple[str, str, Any, str]] = [
        ("JSON", "json", files.to_json, "Everything that is in it; “Make a list” reads it again"),
        ("CSV", "csv", files.to_csv, "A row a feature"),
        ("Markdown", "md", files.to_markdown, "For notes and posts"),
    ]
    for label, ending, write, about in made:
        st.download_button(
            label, lambda write=write: write(found, list_rows.labels(found.items)), f"{name}.{ending}",
            key=f"list-{ending}", on_click="ignore", help=about, width="stretch",
        )  # fmt: skip


def _embed(one: Opened) -> None:
    """The line that puts the list into somebody's page."""
    card = one.list.card
    if card.visibility == "private" or card.hidden:
        st.html('<p class="fs-soft fs-small">Nobody but you reads this list, so that a frame would be empty.</p>')
        return
    base = "/".join((st.context.url or "").split("/")[:3])
    address = esc(f"{base}{links.list_(card.id, embed='true')}")
    st.html('<p class="fs-soft fs-small">The list in a frame of your page:</p>')
    st.code(
        f'<iframe src="{address}" title="{esc(card.name)}" width="540" height="420" '
        'style="border:1px solid #ddd;border-radius:8px"></iframe>',
        language="html", wrap_lines=True,
    )  # fmt: skip


def features(one: Opened) -> None:
    """Its features, with what a text does to them; the owner's with what changes them."""
    items, card = one.list.items, one.list.card
    if items:
        st.html(list_panels.form("/list", [("id", card.id)], one.text, items[0].feature.model_id))
    if one.mine:
        list_edit.undo(one.list, one.back)
    tested = list_rows.test(items, one.text)
    _said(tested, one)
    if not items:
        st.html(list_panels.empty(one.mine))
    rows, number, pages = list_rows.page(items, tested, one.order)
    with st.container(key="fs-items"):
        controls.draw(list_rows.as_one(items, tested))
        for place, row in rows:
            with st.container(key=f"fs-item-{row.item.feature}", gap=None):
                st.html(list_panels.row(row, place))
                if one.mine:
                    list_edit.ways(one.list, row, place, one.back, movable=one.order == "list")
    view = {"id": card.id} | ({"text": one.text} if "text" in st.query_params else {})
    view |= {"order": one.order} if one.order != "list" else {}
    controls.draw(list_rows.turn(number, pages, len(items), view, "list"))
    if one.mine:
        list_edit.more(one.list, one.back)


def _said(tested: Tested | None, one: Opened) -> None:
    """What kept the text from being tested, and the orders where it was."""
    for message in tested.wrong if tested else ():
        st.html(note(message))
    if tested is not None and len(tested.tests) > 1:
        by = {name: links.list_(one.list.card.id, one.text, order=name) for name in list_rows.ORDERS}
        st.html(list_panels.orders(one.order, by["value"], links.list_(one.list.card.id, one.text)))


def embed(one: Opened) -> None:
    """The list in somebody's frame: no way on but to its own page."""
    st.html(list_panels.embedded_head(one.list))
    tested = list_rows.test(one.list.items, one.text)
    for message in tested.wrong if tested else ():
        st.html(note(message))
    rows, _, pages = list_rows.page(one.list.items, tested, one.order)
    if not rows:
        st.html(list_panels.empty(False))
    controls.draw(list_rows.as_one(one.list.items, tested))
    for place, row in rows:
        st.html(list_panels.row(row, place, embedded=True))
    if pages > 1:
        st.html(f'<p class="fs-soft fs-small">{len(rows):,} of {len(one.list.items):,} features.</p>')


def said(one: Opened) -> None:
    """The comments on it."""
    comments.thread(one.list.card.id, one.comments, one.me, one.back)
