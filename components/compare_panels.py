"""Sources side by side as HTML: facts, densities, concepts, who is found where, matched pairs. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from components import charts, links, paging, source_panels
from components.compare_view import THRESHOLDS, View
from components.feature_panels import hooks, kind, word
from components.markup import Html, card, esc, join, link, number, percent, tip
from components.search_panels import pill
from core.atlas.together.records import (
    Lonely,
    Matches,
    Matching,
    Pair,
    ReadSide,
    ReadTogether,
    SourcesCompared,
    SourceSide,
)
from core.records import FeatureKey, SourceKey, SourceRecord

PAGE = 25
"""Matched pairs of a page."""
KINDS = 8


def head(view: View) -> Html:
    """The page's title."""
    lead = "" if view.sources or view.ids else (
        "Two or more sources side by side: which features each has, which are matched, which stand alone. Or one "
        "feature against another."
    )  # fmt: skip
    return source_panels.title("Compare", lead, actions=source_panels.COPY if view.sources or view.ids else "")


def choose(view: View, records: Sequence[SourceRecord]) -> Html:
    """Which sources are compared, by model."""
    models = list(dict.fromkeys(record.key.model_id for record in records))
    rows = []
    for model_id in models:
        chosen = view.sources if view.model_id == model_id else ()
        pills = []
        for key in (record.key for record in records if record.key.model_id == model_id):
            after = tuple(k for k in chosen if k != key) if key in chosen else (*chosen, key)
            there = view.to(model_id=model_id, sources=after, ids=(), pair=None)
            pills.append(pill(there, key.source_id, on=key in chosen))
        name = f'<span class="fs-soft">{esc(model_id)}</span>' if len(models) > 1 else '<span class="fs-soft">Of</span>'
        rows.append(f'<span class="fs-facet">{name}<span class="fs-pills">{join(pills)}</span></span>')
    offered = sorted({*THRESHOLDS, view.threshold})
    least = join(pill(view.to(threshold=x), f"≥ {x:g}", on=view.threshold == x) for x in offered)
    rows.append(
        f'<span class="fs-facet"><span class="fs-soft">{word("Partner from", "partner")}</span>'
        f'<span class="fs-pills">{least}</span></span>'
    )
    return Html(f'<div class="fs-card fs-tools">{join(rows)}</div>')


def begin(view: View, records: Sequence[SourceRecord]) -> Html:
    """Before two sources are named: pairs to begin with."""
    pairs = [(a, b) for a, b in pairwise(records) if a.key.model_id == b.key.model_id and a.kind == b.kind]
    cards = join(
        f'<a class="fs-card fs-featured" href="'
        f'{esc(view.to(model_id=a.key.model_id, sources=(a.key, b.key)))}"><b>{esc(a.key.source_id)} and '
        f'{esc(b.key.source_id)}</b><span class="fs-soft fs-under">{a.width:,} and {b.width:,} features of '
        f"{esc(a.key.model_id)}</span></a>"
        for a, b in pairs[:9]
    )
    said = "Choose another source" if view.sources else "Begin with a pair"
    return Html(f'<h2 class="fs-h2">{said}</h2><div class="fs-three">{cards}</div>')


# -- side by side ------------------------------------------------------------------------------------------------------


def facts(found: SourcesCompared) -> Html:
    """What each is and how good it is, a column each."""
    sides = found.sides
    rows = [
        ("kind", "kind", [esc(kind(s.source)) for s in sides]),
        ("hook point", "hook point", [hooks(s.source)[0][1] for s in sides]),
        ("features", "width", [f"{s.source.width:,}" for s in sides]),
        ("alive", "alive", [percent(s.source.alive / max(1, s.source.width)) for s in sides]),
        ("L0", "l0", [_figure(s, "l0", "{:.1f}") for s in sides]),
        ("explained variance", "explained variance", [_figure(s, "explained_variance", "{:.3f}") for s in sides]),
        ("CE loss score", "ce loss score", [_figure(s, "ce_loss_score", "{:.3f}") for s in sides]),
        ("dead", "dead", [percent(s.source.figures.dead_fraction) if s.source.figures else "–" for s in sides]),
        ("in none of the others", "alone in comparison", [_alone(s) for s in sides]),
    ]
    top = join(f"<th>{link(links.source(s.source.key), s.source.key.source_id, 'main')}</th>" for s in sides)
    body = join(
        f"<tr><td>{word(name, term)}</td>{join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, term, cells in rows
    )
    return card(
        f'<div class="fs-wide"><table class="fs-table"><thead><tr><th></th>{top}</tr></thead><tbody>{body}</tbody>'
        f"</table></div>{_measured(found)}",
        "Side by side",
        f"the same {sides[0].source.tokens:,} tokens of {sides[0].source.prompts:,} prompts",
    )


