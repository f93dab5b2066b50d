"""How records look in a notebook; loaded when one is first shown.

Self-contained HTML: inline styles only, no script, nothing fetched. A notebook's theme need not be the system's, so no
media query decides between light and dark: colours are translucent over whatever lies below, and text takes the
notebook's own. A value is drawn as depth of one hue, of two where values below zero mean something; what a token is
worth is in its tooltip. Every text of a corpus, a model or a person is escaped by `_esc`, and MathJax is told to leave
it alone. A feature takes about 15 KiB; examples and the hits of a search in a long text show a window around the token
that they are about.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from core import frames
from core.explain.records import MeaningHit, MeaningRecord
from core.explain.redteam.records import RedTeam
from core.records import (
    ByTokenRecord,
    Contrast,
    ContrastRecord,
    Effect,
    FeatureRecord,
    Histogram,
    LeftOut,
    PushRecord,
    SearchHit,
    SearchRecord,
    Shift,
    SteeredText,
    SteerRecord,
    SubstitutionRecord,
    SweepRecord,
    TestRecord,
    Token,
    TokenValue,
    VectorRecord,
)
from core.terminal import visible

EXAMPLES, LOGITS = 8, 8
SURPRISING = 12
"""Texts of a hypothesis that are drawn."""
ROWS = 200
"""Lines of a plain table."""
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
    """One record, or several of one kind: sources, models and releases as a table, the others one by one.

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
    if isinstance(first, SearchRecord):
        return _page("".join(_search(record) for record in records if isinstance(record, SearchRecord)))
    if isinstance(first, ByTokenRecord):
        return _page("".join(_by_token(record) for record in records if isinstance(record, ByTokenRecord)))
    if isinstance(first, ContrastRecord):
        return _page("".join(_contrast(record) for record in records if isinstance(record, ContrastRecord)))
    if isinstance(first, SubstitutionRecord):
        return _page("".join(_scan(record) for record in records if isinstance(record, SubstitutionRecord)))
    if isinstance(first, SteerRecord):
        return _page("".join(_run(record) for record in records if isinstance(record, SteerRecord)))
    if isinstance(first, SweepRecord):
        return _page("".join(_sweep(record) for record in records if isinstance(record, SweepRecord)))
    if isinstance(first, RedTeam):
        return _page("".join(_redteam(record) for record in records if isinstance(record, RedTeam)))
    if isinstance(first, MeaningRecord):
        return _page("".join(_meaning(record) for record in records if isinstance(record, MeaningRecord)))
    rows = [row for n, record in enumerate(records) for row in frames.rows(record, n)]
    if isinstance(first, VectorRecord):
        rows = [{name: value for name, value in row.items() if name != "values"} for row in rows]
    if not rows:
        return _page(_soft("none"))
    numbers = {name for name in rows[0] if all(isinstance(row[name], int | float) for row in rows)}
    header = [(name.replace("_", " "), name in numbers) for name in rows[0]]
    cells = [
        [f'<span style="white-space:nowrap">{_cell(value)}</span>' for value in row.values()] for row in rows[:ROWS]
    ]
    more = _soft(f"{ROWS:,} of {len(rows):,} rows; to_pandas() has all") if len(rows) > ROWS else ""
    return _page(_table(header, cells) + more)


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


def _search(record: SearchRecord) -> str:
    """Each hit: the text with its values, full depth at the feature's own maximum, its name and its numbers."""
    tokens = f"tokens {', '.join(map(str, record.positions))}" if record.positions else "all tokens"
    over = f" summed over {tokens}" if record.combine == "sum" else ""
    first = f" from {record.offset + 1:,} on" if record.offset else ""
    head = f"{len(record.hits):,} of {record.total:,} active features{first}, by {record.measure}{over}"
    dense = {count.key for count in record.sources if count.kind in {"neurons", "directions"}}
    header = [
        ("feature", False), (_clipped(record.text), False), ("value", True), ("of maximum", True), ("percentile", True),
        ("surprise", True), ("density", True),
    ]  # fmt: skip
    rows = [_search_row(record, hit, signed=hit.key.source in dense) for hit in record.hits]
    body = _table(header, rows) if rows else f"<div>{_soft('No feature that was looked at is active.')}</div>"
    left = _left_out(record.left_out)
    return f'<div style="margin:4px 0 14px"><div>{_soft(f"{record.model_id}: {head}")}</div>{body}{left}</div>'


