"""How good a source is, as HTML: every figure with its interval, token set and day, charts with baselines and controls.

Pure functions of `core.evaluate.records`; runs nothing. What is not measured is said, with what would measure it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from components import links, resources, tables
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, tip
from components.suite_panels import at_work
from core.evaluate.records import (
    FIGURES,
    PARTS,
    Evaluation,
    LeaderboardRow,
    Measured,
    Part,
    Quality,
    Reconstruction,
)
from core.records import SourceKey, SourceRecord

LEAD = (
    "Every figure with its 95 % interval, beside what simpler dictionaries reach with as many active features, and "
    "what the same recipe finds in a model whose weights are random."
)
NAMES: dict[Part, str] = {
    "reconstruction": "Reconstruction", "features": "Features", "absorption": "Feature absorption",
    "probing": "Sparse probing", "tpp": "Targeted probe perturbation", "interp": "Interpretability",
}  # fmt: skip
TERMS: dict[Part, str] = {
    "reconstruction": "explained variance", "features": "density histogram", "absorption": "absorption",
    "probing": "sparse probing", "tpp": "targeted probe perturbation", "interp": "annotation quality",
}  # fmt: skip
_LOSSES = (
    ("ce_loss", "CE loss", "ce loss"), ("ce_loss_spliced", "… with reconstruction", "ce loss spliced"),
    ("ce_loss_zero", "… with zeros", "ce loss zero"), ("ce_loss_mean", "… with the mean", "ce loss mean"),
    ("kl_spliced", "KL with reconstruction", "kl"), ("kl_zero", "KL with zeros", "kl"),
    ("kl_mean", "KL with the mean", "kl"), ("l1", "L1", "l1"),
)  # fmt: skip
"""Figures of a reconstruction that stand in no plot."""
_SHARES = frozenset({"dead_fraction", "dense_fraction", "annotation_good"})
SHORT = {"pca": "PCA", "neurons": "neurons", "coordinates": "coordinates", "random": "random"}


def shape(quality: Quality) -> str:
    """The mark of a dictionary in plots."""
    if quality.kind == "control":
        return {"kept": "kept", "other": "other"}.get(quality.control or "", "control")
    return quality.kind


def subjects(evaluation: Evaluation) -> list[Quality]:
    """The source, then what is simpler, then what would come out of nothing."""
    order = ("source", "pca", "neurons", "coordinates", "random", "control", "kept", "other")
    return sorted(evaluation.all(), key=lambda q: (order.index(shape(q)), q.name))


def called(quality: Quality) -> str:
    """What a dictionary is called in a table's head."""
    if quality.kind == "source":
        return "this source"
    if quality.kind != "control":
        return SHORT.get(quality.kind, quality.name)
    plain = {"random": "control", "kept": "control, embeddings kept"}.get(quality.control or "", "")
    return plain or quality.name.replace("-", " ")


def head(record: SourceRecord) -> tuple[list[str], str]:
    """(crumbs, ways elsewhere)."""
    key = record.key
    crumbs = [
        str(link(links.model(key.model_id), key.model_id)),
        str(link(links.source_set(key.model_id, key.set_name), key.set_name)),
        str(link(links.source(key), key.source_id)), "<b>quality</b>",
    ]  # fmt: skip
    ways = link(links.source(key), "Its features", "fs-btn") + link(
        links.leaderboard(), "Leaderboard", "fs-btn"
    )
    return crumbs, ways


def others(key: SourceKey, sources: Sequence[SourceRecord]) -> Html:
    """The qualities of the model's other sources, one click away."""

    def pill(source: SourceRecord) -> str:
        if source.key == key:
            return f'<span class="fs-pill on" aria-current="page">{esc(source.key.source_id)}</span>'
        return f'<a class="fs-pill" href="{esc(links.quality(source.key))}">{esc(source.key.source_id)}</a>'

    if len(sources) < 2:
        return Html("")
    return Html(f'<nav class="fs-pills" aria-label="Sources">{join(pill(s) for s in tables.arranged(sources))}</nav>')


# -- nothing yet -------------------------------------------------------------------------------------------------------


def unmeasured(key: SourceKey, why: str) -> Html:
    """Nobody has measured it: the command; `why` somebody may not measure it by page is empty if they may."""
    said = f'<p class="fs-fine">{esc(why)}</p>' if why else ""
    some = f"{resources.MEASURED:,}"
    also = f"; the button below does on {some} tokens of them. What is found is kept" if not why else " and keeps it"
    return card(
        '<div class="fs-empty"><b>Its quality has not been measured yet</b>'
        f"<code>{esc(command(key))}</code> measures it on the texts that it was built on{also}.{said}</div>"
    )


