"""The parts of the page of pairs, each a function from a view and a record to HTML. Draws nothing itself.

What brings the clean prompt's answer back is one hue, what takes it further away another; depth is size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import charts, links, plots, source_panels
from components.circuit_panels import aim, cards, chosen_model, sides, ways
from components.curves import Curve, curves
from components.feature_panels import word
from components.markup import Html, card, esc, join, number, visible
from components.markup import token as drawn
from components.pair_view import MORE, ROWS, View
from components.search_panels import left_out, pill
from core.records import ModelRecord, SourceKey, Token
from core.techniques.circuits.records import NextToken
from core.techniques.pairs.records import CurveRecord, Pair, PairFeatures, PairNode, PairSums, PatchingRecord

LEAD = (
    "Two prompts that differ in one thing, and after which the model says something else: which layers, tokens and "
    "features make the difference?"
)
COLUMNS = 24
"""Aligned tokens of the heat map: the last ones."""
NAMES = {"residual": "Where the difference is", "features": "Which features make it", "curve": "How few features do"}
BY = {
    "attribution": "attribution", "difference": "difference", "denoising": "denoising alone", "noising": "noising alone"
}  # fmt: skip
DIRECTIONS = {"denoising": "clean into corrupted", "noising": "corrupted into clean"}
NEAR = 1e-3


# -- what is asked -----------------------------------------------------------------------------------------------------


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    if not (view.clean and view.corrupted):
        return Html(f"{source_panels.title('Two prompts', LEAD)}{ways('pair')}")
    python = f'<button class="fs-btn" type="button" data-copy="{esc(view.python())}">Copy Python</button>'
    return Html(
        '<div class="fs-head fs-one"><h1 class="fs-title">Two prompts</h1>'
        f'<div class="fs-actions">{python}{source_panels.COPY}</div></div>{ways("pair")}'
    )


def form(view: View, models: Sequence[ModelRecord]) -> Html:
    """The boxes for both prompts and the target."""
    going = ("sources", "by", "direction", "curve")
    kept = {name: value for name, value in view.parameters().items() if name in going and value}
    boxes = join(
        f'<label for="fs-{name}"><span class="fs-soft">{label}</span><textarea id="fs-{name}" class="fs-in" '
        f'data-name="{name}" data-whole="" rows="1" spellcheck="false" data-warm="{esc(view.model_id)}" '
        f'placeholder="{placeholder}">\n{esc(value)}</textarea></label>'
        for name, label, value, placeholder in (
            ("clean", "Clean: the target is likely after it", view.clean, "She said that"),
            ("corrupted", "Corrupted: alike but for one thing", view.corrupted, "He said that"),
        )
    )
    tokens = aim(view.target, "likeliest after clean", view.against, "after corrupted")
    which, hidden = chosen_model(view.model_id, models, kept)
    return Html(
        f'<form data-go="/pair" class="fs-card fs-ask" role="search"><div class="fs-two">{boxes}</div>'
        f'<div class="fs-aim">{tokens}{which}<button class="fs-btn p" type="submit">Compare</button></div>{hidden}'
        '<div class="fs-hint"><span>As many tokens in both are best: then every token has a counterpart · a leading '
        "space is part of a token</span></div></form>"
    )


def examples(view: View, pairs: Sequence[Mapping[str, str]]) -> Html:
    """Before the first pair: some to begin with, one click each."""
    return cards(
        (
            _example(view, one), one["name"], (visible(one["clean"]), visible(one["corrupted"])),
            sides(one["target"], one["against"]),
        )
        for one in pairs
    )  # fmt: skip


def _example(view: View, one: Mapping[str, str]) -> str:
    return view.to(
        clean=one["clean"], corrupted=one["corrupted"], target=(one["target"],), against=(one["against"],),
        feature=None,
    )  # fmt: skip


def failed(view: View, message: str) -> Html:
    """In the place of everything, when the prompts cannot be compared."""
    way = pill(view.to(target=(), against=(), feature=None), "The likeliest token after each", on=False)
    return card(
        f'<div class="fs-empty" role="alert"><b>These could not be compared</b>{esc(message)}'
        f'<div class="fs-pills fs-ways">{way}</div></div>'
    )


def part_failed(name: str, message: str) -> Html:
    """In the place of one part; the others stand."""
    return card(f'<div class="fs-empty" role="alert"><b>{NAMES[name]}</b>{esc(message)}</div>')


# -- both prompts ------------------------------------------------------------------------------------------------------


def pair(view: View, found: Pair) -> Html:
    """Both prompts, token above token, and the target after each."""
    if found.clean.feature is not None:
        key = found.clean.feature
        name = f'<a href="{esc(links.feature(key))}">{key.source_id}/{key.index}</a>'
        what = f"{word('the pre-activation', 'circuit feature target')} of {name}"
    else:
        sides = [_side(found.clean.target, found.corrupted.target), _side(found.clean.against, found.corrupted.against)]
        what = " less ".join(f"the {word('logit', 'logit')} of {side}" for side in sides if side)
    values = join(
        f"<span><b>{number(value)}</b>{name}</span>"
        for name, value in (
            (f'<a href="{esc(view.circuit(view.clean))}">after the clean prompt</a>', found.clean.value),
            (f'<a href="{esc(view.circuit(view.corrupted))}">after the corrupted one</a>', found.corrupted.value),
            (str(word("gap", "pair gap")), found.gap),
        )
    )
    return card(
        f'{_duo(found)}<p class="fs-aim-line">What is compared: {what}</p><div class="fs-gap">{values}</div>'
        f"{_warnings(view, found)}",
        word("Both prompts, aligned", "aligned tokens"),
    )  # fmt: skip


def _side(clean: Sequence[NextToken], corrupted: Sequence[NextToken]) -> str:
    return " or ".join(
        f'<span class="fs-tok" tabindex="0" data-tip="{esc(_chances(one, two))}">{drawn(one.token)}</span>'
        for one, two in zip(clean, corrupted, strict=True)
    )


def _chances(clean: NextToken, corrupted: NextToken) -> str:
    return "\n".join(
        f"{one.probability * 100:.1f} % after the {name} prompt, rank {one.rank:,}"
        for name, one in (("clean", clean), ("corrupted", corrupted))
    )


def _duo(found: Pair) -> Html:
    """Columns: aligned tokens above each other; what has no counterpart by itself."""
    columns: list[str] = []
    one, two = found.clean.tokens, found.corrupted.tokens
    alone = [list(found.alignment.clean_only), list(found.alignment.corrupted_only)]
    for a, b in found.alignment.pairs:
        while alone[0] and alone[0][0] < a:
            columns.append(_column(one[alone[0].pop(0)], None, "alone", "clean only: no counterpart"))
        while alone[1] and alone[1][0] < b:
            columns.append(_column(None, two[alone[1].pop(0)], "alone", "corrupted only: no counterpart"))
        if not one[a].special:
            same = one[a].id == two[b].id
            columns.append(_column(one[a], two[b], "same" if same else "other", f"position {a} and {b}"))
    return Html(f'<div class="fs-duo">{join(columns)}</div>')


def _column(clean: Token | None, corrupted: Token | None, kind: str, about: str) -> str:
    cells = join(f"<span>{'' if item is None else drawn(item)}</span>" for item in (clean, corrupted))
    return f'<span class="{kind}" data-tip="{esc(about)}">{cells}</span>'


def _warnings(view: View, found: Pair) -> Html:
    """What keeps the answer from meaning what a reader expects."""
    said: list[str] = []
    if not found.alignment.exact:
        count = len(found.alignment.clean_only) + len(found.alignment.corrupted_only)
        here = f"{count} tokens have no counterpart, so nothing is patched there" if count else "every token is aligned"
        said.append(
            f"The prompts have {len(found.clean.tokens)} and {len(found.corrupted.tokens)} tokens: {here}, and what "
            "comes after stands at other positions."
        )
    if found.share(1.0) is None:
        said.append("Both prompts give the same, so there is no difference to explain.")
    elif found.gap < 0:
        said.append("The target is likelier after the corrupted prompt: effects are shares of a gap below zero.")
    rows = join(f'<p class="fs-check off">{esc(one)}</p>' for one in said)
    if found.gap < 0 and found.share(1.0) is not None:
        way = pill(view.to(clean=view.corrupted, corrupted=view.clean), "Exchange the prompts", on=False)
        rows = Html(f'{rows}<div class="fs-pills fs-ways">{way}</div>')
    return rows


# -- where -------------------------------------------------------------------------------------------------------------


def residual(view: View, record: PatchingRecord) -> Html:
    """The heat map: layers above each other, the last on top; a share of the gap in each cell."""
    found = record.pair
    begin = min(found.differing, default=len(found.alignment.pairs) - 1)
    if not found.alignment.exact:  # what stands after an insertion differs too, by its position
        begin = next((n for n, (a, b) in enumerate(found.alignment.pairs) if a != b), begin)
    begin = min(begin, *found.differing) if found.differing else begin
    shown = range(max(begin, len(found.alignment.pairs) - COLUMNS), len(found.alignment.pairs))
    names = join(_heading(found, n) for n in shown)
    rows = join(
        f'<tr><th scope="row" data-tip="{esc(hook)}">before {hook.split(".")[1]}</th>'
        f"{join(_cell(found, n, row[n]) for n in shown)}{_whole(found, whole)}</tr>"
        for hook, row, whole in reversed(list(zip(record.hooks, record.rows, record.whole, strict=True)))
    )
    way = join(
        pill(view.to(direction=key), name, on=view.direction == key, about=_define(key))
        for key, name in DIRECTIONS.items()
    )
    tools = (
        '<div class="fs-node-tools"><span class="fs-facet"><span class="fs-soft">Patch</span>'
        f'<span class="fs-pills" role="group" aria-label="Patch">{way}</span></span></div>'
    )
    note = "Tokens before the first that differs cannot matter, and are left out." if begin > 1 else ""
    return card(
        f'{tools}<div class="fs-scroll"><table class="fs-patched"><thead><tr><th></th>{names}<th class="all">all</th>'
        f'</tr></thead><tbody>{rows}</tbody></table></div><p class="fs-check">{note}</p>',
        word("Where the difference is: the residual stream patched", "activation patching"),
    )


def _heading(found: Pair, n: int) -> str:
    a, b = found.alignment.pairs[n]
    one, two = found.clean.tokens[a], found.corrupted.tokens[b]
    shown = drawn(one) if one.id == two.id else Html(f"{drawn(one)}<br>{drawn(two)}")
    return f'<th data-tip="{esc(f"position {a} and {b}")}">{shown}</th>'


def _cell(found: Pair, n: int, effect: float) -> str:
    share = found.share(effect)
    shown = number(effect) if share is None else _two(share)
    depth = 0.0 if share is None else min(1.0, abs(share))
    classes = f"{'neg ' * (depth > 0 and (share or 0) < 0)}{'faint' * (depth < 0.02)}".strip()
    about = f"{number(effect)} of {number(found.gap)}"
    return f'<td class="{classes}" style="--v:{depth:.3f}" data-tip="{esc(about)}">{shown}</td>'


def _whole(found: Pair, effect: float) -> str:
    """All tokens together: the gap, where all of them are aligned."""
    share = found.share(effect)
    if share is None:
        return '<td class="all faint">–</td>'
    mark = (" ✓" if abs(share - 1) < NEAR else " ✗") if found.alignment.exact else ""
    tip = "all aligned tokens together: where every token is aligned that gives the other run, 1"
    return f'<td class="all" data-check="" data-tip="{tip}">{_two(share)}{mark}</td>'


def _two(share: float) -> str:
    """With two digits, and no minus before 0."""
    return f"{round(share, 2) + 0.0:.2f}".replace("-", "−")


# -- which -------------------------------------------------------------------------------------------------------------


def features(view: View, record: PairFeatures, shown: Sequence[PairNode]) -> Html:
    """The features whose activation differs, by what the difference does, and each source's sum."""
    title = word("Which features make it", "attribution patching")
    tools = _tools(view, record)
    if not shown:
        return card(f'{tools}<div class="fs-empty">No feature’s activation differs at aligned tokens.</div>', title)
    sizes = [abs(v) for n in shown for v in (n.denoising, n.noising, n.denoised, n.noised) if v is not None]
    reach = max(sizes) or 1.0
    columns = (
        ("feature", "feature"), ("at", ""), ("clean", "activation"), ("corrupted", "activation"),
        ("denoising", "denoising"), ("measured", "patching effect"), ("noising", "noising"),
        ("measured", "patching effect"),
    )  # fmt: skip
    names = join(
        f'<th class="{"n" if n > 1 else ""}">{word(name, entry) if entry else name}</th>'
        for n, (name, entry) in enumerate(columns)
    )
    rows = join(_row(record.pair, node, reach) for node in shown)
    more = ""
    if len(shown) == ROWS and not view.more and len(record.nodes) > ROWS:
        more = f'<div class="fs-pills fs-ways">{pill(view.to(more=True), f"the first {MORE}", on=False)}</div>'
    later = ", ".join(key.source_id for key in record.later)
    left = f'<p class="fs-check">{esc(later)}: after the target, so no part of it.</p>' if later else ""
    return card(
        f'{tools}<div class="fs-scroll"><table class="fs-table fs-nodes fs-pairs"><thead><tr>{names}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}{_sums(record)}{left}{left_out(record.left_out)}",
        title, f"{record.active:,} differ",
    )  # fmt: skip