def _meaning(record: MeaningRecord) -> str:
    """The query, and a row an explanation: the words that it shares with the query are bold."""
    by = f" by {record.embedder} and words" if record.embedder else " by words"
    said = _soft(f"{len(record.hits):,} of {record.total:,} explanations{by}")
    rows = [
        [
            f"{_bold(hit)}<br>{_soft(hit.key)}", "" if hit.similarity is None else f"{hit.similarity:.2f}",
            f"{hit.words:.0%}", "" if hit.trust is None else f"{hit.trust:.2f}", f"{hit.density:.3%}",
        ]
        for hit in record.hits
    ]  # fmt: skip
    header = [("explanation", False), ("similarity", True), ("words", True), ("score", True), ("density", True)]
    return f'<div style="margin:4px 0 14px"><b>{_esc(record.query)}</b> {said}{_table(header, rows)}</div>'


def _redteam(record: RedTeam) -> str:
    """The verdict with its confusion table, and the texts that came out otherwise than the hypothesis says."""
    rows = [
        [label, f"{fired}", f"{silent}"]
        for label, (fired, silent) in zip(("should fire", "should not"), record.table, strict=True)
    ]
    counts = _table([("", False), ("fired", True), ("silent", True)], rows)
    signed = any(value < 0 for case in record.cases for value in case.values)
    hues = (RISING if signed else ACTIVE, FALLING)
    found = []
    for case in record.surprising[:SURPRISING]:
        strip = _strip(case.tokens, case.values, record.maximum, hues, 0, case.position)
        said = "fired" if case.fired else "silent"
        text = f'<div style="{_STRIP}">{strip}</div>{_soft(case.why)}'
        found.append([f"{case.value or 0:.4g}", said, text])
    header = [("value", True), ("it", False), ("otherwise than the hypothesis says", False)]
    more = len(record.surprising) - len(found)
    return (
        f'<div style="margin:4px 0 14px"><b>{_esc(record.hypothesis.sentence)}</b> {_soft(record.key)}'
        f"<div>{_esc(record.line)}</div>{counts}{_table(header, found) if found else ''}"
        f"{_soft(f'{more:,} more; to_pandas() has all') if more else ''}</div>"
    )


def _bold(hit: MeaningHit) -> str:
    if not hit.matched:
        return _esc(hit.text)
    pattern = rf"(?<!\w)({'|'.join(map(re.escape, hit.matched))})(?!\w)"
    parts = re.split(pattern, hit.text)  # every other part is one of the words
    return "".join(f"<b>{_esc(part)}</b>" if n % 2 else _esc(part) for n, part in enumerate(parts))


def _left_out(sources: Sequence[LeftOut]) -> str:
    """What a search could not look into."""
    return "".join(f"<div>{_soft(visible(f'{one.key} is left out: {one.why}'))}</div>" for one in sources)


def _search_row(record: SearchRecord, hit: SearchHit, *, signed: bool) -> list[str]:
    reach = abs(hit.maximum) / hit.fraction if hit.fraction else abs(hit.maximum)
    whole = len(record.tokens) <= BEFORE + AFTER
    cut = slice(0, len(record.tokens)) if whole else slice(max(0, hit.position - BEFORE), hit.position + AFTER + 1)
    tokens = record.tokens[cut]
    hues = (RISING if signed else ACTIVE, FALLING)
    strip = _strip(tokens, hit.values[cut], reach, hues, cut.start, hit.position, breaks=False)
    ends = ("…" if cut.start else "", "…" if cut.stop < len(record.tokens) else "")
    name = f'<b>{_visible(hit.label) or "no label"}</b><div style="white-space:nowrap">{_soft(hit.key)}</div>'
    numbers = [f"{value:.4g}" for value in (hit.maximum, hit.fraction)]
    numbers += [f"{hit.percentile:.2%}", f"{hit.surprise:.3g}", f"{hit.density:.3%}"]
    return [name, f'<div style="{_STRIP}">{ends[0]}{strip}{ends[1]}</div>', *numbers]


