"""Play as HTML: a round's texts before and after the answer, what it came to, leaderboards, tips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components import charts, links
from components.comment_panels import who
from components.explaining_panels import MARKS
from components.explaining_panels import text as words
from components.markup import Html, card, esc, join, link, percent
from core.community.records import Campaign, Standing
from core.explain.play.records import Asked, Choice, Doubt, Kind, Outcome, Round

NAMES: dict[Kind, str] = {"predict": "Predict", "odd": "Odd one out", "name": "Name it", "compare": "This or that"}
ASKED: dict[Kind, str] = {
    "predict": "A feature of a language model fires on the marked words. Which of the new texts does it fire on?",
    "odd": "A feature fires somewhere in all of these texts but one. Which one is foreign?",
    "name": "What have the marked words in common? Say it in a few words, then test your idea on new texts.",
    "compare": "Which of two explanations fits the marked words better? Then test it on new texts.",
}
TIPS = (
    "Look at the deepest marks first, then at what stands just before them.",
    "A feature can fire on a word, a part of a word, a phrase, a place in the text, or a topic.",
    "Two patterns that have nothing in common are an answer, too: write both with “|” between them.",
    "Unsure costs nothing. A wrong guess costs as much as a right answer earns.",
    "Some of the silent texts were chosen to look right: the same word in another sense, or a neighbouring feature’s.",
)


def here(*, key: object = None, seed: int | None = None, daily: int | None = None, **view: str) -> str:
    """The address of a round, of one by chance, of one of the day's, or of the page itself."""
    pairs = [("round", str(key))] if key is not None else []
    pairs += [("seed", str(seed))] if seed is not None else []
    pairs += [("daily", str(daily))] if daily is not None else []
    return links.page("play", *pairs, *((name, value) for name, value in view.items() if value))


def shown(found: Round) -> Html:
    """The examples of a round, marked where the feature fires."""
    if not found.shown:
        return Html("")
    top = max(one.peak for one in found.shown)
    strips = join(f'<div class="fs-play-text">{_strip(one, top)}</div>' for one in found.shown)
    return card(strips, "It fires here", "the deeper, the more")


def asked(item: Asked, number: int) -> Html:
    """A text that is asked about: nothing of it is marked."""
    blank = charts.strip(item.tokens, (0.0,) * len(item.tokens), 1.0)
    return Html(
        f'<div class="fs-play-text asked"><span class="fs-soft">{number}</span>'
        f"{charts.covered(blank, item.tokens)}</div>"
    )


def answered(found: Round, answer: Mapping[str, Any]) -> Html:
    """The same texts with the truth, beside what was said."""
    top = max((one.peak for one in (*found.shown, *found.items)), default=1.0)
    odd = found.key.kind == "odd"
    labels = answer.get("labels") or [None] * len(found.items)
    rows = []
    for n, (item, truth) in enumerate(zip(found.items, found.truth, strict=True)):
        said = (None if answer.get("odd") is None else answer["odd"] != n) if odd else labels[n]
        is_ = ("has the feature" if truth else "the odd one") if odd else ("fires" if truth else "silent")
        rows.append(
            f'<div class="fs-play-text {_mark(said, truth, odd=odd)}"><span class="fs-soft">{n + 1} · {is_}'
            f"{_said(said, truth, odd=odd)}</span>{_strip(item, top)}</div>"
        )
    return card(join(rows), "What is so")


def _mark(said: bool | None, truth: bool, *, odd: bool) -> str:
    if said is None or (odd and said and truth):
        return ""
    return "right" if said == truth else "wrong"


def _said(said: bool | None, truth: bool, *, odd: bool) -> str:
    if odd:
        return " · you found it" if said is False and not truth else " · your choice" if said is False else ""
    return " · unsure" if said is None else " · right" if said == truth else " · you said otherwise"


