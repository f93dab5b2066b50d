"""What the data say of a feature, as HTML: the line, its kind, its meanings, the rule and what is enriched.

Pure drawing; everything from texts is escaped.
"""

from __future__ import annotations

import math

from components import charts, links
from components.feature_panels import word
from components.markup import Html, esc, join, link, number, percent, tip
from core.explain.annotation.figures import p_words
from core.explain.records import Annotation, Clause, Enrichment, Meaning, Place

_CALLED = {
    "token": "the token", "word": "the word so far", "pair": "the last two tokens", "prev": "the token before",
    "prev2": "two tokens before", "before": "the word before", "shape": "the token’s shape",
    "place": "place in the prompt", "line": "place in the line", "repeat": "repeated from earlier",
    "part": "kind of document",
}  # fmt: skip
SHOWN = 6
"""Enriched categories before the fold."""


def evidence(annotation: Annotation) -> str:
    """The whole annotation of one feature."""
    if not annotation.train_active + annotation.test_active:
        return Html('<p class="fs-soft">Never active on the build’s texts, so that nothing can be said.</p>')
    return Html(
        f'<div class="fs-ann"><p class="fs-ann-line">{esc(annotation.line)}</p>{_facts(annotation)}'
        f"{_meanings(annotation)}{_rule(annotation)}{_enriched(annotation)}</div>"
    )


def _facts(a: Annotation) -> Html:
    """Kind, score and control in one row of chips."""
    kind = f'<span class="fs-pill" {tip(a.test)}>{esc(a.kind)}</span>'
    parts = [f"{word('kind', 'kind of feature')} {kind}"]
    if a.test_active:
        m = a.measures
        about = (
            f"95 % interval {a.low:.2f} to {a.high:.2f}\nprecision {_share(m['precision'])} · recall "
            f"{_share(m['recall'])} · F1 {m['f1']:.2f}\n{a.test_active:,} active of {a.test_tokens:,} tokens of "
            f"{a.held_out}, held out"
        )
        parts.append(f"{word('balanced accuracy')} <b {tip(about)}>{m['balanced_accuracy']:.2f}</b>")
        if not math.isnan(a.control) and a.control_of is not None:
            other = link(links.feature(a.control_of), f"{a.control:.2f}")
            parts.append(f"{word('control', 'annotation control')} {other}")
    else:
        parts.append('<span class="fs-soft">not scored: active on none of the held-out documents</span>')
    return Html(f'<div class="fs-ann-facts">{join(f"<span>{part}</span>" for part in parts)}</div>')


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"


def _meanings(a: Annotation) -> Html:
    """A row for each meaning, with what is left over."""
    if not a.meanings:
        return Html("")
    scale = max((abs(p.value) for m in a.meanings for p in m.examples), default=0.0)
    rest = 1.0 - sum(m.share for m in a.meanings)
    left = f'<p class="fs-soft fs-small">The rest, {rest:.0%}, is in none of them.</p>' if rest >= 0.01 else ""
    title = "One meaning" if len(a.meanings) == 1 else f"{len(a.meanings)} meanings"
    rows = join(_meaning(m, scale) for m in a.meanings)
    return Html(f'<h3 class="fs-h2"><span>{word(title, "meanings")}</span></h3>{rows}{left}')


def _meaning(m: Meaning, scale: float) -> Html:
    about = f"{word('precision', 'meaning precision')} {_share(m.precision)}"
    score = "" if math.isnan(m.score) else f" · {word('balanced accuracy', 'meaning score')} {m.score:.2f}"
    strips = join(_example(place, scale) for place in m.examples)
    return Html(
        f'<div class="fs-ann-meaning"><div class="fs-ann-head"><b>{esc(m.label)}</b>'
        f'<span class="fs-soft fs-small">{m.share:.0%} of its activation · {about}{score}</span></div>'
        f'<div class="fs-meter" role="img" aria-label="{m.share:.0%} of its activation">'
        f'<i style="width:{min(1.0, m.share):.1%}"></i></div>{strips}</div>'
    )


def _example(place: Place, scale: float) -> Html:
    values = [place.value if i == place.at else 0.0 for i in range(len(place.tokens))]
    drawn = charts.strip(place.tokens, values, scale, position=place.at, signed=place.value < 0)
    return charts.covered(drawn, place.tokens)


def _rule(a: Annotation) -> Html:
    """The rule clause by clause, with how often each is right on held-out documents."""
    if not a.rule:
        return Html("")
    rows = join(_clause(c, first=n == 0) for n, c in enumerate(a.rule))
    return Html(
        f'<h3 class="fs-h2"><span>{word("The rule", "annotation rule")}</span></h3>'
        '<div class="fs-wide"><table class="fs-table"><thead><tr><th>it fires on</th>'
        f'<th class="n">{word("fits", "rule fits")}</th><th class="n">{word("active", "rule active")}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _clause(c: Clause, *, first: bool) -> Html:
    share = f" ({c.active / c.fits:.0%})" if c.fits else ""
    joined = "" if first else '<span class="fs-soft">or </span>'
    return Html(
        f'<tr><td class="fs-ann-words">{joined}{esc(c.words)}</td><td class="n">{c.fits:,}</td>'
        f'<td class="n">{c.active:,}{share}</td></tr>'
    )


def _enriched(a: Annotation) -> Html:
    """What is over-represented, the surest first."""
    if not a.enrichments:
        return Html('<p class="fs-soft fs-small">Nothing is enriched beyond chance.</p>')
    head = (
        f'<thead><tr><th>{word("enriched", "enrichment")}</th><th class="n">{word("seen", "enrichment seen")}</th>'
        f'<th class="n">{word("expected", "enrichment expected")}</th>'
        f'<th class="n fs-ann-odds">{word("log odds")}</th><th class="n">{word("p", "corrected p")}</th></tr></thead>'
    )
    first, more = a.enrichments[:SHOWN], a.enrichments[SHOWN:]
    table = f'<div class="fs-wide"><table class="fs-table">{head}<tbody>{join(map(_row, first))}</tbody></table></div>'
    if more:
        rest = (
            f'<div class="fs-wide"><table class="fs-table">{head}<tbody>{join(map(_row, more))}</tbody></table></div>'
        )
        table += f'<details class="fs-more"><summary>{len(more)} more</summary>{rest}</details>'
    return Html(f'<h3 class="fs-h2"><span>What its active tokens have in common</span></h3>{table}')


def _row(e: Enrichment) -> Html:
    density = f"active on {percent(e.seen / e.tokens)} of {e.tokens:,} such tokens" if e.tokens else ""
    return Html(
        f'<tr><td><span class="fs-soft">{esc(_CALLED.get(e.attribute, e.attribute))}</span> '
        f'<span class="fs-mono" {tip(density)}>{esc(e.name)}</span></td><td class="n">{e.seen:,}</td>'
        f'<td class="n">{number(e.expected)}</td><td class="n fs-ann-odds">{e.log_odds:.1f}</td>'
        f'<td class="n">{esc(p_words(e.log10_p).removeprefix("p ").removeprefix("= "))}</td></tr>'
    )
