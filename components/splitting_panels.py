"""Feature splitting across widths as HTML: how many features split, and which into which."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components import links, paging
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, stat, tip
from components.quality_view import PAGE, THRESHOLDS, View
from components.search_panels import pill
from core.atlas.near.records import SimilarHit, SplittingParent, SplittingRecord
from core.records import SourceRecord

TITLE, TERM = "What its features become in other widths", "splitting across widths"


def choose(view: View, others: Sequence[SourceRecord]) -> Html:
    """Which other width, and from which cosine on."""
    wide = join(
        pill(view.to(wide=one.key), f"{one.key.source_id} · {one.width:,}", on=one.key == view.wide) for one in others
    )
    least = join(
        pill(view.to(threshold=x), f"≥ {x:g}", on=x == view.threshold) for x in sorted({*THRESHOLDS, view.threshold})
    )
    return Html(
        '<div class="fs-split-tools"><span class="fs-facet"><span class="fs-soft">Against</span>'
        f'<span class="fs-pills">{wide}</span></span>'
        f'<span class="fs-facet"><span class="fs-soft">{word("cosine", "splitting threshold")}</span>'
        f'<span class="fs-pills">{least}</span></span></div>'
    )


def waiting(tools: Html, text: str, part: float | None) -> Html:
    """While rows are compared."""
    meter = "" if part is None else f'<div class="fs-meter"><i style="width:{part * 100:.1f}%"></i></div>'
    return card(f'{tools}<span class="fs-wait" role="status">{esc(text)}</span>{meter}', word(TITLE, TERM))


def failed(tools: Html, message: str) -> Html:
    """Where they cannot be."""
    return card(f'{tools}<p class="fs-soft">{esc(message)}</p>', word(TITLE, TERM))


def result(view: View, tools: Html, one: SplittingRecord) -> Html:
    """How many split, persist, are gone and new; the nearest rows beside chance; which features those are."""
    stats = (
        (f"{one.split:,}", "split"), (f"{one.persist:,}", "persist"), (f"{one.gone:,}", "gone"),
        (f"{one.new:,}", "new in the wider"),
    )  # fmt: skip
    numbers = join(stat(value, word(name, f"splitting {name.split()[0]}")) for value, name in stats)
    found = 1 - one.new / max(1, one.children)
    line = (
        f"{one.parents:,} living features of {one.narrow.source_id}, {one.children:,} of {one.wide.source_id}. "
        f"{percent(found)} of the wider one’s have a parent; among as many random directions {percent(one.chance)} "
        "would."
    )
    rows = join(_row(row) for row in one.rows if row.children)
    pages = max(1, -(-(one.split + one.persist) // PAGE))
    foot = paging.turn(view.page, pages, lambda n: view.to(page=n), f"{one.split + one.persist:,} features")
    table = (
        f'<div class="fs-wide"><table class="fs-table fs-splits"><thead><tr><th>of {esc(one.narrow.source_id)}</th>'
        f'<th class="n">{word("children", "splitting child")}</th><th>of {esc(one.wide.source_id)}, with the cosine'
        f"</th></tr></thead><tbody>{rows}</tbody></table></div>{foot}"
        if rows
        else '<div class="fs-empty"><b>No feature has one there that is so near</b>Take a smaller cosine above.</div>'
    )
    return card(
        f'{tools}<div class="fs-stats">{numbers}</div><p class="fs-soft fs-fine">{esc(line)}</p>{_best(one)}{table}',
        word(TITLE, TERM),
    )


def _row(row: SplittingParent) -> str:
    more = row.children - len(row.listed)
    its = join(_child(hit) for hit in row.listed) + (f'<span class="fs-soft">and {more:,} more</span>' if more else "")
    count = f'<td class="n">{row.children:,}</td>'
    return f'<tr><td>{_feature(row.hit)}</td>{count}<td><div class="fs-kids">{its}</div></td></tr>'


def _feature(hit: SimilarHit) -> Html:
    name = link(links.feature(hit.feature), hit.feature.index, "main")
    return Html(f'{name} <span class="fs-soft">{esc(hit.label)}</span>')


def _child(hit: SimilarHit) -> str:
    about = f"{hit.feature}\n{hit.label or 'no label'}\ncosine {hit.value:.4f}"
    return (
        f'<a class="fs-kid" href="{esc(links.feature(hit.feature))}" data-tip="{esc(about)}">'
        f"<b>{hit.feature.index}</b> {esc(hit.label)} <small>{hit.value:.2f}</small></a>"
    )


def _best(one: SplittingRecord) -> Html:
    """Wide features by the cosine of their nearest narrow row, and the same of random directions."""
    bins, top = len(one.best), math.log1p(max(*one.best, *one.best_by_chance, 1))
    bars = []
    for i, (count, chance) in enumerate(zip(one.best, one.best_by_chance, strict=True)):
        where = f"cosine {number(i / bins)} to {number((i + 1) / bins)}: {count:,} features; {chance:,} by chance"
        bars.append(
            f'<span {tip(where)}><i style="height:{math.log1p(count) / top * 100:.1f}%"></i>'
            f'<u style="height:{math.log1p(chance) / top * 100:.1f}%"></u></span>'
        )
    said = f"Nearest rows of {one.children:,} features of {one.wide.source_id}"
    return Html(
        f'<div class="fs-two-hist" role="img" aria-label="{esc(said)}">{join(bars)}</div><div class="fs-axis" '
        'aria-hidden="true"><span>0</span><span>cosine of the nearest row</span><span>1</span></div>'
        '<div class="fs-legend"><span><i></i>the narrower source’s rows</span><span><u></u>random directions</span>'
        "<span>logarithmic</span></div>"
    )
