"""Two texts side by side, as HTML: the features that are stronger on the first, and those on the second.

Functions from a view and a record; draws nothing itself. Both strips of a feature have one scale, its own maximum, so
that their depths compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import charts, links, paging, ticks
from components.feature_panels import word
from components.markup import Html, card, esc, join, number, percent, tip
from components.search_panels import AFTER, BEFORE, LONG, NAMES, bos_choice, left_out, length, source_choice
from components.search_view import Facet, View
from core.records import Contrast, ContrastRecord, SourceKey, SourceRecord, Token

EACH = 10
"""Features of a page in each direction."""
SIDES = ("first", "second")


def examples(view: View, pairs: Sequence[Mapping[str, str]]) -> Html:
    """Before there are two texts: pairs to begin with, one click each."""
    cards = join(
        f'<a class="fs-card fs-featured" href="{esc(view.to(text=p["text"], against=p["against"], tokens=()))}">'
        f'<b>{esc(p["name"])}</b><span class="fs-quote">{_badge(0)}{esc(p["text"])}</span>'
        f'<span class="fs-quote">{_badge(1)}{esc(p["against"])}</span></a>'
        for p in pairs
    )
    said = "Write the other text too, or begin with a pair" if view.text or view.against else "Or begin with a pair"
    return Html(f'<h2 class="fs-h2">{said}</h2><div class="fs-three">{cards}</div>')


def asked(
    view: View,
    first: Sequence[Token],
    second: Sequence[Token],
    records: Sequence[SourceRecord],
    facets: Sequence[Facet],
) -> Html:
    """Both texts, how long they are, and where is looked."""
    turned = view.to(text=view.against, against=view.text, tokens=())
    lines = join(
        f'<div class="fs-quote">{_badge(n)}{charts.strip(text, [0.0] * len(text), 1.0, special=view.bos)}'
        f'<span class="fs-soft">{length(text)}</span></div>'
        for n, text in enumerate((first, second))
    )
    swap = Html(f'<a class="fs-act fs-light" data-stay="" href="{esc(turned)}">swap them</a>')
    ways = join(filter(None, (bos_choice(view, first), swap)), " · ")
    return card(f"{lines}{source_choice(view, records, facets)}", "Two texts", ways)


def _badge(n: int) -> Html:
    return Html(f'<i class="fs-no" role="img" aria-label="the {SIDES[n]} text">{n + 1}</i>')


def pages(record: ContrastRecord) -> int:
    """How many pages the longer list has."""
    return max(1, -(-max(record.totals) // EACH))


def lists(view: View, record: ContrastRecord, records: Mapping[SourceKey, SourceRecord]) -> Html:
    """Both lists, side by side where there is room."""
    if not max(record.totals):
        return Html(
            '<div class="fs-card"><div class="fs-empty"><b>No feature tells them apart</b>Every feature is as strong '
            "on both, wherever in them. Look in more sources, at any density, or change a text.</div></div>"
        )
    columns = ""
    for n, its in enumerate((record.first, record.second)):
        body = join(_one(view, record, one, records, n) for one in its)
        none = '<div class="fs-card"><div class="fs-empty">No more on this side.</div></div>'
        columns += (
            f'<section><h2 class="fs-h2"><span>{_badge(n)}Stronger on the {SIDES[n]}</span>'
            f'<span>{record.totals[n]:,} features</span></h2><div class="fs-hits">{body or none}</div></section>'
        )
    measure = "raw value" if record.measure == "value" else NAMES[record.measure]
    count = (
        f'<div class="fs-pages fs-count" role="status"><span>{word("Difference", "difference")} of '
        f"{word(NAMES[record.measure], measure)} at the strongest token of each</span>"
        f'<span class="fs-scale">{word("colour", "hit colour")} 0<i></i>its own maximum</span></div>'
    )
    turn = paging.turn(view.page, pages(record), lambda page: view.to(page=page))
    return Html(
        f'{count}{left_out(record.left_out)}<div class="fs-two fs-sides">{columns}</div>{turn}'
        f"{paging.foot(record.exact)}{ticks.bar(view)}"
    )


def scale(one: Contrast) -> float:
    """The value of full depth on both strips: the feature's largest, or the largest here if it has none."""
    return one.reach or max(map(abs, (*one.values[0], *one.values[1])), default=0.0)


def score(value: float, measure: str) -> str:
    """A measure as a reader wants it."""
    if measure in ("percentile", "fraction"):
        return percent(value)
    return f"{value:.2f}" if measure == "surprise" else number(value)


def _one(
    view: View, record: ContrastRecord, one: Contrast, records: Mapping[SourceKey, SourceRecord], side: int
) -> Html:
    source = records.get(one.key.source)
    signed = source.signed if source else False
    href = esc(links.feature(one.key, view.text, view.against))
    name = esc(one.label) if one.label else Html(f"{'Neuron' if signed else 'Feature'} {one.key.index}")
    rows = ""
    for n in range(2):
        tokens, position = record.tokens[n], one.positions[n]
        cut = {"before": BEFORE, "after": AFTER} if len(tokens) > LONG else {}
        at = position
        if position is None and cut:
            at = min(BEFORE, len(tokens) - 1)  # nothing to draw around: its beginning
        strip = charts.strip(
            tokens, one.values[n], scale(one), position=at, signed=signed, special=view.bos, tips=True, **cut
        )
        about = "Not active on this text" if position is None else f"{number(one.maxima[n])}, at token {position}"
        rows += (
            f'<div class="fs-quote{" by" * (n == side)}">{_badge(n)}{strip}'
            f"<b {tip(about)}>{score(one.scores[n], record.measure)}</b></div>"
        )
    promotes = f"<span>{word('promotes')} {esc(one.promotes)}</span>" if one.promotes else ""
    told = f"{score(one.scores[side], record.measure)} against {score(one.scores[1 - side], record.measure)}"
    return Html(
        f'<article class="fs-card fs-versus-one"><div class="fs-hit-head">{ticks.tick(view, one.key, one.label)}'
        f'<a class="fs-hit-name" href="{href}">{name}</a>'
        f'<a class="fs-quiet" href="{href}" target="_blank" rel="noopener" data-tip="Open in a new tab" '
        f'aria-label="Open {esc(one.key)} in a new tab">↗</a>'
        f'<span class="fs-where">{esc(one.key.source_id)} · {one.key.index}</span>'
        f'<b class="fs-gain" {tip(told)}>+{score(abs(one.difference), record.measure)}</b></div>{rows}'
        f'<div class="fs-about"><span>{word("density")} {percent(one.density)}</span>{promotes}</div></article>'
    )