def command(key: SourceKey) -> str:
    """The line that measures a source."""
    return f"python -m core eval {key} --suite all"


def lacking(evaluation: Evaluation, tried: Mapping[str, str] | None = None) -> Html:
    """Parts that are not there, with the reason where one is known; `tried` are reasons of a run that just ended."""
    known = {**dict(evaluation.lacking), **(tried or {})}
    missing = [part for part in PARTS if part not in evaluation.own.parts()]
    rows = [(esc(NAMES[p]), esc(known.get(p, "not measured yet"))) for p in missing]
    rows += [(esc(name), esc(why)) for name, why in known.items() if name not in missing]
    if not rows:
        return Html("")
    line = f'<p class="fs-soft fs-fine"><code>{esc(command(evaluation.source))}</code> measures what is missing.</p>'
    if set(missing) <= known.keys():
        line = ""
    return card(tables.facts(rows) + line, "Not measured")


def busy(text: str, part: float | None) -> Html:
    """While it is measured."""
    more = '<p class="fs-soft fs-fine">It goes on if you leave this page; what is measured is kept as it goes.</p>'
    return Html(at_work(text, part) + more)


# -- in a sentence -----------------------------------------------------------------------------------------------------


def said(evaluation: Evaluation) -> Html:
    """What the figures say against the baselines and the controls, in a few sentences; no verdict."""
    lines = [*_of_variance(evaluation), *_of_losses(evaluation), *_of_features(evaluation), *_of_words(evaluation)]
    if not lines:
        return Html("")
    body = join(f"<li>{esc(one)}</li>" for one in lines)
    return card(f'<ul class="fs-says">{body}</ul>', "In short")


def _of_variance(e: Evaluation) -> list[str]:
    own = e.own.figures()
    if "explained_variance" not in own or "l0" not in own:
        return []
    simple, controls = (
        [
            f"{called(q)} {value.value:.3f}"
            for q in subjects(e)[1:]
            if (q.kind == "control") is control and (value := q.figures().get("explained_variance")) is not None
        ]
        for control in (False, True)
    )
    beside = f" With as many active features: {', '.join(simple)}." if simple else ""
    beside += f" The same recipe on a randomised model: {', '.join(controls)}." if controls else ""
    return [
        f"It keeps {own['explained_variance'].value:.3f} of the variance with {own['l0'].value:.1f} active features a "
        f"token.{beside}"
    ]


def _of_losses(e: Evaluation) -> list[str]:
    own = e.own.reconstruction
    if own is None:
        return []
    f = own.figures
    return [
        f"With the reconstruction in its place the model’s loss goes from {f.ce_loss.value:.3f} to "
        f"{f.ce_loss_spliced.value:.3f} nats; with the mean activation to {f.ce_loss_mean.value:.3f}, with zeros to "
        f"{f.ce_loss_zero.value:.3f}."
    ]


def _of_features(e: Evaluation) -> list[str]:
    one = e.own.features
    if one is None:
        return []
    return [
        f"{percent(one.dead_fraction.value)} of its {one.width:,} features are dead and "
        f"{percent(one.dense_fraction.value)} active on more than a tenth of the tokens. The nearest other decoder row "
        f"has a mean cosine of {one.redundancy_cosine.value:.2f}; of as many random directions "
        f"{one.redundancy_chance:.2f}."
    ]


def _of_words(e: Evaluation) -> list[str]:
    own = e.own.interp
    if own is None or own.annotation is None:
        return []
    rest = [
        f"{called(q)} {q.interp.annotation.value:.3f}" for q in subjects(e) if q.kind == "control"
        and q.interp is not None and q.interp.annotation is not None
    ]  # fmt: skip
    beside = f" The same of the controls: {', '.join(rest)}." if rest else ""
    return [
        f"What the data say of a feature tells where it fires with a median balanced accuracy of "
        f"{own.annotation.value:.3f}.{beside}"
    ]


# -- figures -----------------------------------------------------------------------------------------------------------


def figures(evaluation: Evaluation) -> Html:
    """Every figure with its interval, with BOS beside it, and what baselines and controls have; a head a part."""
    rest = [q for q in subjects(evaluation) if q.kind != "source" and q.figures()]
    bos = evaluation.own.reconstruction is not None
    names = [("this source", "", "n"), ("95 % interval", "quality interval", "n")]
    names += [("with BOS", "bos", "n")] * bos
    names += [(called(q), f"{q.kind} baseline" if q.kind != "control" else "control", "n") for q in rest]
    top = join(f'<th class="{cls}">{word(name, term) if term else esc(name)}</th>' for name, term, cls in names)
    body = join(_part(part, evaluation.own, rest, bos) for part in PARTS)
    if not body:
        return Html("")
    return card(
        f'<div class="fs-wide"><table class="fs-table fs-measured"><thead><tr><th></th>{top}</tr></thead>{body}</table>'
        "</div>",
        word("Figures", "quality"),
    )


