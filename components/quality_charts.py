"""A source's quality as charts, with baselines and controls in each: shapes of features, scores, probes, kinds.

Pure functions of `core.evaluate.records`. What was not measured has no chart; what a mark looks like says whose it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from components import plots
from components.feature_panels import word
from components.markup import Html, card, esc, join, number, percent, tip
from components.plots import Line, Shares, Value
from components.quality_panels import called, interval, plain, shape, subjects
from core.evaluate.records import Distribution, Evaluation, Measured, Quality


def every(evaluation: Evaluation) -> Html:
    """Every chart, with all dictionaries in each that were measured."""
    parts = [densities(evaluation), rows(evaluation), redundancy(evaluation), scores(evaluation), probing(evaluation),
             perturbation(evaluation), letters(evaluation), classes(evaluation)]  # fmt: skip
    some = [part for part in parts if part]
    return Html(f'<div class="fs-charts">{join(some)}</div>' if some else "")


def _ridges(evaluation: Evaluation, read: Callable[[Quality], Distribution | None]) -> list[Shares]:
    found = []
    for q in subjects(evaluation):
        one = read(q)
        if one is not None:
            name = Html(f"<b>{esc(called(q))}</b>") if q.kind == "source" else esc(called(q))
            found.append(Shares(name, shape(q), one.edges, one.counts, one.median))
    return found


def densities(evaluation: Evaluation) -> Html:
    """How often features fire."""
    found = _ridges(evaluation, lambda q: q.features.density if q.features else None)
    if not found:
        return Html("")
    return card(plots.ridge(found, decades=True), word("Density of features", "density histogram"), "share of tokens")


def rows(evaluation: Evaluation) -> Html:
    """Whether features read what they write."""
    found = _ridges(evaluation, lambda q: q.features.encoder_decoder if q.features else None)
    if not found:
        return Html("")
    return card(plots.ridge(found), word("Encoder–decoder cosine", "encoder-decoder cosine"), "a feature each")


def redundancy(evaluation: Evaluation) -> Html:
    """Whether features are near-duplicates of each other."""
    found = _ridges(evaluation, lambda q: q.features.redundancy if q.features else None)
    if not found or evaluation.own.features is None:
        return Html("")
    line = f"As many random directions have a mean of {evaluation.own.features.redundancy_chance:.3f}."
    return card(
        plots.ridge(found) + f'<p class="fs-soft fs-fine">{line}</p>',
        word("Nearest other decoder row", "decoder redundancy"), "largest cosine",
    )  # fmt: skip


def _line(q: Quality, one: Measured, what: str) -> Line:
    name = Html(f"<b>{esc(called(q))}</b>") if q.kind == "source" else esc(called(q))
    about = f"{called(q)}: {what} {number(one.value, 4)}"
    if math.isfinite(one.low):
        about += f"\n95 % interval {interval(one, plain)}"
    return Line(name, (Value(one.value, one.low, one.high, shape(q), about),), number(one.value, 3))


def _groups(evaluation: Evaluation, keys: Sequence[tuple[str, str, str]], *, low: float | None = None) -> str:
    """(figure, name, term) as charts of lines over one scale."""
    every = [(q, q.figures()) for q in subjects(evaluation)]
    values = [f[key].value for _, f in every for key, _, _ in keys if key in f]
    if not values:
        return ""
    floor = math.floor(min(1.0 if low is None else low, *values) * 10) / 10
    scale = plots.Axis("", floor, max(1.0, *values))
    parts = []
    for key, name, term in keys:
        its = [_line(q, f[key], name) for q, f in every if key in f]
        if its:
            parts.append(f'<section><h3 class="fs-h2"><span>{word(name, term)}</span></h3>{plots.lines(its, scale)}'
                         "</section>")  # fmt: skip
    return f'<div class="fs-groups">{join(parts)}</div>'


def scores(evaluation: Evaluation) -> Html:
    """What the reconstruction costs the model."""
    keys = (
        ("ce_loss_score", "CE, against zeros", "ce loss score"),
        ("ce_loss_score_mean", "CE, against the mean", "ce loss score mean"),
        ("kl_score", "KL, against zeros", "kl score"), ("kl_score_mean", "KL, against the mean", "kl score mean"),
    )  # fmt: skip
    body = _groups(evaluation, keys)
    return card(body, "What the model loses", "1 is nothing lost", extra="fs-span") if body else Html("")


def probing(evaluation: Evaluation) -> Html:
    """How well a few features tell kinds of texts."""
    keys = tuple((f"probing_k{k}", f"{k} feature{'s' * (k > 1)}", "sparse probing") for k in (1, 2, 5))
    body = _groups(evaluation, keys, low=0.5)
    own = evaluation.own.probing
    if not body or own is None:
        return Html("")
    line = (
        f"{len(own.tasks)} kinds of texts. A probe on all of the activation: {number(own.full.value)}; five features "
        f"with shuffled labels: {number(own.shuffled.value)}."
    )
    tasks = join(_task(task.label, task.accuracy, task.test) for task in own.tasks)
    table = (
        f'<details class="fs-more"><summary>Each kind of text</summary><table class="fs-table"><thead><tr><th>kind</th>'
        f'<th class="n">1</th><th class="n">2</th><th class="n">5</th><th class="n">all</th><th class="n">shuffled</th>'
        f'<th class="n">texts</th></tr></thead><tbody>{tasks}</tbody></table></details>'
    )
    return card(
        f'{body}<p class="fs-soft fs-fine">{line}</p>{table}', word("Sparse probing"), "balanced accuracy",
        extra="fs-span",
    )  # fmt: skip


def _task(label: str, accuracy: Mapping[str, Measured], test: int) -> str:
    cells = [accuracy.get(name) for name in ("1", "2", "5", "full", "shuffled")]
    numbers = join(f'<td class="n">{number(one.value) if one else "–"}</td>' for one in cells)
    return f'<tr><td>{esc(label)}</td>{numbers}<td class="n">{test:,}</td></tr>'


def perturbation(evaluation: Evaluation) -> Html:
    """What taking a label's features away does to each probe, as a heat map, and the scores of all dictionaries."""
    own = evaluation.own.tpp
    if own is None:
        return Html("")
    every = [_line(q, q.tpp.score, "TPP") for q in subjects(evaluation) if q.tpp is not None]
    values = [v for line in every for one in line.values for v in (one.value, one.low, one.high) if math.isfinite(v)]
    chart = plots.lines(every, plots.axis("", [*values, 0.0]))
    effect = next((one for one in own.effects if one.k == own.k), None)
    table = ""
    if effect is not None:
        top = join(f'<th class="n">{esc(one)}</th>' for one in own.labels)
        reach = max((abs(d) for row in effect.drops for d in row), default=1) or 1
        body = join(
            f"<tr><th>{esc(label)}</th>"
            + join(
                f'<td class="{"on" if d > 0 else "on neg"}{" m" * (a == b)}" style="--v:{abs(d) / reach:.2f}" '
                f"{tip(f'without the features of “{label}”, the probe of “{own.labels[b]}” loses {number(d)}')}>"
                f"{number(d, 2)}</td>"
                for b, d in enumerate(row)
            )
            + "</tr>"
            for a, (label, row) in enumerate(zip(own.labels, effect.drops, strict=True))
        )
        table = (
            '<div class="fs-wide"><table class="fs-heat signed"><thead><tr><th>without ↓, probe →</th>'
            f'{top}</tr></thead><tbody>{body}</tbody></table></div><p class="fs-soft fs-fine">Accuracy lost where the '
            f"{effect.k} features of the row’s kind are taken away.</p>"
        )
    return card(chart + table, word("Targeted probe perturbation"), f"{own.k} features of each kind")