def _by_token(record: ByTokenRecord) -> str:
    """Each token with its features, and then the features counted over the tokens."""
    hues = (RISING, FALLING) if any(hit.value < 0 for row in record.rows for hit in row.hits) else (ACTIVE, FALLING)
    most = max((abs(hit.value) for row in record.rows for hit in row.hits), default=0.0)

    def chip(index: int, label: str, value: float, density: float) -> str:
        hue, depth = hues[value < 0], 0.08 + 0.57 * (abs(value) / most if most else 0.0)
        told = visible(f"{value:.4g} · {label} · active on {density:.3%} of tokens")
        return (
            f'<span title="{_esc(told)}" style="background:rgba({hue},{depth:.2f});border-radius:3px;padding:1px 4px;'
            f'white-space:nowrap">{index} {_soft(visible(label.split(" · ")[0]))}</span>'
        )

    rows = [
        [
            str(row.position),
            f'<code style="white-space:pre;background:none">{_visible(record.tokens[row.position].text)}</code>',
            " ".join(chip(hit.key.index, hit.label, hit.value, hit.density) for hit in row.hits),
        ]
        for row in record.rows
    ]
    often = [
        [str(one.key.index), _visible(one.label), str(one.frequency), f"{one.strength:.4g}", f"{one.density:.3%}"]
        for one in record.features[:LOGITS]
    ]
    counted = [("most frequent", True), ("name", False), ("tokens", True), ("largest value", True), ("density", True)]
    shown = _table([("", True), (str(record.key), False), ("strongest features", False)], rows)
    return f'<div style="margin:4px 0 14px">{shown}{_table(counted, often) if often else ""}</div>'


def _contrast(record: ContrastRecord) -> str:
    """What is stronger on each of two texts: both texts with the feature's values, one below the other."""
    tables = []
    for n, its in enumerate((record.first, record.second)):
        header = [(f"stronger on “{_clipped(record.texts[n])}”", False), ("", False), (record.measure, True),
                  ("difference", True), ("density", True)]  # fmt: skip
        rows = [_contrast_row(record, one) for one in its]
        tables.append(_table(header, rows) if rows else f"<div>{_soft('Nothing is stronger there.')}</div>")
    return f'<div style="margin:4px 0 14px">{"".join(tables)}{_left_out(record.left_out)}</div>'


def _contrast_row(record: ContrastRecord, one: Contrast) -> list[str]:
    most = one.reach or max(map(abs, (*one.values[0], *one.values[1])), default=0.0)
    hues = (RISING if any(value < 0 for own in one.values for value in own) else ACTIVE, FALLING)
    strips, scores = "", ""
    for tokens, values, position, score in zip(record.tokens, one.values, one.positions, one.scores, strict=True):
        at = position or 0
        cut = slice(max(0, at - BEFORE), at + AFTER + 1)
        strip = _strip(tokens[cut], values[cut], most, hues, cut.start, position, breaks=False)
        ends = ("…" if cut.start else "", "…" if cut.stop < len(tokens) else "")
        strips += f'<div style="{_STRIP}">{ends[0]}{strip}{ends[1]}</div>'
        scores += f"<div>{score:.4g}</div>"
    name = f'<b>{_visible(one.label) or "no label"}</b><div style="white-space:nowrap">{_soft(one.key)}</div>'
    return [name, strips, scores, f"{abs(one.difference):.4g}", f"{one.density:.3%}"]


def _scan(record: SubstitutionRecord) -> str:
    """A row a word; full depth at the largest value of the scan."""
    counted = (v for one in record.fillings for v, t in zip(one.values, one.tokens, strict=True) if not t.special)
    most = max(map(abs, counted), default=0.0)
    signed = any(value < 0 for one in record.fillings for value in one.values)  # a scan does not know its source
    hues = (RISING if signed else ACTIVE, FALLING)
    rows = [
        [
            f"<b>{_visible(one.word)}</b>",
            f"{one.at_slot:.4g}",
            f"{one.maximum:.4g}",
            f'<div style="{_STRIP}">{_strip(one.tokens, one.values, most, hues, 0, one.position)}</div>',
        ]
        for one in record.fillings
    ]
    header = [
        (_clipped(record.sentence), False), ("at the word", True), ("anywhere", True),
        (f"full depth at {most:.4g}", False),
    ]  # fmt: skip
    return f'<div style="margin:4px 0 14px"><div>{_soft(record.key)}</div>{_table(header, rows)}</div>'


def _run(record: SteerRecord) -> str:
    """What steers, both texts after the prompt, and what happens to the next token at the prompt's end."""
    unit = " of unit length" * record.ask.unit
    places = {"all": "all positions", "prompt": "the prompt", "generated": "what is generated"}[record.ask.where]
    said = f"{record.ask.method}{unit} at {places}"
    changes = [abs(change) for text in (record.default, record.steered) for change in _changes(text)]
    most = max(changes, default=0.0)
    rows = [
        [name, f'<div style="{_STRIP}">{_prompt(prompt)}{_written(text, most, sign)}</div>']
        for name, prompt, text, sign in (
            ("default", record.prompt, record.default, -1),
            ("steered", record.steered_prompt, record.steered, 1),
        )
    ]
    depth = f"full depth where steering changed a log-probability by {most:.3g} nats" if changes else ""
    parts = [f"<div>{_soft(f'{record.ask.model_id}: {said}')}</div>", _pushes(record.pushes)]
    parts.append(_table([("", False), (depth, False)], rows))
    if record.effect is not None:
        parts.append(_effect(record.effect))
    return f'<div style="margin:4px 0 14px">{"".join(parts)}</div>'


