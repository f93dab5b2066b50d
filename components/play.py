"""Play on its page: rounds, the day's puzzle, leaderboards, campaigns, and what play teaches.

Every round is its address, so that going back is the browser's, and a new round is a link. An answer is a form: nothing
is sent before its one button, and no thumb stands near it. Explanations and activations are drawn after the answer.
"""

from __future__ import annotations

import datetime
from typing import Any, get_args
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components import controls, explaining, explaining_panels, links, people, play_panels, resources, source_panels
from components.controls import PlayAsk
from components.markup import Html, join, link, note
from core.community import limits
from core.community.deeds import Deed
from core.community.people import People
from core.community.records import Person, Play
from core.errors import WorkbenchError
from core.explain.play.records import Kind, Outcome, Round, RoundKey
from core.records import SourceKey

LABELS = {"fires": True, "silent": False, "unsure": None}
LEAD = (
    "Look at what a feature of a language model fires on, and say where else it would. Every answer measures how well "
    "people understand the feature; points come from agreement with its activations on texts that you did not see."
)


def page(ask: PlayAsk) -> None:
    """Draw what the address asks for."""
    head = st.empty()
    try:
        if ask.daily is None and ask.seed is None and ask.round is None:
            _hall(ask)
            return
        head.html(source_panels.title("Play", "A round is being made: the first takes a while, since a model is read."))
        key, daily = _chosen(ask)
        _round(ask, head, key, daily)
    except WorkbenchError as error:
        head.html(source_panels.title("Play", LEAD))
        st.html(note(str(error), actions=link(play_panels.here(), "Back", "fs-pill")))


def _chosen(ask: PlayAsk) -> tuple[RoundKey, tuple[RoundKey, ...]]:
    """The round that is asked for, and those of the day where it is one of them."""
    play = resources.workbench().words.play
    if ask.daily is not None:
        with st.spinner("Finding the day’s features …"):
            rounds = play.daily()
        return rounds[ask.daily % len(rounds)], rounds
    if ask.seed is not None:
        with st.spinner("Finding a feature …"):
            key = play.pick(play.plan(people.people(), ask.campaign), ask.seed, ask.kind)
        st.query_params.from_dict(ask.at(key))
        return key, ()
    assert ask.round is not None
    return ask.round, ()


# -- a round -----------------------------------------------------------------------------------------------------------


def _round(ask: PlayAsk, head: DeltaGenerator, key: RoundKey, daily: tuple[RoundKey, ...]) -> None:
    with st.spinner("Reading texts …"):
        found = resources.workbench().words.play.round(key)
    given, play = _given(key)
    head.html(_head(ask, found, daily))
    controls.draw(play_panels.shown(found))
    if given is None:
        form = st.empty()
        with form.container():
            asked = _ask(ask, found)
        if asked is None or not _keep(ask, key, *asked):
            return
        form.empty()
        given, play = asked[0], _given(key)[1]
    with st.container(key="fs-play-answer"):
        _revealed(ask, found, given, play)
        _further(ask, key, daily)


def _head(ask: PlayAsk, found: Round, daily: tuple[RoundKey, ...]) -> Html:
    kind = found.key.kind
    crumbs = [link(play_panels.here(view=ask.view), "Play")]
    if daily:
        crumbs.append(Html(f"The day’s puzzle · {daily.index(found.key) + 1} of {len(daily)}"))
    elif ask.view == "advanced":
        crumbs.append(link(links.source(found.key.feature.source), found.key.feature.source))
    return source_panels.title(play_panels.NAMES[kind], play_panels.ASKED[kind], crumbs)


def _given(key: RoundKey) -> tuple[dict[str, Any] | None, Play | None]:
    """The answer to a round that was given before, and how it is kept."""
    (play,) = people.gather(lambda them: them.plays.mine(key.feature, key.kind, key.seed))
    if isinstance(play, Play):
        if play.points is None:  # one that waited while its person signed in
            resources.workbench().words.play.settle(people.people())
        return dict(play.answer), play
    return st.session_state.get(f"play-{key}", (None,))[0], None


