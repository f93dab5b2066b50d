"""Lists of features as HTML: as cards, their heads, their features. Pure functions; draws nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components import charts, links, markup, source_panels
from components.comment_panels import when, who, words
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, tip
from core.community import markdown
from core.community.records import FeatureList, Item, ListCard, Listed
from core.interchange.lists import Draft
from core.records import FeatureRecord, TestRecord

SEEN = {
    "public": ("public", "Everybody finds and reads it"),
    "unlisted": ("with the link", "Whoever has its address reads it; it stands in no index"),
    "private": ("only me", "Nobody else reads it"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A feature of a list with what is known of it here."""

    item: Item
    record: FeatureRecord | None
    """None where this server does not have it."""
    why: str = ""
    """What keeps it from being shown."""
    test: TestRecord | None = None


def listed(one: Listed) -> Html:
    """That a feature stands in a list, and what is said of it there."""
    href = esc(links.list_(one.list_id))
    return Html(
        f'<div class="fs-listed"><a class="main" href="{href}">{esc(one.list_name)}</a> '
        f'<span class="fs-soft">by {who(one.owner_name)}</span>{words(one.note, "fs-small")}</div>'
    )


def counts(one: ListCard) -> Html:
    """How much there is of it, in words."""
    parts = [f"{one.items:,} feature{'s' * (one.items != 1)}"]
    parts += [f"★ {one.stars:,}"] * bool(one.stars)
    parts += [f"{one.comments:,} comment{'s' * (one.comments != 1)}"] * bool(one.comments)
    return join(map(esc, parts), " · ")


def seen(one: ListCard) -> Html:
    """Who reads it, where that is not everybody; and whether a moderator hid it."""
    said, about = SEEN[one.visibility]
    mark = "" if one.visibility == "public" else f'<span class="fs-own" {tip(about)}>{esc(said)}</span>'
    hid = f'<span class="fs-own warn" {tip(one.hidden_why or "A moderator hid it")}>hidden</span>' if one.hidden else ""
    return Html(mark + hid)


def cards(found: Sequence[ListCard], *, mine: bool = False) -> Html:
    """Lists, each as a card."""

    def one(item: ListCard) -> str:
        by = "" if mine else f"by {who(item.owner_name)} · "
        about = esc(markdown.plain(item.about, 180))
        return (
            f'<article class="fs-card fs-list-card"><h3>{link(links.list_(item.id), item.name, "fs-name")}{seen(item)}'
            f'</h3>{f"<p>{about}</p>" if about else ""}'
            f'<div class="fs-soft fs-small fs-under">{by}{counts(item)} · {when(item.changed)}</div></article>'
        )

    return Html(f'<div class="fs-three">{join(map(one, found))}</div>')


def head(found: FeatureList, actions: str = "") -> Html:
    """What a list is called, whose it is, what it is about."""
    one = found.card
    top = source_panels.title(one.name, "", [link("/lists", "lists"), f"<b>{esc(one.name)}</b>"], actions)
    line = f"{who(one.owner_name)} · {counts(one)} · changed {when(one.changed)} {seen(one)}"
    hid = ""
    if one.hidden:
        hid = markup.note(
            f"A moderator hid this list: only {one.owner_name} and moderators see it."
            + (f" The reason: {one.hidden_why}" if one.hidden_why else "")
        )
    return Html(f'{top}<div class="fs-by-line fs-list-line">{line}</div>{hid}{words(one.about, "fs-list-about")}')


def empty(mine: bool) -> Html:
    """A list without features."""
    ways = (
        "Paste ids below, or tick features in a search or in a source’s table and choose “Make a list”."
        if mine
        else "Whoever made it has put nothing in yet."
    )
    return card(f'<div class="fs-empty"><b>No features yet</b>{ways}</div>')


def row(one: Row, place: int, *, embedded: bool = False) -> Html:
    """A feature of a list: what it fires on at its best or on a text, the note to it, its weight."""
    key, weight = one.item.feature, one.item.weight
    said = words(one.item.note, "fs-note-to")
    about = tip("Of this feature where the list steers or is tested as one")
    weighed = "" if weight == 1 else f'<span class="fs-own" {about}>× {esc(f"{weight:g}".replace("-", "−"))}</span>'
    where = f'<span class="fs-where">{esc(key.model_id)} · {esc(key.source_id)} · {key.index}</span>'
    if one.record is None:
        name = f'<b class="fs-hit-name fs-soft">{esc(key)}</b>'
        return Html(
            f'<article class="fs-card fs-item"><span class="fs-no">{place}</span><div><div class="fs-hit-head">{name}'
            f'{weighed}</div><p class="fs-gone">{esc(one.why)}</p>{said}</div></article>'
        )
    record = one.record
    texts = [one.test.text] if one.test is not None else []
    href = esc(links.feature(key, *texts))
    name = f'<a class="fs-hit-name" href="{href}">{esc(markup.title(record))}</a>'
    strip, value = _strip(one)
    facts = "" if embedded else (
        f'<div class="fs-about"><span>{word("density")} {percent(record.density)}</span>'
        f'<span>{word("maximum")} {number(record.maximum)}</span></div>'
    )  # fmt: skip
    return Html(
        f'<article class="fs-card fs-item"><span class="fs-no">{place}</span><div>'
        f'<div class="fs-hit-head">{name}{where}{weighed}{value}</div>{strip}{said}{facts}</div></article>'
    )