def _effect(effect: Effect) -> str:
    """What became of the next token at the prompt's end, and of the watched features."""
    said = _soft(f"next token: divergence {effect.divergence:.4g} nats")
    parts = [_shifts("more likely", effect.gains, RISING), _shifts("less likely", effect.losses, FALLING)]
    watched = [
        [_visible(one.label) or "no label", _soft(one.key), f"{max(one.before):.4g}", f"{max(one.after):.4g}"]
        for one in effect.watched
    ]
    if watched:
        header = [("watched", False), ("", False), ("largest on the prompt", True), ("steered", True)]
        parts.append(_table(header, watched))
    return f"<div>{said}</div>{''.join(parts)}"


def _sweep(record: SweepRecord) -> str:
    """A row a strength: how far the next token is moved, how odd the text is to the unsteered model, and the text."""
    most = max((abs(change) for row in record.rows for change in _changes(row.text)), default=0.0)
    rows = [
        [
            f"{row.factor:g}", f"{row.divergence:.4g}", "" if row.perplexity is None else f"{row.perplexity:.4g}",
            f'<div style="{_STRIP}">{_written(row.text, most, 1)}</div>',
        ]
        for row in record.rows
    ]  # fmt: skip
    header = [("times", True), ("divergence", True), ("perplexity", True), ("text", False)]
    prompt = f'<div style="{_STRIP}">{_prompt(record.prompt)}</div>'
    return f'<div style="margin:4px 0 14px">{_pushes(record.pushes)}{prompt}{_table(header, rows)}</div>'


def _pushes(pushes: Sequence[PushRecord]) -> str:
    rows = [
        [
            f"<b>{_visible(one.label) or 'no label'}</b>", _soft(one.key), f"{one.strength:.4g}",
            f"{one.strength / one.maximum:.3g}×" if one.maximum else "", f"{one.norm:.4g}", _esc(one.hook),
        ]
        for one in pushes
    ]  # fmt: skip
    header = [("steers", False), ("", False), ("strength", True), ("of maximum", True), ("length", True), ("at", False)]
    return _table(header, rows)


def _prompt(tokens: Sequence[Token]) -> str:
    return f'<span style="{_SOFT}">{"".join(_visible(t.text, breaks=True) for t in tokens if not t.special)}</span>'


def _changes(text: SteeredText) -> list[float]:
    """Log-probability under the model that wrote each token, less that under the other."""
    return [one.logprob - one.other for one in text.tokens if one.other is not None]


def _written(text: SteeredText, most: float, sign: int) -> str:
    """Generated tokens, coloured by what steering did to their log-probability: `sign` times their change."""
    parts = []
    for one in text.tokens:
        shown = _visible(one.token.text, breaks=True) or "▯"
        told = f"log-probability {one.logprob:.3g}"
        style = "opacity:.5;font-size:.82em" if one.token.special else ""
        if one.other is not None:
            change = sign * (one.logprob - one.other)
            share = min(1.0, abs(change) / most if most else 0.0)
            if share > 0.01:  # less is rounding, where nothing was steered
                hue = RISING if change > 0 else FALLING
                style += f";background:rgba({hue},{0.08 + 0.57 * share:.2f});border-radius:3px"
            told += f", {one.other:.3g} {'without' if sign > 0 else 'with'} steering"
        likeliest = ", ".join(f"“{visible(likely.token.text)}” {likely.logprob:.3g}" for likely in one.top)
        told += f"; likeliest {likeliest}" if likeliest else ""
        parts.append(f'<span title="{_esc(told)}" style="{style.lstrip(";")}">{shown}</span>')
    return "".join(parts)


def _shifts(name: str, shifts: Sequence[Shift], hue: str) -> str:
    chips = " ".join(
        f'<span title="{_esc(f"{one.before:.3g} → {one.after:.3g}")}" style="background:rgba({hue},.16);'
        f'border-radius:3px;padding:1px 4px;white-space:pre">{_visible(one.token.text) or "∅"}</span>'
        for one in shifts[:LOGITS]
    )
    return f'<div style="font:13px/1.9 ui-monospace,monospace">{_soft(name)} {chips}</div>' if chips else ""


def _clipped(text: str) -> str:
    """The beginning of a text, on one line."""
    return visible(text if len(text) <= 80 else f"{text[:80]}…")


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
