"""The features that were picked, as HTML: a table of them, with what a text does to each.

Functions from a view and records; draws nothing itself. A line has the scale of its own feature, as a hit has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import charts, links, markup, scan_panels, ticks
from components.feature_panels import word
from components.markup import Html, card, esc, join, number, percent, tip
from components.search_panels import AFTER, BEFORE, LONG
from components.search_view import View
from core.records import FeatureKey, FeatureRecord, TestRecord


def empty(view: View) -> Html:
    """Where nothing is picked."""
    back = view.to(shown="features")
    ways = f'<a class="fs-pill" href="{esc(back)}">The features of the text</a>' if view.text else ""
    return card(
        '<div class="fs-empty"><b>Nothing is selected</b>Tick features in a list of hits: they stay selected over '
        f'other texts and pages, and are listed here.<div class="fs-pills fs-ways">{ways}</div></div>'
    )


def table(view: View, records: Sequence[FeatureRecord], tests: Mapping[FeatureKey, TestRecord]) -> Html:
    """A line a feature; with what the text does to it, where there is one."""
    heads = [("maximum", "maximum", "n fs-hide-narrow"), ("density", "density", "n fs-hide-narrow")]
    if tests:
        heads.insert(0, ("on this text", "maximum on a text", "n"))
    head = join(f'<th class="{cls}">{word(name, entry)}</th>' for name, entry, cls in heads)
    body = join(_line(view, record, tests.get(record.key)) for record in records)
    python = legend = Html("")
    if tests:
        python = scan_panels.python(f"w.test_each({[str(r.key) for r in records]!r}, {view.text!r})")
        legend = Html(f'<span class="fs-scale">{word("colour", "hit colour")} 0<i></i>its own maximum</span>')
    drawn = card(
        f'<table class="fs-table fs-picked"><thead><tr><th class="fs-narrow"></th><th>feature</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{python}",
        "Selected",
        legend,
    )
    return join((drawn, ticks.bar(view)))


def _line(view: View, record: FeatureRecord, test: TestRecord | None) -> Html:
    key, name = record.key, markup.title(record)
    strip = value = ""
    if test is not None:
        scale = charts.scale(record) or max(map(abs, test.values), default=0.0)
        strip, value = _strip(test, scale, signed=record.source.signed), _value(test, scale)
    href = esc(links.feature(key, *[view.text] * bool(view.text)))
    return Html(
        f'<tr><td>{ticks.tick(view, key, name)}</td><td><a class="main" href="{href}">{esc(name)}</a> '
        f'<span class="fs-where">{esc(key.source_id)} · {key.index}</span>{strip}</td>{value}'
        f'<td class="n fs-hide-narrow">{number(record.maximum)}</td>'
        f'<td class="n fs-hide-narrow">{percent(record.density)}</td></tr>'
    )


def _strip(test: TestRecord, scale: float, *, signed: bool) -> Html:
    """The text with the feature's values; of a long one what is around its strongest token."""
    cut = {"before": BEFORE, "after": AFTER} if len(test.tokens) > LONG else {}
    at = test.position
    if at is None and cut:
        at = min(BEFORE, len(test.tokens) - 1)  # nothing to draw around: its beginning
    return charts.strip(test.tokens, test.values, scale, position=at, signed=signed, tips=True, **cut)


def _value(test: TestRecord, scale: float) -> Html:
    share = f", {percent(abs(test.maximum) / scale)} of its maximum" if scale > 0 else ""
    about = "No token of the text activates it" if test.position is None else f"At token {test.position}{share}"
    return Html(f'<td class="n"><b {tip(about)}>{number(test.maximum)}</b></td>')
