"""The leaderboard as HTML: what is chosen, a Pareto plot, the table. Pure functions of rows and a view.

What other programs measured has a mark and rows of its own; it is in no front, and the table names its file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from components import links, plots, quality_panels
from components.feature_panels import KINDS as KIND_NAMES
from components.feature_panels import word
from components.leaderboard_view import KINDS, LESS, LOG, NAMES, PAIRS, WIDTH, View, measured
from components.markup import Html, card, esc, join, link, tip
from components.plots import Mark
from components.quality_panels import form_of, interval
from components.search_panels import pill
from core.evaluate.board import FIXED
from core.evaluate.records import FIGURES, Evaluation, LeaderboardRow, Measured
from core.records import SourceKey

LEAD = (
    "Every source by what was measured of it, with the edge of what is attained. Figures compare exactly where model, "
    "hook and token set are the same: filter first."
)
LABELS = 14
"""Points of a plot that have their name beside them at most."""


def tools(view: View, rows: Sequence[LeaderboardRow]) -> Html:
    """Which sources are shown."""
    facets = []
    models = sorted({row.model_id for row in rows if row.model_id})
    if len(models) > 1:
        facets.append(_facet("Model", view, "models", models))
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    if len(kinds) > 1:
        facets.append(_facet("Kind", view, "kinds", kinds, KINDS))
    sets = sorted({row.set_name for row in rows if row.set_name and row.source is not None})
    if len(sets) > 1:
        facets.append(_facet("Set", view, "sets", sets[:24]))
    more = [pill(view.to(beside=not view.beside), "baselines and controls", on=view.beside)]
    if any(row.source is None for row in rows):
        more.append(pill(view.to(elsewhere=not view.elsewhere), "measured elsewhere", on=view.elsewhere))
    if any(not row.figures for row in rows):
        more.append(pill(view.to(unmeasured=not view.unmeasured), "not measured yet", on=view.unmeasured))
    also = f'<span class="fs-soft">Also</span><span class="fs-pills">{join(more)}</span>'
    facets.append(f'<span class="fs-facet">{also}</span>')
    return Html(f'<div class="fs-card fs-tools">{_filter(view)}{join(facets)}</div>')


def _facet(
    name: str, view: View, field: str, values: Sequence[str], names: dict[str, str] | None = None
) -> str:
    pills = join(
        pill(view.toggled(field, one), (names or {}).get(one, one), on=one in getattr(view, field)) for one in values
    )
    return f'<span class="fs-facet"><span class="fs-soft">{name}</span><span class="fs-pills">{pills}</span></span>'


def _filter(view: View) -> str:
    held = join(
        f'<input type="hidden" data-name="{esc(name)}" value="{esc(value)}">'
        for name, value in view.parameters().items() if value and name != "q"
    )  # fmt: skip
    return (
        '<form data-go="/leaderboard" role="search" class="fs-row fs-tight">'
        f'<input class="fs-in" data-name="q" value="{esc(view.q)}" autocomplete="off" spellcheck="false" '
        'aria-label="Filter sources by name, hook, architecture or release" placeholder="Filter: name, hook, release">'
        f'{held}<button class="fs-btn" type="submit">Filter</button></form>'
    )


def nothing(view: View, any_rows: bool) -> Html:
    """No row: none is measured, or none fits."""
    if any_rows:
        return card(
            '<div class="fs-empty"><b>No source fits</b>Take a choice back above, or '
            f'{link(view.to(unmeasured=True, q="", models=(), kinds=(), sets=()), "show all", "fs-act")}.</div>'
        )
    return card(
        '<div class="fs-empty"><b>Nothing has been measured yet</b>'
        "<code>python -m core eval MODEL/SOURCE --suite all</code> measures a source; the page of each one’s quality "
        "does too.</div>"
    )


# -- the plot ----------------------------------------------------------------------------------------------------------


def plot(view: View, rows: Sequence[LeaderboardRow], beside: Sequence[Evaluation]) -> Html:
    """Points over two chosen axes, with the Pareto front of each model's sources."""
    marks = [*_beside(view, beside), *_own(view, rows)]
    body = (
        _drawn(view, marks)
        if marks
        else '<div class="fs-empty"><b>No source has both figures</b>Choose other axes, or measure more.</div>'
    )
    pairs = join(
        pill(view.to(x=x, y=y), f"{NAMES[x]} · {NAMES[y]}", on=(view.x, view.y) == (x, y)) for x, y in PAIRS
    )
    choose = _axes(view)
    return card(f'<div class="fs-pills fs-under-ask">{pairs}</div>{choose}{body}', "Trade-offs", _front(view))