def letters(evaluation: Evaluation) -> Html:
    """First-letter absorption, by letter."""
    own = evaluation.own.absorption
    if own is None:
        return Html("")
    every = [_line(q, q.absorption.rate, "absorbed") for q in subjects(evaluation) if q.absorption is not None]
    values = [v for line in every for one in line.values for v in (one.value, one.low, one.high) if math.isfinite(v)]
    bars = join(
        f'<span {tip(_letter(one.letter, one.words, one.absorbed, one.rate, one.f1, one.absorbers))}>'
        f'<i style="height:{max(2.0, one.rate * 100) if one.absorbed else 0:.1f}%"></i><b>{esc(one.letter)}</b></span>'
        for one in own.letters
    )
    line = f"Of the words of each first letter the share that is absorbed. {len(own.letters)} letters had enough words."
    return card(
        f"{plots.lines(every, plots.axis('', [*values, 0.0, 0.1]))}"
        f'<div class="fs-letters" role="group" aria-label="Absorption by first letter">{bars}</div>'
        f'<p class="fs-soft fs-fine">{line}</p>',
        word("Feature absorption", "absorption"), "first letters",
    )  # fmt: skip


def _letter(
    letter: str, words: int, absorbed: int, rate: float, f1: float, absorbers: Iterable[tuple[str, int]]
) -> str:
    some = ", ".join(f"“{name}” by {feature}" for name, feature in list(absorbers)[:5])
    more = f"\n{some}" if some else ""
    return f"{letter}: {absorbed:,} of {words:,} words absorbed ({percent(rate)}), best feature F1 {f1:.2f}{more}"


def classes(evaluation: Evaluation) -> Html:
    """What kinds of features there are, trained against control."""
    every = [q for q in subjects(evaluation) if q.interp is not None and q.interp.classes]
    if not every or every[0].kind != "source":
        return Html("")
    by_name = {q.name: {c.name: c for c in q.interp.classes} for q in every if q.interp is not None}
    names = [c.name for c in every[0].interp.classes] if every[0].interp else []
    names += [n for q in every[1:] for n in by_name[q.name] if n not in names]
    shares = [c.share.value for its in by_name.values() for c in its.values()]
    scale = plots.Axis("", 0.0, max([*shares, 0.05]) * 1.05)
    found = []
    for name in dict.fromkeys(names):
        values = tuple(
            Value(c.share.value, c.share.low, c.share.high, shape(q),
                  f"{called(q)}: {percent(c.share.value)}, {c.features:,} features")
            for q in reversed(every) if (c := by_name[q.name].get(name)) is not None
        )  # fmt: skip
        own = by_name[every[0].name].get(name)
        found.append(Line(esc(name), values, percent(own.share.value) if own else "–"))
    note = "" if any(q.kind == "control" for q in every) else (
        '<p class="fs-soft fs-fine">No control has annotations, so nothing says what chance gives.</p>'
    )  # fmt: skip
    marks = plots.legend((shape(q) for q in every), {"source": "this source"})
    return card(
        f"{plots.lines(found, scale)}{marks}{note}",
        word("Kinds of features", "annotation kind"), "share of the living",
    )  # fmt: skip