def _tools(view: View, record: PairFeatures) -> Html:
    order = join(pill(view.to(by=key), name, on=view.by == key, about=_define(key)) for key, name in BY.items())
    named = [one.key for one in record.sources]
    places = ""
    if view.sources or len(named) > 1:
        every = pill(view.to(sources=()), "all SAEs", on=not view.sources)
        each = join(pill(view.to(sources=(key,)), key.source_id, on=view.sources == (key,)) for key in named)
        places = (
            '<span class="fs-facet"><span class="fs-soft">In</span>'
            f'<span class="fs-pills" role="group" aria-label="In">{every}{each}</span></span>'
        )
    return Html(
        '<div class="fs-node-tools"><span class="fs-facet"><span class="fs-soft">By</span>'
        f'<span class="fs-pills" role="group" aria-label="By">{order}</span></span>{places}</div>'
    )


def _row(found: Pair, node: PairNode, reach: float) -> str:
    one, two = found.clean.tokens[node.position], found.corrupted.tokens[node.counterpart]
    label = node.label or f"feature {node.key.index}"
    shown = drawn(one) if one.id == two.id else Html(f"{drawn(one)} / {drawn(two)}")
    text = found.ask.clean if node.clean >= node.corrupted else found.ask.corrupted
    name = f'<a href="{esc(links.feature(node.key, text))}"><b>{node.key.source_id}/{node.key.index}</b>'
    cells = join(
        f'<td class="n" data-said="{said}">{"" if value is None else _effect(found, value, reach)}</td>'
        for said, value in (
            ("denoising", node.denoising), ("measured", node.denoised), ("noising", node.noising),
            ("measured", node.noised),
        )
    )  # fmt: skip
    return (
        f'<tr><td class="fs-node-name">{name} <span class="fs-soft">{esc(label)}</span></a></td>'
        f'<td><span class="fs-tok" data-tip="position {node.position} and {node.counterpart}">{shown}</span></td>'
        f'<td class="n" data-said="clean">{number(node.clean)}</td>'
        f'<td class="n" data-said="corrupted">{number(node.corrupted)}</td>{cells}</tr>'
    )