def _figure(side: SourceSide, name: str, form: str) -> str:
    return form.format(getattr(side.source.figures, name)) if side.source.figures else "–"


def _alone(side: SourceSide) -> str:
    alone = side.concepts.alone
    return "–" if alone is None else f"{alone:,} ({percent(alone / max(1, side.source.alive))} of the living)"


def _measured(found: SourcesCompared) -> str:
    """On which texts quality was measured, and how what is missing is."""
    said = []
    with_figures = [s.source for s in found.sides if s.source.figures]
    if with_figures and found.same_figures and with_figures[0].figures:
        f = with_figures[0].figures
        said.append(f"Quality was measured on the same texts: {f.tokens:,} tokens of {f.dataset}.")
    elif with_figures:
        said.append("Quality was measured on different texts, so the figures do not compare.")
    lacking = [s.source.key for s in found.sides if not s.source.figures and s.source.kind in ("sae", "transcoder")]
    if lacking:
        said.append(f"Not measured: {', '.join(k.source_id for k in lacking)}; python -m core eval {lacking[0]} does.")
    return f'<p class="fs-soft fs-fine">{esc(" ".join(said))}</p>' if said else ""


def densities(found: SourcesCompared) -> Html:
    """Histograms of density on one axis and one scale."""
    top = max((n for side in found.sides for n in side.densities.counts), default=0)
    rows = join(
        f'<div class="fs-cmp-hist"><b class="fs-small">{esc(side.source.key.source_id)}</b>'
        f"{charts.histogram(side.densities, what='features', decades=True, top=top)}</div>"
        for side in found.sides
    )
    return card(rows, word("Densities", "density histogram"), "one axis, one scale")


