"""How records look in a notebook, and as data frames; loaded when one is first shown.

Self-contained HTML: inline styles only, no script, nothing fetched. A notebook's theme need not be the system's, so no
media query decides between light and dark: colours are translucent over whatever lies below, and text takes the
notebook's own. A value is drawn as depth of one hue, of two where values below zero mean something; what a token is
worth is in its tooltip. Every text of a corpus, a model or a person is escaped by `_esc`, and MathJax is told to leave
it alone. A feature takes about 15 KiB; examples show a window around the token that they are about.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.records import (
    Example,
    FeatureRecord,
    Histogram,
    ModelRecord,
    ReleaseRecord,
    SourceRecord,
    TestRecord,
    Token,
    TokenValue,
)

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES, LOGITS = 8, 8
BEFORE, AFTER = 24, 12
"""Tokens shown on either side of the one that an example is about."""
ACTIVE, RISING, FALLING, BAR = "16,160,118", "74,140,214", "214,88,72", "128,136,140"
"""Red, green and blue of: values, values above zero and below it where both mean something, bars."""
_TABLE = "border-collapse:collapse;font-size:13px;margin:4px 0"
_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top;border:0;background:none"
_STRIP = (
    "font:13px/1.9 ui-monospace,'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:isolate"
)
_SOFT = "opacity:.65"
_SIGNS = {"\n": "↵", "\r": "␍", "\t": "⇥"}

# -- HTML --------------------------------------------------------------------------------------------------------------


def to_html(records: Sequence[object]) -> str:
    """One record, or several of one kind: sources, models and releases as a table, features and tests one by one.

    Raises:
        TypeError: a record of a kind that is not drawn.
    """
    if not records:
        return _page(_soft("none"))
    first = records[0]
    if isinstance(first, FeatureRecord):
        return _page("".join(_feature(record) for record in records if isinstance(record, FeatureRecord)))
    if isinstance(first, TestRecord):
        return _page(_tests([record for record in records if isinstance(record, TestRecord)]))
    rows = [row for n, record in enumerate(records) for row in _rows(record, n)]
    numbers = {name for name in rows[0] if all(isinstance(row[name], int | float) for row in rows)}
    header = [(name.replace("_", " "), name in numbers) for name in rows[0]]
    cells = [[f'<span style="white-space:nowrap">{_cell(value)}</span>' for value in row.values()] for row in rows]
    return _page(_table(header, cells))


def _page(body: str) -> str:
    return f'<div class="tex2jax_ignore mathjax_ignore" style="color:inherit;line-height:1.5">{body}</div>'


def _esc(text: object) -> str:
    return html.escape(str(text), quote=True)


def _soft(text: object) -> str:
    return f'<span style="{_SOFT}">{_esc(text)}</span>'


def _cell(value: object) -> str:
    """A value of a table: numbers with few digits, text escaped."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else _esc(value)