def _front(view: View) -> str:
    if view.x in LESS and view.y in LESS and view.x != view.y:
        return str(word("the line is the Pareto front", "pareto front"))
    return "no front: an axis has no better end"


def _axes(view: View) -> str:
    """Two lists of axes that change the address without a button."""
    parts = []
    for name, label in (("x", "Across"), ("y", "Up")):
        names = join(
            pill(view.to(**{name: key}), NAMES[key], on=getattr(view, name) == key)
            for key in (WIDTH, *(figure.key for figure in FIGURES))
        )
        parts.append(
            f'<span class="fs-facet"><span class="fs-soft">{label}</span><span class="fs-pills">{names}</span></span>'
        )
    return f'<details class="fs-more"><summary>Other axes</summary><div class="fs-tools">{join(parts)}</div></details>'


def _drawn(view: View, marks: Sequence[Mark]) -> Html:
    def axis(key: str, values: list[float]) -> plots.Axis:
        figure = next((f for f in FIGURES if f.key == key), None)
        name = word(NAMES[key], (figure.term or figure.name.lower()) if figure else "width")
        return plots.axis(name, values, log=key in LOG)

    xs, ys = axis(view.x, [m.x for m in marks]), axis(view.y, [m.y for m in marks])
    ends = (LESS[view.x], LESS[view.y]) if view.x in LESS and view.y in LESS and view.x != view.y else (None, None)
    shown = [m for m in marks if not (xs.log and m.x <= 0) and not (ys.log and m.y <= 0)]
    return Html(plots.scatter(shown, xs, ys, less_x=ends[0], less_y=ends[1]) + plots.legend(m.shape for m in shown))


def _own(view: View, rows: Sequence[LeaderboardRow]) -> list[Mark]:
    found = []
    for row in rows:
        x, y = measured(row, view.x), measured(row, view.y)
        if not _real(x) or not _real(y):
            continue
        assert x is not None and y is not None
        about = f"{row.name}\n{_said(view.x, x)}\n{_said(view.y, y)}\n{row.hook}, {row.width:,} wide"
        about += f"\n{row.provenance}, {row.made[:10]}" if row.provenance else ""
        key = row.source or row.of
        found.append(
            Mark(
                x.value, y.value, "here" if row.source else "bench", about, links.quality(key) if key else "",
                (row.source.source_id if row.source else row.name) if len(rows) <= LABELS else "",
                row.model_id if row.source else "",
            )
        )
    return found


def _beside(view: View, found: Sequence[Evaluation]) -> list[Mark]:
    """Baselines and controls of the sources that are shown."""
    marks = []
    for one in found:
        for q in (*one.baselines, *one.controls):
            figures = q.figures() | {WIDTH: Measured(float(q.width))}
            x, y = figures.get(view.x), figures.get(view.y)
            if not _real(x) or not _real(y):
                continue
            assert x is not None and y is not None
            about = f"{quality_panels.called(q)} beside {one.source}\n{_said(view.x, x)}\n{_said(view.y, y)}\n{q.what}"
            marks.append(
                Mark(x.value, y.value, quality_panels.shape(q), about, links.quality(one.source))
            )
    return marks


def _real(one: Measured | None) -> bool:
    return one is not None and math.isfinite(one.value)


def _said(key: str, one: Measured) -> str:
    form = form_of(key)
    said = f"{one.value:,.0f}" if key == WIDTH else form(one.value)
    between = interval(one, form)
    return f"{NAMES[key]} {said}" + (f" ({between})" if between else "")


# -- the table ---------------------------------------------------------------------------------------------------------


