"""Explanations with their scores as HTML: rows, score chips, verdicts, two side by side, a table of a source.

Pure functions; every text that a model or a person wrote passes through `esc`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from components import charts, explaining_panels, links, paging
from components.comment_panels import who
from components.markup import Html, card, esc, join, link, note, number, term, tip
from components.resources import define
from core.explain.records import ORDER, Brief, Estimate, Explanation, Progress, Score, Verdict
from core.records import SourceKey

MEASURES = {
    "detection": "balanced accuracy", "fuzzing": "balanced accuracy", "rule": "balanced accuracy",
    "embedding": "ROC-AUC", "simulation": "Pearson’s r over all tokens",
}  # fmt: skip
NAMES = {
    "balanced_accuracy": "balanced accuracy", "f1": "F1", "roc_auc": "ROC-AUC", "precision": "precision",
    "recall": "recall", "specificity": "specificity", "pearson": "Pearson’s r",
}  # fmt: skip
DRAWN = {
    "positive": ("active", "The feature is active on it"),
    "random": ("random", "A passage from anywhere in the texts"),
    "near": ("near", "A co-active feature, or one with a close decoder row, is active on it"),
    "hard": ("hard", "It holds tokens on which the feature is strong elsewhere"),
}
SHOWN = 40
"""Verdicts that are drawn at most."""
PAGE = 50
UNSCORED = 0.75
"""Where one without a score or votes stands among those with scores: neither first nor last."""


def arranged(found: Sequence[Explanation]) -> list[Explanation]:
    """The best first: by votes, then by the score that stands for each; what was written before what is computed.

    An annotation's rule is scored token by token, which compares with no other score, and so counts as none here.
    """

    def place(one: Explanation) -> tuple[float, float, int]:
        best = standing(replace(one, scores=tuple(s for s in one.scores if s.scorer != "rule")))
        return -(one.up - one.down), -(UNSCORED if best is None else best.value), one.origin == "data"

    return sorted(found, key=place)


def standing(one: Explanation) -> Score | None:
    """The score that stands for an explanation: the newest of the first scorer."""
    found = sorted(one.scores, key=lambda s: (ORDER.index(s.scorer), s.made))
    return next((s for s in reversed(one.scores) if found and s.scorer == found[0].scorer), None)


def row(one: Explanation, *, first: bool) -> Html:
    """Its words, who says so, and its scores."""
    size = "fs-means-first" if first else "fs-means-more"
    return Html(f'<div class="{size}"><p>{words(one)}</p><div class="fs-means-by">{by(one)}{scores(one)}</div></div>')


def words(one: Explanation | Brief) -> Html:
    """What it says; only people put “|” between meanings."""
    return explaining_panels.text(one.text) if one.origin == "person" else esc(one.text)


def by(one: Explanation) -> Html:
    """Origin, method and model in a few words; the rest one hover away."""
    if one.origin == "person":
        return Html(f'<span class="fs-soft">{who(one.author_name) if one.author_name else "by a person"}</span>')
    said = {"data": "computed from the data", "model": one.model, "import": one.method}[one.origin]
    about = f"Method {one.method}"
    if one.model:
        about += f"\nmodel {one.model}"
    if one.prompt:
        about += f"\nour prompt, version {one.prompt}"
    if one.made:
        about += f"\n{one.made[:10]}"
    return Html(f'<span class="fs-term fs-soft" {tip(about)}>{esc(said)}</span>')


def scores(one: Explanation) -> Html:
    """A chip a score, the first scorer first; only the newest of each scorer and judge."""
    newest = {(s.scorer, s.judge): s for s in one.scores}
    return join(chip(s) for s in sorted(newest.values(), key=lambda s: ORDER.index(s.scorer)))


def chip(one: Score) -> Html:
    """The value with its interval as a line, and a tick where another feature's explanation stands."""
    low = -1.0 if one.scorer == "simulation" else 0.0

    def at(value: float) -> str:
        return f"{min(1.0, max(0.0, (value - low) / (1 - low))) * 100:.1f}%"

    control = f"<u style='left:{at(one.control)}'></u>" if one.control is not None else ""
    bar = f'<i style="left:{at(one.low)};right:calc(100% - {at(one.high)})"></i>' if one.low == one.low else ""
    line = (
        f'<span class="fs-ci">{bar}<b style="left:{at(one.value)}"></b>{control}</span>'
    )
    beside = "" if one.control is None else f' <span class="fs-soft">other {one.control:.2f}</span>'
    return Html(
        f'<span class="fs-score" {tip(about(one))}>{esc(one.scorer)} <b>{one.value:.2f}</b>{line}{beside}</span>'
    )