def _strip(one: Row) -> tuple[Html, Html]:
    """(the text with the feature's values, or its strongest example; the largest value on the text)."""
    record, test = one.record, one.test
    assert record is not None
    scale, signed = charts.scale(record), record.source.signed
    if test is None:
        group = source_panels.best(record)
        if group is None or not group.examples:
            return Html('<p class="fs-gone">Nothing activates it on the build’s texts.</p>'), Html("")
        return charts.example(group.examples[0], scale, signed=signed, before=14, after=9), Html("")
    scale = scale or max(map(abs, test.values), default=0.0)
    strip = charts.strip(test.tokens, test.values, scale, position=test.position, signed=signed, tips=True)
    share = f", {percent(abs(test.maximum) / scale)} of its maximum" if scale > 0 else ""
    about = "No token of the text activates it" if test.position is None else f"At token {test.position}{share}"
    zero = " zero" * (test.maximum == 0)
    return strip, Html(f'<b class="fs-gain{zero}" {tip(about)}>{number(test.maximum)}</b>')


def unit(strip: Html, top: float, about: str) -> Html:
    """The whole list on a text as one."""
    return Html(
        f'<article class="fs-card fs-item"><span class="fs-no">Σ</span><div><div class="fs-hit-head">'
        f'<b class="fs-hit-name">All together</b><span class="fs-soft fs-small">{esc(about)}</span>'
        f'<b class="fs-gain">{number(top)}</b></div>{strip}</div></article>'
    )


def form(page: str, fields: Sequence[tuple[str, str]], text: str, model_id: str) -> Html:
    """A line for a text that is run over all features; `fields` go with it."""
    hidden = join(f'<input type="hidden" data-name="{esc(a)}" value="{esc(b)}">' for a, b in fields)
    return Html(
        f'<form class="fs-card fs-ask" data-go="{esc(page)}" role="search"><label for="fs-text">A text on all of them'
        f'</label>{hidden}<div class="fs-ask-row"><textarea id="fs-text" class="fs-in" data-name="text" data-whole="" '
        f'rows="1" spellcheck="false" data-warm="{esc(model_id)}" placeholder="The capital of Norway is Oslo.">'
        f'{esc(text)}</textarea><button class="fs-btn p" type="submit">Test</button></div></form>'
    )


def orders(here: str, by_value: str, by_list: str) -> Html:
    """In which order the features stand."""
    def one(name: str, said: str, href: str) -> str:
        on = ' class="fs-pill on" aria-current="true"' if here == name else ' class="fs-pill"'
        return f'<a{on} href="{esc(href)}" data-stay="">{said}</a>'

    return Html(
        f'<nav class="fs-row fs-small" aria-label="Order"><span class="fs-soft">Order</span>'
        f'{one("list", "as listed", by_list)}{one("value", "by value on the text", by_value)}</nav>'
    )


def embedded_head(found: FeatureList) -> Html:
    """A list's name in somebody's frame, and the way to its page."""
    one = found.card
    way = link(links.list_(one.id), "Open ↗", "fs-open")
    return Html(
        f'<div class="fs-embed-head"><h1 class="fs-title">{esc(one.name)}</h1><span class="fs-where">'
        f"{esc(one.owner_name)} · {counts(one)}</span>{way}</div>{words(one.about, 'fs-small')}"
    )


def described(draft: Draft) -> Html:
    """What a file holds, before a list is made of it."""
    count = len(draft.items)
    return Html(f"<b>{esc(draft.name)}</b>: {count:,} feature{'s' * (count != 1)}, {esc(SEEN[draft.visibility][0])}.")


def quick_head(name: str, count: int, actions: str) -> Html:
    """A list that is not kept: its name, and that it is its link."""
    crumbs = [link("/lists", "lists"), Html("<b>not kept</b>")]
    several = "s" * (count != 1)
    lead = f"{count:,} feature{several} from a link: whoever has it sees them. They are kept nowhere else."
    return source_panels.title(name or "A quick list", lead if count else "", crumbs, actions)


def quick_empty() -> Html:
    """A link that names no feature that is here."""
    return card(
        '<div class="fs-empty"><b>The link names no feature</b>It is /quick-list?name=…&amp;features=2-res/78,3-res/5, '
        "or features=[{modelId, layer, index}, …] as Neuronpedia’s. Tick features in a search and choose “Make a list” "
        "to get one.</div>"
    )