def table(view: View, rows: Sequence[LeaderboardRow]) -> Html:
    """A row a source with the figures of one part; headings sort."""
    shown = [figure for figure in FIGURES if figure.part == view.part]
    parts = join(
        pill(view.to(part=part), name, on=view.part == part) for part, name in quality_panels.NAMES.items()
    )
    heads = [("name", "source", ""), ("hook", "hook point", "fs-hide-narrow"), (WIDTH, "width", "n")]
    top = join(_head(view, key, term, term, cls) for key, term, cls in heads)
    top += join(_head(view, f.key, f.name, f.term or f.name.lower(), "n") for f in shown)
    best = {f.key: _best(rows, f.key, f.better) for f in shown}
    body = join(_row(row, [f.key for f in shown], best) for row in rows)
    taken = _downloads(view)
    return card(
        f'<div class="fs-pills fs-under-ask">{parts}</div><div class="fs-wide"><table class="fs-table fs-board"><thead>'
        f'<tr>{top}<th class="fs-hide-narrow">measured</th></tr></thead><tbody>{body}</tbody></table></div>{taken}',
        word("Sources", "leaderboard"), f"{len(rows):,} rows",
    )  # fmt: skip


def _best(rows: Sequence[LeaderboardRow], key: str, better: str) -> float | None:
    values = [row.figures[key].value for row in rows if row.source is not None and _real(row.figures.get(key))]
    return None if not better or len(values) < 2 else (max if better == "higher" else min)(values)


def _head(view: View, key: str, name: str, term: str, cls: str) -> str:
    down = view.sort == f"-{key}"
    on = view.sort.removeprefix("-") == key
    first = key if key in FIXED or LESS.get(key, False) else f"-{key}"
    turned = (key if down else f"-{key}") if on else first
    aria = f' aria-sort="{"descending" if down else "ascending"}"' if on else ""
    return (
        f'<th class="{cls}"{aria}><a data-stay="" href="{esc(view.to(sort=turned))}">{word(name, term)}</a></th>'
    )


def _row(row: LeaderboardRow, keys: Sequence[str], best: dict[str, float | None]) -> str:
    cells = []
    for key in keys:
        one = row.figures.get(key)
        if not _real(one):
            cells.append('<td class="n fs-soft">–</td>')
            continue
        assert one is not None
        form = form_of(key)
        said = f"<b>{form(one.value)}</b>" if best[key] == one.value and row.source is not None else form(one.value)
        between = interval(one, form)
        about = f" {tip(f'95 % interval {between}')}" if between else ""
        cells.append(f'<td class="n"{about}>{said}</td>')
    made = (
        f'<td class="fs-hide-narrow fs-soft fs-nowrap" {tip(_provenance(row))}>{esc(row.made[:10])}</td>'
        if row.figures
        else f'<td class="fs-hide-narrow">{_measure(row.source)}</td>'
    )
    width = f"{row.width:,}" if row.width else "–"
    mark = ' class="fs-theirs"' if row.source is None else ""
    return (
        f"<tr{mark}><td>{_name(row)}</td>"
        f'<td class="tok fs-hide-narrow">{esc(row.hook)}</td><td class="n">{width}</td>{join(cells)}{made}</tr>'
    )


def _name(row: LeaderboardRow) -> Html:
    if row.source is not None:
        about = f"{KIND_NAMES[row.kind]}, {row.architecture}"
        name = link(links.quality(row.source), row.source.source_id, "main")
        return Html(f'{name}<div class="fs-soft fs-fine" {tip(about)}>{esc(row.model_id)}</div>')
    name = link(links.quality(row.of), row.name, "main") if row.of else Html(f"<b>{esc(row.name)}</b>")
    return Html(f'<i class="fs-mk bench"></i>{name}<div class="fs-soft fs-fine">SAEBench · {esc(row.model_id)}</div>')


def _measure(key: SourceKey | None) -> Html:
    return link(links.quality(key), "measure", "fs-act") if key is not None else Html("")


def _provenance(row: LeaderboardRow) -> str:
    sets = dict.fromkeys(f"{one.tokens:,} tokens of {one.name}, SHA-256 {one.sha256[:12]}…" for one in row.on.values())
    return "\n".join([row.provenance, *sets, row.made.replace("T", " ")])


def _downloads(view: View) -> str:
    address = view.to().removeprefix("/leaderboard").removeprefix("?")
    ways = join(
        f'<a class="fs-btn" href="/api/leaderboard?{esc(f"{address}&" if address else "")}format={form}" download '
        f'data-stay="">{form.upper()}</a>'
        for form in ("csv", "json")
    )
    return (
        f'<div class="fs-row fs-under-table">{ways}<span class="fs-soft fs-fine">All figures with their intervals, of '
        "the sources shown.</span></div>"
    )