def about(one: Score) -> str:
    """A score in words."""
    lines = [
        define(f"score {one.scorer}"),
        f"{MEASURES[one.scorer]} {one.value:.2f}, 95 % interval {one.low:.2f} to {one.high:.2f}, "
        f"{one.examples:,} {'tokens' if one.scorer == 'rule' and not one.verdicts else 'examples'}"
        if one.low == one.low
        else f"{MEASURES[one.scorer]} {one.value:.2f}, as it was imported, without an interval",
    ]
    if one.control is not None:
        lines.append(f"the explanation of another, random feature gets {one.control:.2f} on the same")
    more = [
        f"{NAMES[k]} {v:.2f}" + (" ({:.2f} to {:.2f})".format(*one.intervals[k]) if k in one.intervals else "")
        for k, v in one.measures.items()
        if k in NAMES and not math.isnan(v)
    ]
    if more:
        lines.append(" · ".join(more))
    if one.failed:
        lines.append(f"{one.failed:,} without an answer that can be read; they count in no figure")
    if one.judge:
        lines.append(f"judged by {one.judge}" + (f", our prompt, version {one.prompt}" if one.prompt else ""))
    if one.note:
        lines.append(one.note)
    return "\n".join(line for line in lines if line)


# -- verdicts --------------------------------------------------------------------------------------------------------


def verdicts(one: Score, *, only: Sequence[Verdict] | None = None) -> Html:
    """Every example with what was said of it: wrong ones first, then those without an answer, then right ones."""
    some = one.verdicts if only is None else only
    ordered = sorted(some, key=lambda v: (v.said is not None and v.said == v.fires, v.said is None, -_sure(v)))
    scale = max((max(v.values, default=0.0) for v in one.verdicts), default=0.0)
    rows = join(_verdict(one, v, scale) for v in ordered[:SHOWN])
    wrong = sum(v.said is not None and v.said != v.fires for v in some)
    said = f"{wrong:,} of {len(some):,} otherwise than they are" if one.scorer != "embedding" else f"{len(some):,}"
    lead = (
        f'<p class="fs-soft fs-small">{said}. Colour is the feature’s own value, which the judge did not see'
        f"{'; tokens in a frame were marked for it' if one.scorer == 'fuzzing' else ''}.</p>"
    )
    return Html(f'<div class="fs-verdicts-open">{lead}<div class="fs-cases">{rows}</div></div>')


def _sure(one: Verdict) -> float:
    return abs((one.score or 0.0) - 0.5)


def _verdict(score: Score, one: Verdict, scale: float) -> Html:
    if one.said is None:
        mark = '<span class="fs-mark" aria-label="no answer">–</span>'
    elif one.said == one.fires:
        mark = '<span class="fs-mark good" aria-label="right">✓</span>'
    else:
        mark = '<span class="fs-mark bad" aria-label="wrong">✗</span>'
    strip = charts.strip(one.tokens, one.values, scale, tips=True, marked=one.marked)
    if score.scorer == "fuzzing":
        truth = "marked rightly" if one.fires else "marked wrongly"
    else:
        truth = "active" if one.fires else "silent"
    kind, why = DRAWN[one.drawn]
    said = "no answer that can be read" if one.said is None else _said(score, one)
    predicted = ""
    if one.predicted and any(one.predicted):
        strip_ = charts.strip(one.tokens, one.predicted, 10.0, tips=True)
        predicted = f'<div class="fs-soft fs-small">predicted</div>{strip_}'
    drawn = f' · <span class="fs-term" {tip(why)}>{kind}</span>' if not one.fires or one.drawn != "positive" else ""
    return Html(
        f'<div class="fs-case">{mark}<div>{charts.covered(strip, one.tokens)}{predicted}'
        f'<div class="fs-soft fs-small">{truth}{drawn} · {esc(said)}</div></div></div>'
    )


