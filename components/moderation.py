"""The moderators' page: open reports with what they are about, what can be done with each, and the trail."""

from __future__ import annotations

import streamlit as st

from components import comment_panels, links, people, source_panels
from components.comment_panels import when, who
from components.markup import Html, card, esc, join, link, note
from core.community import limits, markdown
from core.community.deeds import Deed, Kind
from core.community.records import Moderated, Reported
from core.errors import WorkbenchError

TRAIL = 50


def page() -> None:
    """Draw it, or say who may see it."""
    st.html(source_panels.title("Moderation", "What people reported, what was hidden, and why."))
    if not people.kept():
        st.html(note("People’s things are switched off on this server, so there is nothing to moderate."))
        return
    open_, trail = people.gather(
        lambda them: them.moderation.reports(), lambda them: them.moderation.trail(limit=TRAIL)
    )
    if wrong := next((one for one in (open_, trail) if isinstance(one, WorkbenchError)), None):
        st.html(note(str(wrong)))
        return
    st.html(f'<h2 class="fs-h2"><span>Open reports</span><span>{len(open_):,}</span></h2>')
    if not open_:
        st.html(card('<div class="fs-empty">Nothing is reported.</div>'))
    for one in open_:
        _report(one)
    if trail:
        st.html(card(f'<div class="fs-list">{join(map(_step, trail))}</div>', "What was done"))


def _report(one: Reported) -> None:
    id = one.report.id
    with st.container(key=f"fs-report-{id}"):
        st.html(_about(one))
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            hidden = _hidden(one)
            if hidden is False:
                why = st.text_input(
                    "Reason, which stands in its place",
                    one.report.why,
                    key=f"why-{id}",
                    max_chars=limits.REASON,
                    width=380,
                )
                if st.button("Hide it", key=f"hide-{id}", type="primary"):
                    _do(one, "hide", {"why": why})
            elif hidden and st.button("Show it again", key=f"show-{id}"):
                _do(one, "show", {})
            if st.button("Close the report", key=f"close-{id}"):
                if people.do(Deed("report-close", id), links.page("moderation"), for_what="close this report"):
                    st.rerun()


def _hidden(one: Reported) -> bool | None:
    """Whether what was reported is hidden; None where there is nothing to hide (any more)."""
    if one.comment is not None:
        return None if one.comment.state == "deleted" else one.comment.state == "hidden"
    if one.worded is not None:
        return one.worded.state == "hidden"
    return None if one.card is None else one.card.hidden


def _do(one: Reported, what: str, values: dict[str, str]) -> None:
    """Hides or shows; hiding closes the report too."""
    things: tuple[tuple[str | None, Kind, Kind], ...] = (
        (one.report.comment_id, "comment-hide", "comment-show"),
        (one.report.list_id, "list-hide", "list-show"),
        (one.report.explanation_id, "explain-hide", "explain-show"),
    )
    on, hide, show = next(found for found in things if found[0])
    here = links.page("moderation")
    done = people.do(Deed(hide if what == "hide" else show, on or "", dict(values)), here, for_what="moderate")
    if done and what == "hide":
        done = people.do(Deed("report-close", one.report.id), here, for_what="close this report")
    if done:
        st.rerun()


def _about(one: Reported) -> Html:
    """What was reported, by whom, why."""
    said = (
        f'<div class="fs-by-line">reported by {who(one.by) if one.by else "somebody who is gone"} · '
        f"{when(one.report.made)}</div><p><b>{esc(one.report.why)}</b></p>"
    )
    if one.comment is not None:
        on = one.comment
        where = links.feature(on.feature) if on.feature is not None else links.list_(on.list_id or "")
        body = comment_panels.comment(on)
        return Html(f"{said}{body}<p>{link(where, 'Where it was said', 'fs-act')}</p>")
    if one.card is not None:
        name = link(links.list_(one.card.id), one.card.name, "main")
        about = esc(markdown.plain(one.card.about, 300))
        return Html(f'{said}<p>The list {name} of {who(one.card.owner_name)}. <span class="fs-soft">{about}</span></p>')
    if one.worded is not None:
        where = link(links.feature(one.worded.feature), str(one.worded.feature), "main")
        text = f"“{esc(one.worded.text)}”" if one.worded.text else f"hidden: {esc(one.worded.why)}"
        return Html(f"{said}<p>The explanation of {where} by {who(one.worded.owner_name)}: {text}</p>")
    return Html(f'{said}<p class="fs-gone">It is gone.</p>')


def _step(one: Moderated) -> Html:
    """A line of the trail."""
    what: str = "an explanation" if one.explanation_id else "a comment"
    if one.list_id:
        what = link(links.list_(one.list_id), "a list", "main")
    did = "hid" if one.what == "hide" else "showed again"
    why = f'<span class="fs-said"><b>{esc(one.why)}</b></span>' if one.why else ""
    before = f'<span class="fs-soft fs-said">{esc(markdown.plain(one.before, 240))}</span>' if one.before else ""
    by = who(one.by) if one.by else Html("somebody who is gone")
    return Html(
        f'<div class="fs-did"><span>{by} <span class="fs-soft">{did}</span> {what}{why}{before}</span>'
        f'<span class="fs-soft">{when(one.made)}</span></div>'
    )