def _part(part: Part, own: Quality, subjects: Sequence[Quality], bos: bool) -> str:
    on = own.on(part)
    if on is None:
        return ""
    tokens, made = on
    where = f"{tokens.tokens:,} tokens of {tokens.prompts:,} prompts, {tokens.documents:,} documents"
    about = f"{where}\n{tokens.name}\nSHA-256 {tokens.sha256}\nmeasured {made.replace('T', ' ')}"
    cells = 3 + bos + len(subjects)
    line = (
        f'<tr class="fs-part"><th colspan="{cells}" scope="rowgroup">{word(NAMES[part], TERMS[part])}'
        f'<span class="fs-soft fs-fine" {tip(about)}>{tokens.tokens:,} tokens of {esc(tokens.name)} · '
        f"{esc(made[:10])}</span></th></tr>"
    )
    rows = []
    for figure in FIGURES:
        value = own.figures().get(figure.key)
        if figure.part != part or value is None:
            continue
        term = figure.term or figure.name.lower()
        with_bos = _bos(own.reconstruction, figure.field) if part == "reconstruction" else None
        theirs = [q.figures().get(figure.key) for q in subjects]
        rows.append(_figure(word(figure.name, term), figure.key, value, with_bos, theirs, bos))
    if part == "reconstruction":
        for key, name, term in _LOSSES:
            theirs = [getattr(q.reconstruction.figures, key) if q.reconstruction else None for q in subjects]
            assert own.reconstruction is not None
            value = getattr(own.reconstruction.figures, key)
            rows.append(
                _figure(word(name, term), key, value, getattr(own.reconstruction.with_bos, key), theirs, bos)
            )
    return f"<tbody>{line}{join(rows)}</tbody>"


def _bos(one: Reconstruction | None, field: str) -> Measured | None:
    return getattr(one.with_bos, field.removeprefix("figures.")) if one is not None else None


def _figure(
    name: Html, key: str, value: Measured, with_bos: Measured | None, theirs: Sequence[Measured | None], bos: bool
) -> str:
    form = form_of(key)
    cells = [f'<td class="n"><b>{form(value.value)}</b></td>', f'<td class="n fs-soft">{interval(value, form)}</td>']
    if bos:
        cells.append(f'<td class="n">{form(with_bos.value) if with_bos else ""}</td>')
    for one in theirs:
        about = tip(f"95 % interval {interval(one, form)}") if one is not None and math.isfinite(one.low) else ""
        cells.append(f'<td class="n" {about}>{form(one.value) if one is not None else "–"}</td>')
    return f'<tr><th scope="row">{name}</th>{join(cells)}</tr>'


def form_of(key: str) -> Callable[[float], str]:
    """How a figure is written."""
    return _percent if key in _SHARES else plain


def plain(value: float) -> str:
    """A figure as a number; a dash where there is none."""
    return "–" if not math.isfinite(value) else number(value, 4)


def _percent(value: float) -> str:
    return "–" if not math.isfinite(value) else percent(value)


def interval(value: Measured, form: Callable[[float], str]) -> str:
    """An interval in words; empty where there is none."""
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return ""
    return f"{form(value.low)} to {form(value.high)}"


# -- what others measured ----------------------------------------------------------------------------------------------


def elsewhere(found: Sequence[LeaderboardRow], own: Quality | None) -> Html:
    """Results of other programs for the same SAE, in a table of their own beside ours."""
    if not found:
        return Html("")
    ours = own.figures() if own else {}
    rows = []
    for row in found:
        for figure in FIGURES:
            value = row.figures.get(figure.key)
            if value is None:
                continue
            here = ours.get(figure.key)
            form = form_of(figure.key)
            rows.append(
                f'<tr><td>{word(figure.name, figure.term or figure.name.lower())}</td><td class="n">{form(value.value)}'
                f'</td><td class="n">{form(here.value) if here else "–"}</td></tr>'
            )
    names = join(
        f'<p class="fs-soft fs-fine">{esc(row.name)}, {esc(row.made)}; {esc(row.provenance)}</p>' for row in found
    )
    table = (
        '<table class="fs-table"><thead><tr><th></th><th class="n">theirs</th><th class="n">here</th></tr></thead>'
        f"<tbody>{join(rows)}</tbody></table>"
    )
    return card(table + names, word("Measured elsewhere", "measured elsewhere"), "SAEBench")
