"""What people do with explanations: vote, see who says so, write, change, take back, report; marks of a feature.

Two parts that the feature page puts where it wants them: `votes` beside each explanation, `write` below them all. Each
is a fragment: a click draws it anew and nothing else. What a person who is not signed in does waits as a draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal

import streamlit as st

from components import comment_panels, links, markup, people, resources
from components.explaining_panels import MARKS, about, preview, twins
from core.community import limits
from core.community.alike import digest, joined
from core.community.deeds import Deed
from core.community.people import People
from core.community.records import Marks, Person, Tally
from core.errors import WorkbenchError
from core.explain.records import Explanation
from core.records import FeatureKey

Scope = Literal["app", "fragment"]
FOR = "What it says fits this feature"
AGAINST = "What it says does not fit this feature"
LOOK, LOOKS = 2.0, 30
"""Seconds after which it is looked whether there are scores, and how often."""
TAKE_BACK = " (you said so: press again to take it back)"


# -- votes -------------------------------------------------------------------------------------------------------------


def votes(explanation: Explanation, *, place: str = "") -> None:
    """Thumbs with their counts, who says so on request, and what its author may do. Nothing where nobody is kept.

    `place` tells apart the same explanation that stands on a page twice.
    """
    if people.kept():
        _votes(explanation, [explanation], place)


@st.fragment
def _votes(explanation: Explanation, given: list[Explanation], place: str) -> None:
    scope: Scope = "app" if given else "fragment"
    found = given.pop() if given else _counted(explanation)
    key = f"{place}{explanation.feature}-{explanation.id}"
    with st.container(key=f"fs-votes-{key}", horizontal=True, gap="small", vertical_alignment="center"):
        for vote, icon, count, label in ((1, "thumb_up", found.up, FOR), (-1, "thumb_down", found.down, AGAINST)):
            pressed = found.mine == vote
            shown = f":material/{icon}: {count:,}" + (" · you" if pressed else "")
            with st.container(key=f"fs-{'pressed' if pressed else 'vote'}-{vote}-{key}", width="content"):
                if st.button(
                    shown,
                    key=f"vote-{vote}-{key}",
                    type="tertiary",
                    help=label + (TAKE_BACK if pressed else ""),
                ) and _vote(found, 0 if pressed else vote):
                    st.rerun(scope=scope)
        with st.popover("About", key=f"about-{key}", type="tertiary"):
            _about(found, key)


def _vote(explanation: Explanation, vote: int) -> bool:
    values = {"on": [[explanation.id, digest(explanation.text)]], "vote": vote}
    deed = Deed("vote", str(explanation.feature), values)
    return people.do(deed, links.feature(explanation.feature), for_what="vote for this explanation")


def _counted(explanation: Explanation) -> Explanation:
    """The same with the votes of now."""
    (tally,) = people.gather(lambda them: them.explanations.tally(explanation.feature))
    if isinstance(tally, WorkbenchError):
        return explanation
    assert isinstance(tally, Tally)
    found = tally.votes(explanation.id, digest(explanation.text))
    return replace(explanation, up=found.up, down=found.down, mine=found.mine)


def _about(explanation: Explanation, key: str) -> None:
    """Who says so, by which method, how good it is; and what may be done with a person's."""
    st.html(about(explanation, _unscored(explanation)))
    if explanation.origin != "person":
        return
    me = people.gather(lambda them: them.me)[0]
    mine = isinstance(me, Person) and me.id == explanation.author
    back = links.feature(explanation.feature)
    if mine:
        said = st.text_input(
            "Your explanation", explanation.text, key=f"edit-{key}", max_chars=limits.EXPLANATION,
            help="Votes for the words of before no longer count.",
        )  # fmt: skip
        with st.container(horizontal=True, gap="small"):
            if st.button("Save", key=f"save-{key}", type="primary") and said != explanation.text:
                _done(Deed("explain-edit", explanation.id, {"text": said}), back, "change your explanation")
            if st.button("Take it back", key=f"delete-{key}"):
                _done(Deed("explain-delete", explanation.id), back, "take your explanation back")
        return
    moderates = isinstance(me, Person) and me.moderates
    label = "The reason, which stands in its place" if moderates else "What is wrong with it? A moderator reads this."
    why = st.text_input(label, key=f"why-{key}", max_chars=limits.REASON)
    if moderates:
        if st.button("Hide it", key=f"hide-{key}"):
            _done(Deed("explain-hide", explanation.id, {"why": why}), back, "hide this explanation")
    elif st.button("Report it", key=f"report-{key}"):
        values = {"why": why, "explanation": explanation.id}
        if people.do(Deed("report", str(explanation.feature), values), back, for_what="report this explanation"):
            st.html(markup.note("Thank you: a moderator will look at it.", warn=False))


def _unscored(explanation: Explanation) -> str:
    """Why it has no score, or when it will."""
    later = resources.workbench().words.later
    if explanation.scores or explanation.origin != "person":
        return "not scored yet"
    return later.why(explanation) or ("in a moment" if later.pending(explanation) else "not scored yet")


def await_scores(feature: FeatureKey, found: Sequence[Explanation]) -> None:
    """Draws the page anew when the words of who looks have the score that is being made; for a minute at most."""
    later = resources.workbench().words.later
    unscored = [one for one in found if one.origin == "person" and not one.scores]
    me = people.gather(lambda them: them.me)[0] if unscored else None
    waiting = [one.id for one in unscored if isinstance(me, Person) and one.author == me.id and later.pending(one)]
    name = f"scores-{feature}-{'-'.join(waiting)}"
    if waiting and st.session_state.setdefault(name, 0) < LOOKS:
        st.fragment(_await, run_every=LOOK)(feature, waiting, name)