def _said(score: Score, one: Verdict) -> str:
    if score.scorer == "embedding":
        return f"similarity {one.score or 0:.2f}"
    word = {"fuzzing": ("right", "wrong")}.get(score.scorer, ("active", "silent"))[0 if one.said else 1]
    yes = "right" if score.scorer == "fuzzing" else "active"
    sure = "" if one.score is None or score.scorer in ("rule", "simulation") else f" ({yes} with {one.score:.0%})"
    return f"said to be {word}{sure}"


# -- two side by side --------------------------------------------------------------------------------------------------


def compared(a: Explanation, b: Explanation) -> Html:
    """Two explanations of one feature: words, authors, scores by the same scorers, and where their verdicts differ."""
    both = [{s.scorer: s for s in one.scores} for one in (a, b)]
    names = [name for name in ORDER if name in both[0] or name in both[1]]
    rows = [("words", words(a), words(b)), ("by", by(a), by(b))]
    for name in names:
        cells = [chip(each[name]) if name in each else Html('<span class="fs-soft">not scored</span>') for each in both]
        rows.append((name, cells[0], cells[1]))
    body = join(f'<tr><th scope="row">{esc(label)}</th><td>{x}</td><td>{y}</td></tr>' for label, x, y in rows)
    parts = [f'<div class="fs-wide"><table class="fs-table fs-compare"><tbody>{body}</tbody></table></div>']
    for name in (one for one in names if one != "embedding"):  # whose line between yes and no is its own median
        if name in both[0] and name in both[1] and (some := _differing(both[0][name], both[1][name])):
            drawn = join(_two(x, y, both[0][name]) for x, y in some[:SHOWN])
            many = f"{len(some)} example{'s' * (len(some) != 1)} of which they say different things"
            parts.append(f'<h3 class="fs-h2">{esc(name)}: {many}</h3><div class="fs-cases">{drawn}</div>')
    return Html(f'<div class="fs-compared">{join(parts)}</div>')


def _differing(a: Score, b: Score) -> list[tuple[Verdict, Verdict]]:
    def name(one: Verdict) -> tuple[object, ...]:
        return tuple(t.id for t in one.tokens), one.marked

    there = {name(one): one for one in b.verdicts}
    pairs = [(one, there[name(one)]) for one in a.verdicts if name(one) in there]
    return [(x, y) for x, y in pairs if x.said is not None and y.said is not None and x.said != y.said]


def _two(x: Verdict, y: Verdict, score: Score) -> Html:
    scale = max((max(v.values, default=0.0) for v in score.verdicts), default=0.0)
    strip = charts.strip(x.tokens, x.values, scale, tips=True, marked=x.marked)
    right = "first" if x.said == x.fires else "second"
    return Html(
        f'<div class="fs-case"><span class="fs-mark good">{1 if right == "first" else 2}</span><div>'
        f'{charts.covered(strip, x.tokens)}<div class="fs-soft fs-small">the {right} is right</div></div></div>'
    )


# -- before and while a model is asked ---------------------------------------------------------------------------------


def estimate(one: Estimate, things: str = "") -> Html:
    """What it would take."""
    if not one.asks:
        return Html(f'<p class="fs-soft fs-small">{"Kept already." if one.there else esc(one.note)}</p>')
    cost = "a price that is not known" if one.usd is None else _dollars(one.usd)
    return Html(
        f'<p class="fs-estimate">About <b>{esc(cost)}</b>: {one.asks:,} question{"s" * (one.asks != 1)}, '
        f'{one.read:,} tokens read, {one.written:,} written. <span class="fs-soft">{esc(one.note)}</span></p>'
    )


