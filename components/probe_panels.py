"""A probe as HTML: how well it does beside chance, its texts as they came out held out, and what can be done with it.

Functions from records; draws nothing itself. Every text passes through `esc`.
"""

from __future__ import annotations

from collections.abc import Sequence

from components import links, source_panels
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, stat, tip
from components.scan_panels import python
from core.sources.probe_records import ProbeRecord, ProbeText, Span

METHODS = {"difference": "difference of means", "logistic": "logistic regression"}
POOLED = {"mean": "the mean of each text", "last": "each text’s last token", "each": "each token"}
WELL = 0.05
"""Chance of the shuffles below which a probe is said to have found something."""


def head(record: ProbeRecord | None) -> Html:
    """The title, and the way to share it."""
    if record is None:
        return source_panels.title(
            "Train a probe",
            "Paste texts that have something and texts that do not. What comes out is the direction in the model that "
            "tells them apart, how well it does on texts it has not seen, and how well shuffled labels would do.",
        )
    crumbs = [link(links.probe(), "probes"), f"<b>{esc(record.key)}</b>"]
    where = f"A direction of {record.key.model_id} at {record.hook}."
    return source_panels.title(record.label, where, crumbs, source_panels.COPY)


def kept(records: Sequence[ProbeRecord]) -> Html:
    """The probes that there are."""
    if not records:
        return Html("")
    rows = join(
        f"<tr><td>{link(links.probe(one.key), one.label)}<br>"
        f'<span class="fs-soft fs-small">{esc(one.key.model_id)} · {esc(one.hook)}</span></td>'
        f'<td class="r">{one.auc.value:.3f}</td><td class="r">{one.control.value:.3f}</td></tr>'
        for one in records
    )
    titles = f'<th>Probe</th><th class="r">{word("AUC", "held-out AUC")}</th>'
    table = f'<table class="fs-table"><thead><tr>{titles}<th class="r">{word("shuffled", "shuffled AUC")}</th></tr>'
    return card(f"{table}</thead><tbody>{rows}</tbody></table>", "Probes here")


def verdict(record: ProbeRecord) -> Html:
    """The figures in a row, with a scale on which they and chance lie."""
    found = record.p < WELL
    said = (
        f"It tells held-out texts apart better than {record.shuffles} shuffles of the labels (p {record.p:.2g})."
        if found
        else f"Nothing is shown: {percent(record.p)} of {record.shuffles} shuffles of the labels do as well."
    )
    cells = [
        stat(f"{record.auc.value:.3f}", word("held-out AUC", "held-out AUC")),
        stat(f"{record.auc.low:.3f} <small>to {record.auc.high:.3f}</small>", word("95 % interval", "probe interval")),
        stat(f"{record.control.value:.3f}", word("with shuffled labels", "shuffled AUC")),
        stat(percent(record.accuracy), word("balanced accuracy", "probe accuracy")),
        stat(number(record.distance), word("distance", "probe distance")),
    ]
    scale = (
        f'<div class="fs-auc" role="img" aria-label="Held-out AUC {record.auc.value:.3f}; shuffled labels '
        f'{record.control.low:.3f} to {record.control.high:.3f}">{_bar(record.control, "chance", "Shuffled labels")}'
        f"{_bar(record.auc, 'own', 'Held out')}<span>0</span><span>0.5</span><span>1</span></div>"
    )
    return card(f'<div class="fs-stats">{join(cells)}</div>{scale}<p class="fs-probe-said">{esc(said)}</p>')


def _bar(span: Span, kind: str, name: str) -> str:
    about = f"{name}: {span.value:.3f}, 95 % between {span.low:.3f} and {span.high:.3f}"
    left, width = 100 * span.low, max(0.6, 100 * (span.high - span.low))
    return (
        f'<i class="{kind}" style="left:{left:.1f}%;width:{width:.1f}%" {tip(about)} tabindex="0"></i>'
        f'<b class="{kind}" style="left:{100 * span.value:.1f}%"></b>'
    )


def texts(record: ProbeRecord) -> Html:
    """Every text where it lay when it was held out, what came out wrong first."""
    wrong = sorted((t for t in record.texts if not t.right), key=lambda t: -abs(t.score))
    right = sorted((t for t in record.texts if t.right), key=lambda t: abs(t.score))
    most = max((abs(t.score) for t in record.texts), default=1.0) or 1.0
    parts = []
    if wrong:
        parts.append(card(_rows(wrong, most), f"On the wrong side: {len(wrong)}", word("held-out score")))
    shown = _rows(right[:20], most)
    more = f"<details class='fs-more'><summary>{len(right) - 20} more</summary>{_rows(right[20:], most)}</details>"
    rest = more if len(right) > 20 else ""
    parts.append(card(shown + rest, f"On the right side: {len(right)}", "nearest the boundary first"))
    return join(parts)


def _rows(some: Sequence[ProbeText], most: float) -> str:
    return join(_row(one, most) for one in some)


def _row(one: ProbeText, most: float) -> str:
    side = "has it" if one.positive else "has not"
    width = 50 * abs(one.score) / most
    left = 50 if one.score > 0 else 50 - width
    hue = "yes" if one.score > 0 else "no"
    return (
        f'<div class="fs-probed"><span class="fs-side {"yes" if one.positive else "no"}">{side}</span>'
        f'<span class="fs-lay" {tip(f"{number(one.score)} from the boundary, held out")}>'
        f'<i class="{hue}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'
        f'<p dir="auto">{esc(one.text)}</p></div>'
    )


def side(record: ProbeRecord) -> Html:
    """How it was made, and how to get it."""
    sides = [sum(t.positive is have for t in record.texts) for have in (True, False)]
    twice = f", {record.dropped} that stood twice used once" if record.dropped else ""
    facts = {
        "method": METHODS.get(record.method, record.method), "samples": f"{POOLED[record.pooled]}: {record.samples:,}",
        "texts": f"{sides[0]} that have it, {sides[1]} that have not{twice}",
        "held out": f"{record.folds} folds, no text in two", "boundary": f"{number(record.threshold)} of x · direction",
        "seed": str(record.seed), "made": record.made.replace("T", " ")[:16],
    }  # fmt: skip
    rows = join(f"<dt>{esc(name)}</dt><dd>{esc(value)}</dd>" for name, value in facts.items())
    key = record.key
    steer = links.steer_with(key, record.distance)
    ways = link(steer, "Steer with it", "fs-btn")
    code = python(f'from core.workbench import Workbench\nWorkbench().test("{key}", ["…"])')
    return card(f'<dl class="fs-facts">{rows}</dl>', "How this was made") + card(
        f'<div class="fs-pills">{ways}</div><div style="margin-top:10px">{code}</div>', "Take it with you"
    )