def _await(feature: FeatureKey, waiting: Sequence[str], name: str) -> None:
    st.session_state[name] += 1
    here = [one for one in resources.workbench().words.of(feature) if one.id in waiting]
    if st.session_state[name] >= LOOKS or len(here) < len(waiting) or any(one.scores for one in here):
        st.rerun()
    st.html('<p class="fs-soft fs-small" role="status">Your words are being scored …</p>')


def _done(deed: Deed, back: str, for_what: str) -> None:
    """Does it; then the whole page is drawn, since the list of explanations is another."""
    if people.do(deed, back, for_what=for_what):
        st.rerun(scope="app")


# -- writing -----------------------------------------------------------------------------------------------------------


def write(feature: FeatureKey, *, opened: bool = True) -> None:
    """A field for one's own explanation, with a look at it first, and the marks. Nothing where nobody is kept."""
    if people.kept():
        with st.container(key="fs-explain"), nullcontext() if opened else st.expander("Write one, or doubt them"):
            _write(feature)


@st.fragment
def _write(feature: FeatureKey) -> None:
    name = f"explain-{feature}"
    version = st.session_state.setdefault(f"{name}-version", 0)
    with st.form(f"{name}-form", border=False):
        said = st.text_area(
            "Say what it means", key=f"{name}-{version}", height=72, max_chars=limits.EXPLANATION,
            placeholder="family words | words after “my” (a “|” or a new line between meanings)",
        )  # fmt: skip
        with st.container(horizontal=True, gap="small"):
            post = st.form_submit_button("Say it", type="primary")
            look = st.form_submit_button("Preview")
    if look:
        st.session_state.pop(f"{name}-twin", None)
        _preview(said)
    if post:
        st.session_state[f"{name}-twin"] = said
    if asked := st.session_state.get(f"{name}-twin"):
        _post(feature, name, version, asked)
    elif post:
        st.html(markup.note("The explanation is empty: write something."))
    _marks(feature)


def _preview(said: str) -> None:
    try:
        st.html(preview(joined(said)))
    except WorkbenchError as error:
        st.html(markup.note(str(error)))


def _post(feature: FeatureKey, name: str, version: int, said: str) -> None:
    """Posts it, unless somebody said the same: then there is a choice."""
    try:
        same = resources.workbench().words.twins(feature, joined(said))
    except WorkbenchError as error:
        st.session_state.pop(f"{name}-twin", None)
        st.html(markup.note(str(error)))
        return
    if same and not _anyway(feature, name, same):
        return
    deed = Deed("explain", str(feature), {"text": said}, id=people.once(name, said))
    if people.do(deed, links.feature(feature), for_what="post this explanation"):
        _forget(name, version)


def _anyway(feature: FeatureKey, name: str, same: Sequence[Explanation]) -> bool:
    """Whether it is to be posted though there are twins."""
    st.html(twins(same))
    with st.container(horizontal=True, gap="small"):
        voted = st.button("Vote for it" if len(same) == 1 else "Vote for them", key=f"{name}-vote", type="primary")
        anyway = st.button("Post mine all the same", key=f"{name}-anyway")
    if voted:
        values = {"on": [[one.id, digest(one.text)] for one in same], "vote": 1}
        if people.do(Deed("vote", str(feature), values), links.feature(feature), for_what="vote"):
            _forget(name, st.session_state[f"{name}-version"])
    return anyway


def _forget(name: str, version: int) -> None:
    """An empty field, and a page with what was written."""
    people.made(name)
    st.session_state[f"{name}-version"] = version + 1
    st.session_state.pop(f"{name}-twin", None)
    st.rerun(scope="app")


# -- marks -------------------------------------------------------------------------------------------------------------


def _marks(feature: FeatureKey) -> None:
    """What to say where no explanation will do."""
    (found,) = people.gather(lambda them: _marked(them, feature))
    if not isinstance(found, Marks):
        st.html(markup.note(str(found)))
        return
    with st.container(key="fs-marks", horizontal=True, gap="small", vertical_alignment="center"):
        st.html('<span class="fs-soft fs-small">Or say</span>', width="content")
        for mark, (label, tip) in MARKS.items():
            pressed, count = mark in found.mine, found.count[mark]
            shown = (":material/check: " if pressed else "") + label + (f" · {count:,}" if count else "")
            with st.container(key=f"fs-{'pressed' if pressed else 'mark'}-{mark}-{feature}", width="content"):
                if st.button(shown, key=f"mark-{mark}-{feature}", type="tertiary", help=tip):
                    deed = Deed("mark", str(feature), {"mark": mark, "on": not pressed})
                    if people.do(deed, links.feature(feature), for_what="mark this feature"):
                        st.rerun(scope="fragment")


def _marked(them: People, feature: FeatureKey) -> Marks:
    return them.explanations.marks(feature)


# -- hidden ones -------------------------------------------------------------------------------------------------------


def hidden(feature: FeatureKey) -> None:
    """Draw what moderators hid, for moderators to show again; for others a line that something was."""
    if not people.kept():
        return
    found, me = people.gather(lambda them: them.explanations.of(feature), lambda them: them.me)
    gone = [] if isinstance(found, WorkbenchError) else [one for one in found if one.state == "hidden"]
    for one in gone:
        st.html(
            f'<p class="fs-gone">An explanation by {comment_panels.who(one.owner_name)} was hidden by a moderator: '
            f"{markup.esc(one.why)}</p>"
        )
        if isinstance(me, Person) and me.moderates and st.button("Show it again", key=f"show-{one.id}"):
            _done(Deed("explain-show", one.id), links.feature(feature), "show this explanation")