def _effect(found: Pair, value: float, reach: float) -> Html:
    share = found.share(value)
    about = "" if share is None else f'data-tip="{share * 100:.1f} % of the gap" '
    depth = charts.depth(value, reach)
    return Html(
        f'<span {about}class="fs-effect{" neg" * (value < 0)}" style="--v:{depth:.3f}">{number(value)}</span>'
    )


def _sums(record: PairFeatures) -> Html:
    """Each source's own sums, both ways."""
    columns = (("features", ""), ("+ error", "error node"), ("+ bias", "bias node"), ("= Δx · dL/dx", "pair total"))
    head = join(f'<th class="n">{word(name, entry) if entry else name}</th>' for name, entry in columns * 2)
    rows = join(
        f'<tr><td>{esc(one.key.source_id)}</td><td class="n">{one.nodes:,}</td>{_added(one)}</tr>'
        for one in record.sources
    )
    return Html(
        f'<h3 class="fs-h2">{word("Each source adds up by itself", "pair total")}</h3><div class="fs-scroll">'
        '<table class="fs-table fs-sums"><thead><tr><th></th><th></th><th class="n" colspan="4">denoising</th>'
        f'<th class="n" colspan="4">noising</th></tr><tr><th>source</th><th class="n">nodes</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _added(one: PairSums) -> Html:
    return join(
        f'<td class="n">{f"<b>{number(value)}</b>" if n == 3 else number(value)}</td>'
        for side in (one.denoising, one.noising)
        for n, value in enumerate(side)
    )


# -- how few -----------------------------------------------------------------------------------------------------------


def curve(view: View, record: CurveRecord, each: Sequence[SourceKey]) -> Html:
    """Faithfulness over the number of features that are kept, against random ones."""
    points = record.points
    names = [f"{one.nodes:,}" for one in points]
    lines = [
        _curve("these features", "source", "faithfulness", [one.alone for one in points], names),
        _curve("with the error kept", "pca", "with the error kept", [one.with_error for one in points], names),
        _curve("all but these", "control", "completeness, all but these", [one.without for one in points], names),
        Curve(
            f"random ones, {record.draws} draws", "random", tuple(one.random for one in points),
            tuple(f"{n} random features: {one.random:.2f}\n{one.low:.2f} to {one.high:.2f} in {record.draws} draws"
                  for n, one in zip(names, points, strict=True)),
            (tuple(one.low for one in points), tuple(one.high for one in points)),
        ),
    ]  # fmt: skip
    values = [max(-0.5, min(1.5, v)) for line in lines for v in line.values]
    y = plots.Axis(str(word("faithfulness", "faithfulness")), min(-0.05, *values), max(1.05, *values))
    few = record.reaching(0.8)
    said = f"{few:,} of {record.nodes:,} features, with the error, give 80 % of it." if few is not None else ""
    legend = plots.legend([one.shape for one in lines], {one.shape: one.name for one in lines})
    chart = curves(names, lines, f"features of {esc(record.key.source_id)} that are kept, by {BY[record.by]}", y)
    return card(
        f'{_sources(view, record.key, each)}{legend}{chart}<p class="fs-check">{said} 0: every one as in the corrupted '
        f"run (L {number(record.empty)}); 1: nothing changed (L {number(record.full)}).</p>",
        word("How few features do", "faithfulness"),
    )


def curve_failed(view: View, source: SourceKey, each: Sequence[SourceKey], message: str) -> Html:
    """In its place; another source may do."""
    return card(
        f'{_sources(view, source, each)}<div class="fs-empty" role="alert"><b>{NAMES["curve"]}</b>{esc(message)}</div>'
    )


def _sources(view: View, chosen: SourceKey, each: Sequence[SourceKey]) -> Html:
    pills = join(pill(view.to(curve=key), key.source_id, on=key == chosen) for key in each)
    return Html(
        '<div class="fs-node-tools"><span class="fs-facet"><span class="fs-soft">Of</span>'
        f'<span class="fs-pills" role="group" aria-label="Of">{pills}</span></span></div>'
    )


def _curve(name: str, shape: str, what: str, values: Sequence[float], names: Sequence[str]) -> Curve:
    about = tuple(f"{n} features: {what} {value:.2f}" for n, value in zip(names, values, strict=True))
    return Curve(name, shape, tuple(values), about)


def _define(term: str) -> str:
    from components.resources import define

    return define({"attribution": "attribution patching", "difference": "activation difference"}.get(term, term))