def concepts(found: SourcesCompared) -> Html:
    """Kinds of features by share, and rules that only one source has."""
    some = [side for side in found.sides if side.concepts.kinds]
    if not some:
        said = "None of them has annotations; python -m core annotate MODEL/SOURCE makes them where a store was kept."
        return card(f'<span class="fs-soft">{esc(said)}</span>', "Concepts")
    kinds = list(dict.fromkeys(name for side in some for name, _ in side.concepts.kinds))[:KINDS]
    counts = [dict(side.concepts.kinds) for side in some]
    top = join(f"<th>{esc(side.source.key.source_id)}</th>" for side in some)
    body = ""
    for name in kinds:
        cells = ""
        for its in counts:
            share = its.get(name, 0) / max(1, sum(its.values()))
            cells += (
                f'<td class="fs-cmp-share" style="--v:{share:.3f}" {tip(f"{its.get(name, 0):,} features")}>'
                f"{percent(share)}</td>"
            )
        body += f"<tr><td>{esc(name)}</td>{cells}</tr>"
    table = (
        f'<div class="fs-wide"><table class="fs-table"><thead><tr><th>{word("kind", "annotation kind")}</th>{top}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )
    own = join(
        f'<section><h3 class="fs-h2"><span>Only in {esc(side.source.key.source_id)}</span></h3>'
        + join(
            f'<a class="fs-rel fs-cmp-line" href="{esc(links.feature(key))}" data-tip="{esc(line)}">'
            f'<span>{key.index}</span><span class="l">{esc(line)}</span><span>{score:.2f}</span></a>'
            for line, key, score in side.concepts.own
        )
        + "</section>"
        for side in some
    )
    lists = f'<div class="fs-two" style="margin-top:12px">{own}</div>' if len(some) > 1 else ""
    return card(table + lists, word("Concepts", "compared concepts"), "by what the data say")


def matrix(view: View, found: SourcesCompared) -> Html:
    """How well each source's features are found again in each other, as a heat map whose cells lead to the pairs."""
    if len(found.matrix) <= len(found.sides) and found.missing:
        return Html("")
    cells = {(one.a, one.b): one for one in found.matrix}
    keys = [side.source.key for side in found.sides]
    top = join(f'<th class="n">{esc(key.source_id)}</th>' for key in keys)
    body = join(
        f"<tr><td>{esc(a.source_id)}</td>{join(_cell(view, cells.get((a, b)), a, b) for b in keys)}</tr>" for a in keys
    )
    said = (
        f"Of the row’s living features, how many have a partner (correlation ≥ {found.threshold:g}) in the column’s, "
        "and below it the mean of their best correlations. Click a cell for its pairs."
    )
    return card(
        f'<div class="fs-wide"><table class="fs-table fs-cmp-matrix"><thead><tr><th>found in →</th>{top}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><p class="fs-soft fs-fine">{esc(said)}</p>',
        word("Who is found where", "best-match matrix"),
    )


def _cell(view: View, one: Matching | None, a: SourceKey, b: SourceKey) -> str:
    if one is None:
        return '<td class="n fs-soft">–</td>'
    about = f"{percent(one.share)} of {one.living:,} living features of {a.source_id} have a partner in {b.source_id}"
    if a == b:
        about += ", itself left out"
    else:
        about += f"; {one.mutual:,} are each other’s best"
    inner = f"<b>{percent(one.share)}</b><small>{number(one.mean)}</small>"
    body = inner
    if a != b:
        on = ' aria-current="true"' if view.matched == (a, b) else ""
        body = f'<a data-stay=""{on} href="{esc(view.to(pair=(a, b)))}#fs-pairs">{inner}</a>'
    return f'<td class="n fs-cmp-cell" style="--v:{min(1.0, one.share):.3f}" data-tip="{esc(about)}">{body}</td>'


def missing(found: SourcesCompared) -> Html:
    """What is not known of pairs, and what would make it."""
    if not found.missing:
        return Html("")
    return Html(f'<div class="fs-note warn" role="status">{esc(found.missing[0].why)}</div>')


# -- pairs -------------------------------------------------------------------------------------------------------------


def pairs(view: View, found: Matches) -> Html:
    """Matched pairs, and who stands alone on either side."""
    a, b = found.a.source_id, found.b.source_id
    turned = view.to(pair=(found.b, found.a))
    said = f"{found.total:,} pairs of which each is the other’s best, from a correlation of {found.threshold:g} on"
    tails = " Of dense sources the values in their tails correlate, the rest as 0." if found.tails else ""
    rows = join(_pair(one) for one in found.pairs)
    table = (
        '<div class="fs-wide"><table class="fs-table"><thead><tr>'
        f"<th>{esc(a)}</th><th>{esc(b)}</th><th class=n>{word('r', 'correlation')}</th>"
        f'<th class="n fs-hide-narrow">{word("common", "common tokens")}</th>'
        f'<th class="n">{word("Jaccard", "jaccard")}</th><th></th></tr></thead><tbody>{rows}</tbody></table></div>'
        if found.pairs
        else '<div class="fs-empty"><b>No matched pairs</b>Try a lower threshold.</div>'
    )
    pages = max(1, -(-found.total // PAGE))
    turn = paging.turn(view.page, pages, lambda page: f"{view.to(page=page)}#fs-pairs") if pages > 1 else ""
    swap = Html(f'<a class="fs-act" data-stay="" href="{esc(turned)}">swap</a>')
    whole = card(
        f'<p class="fs-soft fs-fine" role="status">{esc(said)}.{esc(tails)}</p>{table}{turn}',
        f'<span id="fs-pairs">{word("Matched pairs", "matched pairs")} of {esc(a)} and {esc(b)}</span>', swap,
    )  # fmt: skip
    lonely = join(
        card(_lonely(its), f"Without a partner in {esc(other)}", f"{count:,} of {esc(name)}")
        for name, other, count, its in ((a, b, found.alone_a, found.lonely_a), (b, a, found.alone_b, found.lonely_b))
    )
    return Html(f'{whole}<div class="fs-two" style="margin-top:14px">{lonely}</div>')


def _pair(one: Pair) -> str:
    about = f"{one.both:,} tokens in common; {one.active_a:,} and {one.active_b:,} active"
    return (
        f"<tr>{_named(one.a, one.label_a)}{_named(one.b, one.label_b)}"
        f'<td class="n">{number(one.correlation)}</td><td class="n fs-hide-narrow" data-tip="{esc(about)}">{one.both:,}'
        f'</td><td class="n">{one.jaccard:.2f}</td>'
        f"<td>{link(links.compare(ids=f'{one.a},{one.b}'), 'against', 'fs-act')}</td></tr>"
    )


def _named(key: FeatureKey, label: str) -> str:
    return (
        f'<td><a class="main" href="{esc(links.feature(key))}">{esc(label) or "no label"}</a> '
        f'<span class="fs-soft fs-small">{key.index}</span></td>'
    )


def _lonely(its: Sequence[Lonely]) -> str:
    if not its:
        return '<span class="fs-soft">Every living feature has one.</span>'
    return join(
        f'<a class="fs-rel" href="{esc(links.feature(one.feature))}" data-tip="{esc(_best(one))}">'
        f'<span>{one.feature.index}</span><span class="l">{esc(one.label) or "<i class=fs-soft>no label</i>"}</span>'
        f"<span>{'–' if one.correlation is None else number(one.correlation)}</span></a>"
        for one in its
    )


def _best(one: Lonely) -> str:
    best = f"\nbest match {one.best.source_id} {one.best.index}" if one.best else "\nshares three tokens with none"
    return f"{one.label or 'no label'}\nactive on {percent(one.density)} of tokens{best}"


# -- one prompt --------------------------------------------------------------------------------------------------------


def form(view: View) -> Html:
    """The box for a prompt that all read."""
    kept = view.parameters() | {"text": "", "page": ""}
    hidden = join(
        f'<input type="hidden" data-name="{esc(name)}" value="{esc(value)}">' for name, value in kept.items() if value
    )
    return Html(
        '<form data-go="/compare" class="fs-card fs-ask" role="search">'
        '<label class="fs-soft" for="fs-text">One prompt in the codes of each</label><div class="fs-ask-row">'
        '<textarea id="fs-text" class="fs-in" data-name="text" data-whole="" rows="1" spellcheck="false" '
        f'data-warm="{esc(view.model_id)}" placeholder="My mother and her father were born in France.">\n'
        f'{esc(view.text)}</textarea><button class="fs-btn p" type="submit">Read</button></div>{hidden}</form>'
    )


def read(found: ReadTogether) -> Html:
    """The strongest features of a prompt in each source, with the partner of each."""
    columns = join(_side(found, side) for side in found.sides)
    return Html(f'<div class="fs-cmp-sides">{columns}</div>')


def _side(found: ReadTogether, side: ReadSide) -> str:
    body = ""
    for hit, partner in zip(side.hits, side.partners, strict=True):
        top = max((abs(v) for v in hit.values), default=0) / max(hit.fraction, 1e-9)
        strip = charts.strip(
            found.tokens, hit.values, top, position=hit.position, before=14, after=8, signed=min(hit.values) < 0
        )
        if partner is None:
            said = '<span class="fs-soft">no partner known</span>'
        else:
            key, r, here = partner
            on = "active here too" if here else "silent here, or weak"
            said = (
                f"{link(links.feature(key), f'{key.source_id} {key.index}')} "
                f'<span class="fs-soft">r {number(r)}, {on}</span>'
            )
        body += (
            f'<article class="fs-cmp-hit"><a class="fs-hit-name" href="{esc(links.feature(hit.key, found.text))}">'
            f'{esc(hit.label) or f"feature {hit.key.index}"}</a> <span class="fs-soft fs-small">{hit.key.index} · '
            f"surprise {hit.surprise:.1f}</span>{strip}"
            f'<div class="fs-small">{word("partner", "partner")} {said}</div></article>'
        )
    aside = f"{side.total:,} active"
    return card(body or '<span class="fs-soft">Nothing is active.</span>', esc(side.source.source_id), aside)