def outcome(found: Outcome, kept: bool) -> Html:
    """What an answer came to."""
    agreed = "nothing was answered" if found.agreed is None else f"agreement {percent(found.agreed)}"
    points = f"{found.points:+d}".replace("-", "−") if found.points else "0"
    where = "" if kept else " They are not kept: nobody is signed in."
    return Html(
        f'<div class="fs-note fs-play-points" role="status"><b>{points} points</b> · {found.right} right, '
        f"{found.wrong} wrong, {found.unsure} unsure · {agreed}.{where}</div>"
    )


def choices(found: Round, chosen: str | None) -> Html:
    """The explanations of “this or that”, with which feature each was said of."""
    rows = join(_choice(one, found, chosen) for one in found.choices)
    return card(f'<div class="fs-list">{rows}</div>', "This or that") if rows else Html("")


def _choice(one: Choice, found: Round, chosen: str | None) -> Html:
    own = one.feature == found.key.feature
    about = "said of this feature" if own else f"said of {link(links.feature(one.feature), one.feature, 'fs-act')}"
    mine = " · your choice" if one.id == chosen else ""
    return Html(f'<div class="fs-did"><span>{words(one.text)}</span><span class="fs-soft">{about}{mine}</span></div>')


def board(lines: Sequence[Standing], title: str, me: str) -> Html:
    """A leaderboard."""
    if not lines:
        return card('<p class="fs-soft">Nobody yet.</p>', esc(title))
    rows = join(
        f'<tr{" class=fs-own-row" if one.owner == me else ""}><td class="n">{n}</td><td>{who(one.name)}</td>'
        f'<td class="n">{max(0, one.points):,}</td><td class="n">{one.rounds:,}</td>'
        f'<td class="n">{"" if one.agreed is None else percent(round(one.agreed, 2))}</td></tr>'
        for n, one in enumerate(lines[:10], 1)
    )
    head = "<tr><th></th><th></th><th class=n>points</th><th class=n>rounds</th><th class=n>agreement</th></tr>"
    return card(f'<table class="fs-table fs-board"><thead>{head}</thead><tbody>{rows}</tbody></table>', esc(title))


def tips() -> Html:
    """How to see more."""
    return card(f'<ul class="fs-play-tips">{join(f"<li>{esc(tip)}</li>" for tip in TIPS)}</ul>', "Tips")


def campaigns(found: Sequence[Campaign], view: str) -> Html:
    """Campaigns, each with the way into it."""
    if not found:
        return Html("")
    rows = join(
        f'<div class="fs-did"><span>{link(here(campaign=one.id, view=view), one.name, "main")} '
        f'<span class="fs-soft">by {who(one.owner_name)} · {len(one.sources)} sources</span></span>'
        f'<span class="fs-soft">{one.rounds:,} rounds</span></div>'
        for one in found
    )
    return card(f'<div class="fs-list">{rows}</div>', "Campaigns")


def doubts(found: Sequence[Doubt], source: str) -> Html:
    """The queue of features whose words people doubt."""
    if not found:
        return card('<p class="fs-soft">Nobody doubts anything here yet.</p>', f"Doubted in {esc(source)}")
    rows = join(
        f'<div class="fs-did"><span>{link(links.feature(one.feature), one.feature.index, "main")} '
        f'<span class="fs-soft">{esc(_why(one))}</span></span></div>'
        for one in found
    )
    return card(f'<div class="fs-list">{rows}</div>', f"Doubted in {esc(source)}", f"{len(found):,}")


def _why(one: Doubt) -> str:
    said = [f"{one.down} against, {one.up} for"] if one.up or one.down else []
    said += [f"{MARKS[mark][0]}: {count}" for mark, count in one.marks.items()]
    if one.agreement is not None:
        rounds = f"{one.agreement.rounds} round{'s' * (one.agreement.rounds != 1)}"
        said.append(f"agreement {percent(round(one.agreement.agreed, 2))} over {rounds}")
    return " · ".join(said)


def _strip(item: Asked, top: float) -> Html:
    return charts.covered(charts.strip(item.tokens, item.values, top, tips=True), item.tokens)
