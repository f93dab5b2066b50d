"""What the steering embed shows, as HTML: what steers, both texts as they grow, how far they are. No Gradio.

A token's colour is by how much steering changed its log-probability, whichever of the two wrote it: one hue where it
became likelier, the other where less likely, at full depth from `steer_view.SCALE` nats on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from components import steer_view, steps
from components.charts import depth
from components.markup import Html, esc, join, tip
from components.steer_run import Run
from components.steer_view import Feature, View
from core.records import SteeredText, SteerRecord, Token, Written
from embeds import drawing

IN_UNITS = ("add", "clamp", "cap")
"""Methods whose strength is in units of the feature's value."""
BEFORE = 16
"""Tokens of the prompt that are drawn before what was written; the field above has them all."""
LEGEND = (
    "How much likelier or less likely steering made each token, whichever of the two wrote it: the change of its "
    f"log-probability, at full depth from {steer_view.SCALE:g} nats on (× {math.exp(steer_view.SCALE):.0f})."
)
NOTHING = SteeredText(text="", tokens=(), ended=False)


def head(view: View, home: str) -> Html:
    """What steers, which leads to the steering page with the same settings and prompt."""
    names = [known.label or str(known.key) for known in view.features]
    title = " + ".join(names[:2]) + (f" + {len(names) - 2} more" if len(names) > 2 else "")
    keys = ", ".join(str(known.key) if n == 0 else _short(known) for n, known in enumerate(view.features))
    page = view.to()
    name = drawing.out(page, title, f"Steering with {title}: its page, in a new tab", "em-title", home=home)
    way = drawing.out(page, "Open ↗", "The steering page with all its settings, in a new tab", "em-open", home=home)
    return Html(
        f'<div class="em-head"><h1>{name}</h1><span class="em-id" title="{esc(keys)}">{esc(keys)}</span>'
        f"{way if home else ''}</div>"
    )


def _short(known: Feature) -> str:
    return f"{known.key.source_id}/{known.key.index}"


WHAT = {
    "add": "Strength",
    "orthogonal": "Its part, times",
    "clamp": "Its value",
    "cap": "At most",
    "ablate": "Taken out",
}
"""What a strength is, by method."""


def strengths(view: View) -> Html:
    """Each feature with its strength; the script writes it anew while the slider moves."""
    method, several = view.ask.method, len(view.features) > 1
    boxes = [] if several else [f'<span class="em-what">{WHAT[method]}</span>']
    for known, push in zip(view.features, view.ask.pushes, strict=True):
        name = f"<i>{esc(known.label or _short(known))}</i> " if several else ""
        most = known.maximum if method in IN_UNITS else None
        data = f'data-strength="{push.strength:.12g}" data-maximum="{most or 0:.12g}"'
        shown = "" if method == "ablate" else esc(strength(push.strength, most, several=several))
        boxes.append(f'<span title="{esc(f"{known.key}: {known.label}")}">{name}<b {data}>{shown}</b></span>')
    kind = f"{'several' if several else 'one'} {method}"
    return Html(f'<div class="em-strengths {esc(kind)}">{join(boxes)}</div>')


def strength(value: float, maximum: float | None, *, several: bool) -> str:
    """How many times the feature's maximum a strength is; of several features, the strength too."""
    parts = [_number(value)] if several else []
    if maximum:
        parts.append(f"{_number(value / maximum)} × its maximum")
    return " · ".join(parts)


def _number(value: float) -> str:
    """Three digits, as the script has them too."""
    return f"{float(f'{value:.3g}'):g}".replace("-", "−")


def wrong(messages: Sequence[str]) -> Html:
    """What could not be read of the address, in one note."""
    return drawing.message(" ".join(messages)) if messages else Html("")