def _ask(ask: PlayAsk, found: Round) -> tuple[dict[str, Any], str] | None:
    """The form; its answer and its words once they were sent."""
    key, kind = found.key, found.key.kind
    answer: dict[str, Any] = {}
    with st.form(f"play-form-{key}", border=False), st.container(key="fs-play-form"):
        said = ""
        if kind == "name":
            said = st.text_input(
                "What have they in common?", key=f"play-words-{key}", max_chars=limits.EXPLANATION,
                placeholder="a few words; leave it empty if you are unsure",
            )  # fmt: skip
        if found.choices:
            names = {one.id: one.text for one in found.choices}
            answer["choice"] = st.radio(
                "Which fits better?", [*names, None], len(names), key=f"play-choice-{key}",
                format_func=lambda id: _plain(names[id]) if id else "unsure",
            )  # fmt: skip
        if kind == "odd":
            for n, item in enumerate(found.items):
                st.html(play_panels.asked(item, n + 1))
            options = [*range(len(found.items)), None]
            answer["odd"] = st.radio(
                "Which one is foreign?", options, len(found.items), key=f"play-odd-{key}", horizontal=True,
                format_func=lambda n: "unsure" if n is None else str(n + 1),
            )  # fmt: skip
        else:
            answer["labels"] = [_label(found, n) for n in range(len(found.items))]
        sent = st.form_submit_button("That is my answer", type="primary")
    st.html(f'<p>{link(_next(ask, key), "Skip this one", "fs-act")} <span class="fs-soft">· earns nothing</span></p>')
    return (answer, said) if sent else None


def _plain(text: str) -> str:
    """A person's words where Streamlit would read Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|~$<>:" else c for c in text)


def _label(found: Round, n: int) -> bool | None:
    st.html(play_panels.asked(found.items[n], n + 1))
    said = st.radio(
        f"Text {n + 1}", [*LABELS], 2, key=f"play-{n}-{found.key}", horizontal=True, label_visibility="collapsed"
    )
    return LABELS[said]


def _keep(ask: PlayAsk, key: RoundKey, answer: dict[str, Any], said: str) -> bool:
    """Keeps an answer, or holds it while its person signs in; whether it may be revealed."""
    if people.kept():
        values = {"kind": key.kind, "seed": key.seed, "answer": answer, "words": said, "campaign": ask.campaign or None}
        deed = Deed("play", str(key.feature), values, id=people.once(f"play-{key}"))
        if people.do(deed, _here(ask, key), for_what="keep this answer and its points"):
            resources.workbench().words.play.settle(people.people())
        elif people.people().me is not None:  # it is not that nobody is signed in: the form is still there to send
            return False
    st.session_state[f"play-{key}"] = answer, said
    return True


def _here(ask: PlayAsk, key: RoundKey) -> str:
    """The address of the round, as one of the day's puzzle where it is."""
    if ask.daily is not None:
        return play_panels.here(daily=ask.daily, view=ask.view)
    return play_panels.here(key=key, campaign=ask.campaign, view=ask.view)


def _revealed(ask: PlayAsk, found: Round, answer: dict[str, Any], play: Play | None) -> None:
    """What is so, what others say, and one's own words to be made better."""
    try:
        outcome: Outcome = resources.workbench().words.play.judge(found, answer)
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    st.html(play_panels.outcome(outcome, play is not None))
    if play is None and people.kept() and st.button("Keep this answer and its points", key=f"keep-{found.key}"):
        said = st.session_state.get(f"play-{found.key}", (answer, ""))[1]
        if _keep(ask, found.key, answer, said) and people.people().me is not None:
            st.rerun()
    st.html(play_panels.answered(found, answer))
    controls.draw(play_panels.choices(found, answer.get("choice")))
    feature = found.key.feature
    if play is not None and found.key.kind == "name":
        _own_words(play)
    every = resources.workbench().words.of(feature, people=people.people())
    st.html(f'<h2 class="fs-h2"><span>What others say</span>{link(links.feature(feature), feature, "fs-act")}</h2>')
    if not every:
        st.html('<p class="fs-soft fs-small">Nobody said anything yet.</p>')
    for one in every:
        with st.container(key=f"fs-play-said-{one.id}", gap="small"):
            st.html(f"<p>{explaining_panels.text(one.text)}</p>")
            explaining.votes(one, place="play-")
    explaining.write(feature)
    if ask.view == "advanced":
        _agreement(found)


