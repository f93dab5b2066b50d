"""Histograms, logit bars and static token strips as HTML. Pure functions over records; colours live in look.css.

Bars are plain boxes and not a chart library's canvas: they cost nothing to load, scale without distorting their labels,
follow the theme, and each tells its range and count to mouse and keyboard.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from components.markup import Html, esc, join, number, tip, token
from core.community.explicit import explicit_tokens
from core.records import Attribution, Example, FeatureRecord, Histogram, Token, TokenValue


def histogram(
    data: Histogram, *, what: str, signed: bool = False, log: bool = False, decades: bool = False, top: float = 0
) -> Html:
    """Counts as bars. `log`: heights by log(1 + count); `decades`: the axis is a power of ten, drawn as percent.

    `top` is the count of full height, the largest unless it is given: with another's, heights of both compare.
    """
    most = max(top, max(data.counts, default=0))
    top = (math.log1p(most) if log else most) or 1
    step = (data.high - data.low) / max(1, len(data.counts))
    reach = max(abs(data.low), abs(data.high)) or 1
    bars = []
    for i, count in enumerate(data.counts):
        low, high = data.low + i * step, data.low + (i + 1) * step
        middle = (low + high) / 2
        height = (math.log1p(count) if log else count) / top * 100
        height = max(height, 1.5) if count else 0
        depth = abs(middle) / reach if signed or not decades else 0.6
        side = ("pos" if middle >= 0 else "neg") if signed else ""
        where = f"{_edge(low, decades)} to {_edge(high, decades)}"
        bars.append(
            f'<i class="{side}" style="height:{height:.1f}%;--v:{depth:.2f}" '
            f'data-tip="{esc(f"{where}: {count:,} {what}")}"></i>'
        )
    summary = f"Histogram of {sum(data.counts):,} {what} from {_edge(data.low, decades)} to {_edge(data.high, decades)}"
    axis = f"<span>{_edge(data.low, decades)}</span>"
    if signed and data.low < 0 < data.high:
        at = -data.low / (data.high - data.low) * 100
        if 12 < at < 88:
            axis += f'<span style="position:absolute;left:{at:.1f}%;transform:translateX(-50%)">0</span>'
    axis += f"<span>{_edge(data.high, decades)}</span>"
    return Html(
        f'<div class="fs-hist" role="img" aria-label="{esc(summary)}">{"".join(bars)}</div>'
        f'<div class="fs-axis" style="position:relative" aria-hidden="true">{axis}</div>'
    )


def _edge(value: float, decades: bool) -> str:
    return f"{10**value * 100:.2g} %" if decades else number(value)


def logits(rows: Sequence[TokenValue], reach: float, *, negative: bool = False) -> Html:
    """Tokens and what the decoder row adds to their logits, as bars of one common scale."""
    reach = reach or 1
    lines = []
    for row in rows:
        width = min(1.0, abs(row.value) / reach) * 100
        about = f"{row.token.text!r} · token id {row.token.id}\n{row.value:+.4f} logits per unit of activation"
        lines.append(
            f'<div class="fs-bar {"neg" if negative else ""}" data-tip="{esc(about)}">'
            f'<i style="width:{width:.1f}%"></i><span>{token(row.token)}</span><span>{number(row.value)}</span></div>'
        )
    return Html(f'<div class="fs-bars">{"".join(lines)}</div>')


def scale(record: FeatureRecord) -> float:
    """The value that is drawn at full depth: the feature's maximum, of largest magnitude if it is signed."""
    return max(abs(record.maximum), abs(record.minimum)) if record.source.signed else record.maximum


def depth(value: float, scale: float) -> float:
    """How deep a value is coloured: |value| / scale, at most 1. The strips' script computes the same."""
    return min(1.0, abs(value) / scale) if scale > 0 else 0.0