def texts(run: Run, *, ready: bool, before: str = "") -> Html:
    """How far a run is, and both texts so far; `ready`: the model is in memory, `before`: what stands above."""
    at_work, record = not run.ended, run.record  # in this order: what ended is whole
    if run.state == "failed":
        return join([before, drawing.message(run.message)])
    state = (
        f'<span class="em-state {"em-wait" if at_work else ""}" role="status">{esc(status(run, ready=ready))}</span>'
    )
    legend = f'<span class="em-said em-legend" {tip(LEGEND)}>less likely<i class="em-scale signed"></i>likelier</span>'
    default, steered = (record.default, record.steered) if record else (NOTHING, NOTHING)
    prompts = (record.prompt, record.steered_prompt) if record else ((), ())
    both = join(
        _text(name, given, text, tips=not at_work)
        for name, given, text in zip(("Default", "Steered"), prompts, (default, steered), strict=True)
    )
    working = " working" if at_work else ""
    return Html(f'{before}<div class="em-line">{state}{legend}</div><div class="em-both{working}">{both}</div>')


def status(run: Run, *, ready: bool) -> str:
    """How far a run is, in words."""
    if run.state == "waiting":
        if run.step is not None:
            return steps.words(run.step)
        return "Reading the prompt…" if ready else "Loading the model…"
    if run.state == "writing":
        return "Writing…"
    if run.state == "stopped":
        begun = run.record is not None and run.record.steered.tokens
        return "Stopped: what was written until then." if begun else "Stopped before anything was written."
    return _settings(run.record)


def _settings(record: SteerRecord | None) -> str:
    if record is None:
        return ""
    ask = record.ask
    method = "" if ask.method == "add" else f"{ask.method} · "
    return f"{method}seed {ask.seed} · temperature {ask.temperature:g}"


def _text(name: str, prompt: Sequence[Token], text: SteeredText, *, tips: bool) -> str:
    shown = [token for token in prompt if not token.special]
    cut = '<span class="cut">…</span>' if len(shown) > BEFORE else ""
    given = join(f'<span class="t given">{_drawn(token)}</span>' for token in shown[-BEFORE:])
    steered = name == "Steered"
    written = join(_written(one, steered=steered, tips=tips) for one in text.tokens)
    ended = '<span class="cut" title="The model’s end of text"> ∎</span>' if text.ended else ""
    return (
        f'<section aria-label="{name} text"><h2>{name}</h2>'
        f'<div class="fs-strip signed">{cut}{given}{written}{ended}</div></section>'
    )


def _drawn(token: Token) -> str:
    return esc(token.text).replace("\n", '<span class="nl">↵</span> ')


def change(one: Written, *, steered: bool) -> float | None:
    """By how many nats steering changed the token's log-probability; None where that is not known."""
    if one.other is None:
        return None
    return one.logprob - one.other if steered else one.other - one.logprob


def _written(one: Written, *, steered: bool, tips: bool) -> str:
    by = change(one, steered=steered)
    deep = depth(by, steer_view.SCALE) if by is not None and math.isfinite(by) else 0.0
    lit = deep >= 0.02
    classes = "t" + " on" * lit + " neg" * (lit and (by or 0) < 0)
    style = f' style="--v:{deep:.3f}"' if lit else ""
    about = f' data-tip="{esc(_about(one, by, steered=steered))}"' if tips else ""
    if one.token.partial and not one.token.text:
        return f'<span class="t p"{about}></span>'
    return f'<span class="{classes}{" s" if one.token.special else ""}"{style}{about}>{_drawn(one.token)}</span>'


def _about(one: Written, by: float | None, *, steered: bool) -> str:
    """A token's tooltip: its probability without and with steering, and the likeliest in its place."""
    with_, without = (one.logprob, one.other) if steered else (one.other, one.logprob)
    lines = [repr(one.token.text) if one.token.text else "part of a character"]
    lines += [f"{name} {_share(x)}" for name, x in (("without steering", without), ("with steering", with_))]
    if by is not None:
        lines.append(f"change {by:+.3g} nats".replace("-", "−"))
    likeliest = "  ".join(f"{likely.token.text!r} {_share(likely.logprob)}" for likely in one.top[:3])
    return "\n".join([*lines, f"likeliest here: {likeliest}"] if likeliest else lines)


def _share(logprob: float | None) -> str:
    if logprob is None:
        return "not known"
    percent = math.exp(logprob) * 100
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
