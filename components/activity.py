"""Persons and what they did lately, drawn: a person's page, the page of recent activity, its few lines at home."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from components import controls, links, list_panels, people, person_panels, resources, source_panels, suite_panels
from components.markup import card, esc, link, note, title
from core.community.deeds import Deed
from core.community.records import Happening, Person, Saved
from core.errors import NotFound, WorkbenchError
from core.records import FeatureKey

PAGE = 30
AT_HOME = 5
OFF = "People’s things are switched off on this server: nobody signs in, and nothing is kept."


def names(keys: Iterable[FeatureKey | None]) -> dict[FeatureKey, str]:
    """What features are called, as far as they are here."""
    found = {}
    for key in dict.fromkeys(key for key in keys if key is not None):
        try:
            found[key] = title(resources.workbench().feature(key))
        except WorkbenchError:
            continue
    return found


# -- a person ----------------------------------------------------------------------------------------------------------


def person(name: str) -> None:
    """Draw somebody's page; one's own without a name."""
    if not people.kept():
        _no_person(note(OFF))
        return
    me, who = people.gather(lambda them: them.me, lambda them: them.person(name) if name else them.me)
    if isinstance(who, WorkbenchError):
        _no_person(note(str(who)))
        return
    if who is None:
        _no_person(note("The link names nobody, and you are not signed in. A page is /person?name=<name>.", warn=False))
        return
    st.set_page_config(page_title=f"{who.name} · Featurescope")
    mine = isinstance(me, Person) and me.id == who.id
    st.html(person_panels.head(who, mine=mine))
    _things(who, mine=mine)


def _no_person(said: str) -> None:
    st.html(f'<h1 class="fs-title" style="margin-bottom:10px">Person</h1>{said}')


def _things(who: Person, *, mine: bool) -> None:
    """Everything of somebody that whoever looks may see."""
    found = people.gather(
        lambda them: them.stars.by(who.id),
        lambda them: them.lists.mine() if mine else them.lists.by(who.id),
        lambda them: them.comments.by(who.id),
        lambda them: them.suites.mine() if mine else them.suites.by(who.id),
        lambda them: them.saved.by(who.id),
    )
    if wrong := next((one for one in found if isinstance(one, WorkbenchError)), None):
        st.html(note(str(wrong)))
        return
    stars, lists, comments, suites, saved = found
    if not any(found):
        st.html(person_panels.nothing(mine))
        return
    known = names([*(s.feature for s in stars), *(c.feature for c in comments), *(s.feature for s in suites)])
    if lists:
        st.html(f'<h2 class="fs-h2">Lists</h2>{list_panels.cards(lists, mine=True)}')
    with st.container(key="fs-person"):
        if suites:
            st.html(suite_panels.listed("Test suites", suites, known, owner=False))
        _saved(saved, mine=mine)
        for body in (person_panels.stars(stars, known), person_panels.comments(comments, known)):
            if body:
                st.html(body)


def _saved(found: Sequence[Saved], *, mine: bool) -> None:
    """Kept views: to open and, one's own, to show, hide or forget."""
    if not found:
        return
    with st.container(key="fs-saved"):
        st.html(
            f'<h2 class="fs-h2"><span>Saved tests, searches and steering runs</span><span>{len(found):,}</span></h2>'
        )
        for one in found:
            with st.container(key=f"fs-kept-{one.id}", horizontal=True, gap="small", vertical_alignment="center"):
                st.html(person_panels.saved(one))
                if mine:
                    _ways(one)


def _ways(one: Saved) -> None:
    here = links.page("person")
    other = "private" if one.visibility == "public" else "public"
    label = "Make private" if other == "private" else "Make public"
    if st.button(label, key=f"show-{one.id}", type="tertiary"):
        deed = Deed("saved-change", one.id, {"visibility": other})
        if people.do(deed, here, for_what="change what you kept"):
            st.rerun()
    if st.button("Delete", key=f"drop-{one.id}", type="tertiary", help=f"Forget {one.kind} view"):
        if people.do(Deed("saved-drop", one.id), here, for_what="delete what you kept"):
            st.rerun()


# -- what happened -----------------------------------------------------------------------------------------------------


def page() -> None:
    """Draw the page of what people did lately."""
    st.html(source_panels.title("Activity", "Stars, comments, lists and test suites that people shared lately."))
    if not people.kept():
        st.html(note(OFF))
        return
    number = controls.page_number(10_000)
    first = (number - 1) * PAGE
    (found,) = people.gather(lambda them: them.happenings(limit=PAGE + 1, offset=first))
    if isinstance(found, WorkbenchError):
        st.html(note(str(found)))
        return
    if not found:
        said = "Nothing has happened yet." if number == 1 else "There is nothing older."
        st.html(card(f'<div class="fs-empty">{said}</div>'))
    else:
        shown = found[:PAGE]
        st.html(card(person_panels.happenings(shown, names(one.feature for one in shown))))
    if number > 1 or len(found) > PAGE:
        newer = link(links.activity(number - 1), "← Newer", "fs-btn") if number > 1 else ""
        older = link(links.activity(number + 1), "Older →", "fs-btn") if len(found) > PAGE else ""
        where = f'<span>page {number:,}</span><span class="fs-row">{newer}{older}</span>'
        st.html(f'<nav class="fs-pages" aria-label="Pages">{where}</nav>')


def at_home() -> None:
    """Draw the newest few; nothing where there are none, a line where people are away."""
    if not people.kept():
        return
    (found,) = people.gather(lambda them: them.happenings(limit=AT_HOME))
    if isinstance(found, NotFound):
        return
    if isinstance(found, WorkbenchError):
        st.html(f'<p class="fs-soft fs-small">Recent activity: {esc(str(found))}</p>')
    elif found:
        st.html(_few(found))


def _few(found: Sequence[Happening]) -> str:
    body = person_panels.happenings(found, names(one.feature for one in found))
    return card(body, "Recent activity", str(link(links.activity(), "All", "fs-act")))