def strip(
    tokens: Sequence[Token],
    values: Sequence[float],
    scale: float,
    *,
    position: int | None = None,
    before: int | None = None,
    after: int | None = None,
    signed: bool = False,
    special: bool = False,
    tips: bool = False,
    marked: Collection[int] = (),
) -> Html:
    """A read-only token strip; the interactive one is `components.token_strip`.

    `position` is outlined; with `before` and `after` only so many tokens on either side of it are drawn. `special`
    draws BOS and the like too; `tips` tells each value and marks where the text is cut; `marked` tokens get a frame.
    """
    first, last = 0, len(tokens)
    if position is not None and before is not None and after is not None:
        first, last = max(0, position - before), min(len(tokens), position + after + 1)
    boxes = []
    for i in range(first, last):
        item, value = tokens[i], values[i]
        if item.special and not special:
            continue
        if item.partial and not item.text:
            boxes.append('<span class="t p"></span>')
            continue
        shown = esc(item.text).replace("\n", '<span class="nl">↵</span> ')
        lit = value > 0 or (signed and value < 0)
        classes = "t" + (" on" if lit else "") + (" neg" if value < 0 else "") + (" m" if lit and i == position else "")
        classes += " s" if item.special else ""
        classes += " k" if i in marked else ""
        style = f' style="--v:{depth(value, scale):.3f}"' if lit else ""
        if tips and lit:
            share = f" · {abs(value) / scale * 100:.0f} % of the maximum" if scale else ""
            style += f' data-tip="{esc(f"{item.text!r}{chr(10)}value {number(value)}{share}")}"'
        boxes.append(f'<span class="{classes}"{style}>{shown}</span>')
    if tips:
        cut = '<span class="cut">…</span>'
        before_it, after_it = (any(not t.special for t in part) for part in (tokens[:first], tokens[last:]))
        boxes = [cut] * before_it + boxes + [cut] * after_it
    return Html(f'<div class="fs-strip{" signed" if signed else ""}">{join(boxes)}</div>')


def sources(tokens: Sequence[Token], found: Attribution, *, before: int | None = None) -> Html:
    """Where a value came from: the tokens up to its own, coloured by what each gave; `before` draws so many of them."""
    first = 0 if before is None else max(0, found.target - before)
    most = max(map(abs, found.values), default=0.0)
    boxes = []
    for i in range(first, found.target + 1):
        value = found.values[i] if i < len(found.values) else 0.0
        lit = abs(value) > 0.01 * most
        classes = "t" + (" on" if lit else "") + (" neg" if value < 0 else "") + (" s" if tokens[i].special else "")
        about = f"{tokens[i].text!r}\ngave {number(value)} to the value at position {found.target}"
        style = f' style="--v:{depth(value, most):.3f}" data-tip="{esc(about)}"' if lit else ""
        shown = esc(tokens[i].text or "⟨special⟩").replace("\n", '<span class="nl">↵</span> ')
        boxes.append(f'<span class="{classes}"{style}>{shown}</span>')
    cut = '<span class="cut">…</span>' if first else ""
    lead = f'<span class="lead" {tip(DFA)} tabindex="0">from</span>'
    return Html(f'<div class="fs-strip from">{lead}{cut}{join(boxes)}</div>')


def example(item: Example, scale: float, *, signed: bool = False, before: int = 11, after: int = 7) -> Html:
    """The snippet of an example around its token."""
    drawn = strip(item.tokens, item.values, scale, position=item.position, before=before, after=after, signed=signed)
    return covered(drawn, item.tokens)


DFA = (
    "Direct feature attribution: what each token that was attended to gave to the value, which is attention × value × "
    "the feature's encoder, over all heads"
)
COVER = (
    ".fs-explicit:not(:has(:checked)) > .fs-strip { display: none; } "
    ".fs-explicit:not(:has(:checked)) > .fs-cover { display: inline-block; }"
)
"""The style under which explicit text is covered; without it, nothing is."""


def covered(strip: Html, tokens: Sequence[Token]) -> Html:
    """A strip, marked where its text is explicit: pages with the style `COVER` hide it until it is asked for."""
    if not explicit_tokens(tokens):
        return strip
    box = '<input type="checkbox" aria-label="Show this text">'
    said = f'<label class="fs-cover">hidden: explicit text · {box}<u>show</u></label>'
    return Html(f'<div class="fs-explicit">{said}{strip}</div>')