def _dollars(usd: float) -> str:
    return "nothing" if usd == 0 else "less than $0.0001" if usd < 0.0001 else f"${usd:.4f}"


def ended(one: Progress) -> Html:
    """How a run ended, where it did not end well."""
    said = one.stopped or one.problem
    return note(said) if said else Html("")


# -- a table of a source -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """What a table of explanations shows."""

    source: SourceKey
    sort: str = "score"
    method: str = ""
    page: int = 1

    def to(self, **changes: str) -> str:
        """The address of another view."""
        values = {"sort": self.sort, "method": self.method} | changes
        return links.page("explanations", ("source", str(self.source)), *((k, v) for k, v in values.items() if v))


SORTS = {"score": "score", "-score": "score", "index": "feature", "-index": "feature"}


def sorted_briefs(view: View, briefs: Sequence[Brief]) -> list[Brief]:
    """Those of a method, in order; those without a score last."""
    some = [one for one in briefs if view.method in ("", one.method)]
    if view.sort.endswith("index"):
        return sorted(some, key=lambda one: one.index, reverse=view.sort.startswith("-"))
    sign = -1 if view.sort.startswith("-") else 1
    return sorted(some, key=lambda one: (not one.scorer or math.isnan(one.score), sign * (one.score or 0), one.index))


def table(view: View, rows: Sequence[Brief], methods: Sequence[tuple[str, int]]) -> Html:
    """A page of a source's explanations with the score that stands for each."""
    pages = max(1, -(-len(rows) // PAGE))
    page = min(view.page, pages)
    every = [("", "all", sum(count for _, count in methods)), *((name, name, count) for name, count in methods)]
    pills = join(
        link(view.to(method=name), f"{label} · {count:,}", f"fs-pill{' on' * (name == view.method)}")
        for name, label, count in every
    )
    body = join(_line(view.source, one) for one in rows[(page - 1) * PAGE : page * PAGE])
    if not rows:
        empty = '<div class="fs-empty"><b>No explanations yet</b>Write one on a feature’s page, or have a model write '
        return card(f"{empty}many: <code>python -m core explain {esc(view.source)}</code>.</div>")
    head = f"<th>{_head(view, 'index', 'feature')}</th><th>explanation</th><th>by</th>"
    head += f'<th class="n">{_head(view, "score", "score")}</th>'
    turn = paging.turn(page, pages, lambda n: view.to(page=str(n)), f"{len(rows):,} explanations")
    return card(
        f'<div class="fs-pills fs-explained-by">{pills}</div>'
        f'<div class="fs-wide"><table class="fs-table fs-explained"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{turn}"
    )


def _head(view: View, name: str, label: str) -> Html:
    turned = f"-{name}" if view.sort == name else name
    arrow = " ↑" if view.sort == name else " ↓" if view.sort == f"-{name}" else ""
    return link(view.to(sort=turned), label + arrow)


def _line(source: SourceKey, one: Brief) -> Html:
    key = f"{source}/{one.index}"
    score = '<span class="fs-soft">–</span>'
    if one.scorer and not math.isnan(one.score):
        score = f"<span {tip(MEASURES.get(one.scorer, ''))}>{number(one.score)}</span> "
        score += f'<span class="fs-soft fs-small">{esc(one.scorer)}</span>'
    name = one.model or {"data": "data", "person": "a person"}.get(one.origin, one.method)
    by_whom = term(name, define(f"method_{one.method}") or explaining_panels.ORIGINS[one.origin])
    return Html(
        f'<tr><td class="n">{link(links.feature(key), one.index, "main")}</td>'
        f"<td>{words(one)}</td>"
        f'<td>{by_whom}</td><td class="n">{score}</td></tr>'
    )
