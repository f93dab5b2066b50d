"""The static parts of the steering page, each a function from a view and a record to HTML. Draws nothing itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components import charts, links, source_panels
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, tip, token
from components.steer_payload import preset_link
from components.steer_view import Feature, View
from core.records import Effect, Preset, Push, Shift, SteerRecord, Sweep, SweepRecord, Watched

SHIFTS = 8
"""Tokens that are shown of those that gain, and of those that lose."""
LEAST = 0.001
"""Probability before or after, below which a token says nothing."""
LONG = 260
"""Letters of a text that a row of a sweep shows at once."""
FAR = 3.0
"""Times the perplexity of the unsteered text: beyond it the text has left what the model would write."""


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    lead = "Push features up or down while the model writes, and read what it then says."
    anew = link(links.steer(model=view.ask.model_id), "Begin anew", "fs-btn")
    actions = f'<div class="fs-actions">{anew}{source_panels.COPY}</div>' if view.ready else ""
    return Html(
        '<div class="fs-head fs-one fs-steer-head"><h1 class="fs-title">Steer '
        f'<span class="fs-soft fs-after">{lead}</span></h1>{actions}</div>'
    )


def wrong(messages: Sequence[str]) -> Html:
    """What was wrong with a link, in one place."""
    said = join((esc(message) for message in messages), "<br>")
    return Html(f'<div class="fs-note warn" role="status">{said}</div>')


def begin(view: View, presets: Sequence[Preset]) -> Html:
    """Before anything was steered: what there is to do, and presets, one click each."""
    cards = join(
        f'<a class="fs-card fs-featured fs-preset" href="{esc(preset_link(one))}"><b>{esc(one.name)}</b>'
        f'<span class="fs-opening">{esc(one.ask.prompt)} …</span>'
        f'<span class="fs-soft">{esc(one.note)}</span>'
        f'<span class="fs-soft fs-under">{_pushed(one)}</span></a>'
        for one in presets
    )
    if view.ask.pushes:
        said = "Write a prompt, or click an opening, and press Steer."
    else:
        said = "Choose a feature and write a prompt" + (", or begin with one of these" if cards else ".")
    return Html(f'<h2 class="fs-h2">{said}</h2>' + (f'<div class="fs-three">{cards}</div>' if cards else ""))


def _pushed(preset: Preset) -> Html:
    """Which features, and how strongly or by which method."""
    ask = preset.ask
    amounts = [f" · {p.strength:g}" if ask.method != "ablate" else "" for p in ask.pushes]
    named = [f"{p.key.source_id}/{p.key.index}{amount}" for p, amount in zip(ask.pushes, amounts, strict=True)]
    how = "" if ask.method == "add" else f" · {ask.method}"
    return esc(", ".join(named) + how)


# -- what steering does besides text -----------------------------------------------------------------------------------


def effect(view: View, record: SteerRecord | None) -> Html:
    """What became of the next token at the prompt's end. As tall without a record as with one."""
    if record is not None and record.effect is None:
        return card('<span class="fs-soft">The two chats differ, so their next tokens cannot be compared.</span>')
    found = record.effect if record else None
    aside = ""
    if found is not None:
        aside = f"{word('divergence', 'steering divergence')} <b>{number(found.divergence)}</b> nats"
    most = max((max(s.before, s.after) for s in (*found.gains, *found.losses)), default=0.0) if found else 0.0
    columns = join(
        f'<section><h3>{word(name, entry)}</h3><div class="fs-shifts">{_shifts(its, most, side, found is None)}</div>'
        "</section>"
        for name, entry, side, its in (
            ("Gain most", "next-token gains", "pos", found.gains if found else ()),
            ("Lose most", "next-token losses", "neg", found.losses if found else ()),
        )
    )
    body = f'<div class="fs-two fs-next">{columns}</div>'
    none = found is not None and not (found.gains or found.losses)
    if none:
        body = '<div class="fs-soft fs-same">Steering changes nothing there: no token gains and none loses.</div>'
    return card(body, "Next token at the prompt’s end", f'<span class="fs-light">{aside}</span>')


def _shifts(shifts: Sequence[Shift], most: float, side: str, ghost: bool) -> Html:
    telling = [one for one in shifts if max(one.before, one.after) >= LEAST]
    rows = [_shift(one, most, side) for one in telling[:SHIFTS]]
    blank = '<div class="fs-shift"><span class="fs-soft">' + ("…" if ghost else "") + "</span></div>"
    return join(rows + [blank] * (SHIFTS - len(rows)))