def _table(header: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    """`header`: (name, whether its column holds numbers); cells are HTML."""
    places = [_CELL.replace("text-align:left", "text-align:right") if right else _CELL for _, right in header]
    head = "".join(f'<th style="{p};{_SOFT}">{_esc(name)}</th>' for (name, _), p in zip(header, places, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td style="{p}">{cell}</td>' for cell, p in zip(row, places, strict=True)) + "</tr>"
        for row in rows
    )
    table = f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto">{table}</div>'


def _feature(record: FeatureRecord) -> str:
    """Label, facts, promoted and suppressed tokens, histogram, the strongest examples."""
    source = record.source
    facts = [
        (f"{record.density:.3%}", f"of {source.tokens:,} tokens"),
        (f"{record.maximum:.4g}", "maximum"),
        (f"{record.mean:.4g} ± {record.deviation:.3g}", "mean of all" if source.signed else "mean where active"),
        (source.hook, f"{source.kind}, {source.width:,} wide"),
    ]
    shown = " &ensp; ".join(f"<b>{_esc(value)}</b> {_soft(name)}" for value, name in facts)
    parts = [
        f'<div style="font-size:16px;font-weight:600">{_esc(record.label) or "no label"} '
        f'<span style="{_SOFT};font-size:13px;font-weight:400">{_esc(record.key)}</span></div>',
        f'<div style="font-size:13px">{shown}</div>',
        _logits(record.top_logits, "promotes", RISING) + _logits(record.bottom_logits, "suppresses", FALLING),
        _histogram(record.histogram),
        _examples(record),
    ]
    return f'<div style="margin:4px 0 14px">{"".join(parts)}</div>'


def _logits(entries: Sequence[TokenValue], name: str, hue: str) -> str:
    if not entries:
        return ""
    chips = " ".join(
        f'<span title="{_esc(f"{entry.value:.4g} · id {entry.token.id}")}" style="background:rgba({hue},.16);'
        f'border-radius:3px;padding:1px 4px;white-space:pre">{_visible(entry.token.text) or "∅"}</span>'
        for entry in entries[:LOGITS]
    )
    return f'<div style="font:13px/1.9 ui-monospace,monospace">{_soft(name.ljust(10))} {chips}</div>'


def _histogram(histogram: Histogram | None) -> str:
    """Bars of the square roots of the counts, so that the rare large values are seen."""
    if histogram is None or not any(histogram.counts):
        return ""
    width, height, most = 360, 44, max(histogram.counts) ** 0.5
    step = width / len(histogram.counts)
    bars = "".join(
        f'<rect x="{n * step:.1f}" y="{height * (1 - count**0.5 / most):.1f}" width="{max(step - 0.8, 0.8):.1f}" '
        f'height="{height * count**0.5 / most:.1f}"><title>{count:,} at about {centre:.3g}</title></rect>'
        for n, (count, centre) in enumerate(zip(histogram.counts, histogram.centres, strict=True))
        if count
    )
    ends = f"{histogram.low:.3g} to {histogram.high:.3g}, square roots of counts"
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="display:block;margin:4px 0 0;'
        f'max-width:100%" fill="rgba({BAR},.7)" role="img" aria-label="histogram of values">{bars}</svg>'
        f'<div style="font-size:12px;{_SOFT}">{_esc(ends)}</div>'
    )


def _examples(record: FeatureRecord) -> str:
    groups = [group for group in record.groups if group.examples]
    if not groups:
        return f"<div>{_soft('No counted token activates it.')}</div>"
    most = max(abs(record.maximum), abs(record.minimum)) if record.source.signed else record.maximum
    rows = []
    for shown in groups[0].examples[:EXAMPLES]:
        first, last = max(0, shown.position - BEFORE), shown.position + AFTER + 1
        cut = slice(first, last)
        hues = (RISING, FALLING) if record.source.signed else (ACTIVE, FALLING)
        strip = _strip(shown.tokens[cut], shown.values[cut], most, hues, first, shown.position, breaks=False)
        ends = ("…" if first else "", "…" if last < len(shown.tokens) else "")
        repeats = f"×{shown.repeats}" if shown.repeats > 1 else ""
        rows.append([f"{shown.value:.3g}", repeats, f'<div style="{_STRIP}">{ends[0]}{strip}{ends[1]}</div>'])
    return _table([("value", True), ("", True), ("examples", False)], rows)


def _tests(records: Sequence[TestRecord]) -> str:
    """Tested texts on one scale: the largest value of those shown."""
    counted = (
        abs(value)
        for record in records
        for token, value in zip(record.tokens, record.values, strict=True)
        if not token.special
    )
    most = max(counted, default=0.0)
    signed = any(value < 0 for record in records for value in record.values)  # a test does not know its source
    rows = []
    for record in records:
        strip = _strip(record.tokens, record.values, most, (RISING if signed else ACTIVE, FALLING), 0, record.position)
        peak = "silent" if record.position is None else f"{record.maximum:.4g}"
        rows.append([_esc(record.key), peak, f'<div style="{_STRIP}">{strip}</div>'])
    return _table([("feature", False), ("maximum", True), (f"full depth at {most:.4g}", False)], rows)


def _strip(
    tokens: Sequence[Token],
    values: Sequence[float],
    most: float,
    hues: tuple[str, str],
    first: int,
    position: int | None,
    *,
    breaks: bool = True,
) -> str:
    """Tokens in a row; `first` is the position of the first, `position` the one that is framed."""
    parts = []
    for place, (token, value) in enumerate(zip(tokens, values, strict=True), first):
        text = _visible(token.text, breaks=breaks) if token.text else ("▯" if value else "")
        styles = []
        if token.special:
            styles.append("opacity:.5;font-size:.82em")
        elif value:
            hue, depth = hues[value < 0], min(1.0, abs(value) / most if most else 0.0)
            styles.append(f"background:rgba({hue},{0.08 + 0.57 * depth:.2f});border-radius:3px")
            if place == position:
                styles.append(f"box-shadow:inset 0 0 0 1.5px rgba({hue},.9)")
        if not styles:
            parts.append(text)
            continue
        told = f"{value:.4g} at position {place}" + (", left out of every statistic" if token.special else "")
        parts.append(f'<span title="{_esc(told)}" style="{";".join(styles)}">{text}</span>')
    return "".join(parts)


def _visible(text: str, *, breaks: bool = False) -> str:
    """A token's text, escaped, with line breaks and tabs shown as signs and other control characters as “·”."""
    return "".join(
        f'<span style="{_SOFT}">{_SIGNS[char]}</span>' + ("\n" if breaks and char == "\n" else "")
        if char in _SIGNS
        else _esc(char if char == " " or char.isprintable() else "·")
        for char in text
    )


# -- data frames -------------------------------------------------------------------------------------------------------


def to_pandas(records: Sequence[object]) -> pd.DataFrame:
    """The rows of every record, one below the other.

    A source, model or release is a row. A feature is a row for each of its examples: `tokens` and `values` hold lists,
    so `.explode(["tokens", "values"])` gives a row a token. A test is a row a token.

    Raises:
        TypeError: a record of a kind that has no rows.
    """
    import pandas as pd

    return pd.DataFrame([row for n, record in enumerate(records) for row in _rows(record, n)])


def _rows(record: object, number: int) -> Iterator[dict[str, Any]]:
    for kind, rows in _ROWS.items():
        if isinstance(record, kind):
            yield from rows(record, number)
            return
    raise TypeError(f"A {type(record).__name__} has no table.")


def _source_rows(record: SourceRecord, number: int) -> Iterator[dict[str, Any]]:
    figures = record.figures
    yield {
        "source": str(record.key), "kind": record.kind, "architecture": record.architecture, "hook": record.hook,
        "layer": record.layer, "width": record.width, "alive": record.alive, "tokens": record.tokens,
        "l0": figures.l0 if figures else None,
        "explained_variance": figures.explained_variance if figures else None,
        "ce_loss_score": figures.ce_loss_score if figures else None,
        "dataset": record.dataset, "prompts": record.prompts, "context": record.context, "dtype": record.dtype,
        "release": record.release.name, "has": ", ".join(record.has), "built": record.built,
    }  # fmt: skip


def _model_rows(record: ModelRecord, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "model": record.model_id, "name": record.name, "architecture": record.architecture, "layers": record.layers,
        "d_model": record.d_model, "heads": record.heads, "d_vocab": record.d_vocab, "context": record.context,
        "parameters": record.parameters, "origin": record.origin,
    }  # fmt: skip


def _release_rows(record: ReleaseRecord, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "release": record.name, "creator": record.creator, "description": record.description,
        "urls": " ".join(record.urls),
    }  # fmt: skip


def _example_rows(record: FeatureRecord, number: int) -> Iterator[dict[str, Any]]:
    for group in record.groups:
        for rank, example in enumerate(group.examples, 1):
            yield {
                "feature": str(record.key), "group": group.kind, "low": group.low, "high": group.high, "rank": rank,
                "value": example.value, "token": example.tokens[example.position].text, "position": example.position,
                "prompt": example.prompt, "document": example.document, "part": example.part,
                "repeats": example.repeats, "text": _text(example), "tokens": [t.text for t in example.tokens],
                "values": list(example.values),
            }  # fmt: skip


def _text(example: Example) -> str:
    return "".join(token.text for token in example.tokens if not token.special)


def _token_rows(record: TestRecord, number: int) -> Iterator[dict[str, Any]]:
    for position, (token, value) in enumerate(zip(record.tokens, record.values, strict=True)):
        yield {
            "feature": str(record.key), "text": number, "position": position, "token": token.text, "id": token.id,
            "special": token.special, "value": value,
        }  # fmt: skip


_ROWS: dict[type, Callable[[Any, int], Iterator[dict[str, Any]]]] = {
    SourceRecord: _source_rows, ModelRecord: _model_rows, ReleaseRecord: _release_rows,
    FeatureRecord: _example_rows, TestRecord: _token_rows,
}  # fmt: skip
