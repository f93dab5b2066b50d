"""A person's page and what people did lately, as HTML. Pure functions from records; draws nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from components import links
from components.comment_panels import when, who, words
from components.markup import Html, card, esc, join, link
from core.community import markdown
from core.community.records import Comment, Happening, Person, Saved, Star
from core.records import FeatureKey

KINDS = {"test": "test", "search": "search", "steer": "steering run", "scan": "scan"}
VERBS = {"star": "starred", "comment": "commented on", "list": "made the list", "suite": "made the test suite",
         "explanation": "explained"}  # fmt: skip
Names = Mapping[FeatureKey, str]
"""What features are called, as far as they are here."""


def head(person: Person, *, mine: bool) -> Html:
    """Who it is, in their own words."""
    own = '<span class="fs-soft fs-after">this is you</span>' if mine else ""
    since = f'<span class="fs-soft">here since {when(person.made)}</span>' if person.made else ""
    about = words(person.about, "fs-list-about") or (
        '<p class="fs-soft">You have said nothing about yourself yet.</p>' if mine else ""
    )
    return Html(f'<h1 class="fs-title">{esc(person.name)} {own}</h1>{since}{about}')


def feature(key: FeatureKey, names: Names) -> Html:
    """A feature in a line: its name and where it is."""
    name = names.get(key, "")
    named = f"<span>{esc(name)}</span> " if name else ""
    return Html(
        f'<a class="fs-plain" href="{esc(links.feature(key))}">{named}<span class="fs-where">{esc(key)}</span></a>'
    )


def stars(found: Sequence[Star], names: Names) -> Html:
    """Features and lists that somebody starred."""
    lines = []
    for one in found:
        if one.feature is not None:
            what = feature(one.feature, names)
        else:
            what = link(links.list_(one.list_id or ""), one.list_name, "main")
        lines.append(f'<div class="fs-did"><span>{what}</span><span class="fs-soft">{when(one.made)}</span></div>')
    return _card("Stars", lines)


def comments(found: Sequence[Comment], names: Names) -> Html:
    """What somebody said, and on what."""
    lines = []
    for one in found:
        on = _on(one.feature, one.list_id, one.list_name, names)
        said = esc(markdown.plain(one.body, 240))
        lines.append(
            f'<div class="fs-did"><span>{on}<span class="fs-soft fs-said">{said}</span></span>'
            f'<span class="fs-soft">{when(one.made)}</span></div>'
        )
    return _card("Comments", lines)


def _on(key: FeatureKey | None, list_id: str | None, list_name: str, names: Names) -> Html:
    if key is not None:
        return feature(key, names)
    return link(links.list_(list_id or ""), list_name or "a list", "main")


def _card(name: str, lines: Sequence[str]) -> Html:
    if not lines:
        return Html("")
    return card(f'<div class="fs-list">{join(lines)}</div>', esc(name), f"{len(lines):,}")


def saved(one: Saved) -> Html:
    """A kept view as a line."""
    seen = "" if one.visibility == "public" else '<span class="fs-own">only you</span>'
    return Html(
        f'<div class="fs-did"><span><a class="main" href="{esc(one.link)}">{esc(one.name)}</a> '
        f'<span class="fs-soft">{KINDS[one.kind]}</span> {seen}</span>'
        f'<span class="fs-soft">{when(one.made)}</span></div>'
    )


def happenings(found: Iterable[Happening], names: Names) -> Html:
    """What people did, a line each, the newest first."""
    return Html(f'<div class="fs-list">{join(_did(one, names) for one in found)}</div>')


def _did(one: Happening, names: Names) -> Html:
    what: str = ""
    if one.what == "suite":
        what = f"{link(links.suite(one.id), one.words, 'main')}"
        what += f' <span class="fs-soft">of</span> {feature(one.feature, names)}' if one.feature is not None else ""
    elif one.feature is not None:
        what = feature(one.feature, names)
    elif one.list_id is not None:
        what = link(links.list_(one.list_id), one.words if one.what != "comment" else "a list", "main")
    said = ""
    if one.what in ("comment", "explanation") and one.words:
        said = f'<span class="fs-soft fs-said">{esc(markdown.plain(one.words, 160))}</span>'
    return Html(
        f'<div class="fs-did"><span>{who(one.who)} <span class="fs-soft">{VERBS[one.what]}</span> {what}{said}</span>'
        f'<span class="fs-soft">{when(one.made)}</span></div>'
    )


def nothing(mine: bool) -> Html:
    """A page of somebody who has shown nothing."""
    said = "Stars, lists, comments, test suites and what you save will stand here." if mine else "Nothing to see yet."
    return card(f'<div class="fs-empty">{said}</div>')