def _shift(one: Shift, most: float, side: str) -> Html:
    before, after = (100 * value / most if most else 0.0 for value in (one.before, one.after))
    times = one.after / one.before if one.before > 0 else math.inf
    size = f"× {number(times)}" if math.isfinite(times) else "from nothing"
    about = f"{one.token.text!r} · token id {one.token.id}\n{percent(one.before)} → {percent(one.after)}, {size}"
    return Html(
        f'<div class="fs-shift {side}" {tip(about)}><span class="l">{token(one.token)}</span>'
        f'<span class="bars" aria-hidden="true"><i style="width:{before:.1f}%"></i>'
        f'<i class="a" style="width:{after:.1f}%"></i></span>'
        f'<span class="n">{_brief(one.before)} → {_brief(one.after)}</span></div>'
    )


def _brief(probability: float) -> str:
    """A probability in few letters."""
    shown = 100 * probability
    if shown >= 10:
        return f"{shown:.0f} %"
    return f"{shown:.1f} %" if shown >= 0.1 else "< 0.1 %"


def watched(view: View, record: SteerRecord) -> Html:
    """The values of the watched features on the prompt, without and with steering."""
    found: Effect | None = record.effect
    if found is None or not found.watched:
        return Html("")
    known = {one.key: one for one in view.watched}
    rows = join(_watched(record, one, known.get(one.key)) for one in found.watched)
    return card(f'<div class="fs-watched">{rows}</div>', word("Watched features", "watched features"), "on the prompt")


def _watched(record: SteerRecord, one: Watched, known: Feature | None) -> Html:
    values = (*one.before, *one.after)
    counted = [n for n, item in enumerate(record.prompt) if not item.special]
    scale = known.maximum if known and known.maximum else max(map(abs, values), default=0.0)
    lines = ""
    for name, its in (("before", one.before), ("after", one.after)):
        strip = charts.strip(record.prompt, its, scale, signed=min(values) < 0, tips=True)
        top = max((its[n] for n in counted), key=abs, default=0.0)
        lines += (
            f'<span class="fs-soft">{name}</span>{strip}<b {tip("Largest value on the prompt, BOS left out")}>'
            f"{number(top)}</b>"
        )
    name = one.label or f"{one.key.source_id}/{one.key.index}"
    return Html(
        f'<div><div class="fs-hit-head">{link(links.feature(one.key), name, "fs-hit-name")}'
        f'<span class="fs-where">{esc(one.key.source_id)} · {one.key.index}</span></div>'
        f'<div class="fs-beside">{lines}</div></div>'
    )


# -- one prompt at several strengths -----------------------------------------------------------------------------------


def sweep_offer(view: View) -> Html:
    """The way to a sweep."""
    if view.ask.method == "ablate":
        return Html("")
    about = "The same prompt at seven strengths, from −2 to 4 times these: where does it begin to show, where to break?"
    return card(
        f'<div class="fs-offer"><span class="fs-soft">{about}</span>'
        f'<a class="fs-btn" data-stay="" href="{esc(view.to(swept=True))}">Sweep strengths</a></div>',
        word("Strength sweep", "strength sweep"),
    )


def sweep_waiting(view: View, said: str) -> Html:
    """In the place of a sweep while it is written."""
    stop = f'<a class="fs-pill" data-stay="" href="{esc(view.to(swept=False))}">Stop</a>'
    ghost = '<div class="fs-ghost fs-ghost-row" aria-hidden="true"><i></i><i></i><i></i></div>'
    return card(
        f'<div class="fs-count" role="status"><span class="fs-wait">{esc(said)}</span>{stop}</div>{ghost * 5}',
        word("Strength sweep", "strength sweep"),
    )


def sweep_failed(view: View, message: str) -> Html:
    """In the place of a sweep that could not be done."""
    again = f'<a class="fs-pill" data-stay="" href="{esc(view.to(swept=True))}">Try again</a>'
    return card(
        f'<div class="fs-empty" role="alert"><b>The sweep could not be done</b>{esc(message)}'
        f'<div class="fs-pills fs-ways">{again}</div></div>',
        word("Strength sweep", "strength sweep"),
    )


def sweep(view: View, record: SweepRecord) -> Html:
    """The texts at each strength, and two small charts of how far they are from the unsteered model's."""
    plain = next((row.perplexity for row in record.rows if row.factor == 0 and view.ask.method != "orthogonal"), None)
    charted = f'<div class="fs-two fs-sweeps">{_divergences(record.rows)}{_perplexities(record.rows, plain)}</div>'
    body = join(_row(view, row, plain) for row in record.rows)
    headings = (
        f'<th class="n">{word("times", "sweep factor")}</th><th>text</th>'
        f'<th class="n">{word("divergence", "steering divergence")}</th>'
        f'<th class="n">{word("perplexity", "steering perplexity")}</th><th></th>'
    )
    table = f'<table class="fs-table fs-sweep"><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>'
    hide = f'<a class="fs-act fs-light" data-stay="" href="{esc(view.to(swept=False))}">hide</a>'
    return card(f"{charted}{table}", word("Strength sweep", "strength sweep"), hide)


def _factor(factor: float) -> str:
    return f"{factor:g} ×".replace("-", "−")


