"""What people say, as HTML: who, when, and their words. Draws nothing itself; a person's words pass through Markdown.

Names, times and words stand the same wherever they stand: with a comment, a list, a note to a feature.
"""

from __future__ import annotations

import datetime

from components import links
from components.markup import Html, esc, link
from core.community import markdown
from core.community.records import Comment

_STEPS = ((60, "minute"), (3600, "hour"), (86_400, "day"))
_WEEK = 7 * 86_400


def who(name: str) -> Html:
    """A person by their name, which leads to their page."""
    return link(links.person(name), name, "fs-who")


def when(made: str, now: datetime.datetime | None = None) -> Html:
    """How long ago, or from a week on the day; the exact time one hover away. `made` is ISO 8601 in UTC."""
    try:
        then = datetime.datetime.fromisoformat(made)
    except ValueError:
        return Html("")
    then = then if then.tzinfo else then.replace(tzinfo=datetime.UTC)
    exact = then.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    said = _ago(((now or datetime.datetime.now(datetime.UTC)) - then).total_seconds(), exact[:10])
    return Html(f'<time datetime="{esc(made)}" data-tip="{exact}" tabindex="0">{said}</time>')


def _ago(seconds: float, day: str) -> str:
    if seconds < _STEPS[0][0]:
        return "just now"
    if seconds >= _WEEK:
        return day
    size, unit = max(step for step in _STEPS if step[0] <= seconds)
    count = int(seconds // size)
    return f"{count} {unit}{'s' * (count != 1)} ago"


def words(text: str, extra: str = "") -> Html:
    """A person's Markdown; nothing for nothing."""
    return Html(f'<div class="fs-words {extra}" dir="auto">{markdown.html(text)}</div>') if text.strip() else Html("")


def comment(item: Comment) -> Html:
    """One comment: its head, and what was said or why it is not there any more."""
    edited = ' · <span class="fs-soft">edited</span>' if item.edited and item.state == "shown" else ""
    head = f'<div class="fs-by-line">{who(item.owner_name)} · {when(item.made)}{edited}</div>'
    if item.state == "deleted":
        body = '<p class="fs-gone">Taken back by who wrote it.</p>'
    elif item.state == "hidden":
        body = f'<p class="fs-gone">Hidden by a moderator{": " if item.why else "."}{esc(item.why)}</p>'
    else:
        body = words(item.body)
    return Html(f'<article class="fs-comment" id="comment-{esc(item.id)}">{head}{body}</article>')


def none(what: str) -> Html:
    """Where nobody said anything yet."""
    return Html(f'<p class="fs-soft fs-small">Nobody said anything about this {what} yet.</p>')