def _agreement(found: Round) -> None:
    """How well people tell this feature, so far."""
    feature = found.key.feature
    (known,) = people.gather(lambda them: resources.workbench().words.play.agreement(them, feature))
    if known is not None and not isinstance(known, WorkbenchError):
        st.html(
            f'<p class="fs-soft fs-small">Agreement on this feature: {known.agreed:.2f} over {known.rounds} rounds by '
            f"{known.people} {'people' if known.people != 1 else 'person'}.</p>"
        )


def _own_words(play: Play) -> None:
    """The words of an answer, which may be improved now that one knows more; points stay as they are."""
    with st.form(f"play-own-{play.id}", border=False):
        said = st.text_input(
            "Your words: make them better", play.words, key=f"play-better-{play.id}", max_chars=limits.EXPLANATION
        )
        with st.container(horizontal=True, gap="small"):
            save = st.form_submit_button("Save")
            post = st.form_submit_button("Save and post as an explanation")
    back = play_panels.here(key=RoundKey(_kind(play.kind), play.feature, play.seed))
    if (save or post) and people.do(Deed("play-words", play.id, {"words": said}), back, for_what="keep your words"):
        if not post:
            st.html(note("Saved.", warn=False))
        elif resources.workbench().words.twins(play.feature, said):
            st.html(note("Somebody said the same in nearly the same words: vote for it below.", warn=False))
        else:
            deed = Deed("explain", str(play.feature), {"text": said}, id=people.once(f"play-post-{play.id}", said))
            if people.do(deed, back, for_what="post this explanation"):
                st.html(note("Posted.", warn=False))


def _kind(text: str) -> Kind:
    return next(kind for kind in get_args(Kind) if kind == text)


def _further(ask: PlayAsk, key: RoundKey, daily: tuple[RoundKey, ...]) -> None:
    at = daily.index(key) if daily else -1
    on = link(_next(ask, key), "Next round", "fs-btn p")
    if daily:
        last = at + 1 == len(daily)
        on = link(play_panels.here(view=ask.view), "Done: how others did", "fs-btn p") if last else on
    st.html(f'<div class="fs-row">{on}{link(play_panels.here(view=ask.view), "Leaderboards", "fs-btn")}</div>')


def _next(ask: PlayAsk, key: RoundKey) -> str:
    """The address of the round after this; always the same, so that nothing is chosen by asking again."""
    if ask.daily is not None:
        return play_panels.here(daily=ask.daily + 1, view=ask.view)
    seed = uuid5(NAMESPACE_URL, str(key)).int % 2**32
    return play_panels.here(seed=seed, kind=ask.kind or "", campaign=ask.campaign, view=ask.view)


# -- the hall ----------------------------------------------------------------------------------------------------------


def _hall(ask: PlayAsk) -> None:
    """Ways in, leaderboards, campaigns, tips."""
    st.html(source_panels.title("Play", LEAD, actions=_views(ask)))
    seed = int.from_bytes(datetime.datetime.now().isoformat().encode()[-6:], "big") % 2**32
    ways = [
        link(play_panels.here(seed=seed, kind="predict", campaign=ask.campaign, view=ask.view), "Play", "fs-btn p"),
        link(play_panels.here(daily=0, view=ask.view), "The day’s puzzle", "fs-btn"),
    ]
    if ask.view == "advanced":
        ways += [
            link(play_panels.here(seed=seed, kind=kind, campaign=ask.campaign, view=ask.view), name, "fs-btn")
            for kind, name in play_panels.NAMES.items()
        ]
    st.html(f'<div class="fs-row">{join(ways)}</div>')
    if not people.kept():
        st.html(note("People’s things are switched off on this server: you can play, and nothing is kept.", warn=False))
        st.html(play_panels.tips())
        return
    _boards(ask)
    st.html(play_panels.tips())
    if ask.view == "advanced":
        _advanced(ask)