def _row(view: View, row: Sweep, plain: float | None) -> Html:
    far = bool(plain and row.perplexity and row.perplexity > FAR * plain)
    pushes = tuple(Push(p.key, p.strength * row.factor) for p in view.ask.pushes)
    about = join((f"{p.key.source_id}/{p.key.index}: {number(p.strength)}" for p in pushes), "\n")
    there = esc(view.to(pushes=pushes, swept=False))
    use = f'<a class="fs-act" href="{there}" data-tip="Steer with these strengths">use</a>'
    perplexity = "–" if row.perplexity is None else number(row.perplexity)
    why = (
        f"{number(row.perplexity / plain)} times that of the unsteered text" if plain and row.perplexity else
        "No text, no perplexity" if row.perplexity is None else "Of this text, under the unsteered model"
    )  # fmt: skip
    shown = _flow(row)
    on = ' class="on"' * (row.factor == 1)
    return Html(
        f'<tr{on}><th scope="row" class="n" {tip(about)}>{_factor(row.factor)}</th>'
        f'<td class="tok">{shown}</td><td class="n">{number(row.divergence)}</td>'
        f'<td class="n{" far" * far}"><span {tip(why)}>{perplexity}</span></td><td class="n">{use}</td></tr>'
    )


def _flow(row: Sweep) -> Html:
    """The text in one paragraph: line breaks as signs, runs of blanks as one, a long one folded."""
    said = " ".join(row.text.text.replace("\n", " ↵ ").split())
    cut = said.rfind(" ", 0, LONG) if len(said) > LONG * 1.25 else -1
    first, rest = (said, "") if cut < 0 else (said[:cut], said[cut:])
    shown, more = (Html(str(esc(part)).replace("↵", '<span class="fs-dot">↵</span>')) for part in (first, rest))
    if not rest:
        return shown or Html("∅")
    return Html(
        f'<details class="fs-rest"><summary>{shown}<span class="fs-act"> … more</span></summary>{more}</details>'
    )


def _divergences(rows: Sequence[Sweep]) -> Html:
    most = max((row.divergence for row in rows), default=0.0)
    heights = [100 * row.divergence / most if most else 0.0 for row in rows]
    told = [f"{_factor(row.factor)}: {number(row.divergence)} nats" for row in rows]
    name = word("Divergence of the next token", "steering divergence")
    return _bars(name, f"up to {number(most)} nats", rows, heights, told)


def _perplexities(rows: Sequence[Sweep], plain: float | None) -> Html:
    known = [row.perplexity for row in rows if row.perplexity]
    most = max(known, default=1.0)
    reach = math.log(most) or 1.0

    def height(value: float | None) -> float:
        return 100 * math.log(value) / reach if value else 0.0

    told = [f"{_factor(r.factor)}: " + (number(r.perplexity) if r.perplexity else "no text") for r in rows]
    return _bars(
        word("Perplexity of the text", "steering perplexity"), f"1 to {number(most)}, logarithmic", rows,
        [height(row.perplexity) for row in rows], told, height(plain) if plain else None,
    )  # fmt: skip


def _bars(
    name: Html,
    axis: str,
    rows: Sequence[Sweep],
    heights: Sequence[float],
    told: Sequence[str],
    line: float | None = None,
) -> Html:
    """A bar a strength; `line`: a height that is marked across."""
    bars = join(
        f'<div class="{"neg" if row.factor < 0 else "zero" if row.factor == 0 else "pos"}" {tip(about)}>'
        f'<i style="height:{height:.1f}%"></i></div>'
        for row, height, about in zip(rows, heights, told, strict=True)
    )
    mark = "" if line is None else f'<hr style="bottom:{line:.1f}%">'
    feet = join(f"<span>{_factor(row.factor)}</span>" for row in rows)
    summary = esc("; ".join(told))
    return Html(
        f'<figure class="fs-columns"><figcaption><span>{name}</span><span>{esc(axis)}</span></figcaption>'
        f'<div class="plot" role="group" aria-label="{summary}">{bars}{mark}</div>'
        f'<div class="feet" aria-hidden="true">{feet}</div></figure>'
    )


# -- to take along -----------------------------------------------------------------------------------------------------


def taking(python: str, run: str) -> Html:
    """The lines that get the same run elsewhere, each with a copy button."""
    lines = [("Python: runs the same again", python)]
    if run:
        saved = f'from core.workbench import Workbench; record = Workbench().steered("{run}")'
        lines.append(("Python: the saved run", saved))
    body = join(
        f'<div class="fs-code" {tip(name)}><code>{esc(text)}</code><button class="fs-btn" type="button" '
        f'data-copy="{esc(text)}" aria-label="Copy: {esc(name)}">Copy</button></div>'
        for name, text in lines
    )
    return Html(f'<div class="fs-h2"><span>Take it with you</span></div>{body}')