def _views(ask: PlayAsk) -> Html:
    other = "" if ask.view == "advanced" else "advanced"
    return link(play_panels.here(view=other, campaign=ask.campaign), f"{other or 'simple'} view".capitalize(), "fs-btn")


def _boards(ask: PlayAsk) -> None:
    play, day = resources.workbench().words.play, datetime.datetime.now(datetime.UTC).date()
    week = day - datetime.timedelta(day.weekday())
    found = people.gather(
        lambda them: play.board(them, day),
        lambda them: play.board(them, week),
        lambda them: play.board(them, day, ask.campaign) if ask.campaign else (),
        lambda them: them.plays.campaigns(),
        _streak,
    )
    if wrong := next((one for one in found if isinstance(one, WorkbenchError)), None):
        st.html(note(str(wrong)))
        return
    today, this_week, campaign, campaigns, (me, streak) = found
    if streak:
        st.html(f'<p class="fs-streak"><b>{streak} day{"s" * (streak != 1)}</b> in a row</p>')
    if resources.workbench().community.referee() is None:
        st.html(note("This server keeps answers and gives no points: it has no secret key of its project.", warn=False))
    boards = [play_panels.board(today, "Today", me), play_panels.board(this_week, "This week", me)]
    if ask.campaign:
        name = next((one.name for one in campaigns if one.id == ask.campaign), "Campaign")
        boards.insert(0, play_panels.board(campaign, name, me))
    st.html(f'<div class="fs-three">{join(boards)}</div>')
    controls.draw(play_panels.campaigns(campaigns, ask.view))


def _streak(them: People) -> tuple[str, int]:
    me = them.me
    return (me.id, them.plays.streak(me.id)) if isinstance(me, Person) else ("", 0)


def _advanced(ask: PlayAsk) -> None:
    """What play teaches, to take along; and campaigns of one's own."""
    sources = [str(one) for one in resources.workbench().words.play.sources()]
    st.html('<h2 class="fs-h2">What play teaches</h2>')
    source = st.selectbox("Source", sources, key="play-source", width=320)
    if source:
        (found,) = people.gather(lambda them: resources.workbench().words.play.doubted(them, SourceKey.parse(source)))
        st.html(note(str(found)) if isinstance(found, WorkbenchError) else play_panels.doubts(found, source))
        export = f"/api/play/export/{quote(source)}"
        st.html(f'<p><a class="fs-btn" href="{export}" data-stay="" download>Labels as JSON lines</a></p>')
    with st.expander("Begin a campaign"), st.form("play-campaign", border=False):
        name = st.text_input("Name", max_chars=limits.TITLE)
        chosen = st.multiselect("Sources", sources)
        about = st.text_area("What it is about", max_chars=limits.DESCRIPTION, height=72)
        sent = st.form_submit_button("Begin")
    if sent:
        values = {"name": name, "sources": chosen, "about": about}
        deed = Deed("campaign", "", values, id=people.once("campaign", values))
        if people.do(deed, play_panels.here(view="advanced"), for_what="begin this campaign"):
            people.made("campaign")
            st.rerun()
    mine = [one for one in people.gather(_mine)[0] or () if not isinstance(one, WorkbenchError)]
    for one in mine:
        if st.button(f"End “{_plain(one.name)}”", key=f"end-{one.id}"):
            if people.do(Deed("campaign-delete", one.id), controls.here("play"), for_what="end this campaign"):
                st.rerun()


def _mine(them: People) -> list[Any]:
    me = them.me
    return [one for one in them.plays.campaigns() if isinstance(me, Person) and one.owner == me.id]
