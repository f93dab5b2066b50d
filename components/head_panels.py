"""The parts of the pages of attention heads, each a function from a view and a record to HTML. Draws nothing itself.

Depth of one hue is how much a head attends; beside every score stands what chance gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import charts, circuit_view, links, source_panels
from components.feature_panels import word
from components.head_view import Sort, View
from components.markup import Html, card, esc, join, link, number, percent, visible
from components.markup import token as drawn
from components.resources import define
from components.search_panels import left_out, pill
from core.records import FeatureKey, ModelRecord, Token
from core.techniques.heads.records import (
    KINDS,
    NAMES,
    HeadActiveRecord,
    HeadFeature,
    HeadFeaturesRecord,
    HeadKey,
    HeadNode,
    HeadRecord,
    HeadScores,
    HeadSide,
    HeadsRecord,
    HeadTerms,
    PatternRecord,
    Score,
    Side,
)

LEAD = "One attention head: where it looks, what it is known as, and the features that it reads and that read it."
HEADS_LEAD = "Every attention head of the model by its standard scores: who looks back by one, who repeats, who copies."
CELLS = 40
"""Tokens of the matrix: the last ones."""
NAMES_OF = {"pattern": "The pattern", "active": "The features at work", "features": "The features by weight",
            "of": "Over the corpus", "scores": "The heads"}  # fmt: skip
WRITES: dict[Side, str] = {
    "query": "Write what it looks for", "key": "Write by what it is found", "value": "Write what it copies",
    "output": "Read what it writes",
}  # fmt: skip
COLUMNS: tuple[tuple[Sort, str, bool], ...] = (
    ("previous", "previous", False), ("duplicate", "duplicate", False), ("induction", "induction", False),
    ("text", "induction, text", True),
    ("bos", "BOS", False), ("itself", "self", True), ("distance", "tokens back", True),
)  # fmt: skip


# -- all heads ---------------------------------------------------------------------------------------------------------


def heads_head(model: ModelRecord) -> Html:
    """The title of the overview."""
    crumbs = [str(link(links.model(model.model_id), model.model_id)), "<b>heads</b>"]
    return source_panels.title(f"Attention heads of {model.name}", HEADS_LEAD, crumbs, source_panels.COPY)


def models(chosen: str, every: Sequence[ModelRecord]) -> Html:
    """Which model's; nothing where there is one."""
    if len(every) < 2:
        return Html("")
    pills = join(pill(links.heads(one.model_id), one.name, on=one.model_id == chosen) for one in every)
    return Html(f'<div class="fs-pills fs-ways" role="group" aria-label="Model">{pills}</div>')


def heads(record: HeadsRecord, by: Sort) -> Html:
    """The heat table: a row a head, each cell as deep as it is above what equal attention gives."""
    found = list(record.heads)
    if by != "layer":
        found.sort(key=lambda one: -(_value(one, by) or 0.0))
    top = {name: max((_above(one, name) for one in found), default=0.0) for name, _, _ in COLUMNS}
    rows = join(_heads_row(one, top) for one in found)
    names = join(_column(record, name, said, narrow, by) for name, said, narrow in COLUMNS)
    first = link(links.heads(record.model_id), "head")
    table = (
        f'<div class="fs-scroll"><table class="fs-table fs-headtable"><thead><tr><th aria-sort="'
        f'{"ascending" if by == "layer" else "none"}">{first}</th>{names}<th class="fs-hide-narrow">called</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
    return card(f"{table}{_measured(record)}", word("Scores", "head scores"), f"{len(found)} heads")


def _column(record: HeadsRecord, name: Sort, said: str, narrow: bool, by: Sort) -> str:
    tip = esc(define("head induction on text" if name == "text" else f"head {name}"))
    way = f'<a href="{esc(links.heads(record.model_id, name))}" data-stay="" data-tip="{tip}">{esc(said)}</a>'
    order = "descending" if by == name else "none"
    return f'<th class="n{" fs-hide-narrow" * narrow}" aria-sort="{order}">{way}</th>'


def _heads_row(one: HeadScores, top: Mapping[Sort, float]) -> str:
    cells = ""
    for name, _, narrow in COLUMNS:
        value = _value(one, name)
        depth = charts.depth(_above(one, name), top[name]) if value is not None else 0.0
        shown = "" if value is None else f"{value:.1f}" if name == "distance" else f"{value:.2f}"
        tip = esc(_tip(one, name))
        cells += (
            f'<td class="n{" fs-hide-narrow" * narrow}"><span class="fs-cell" style="--v:{depth:.3f}" '
            f'data-tip="{tip}">{shown}</span></td>'
        )
    name = link(links.head(id=str(one.key)), one.key.name, "main")
    called = ", ".join(NAMES[kind] for kind in one.kinds)
    return f'<tr><td class="fs-mono">{name}</td>{cells}<td class="fs-soft fs-hide-narrow">{esc(called)}</td></tr>'


def _value(one: HeadScores, name: Sort) -> float | None:
    if name in ("previous", "duplicate", "induction"):
        return one.score(name).value
    others: Mapping[str, float | None] = {
        "bos": one.bos, "itself": one.itself, "distance": one.distance, "text": one.induction.text,
    }  # fmt: skip
    return others.get(name)


def _above(one: HeadScores, name: Sort) -> float:
    """What a cell's depth is in proportion to: a score above equal attention, a share as it is."""
    value = _value(one, name) or 0.0
    if name in ("previous", "duplicate", "induction"):
        return max(0.0, value - one.score(name).uniform)
    return max(0.0, value - (one.induction.text_uniform or 0.0)) if name == "text" else value


def _tip(one: HeadScores, name: Sort) -> str:
    if name in ("previous", "duplicate", "induction"):
        found = one.score(name)
        lines = [f"{NAMES[name]}: {found.value:.3f}", f"equal attention: {found.uniform:.3f}"]
        lines += [] if found.control is None else [f"by position alone: {found.control:.3f}"]
        if found.text is not None:
            even = "" if found.text_uniform is None else f", equal attention {found.text_uniform:.3f}"
            lines.append(f"on text: {found.text:.3f}{even}")
        return "\n".join(lines)
    value = _value(one, name)
    even = f"\nequal attention: {number(one.induction.text_uniform or 0.0)}" if name == "text" else ""
    return "" if value is None else f"{number(value)}, over the corpus{even}"


def _measured(record: HeadsRecord) -> Html:
    corpus = ""
    if record.source is not None:
        corpus = f" BOS, self and tokens back: over {record.tokens:,} tokens of {esc(record.source)}’s prompts."
    even = record.heads[0] if record.heads else None
    null = "" if even is None else ", ".join(f"{NAMES[kind]} {even.score(kind).uniform:.3f}" for kind in KINDS)
    return Html(
        f'<p class="fs-check">Scores on {record.sequences} texts of {record.period} random tokens, each twice; equal '
        f"attention would give {null}. Colour: above that, in parts of the column’s largest.{corpus} "
        f"{esc(record.made)}</p>"
    )


# -- one head ----------------------------------------------------------------------------------------------------------


def head(view: View, model: ModelRecord) -> Html:
    """The page's title, the way to its neighbours, and to share it."""
    key = view.key
    crumbs = [
        str(link(links.model(key.model_id), key.model_id)), str(link(links.heads(key.model_id), "heads")),
        f"<b>{key.name}</b>",
    ]  # fmt: skip
    python = f'<button class="fs-btn" type="button" data-copy="{esc(view.python())}">Copy Python</button>'
    title = source_panels.title(f"Attention head {key.name}", LEAD, crumbs, python + source_panels.COPY)
    return Html(f"{title}{_neighbours(view, model)}")


def _neighbours(view: View, model: ModelRecord) -> str:
    own = view.key

    def ways(name: str, count: int, chosen: int, letter: str) -> str:
        pills = join(
            pill(view.to(key=_moved(own, name, n)), f"{letter}{n}", on=n == chosen) for n in range(count)
        )
        said = f'<span class="fs-soft">{name.capitalize()}</span>'
        group = f'<span class="fs-pills" role="group" aria-label="{name.capitalize()}">{pills}</span>'
        return f'<span class="fs-facet">{said}{group}</span>'

    layers, heads = ways("layer", model.layers, own.layer, "L"), ways("head", model.heads, own.head, "H")
    return f'<div class="fs-node-tools fs-head-ways">{layers}{heads}</div>'


def _moved(key: HeadKey, name: str, to: int) -> HeadKey:
    return HeadKey(key.model_id, to, key.head) if name == "layer" else HeadKey(key.model_id, key.layer, to)


def form(view: View, prompts: Sequence[Mapping[str, str]]) -> Html:
    """The box for a prompt; without one, some to begin with."""
    box = (
        '<textarea id="fs-text" class="fs-in" data-name="text" data-whole="" rows="1" spellcheck="false" '
        f'data-warm="{esc(view.key.model_id)}" placeholder="This PEP proposes a new syntax. This PEP">\n'
        f"{esc(view.text)}</textarea>"
    )
    kept = join(
        f'<input type="hidden" data-name="{name}" value="{esc(value)}">'
        for name, value in view.parameters().items()
        if name in ("id", "show") and value
    )
    pills = ""
    if not view.text:
        ways = join(
            f'<a class="fs-pill fs-head-example" href="{esc(view.to(text=one["text"]))}" '
            f'data-tip="{esc(one["text"])}">{esc(one["name"])}</a>'
            for one in prompts
        )
        pills = f'<div class="fs-pills fs-ways">{ways}</div>'
    return Html(
        '<form data-go="/head" class="fs-card fs-ask" role="search">'
        '<label class="fs-soft" for="fs-text">A prompt: where does this head look?</label>'
        f'<div class="fs-ask-row">{box}<button class="fs-btn p" type="submit">Look</button></div>{kept}{pills}</form>'
    )


def failed(name: str, message: str) -> Html:
    """In the place of one part; the others stand."""
    return card(f'<div class="fs-empty" role="alert"><b>{NAMES_OF[name]}</b>{esc(message)}</div>')


def pattern(view: View, record: PatternRecord, to: int, attended: int) -> Html:
    """What one token looks at, as a strip; and the whole as a matrix."""
    rows = record.moved if view.show == "moved" else record.pattern
    ways = join(
        pill(view.to(show=show), said, on=view.show == show, about=define(f"head {show}"))
        for show, said in (("pattern", "attention"), ("moved", "what it moves"))
    )
    circuit = circuit_view.View(model_id=view.key.model_id, text=view.text, position=view.position).to()
    tools = (
        f'<div class="fs-node-tools"><span class="fs-pills" role="group" aria-label="Show">{ways}</span>'
        f'{link(circuit, "Take this prompt apart", "fs-act")}</div>'
    )
    said = (
        f'<p class="fs-aim-line">From <span class="fs-tok">{_shown(record.tokens[to])}</span> it looks most at '
        f'<span class="fs-tok">{_shown(record.tokens[attended])}</span>: {percent(record.pattern[to][attended])} of '
        f"its attention{_on_bos(record, to)}</p>"
    )
    return card(
        f"{tools}{said}{_strip(view, record, rows[to], to)}{_matrix(view, record, rows, to)}",
        word("Where it looks", "head pattern"), "click a token to look from there",
    )  # fmt: skip


def _on_bos(record: PatternRecord, to: int) -> str:
    return f"; {percent(record.pattern[to][0])} is on BOS" if record.bos and to > 0 else ""


def _strip(view: View, record: PatternRecord, row: Sequence[float], to: int) -> Html:
    scale = _scale(record, row)
    boxes = []
    for n, item in enumerate(record.tokens):
        value = row[n] if n <= to else 0.0
        lit = value > 0.02 * scale
        style = f' style="--v:{charts.depth(value, scale):.3f}"' if lit else ""
        weight = f"\n{percent(record.pattern[to][n])} of the attention of token {to}" if n <= to else ""
        there = view.to(position=None if n == len(record.tokens) - 1 else n)
        shown = "BOS" if item.special else str(esc(item.text)).replace("\n", '<span class="nl">↵</span> ')
        classes = f"t{' s' * item.special}{' on' * lit}{' gone' * (n > to)}"
        tip = esc(f"token {n}: {item.text!r}{weight}")
        boxes.append(
            f'<a class="{classes}" id="token-{n}" role="button" data-stay="" data-tip="{tip}" '
            f'aria-pressed="{"true" if n == to else "false"}" tabindex="{0 if n == to else -1}" '
            f'aria-label="{tip}" href="{esc(there)}"{style}>{shown or "∅"}</a>'
        )
    label = "Tokens of the prompt: arrow keys walk, Enter looks from there"
    return Html(f'<div class="fs-strip fs-choose" role="group" aria-label="{label}" data-walk="">{join(boxes)}</div>')


def _scale(record: PatternRecord, row: Sequence[float]) -> float:
    """Full depth: the largest but BOS's, which often takes nearly all."""
    return max(row[record.bos :], default=0.0) or max(row, default=1.0) or 1.0


def _matrix(view: View, record: PatternRecord, rows: Sequence[Sequence[float]], to: int) -> Html:
    """A row a token from which it looks, a column a token that it looks at."""
    first = max(0, len(rows) - CELLS)
    shown = range(first, len(rows))
    full = max((_scale(record, rows[n]) for n in shown if n > 0), default=1.0) or 1.0
    lines = []
    for n in shown:
        name = "BOS" if record.tokens[n].special else _shown(record.tokens[n])
        there = view.to(position=None if n == len(rows) - 1 else n)
        cells = [
            f'<i style="--v:{charts.depth(value, full):.3f}" data-tip="{esc(_about(record, n, at, value, view))}"></i>'
            for at, value in enumerate(rows[n]) if at >= first
        ]  # fmt: skip
        blank = len(rows) - 1 - n
        gap = f'<b style="grid-column:span {blank}"></b>' if blank else ""
        lines.append(
            f'<a class="fs-from{" on" * (n == to)}" href="{esc(there)}" data-stay="" tabindex="-1">{name}</a>'
            f"{join(cells)}{gap}"
        )
    cut = f"the last {CELLS} tokens; " if first else ""
    about = f"{cut}a row is a token that looks, a column one that is looked at, in the same order"
    size = f"--n:{len(shown)}"
    amount = f"{percent(full)} of its attention" if view.show == "pattern" else f"a length of {number(full)}"
    depth = f"Full depth is {amount}, the most that goes anywhere but to BOS"
    label = esc(f"Attention of {view.key.name} as a matrix of {len(shown)} tokens")
    return Html(
        f'<div class="fs-pattern" role="img" aria-label="{label}" style="{size}">{join(lines)}</div>'
        f'<p class="fs-check">{about}. {depth}.</p>'
    )


def _about(record: PatternRecord, to: int, at: int, value: float, view: View) -> str:
    names = [f"{record.tokens[n].text!r} ({n})" for n in (to, at)]
    what = percent(value) if view.show == "pattern" else f"moves {number(value)}"
    return f"from {names[0]} to {names[1]}: {what}"


# -- features at work --------------------------------------------------------------------------------------------------


def active(view: View, record: HeadActiveRecord) -> Html:
    """What the active features give the score and the output, with the sums; and what the head gives others."""
    to, at = record.tokens[record.position], record.tokens[record.attended]
    others = join(
        pill(view.to(attended=n), _word(record.tokens[n]), on=n == record.attended, about=f"token {n}")
        for n in range(record.position + 1)
    )
    choose = (
        '<div class="fs-node-tools"><span class="fs-facet"><span class="fs-soft">Looking at</span>'
        f'<span class="fs-pills fs-mono" role="group" aria-label="Looking at">{others}</span></span></div>'
    )
    lead = (
        f'<p class="fs-aim-line">From <span class="fs-tok">{_shown(to)}</span> at <span class="fs-tok">{_shown(at)}'
        f"</span>: {percent(record.weight)} of its attention. What it writes here has length "
        f"{number(record.written)}.</p>"
    )
    sides = join(_terms(record, one) for one in record.sides)
    notes = join(f'<p class="fs-check">{esc(one)}</p>' for one in record.notes)
    return card(
        f'{choose}{lead}<div class="fs-sides">{sides}</div>{notes}',
        word("The features at work here", "head terms"), "sums that add up",
    )  # fmt: skip


SAID: dict[Side, str] = {
    "query": "of the score, by where it looks from", "key": "of the score, by what it looks at",
    "value": "of what it writes, from there", "output": "to features that are active here",
}  # fmt: skip


def _terms(record: HeadActiveRecord, side: HeadTerms) -> str:
    reach = max((abs(one.value) for one in side.nodes), default=1.0) or 1.0
    rows = join(_node(record, one, reach) for one in side.nodes)
    check = ""
    if side.total is not None and side.features is not None:
        total = side.features + (side.error or 0.0) + (side.bias or 0.0)
        right = abs(total - side.total) <= 1e-3 * max(1.0, abs(side.total))
        said = (
            f"features {side.features:.3f} + error {side.error:.3f} + bias {side.bias:.3f} = <b>{total:.4f}</b> of "
            f"<b>{side.total:.4f}</b> {'✓' if right else '✗'}"
        ).replace("-", "−")
        check = f'<p class="fs-check{"" if right else " off"}" data-check="">{said}</p>'
    empty = '<div class="fs-empty">None is active here.</div>' if not side.nodes else ""
    table = f'<table class="fs-table fs-side">{rows}</table>' if side.nodes else empty
    about = f'<span class="fs-soft">{SAID[side.side]} · {esc(side.source.source_id)}, {side.active:,} active</span>'
    return (
        f'<div><h3 class="fs-h2">{word(WRITES[side.side], f"head {side.side}")}</h3>{about}{table}{check}</div>'
    )


def _node(record: HeadActiveRecord, one: HeadNode, reach: float) -> str:
    item = record.tokens[one.position]
    value = f'<span class="fs-effect{" neg" * (one.value < 0)}" style="--v:{charts.depth(one.value, reach):.3f}">'
    return (
        f"<tr><td>{_feature(one.key, one.label, record.text)}</td>"
        f'<td><span class="fs-tok" data-tip="token {one.position}, active at {number(one.activation)}">'
        f'{"BOS" if item.special else drawn(item)}</span></td><td class="n">{value}{number(one.value)}</span></td></tr>'
    )


def _feature(key: FeatureKey, label: str, text: str = "") -> str:
    shown = esc(label or f"feature {key.index}")
    there = links.feature(key, text) if text else links.feature(key)
    return f'<a href="{esc(there)}"><b>{key.source_id}/{key.index}</b> <span class="fs-soft">{shown}</span></a>'


def features(record: HeadFeaturesRecord) -> Html:
    """By weights alone, with what random directions give."""
    sides = join(_side(one) for one in record.sides)
    lead = (
        '<p class="fs-check">By weights alone, whatever the text: 1 is what a random direction gives. That a path is '
        "there does not say that it is used.</p>"
    )
    return card(
        f'{lead}<div class="fs-sides">{sides}</div>{left_out(record.left_out)}',
        word("The features by weight", "head weights"),
    )


def _side(side: HeadSide) -> str:
    title = f'<h3 class="fs-h2">{word(WRITES[side.side], f"head {side.side}")}</h3>'
    if not side.features:
        return f'<div>{title}<p class="fs-check">{esc(side.note)}</p></div>'
    reach = side.features[0].score
    rows = join(_weight(one, reach) for one in side.features)
    check = (
        f'<p class="fs-check">{side.beyond:,} of {side.of:,} are above {side.chance:.2f}, which one random direction '
        "in a thousand passes.</p>"
    )
    return f'<div>{title}<table class="fs-table fs-side">{rows}</table>{check}</div>'


def _weight(one: HeadFeature, reach: float) -> str:
    bar = f'<span class="fs-effect" style="--v:{charts.depth(one.score, reach):.3f}" data-tip="'
    bar += esc(f"{one.score:.3f} times a random direction; its row has length {number(one.norm)}") + '">'
    return f'<tr><td>{_feature(one.key, one.label)}</td><td class="n">{bar}{one.score:.2f}×</span></td></tr>'


# -- over the corpus ---------------------------------------------------------------------------------------------------


def corpus(record: HeadRecord) -> Html:
    """Its scores beside their nulls, its shares, and what it attends to most."""
    one, among = record.scores, record.among
    rows = join(_score(NAMES[kind], f"head {kind}", one.score(kind)) for kind in KINDS)
    head = join(
        f'<th class="n{" fs-hide-narrow" * narrow}">{word(name, entry)}</th>'
        for name, entry, narrow in (
            ("random", "head scores", False), ("position alone", "head control", True),
            ("equal", "head equal", False), ("on text", "head text", False), ("equal", "head equal", True),
        )
    )  # fmt: skip
    called = ", ".join(NAMES[kind] for kind in one.kinds)
    shares = join(
        f'<div><b>{shown}</b>{word(name, entry)}</div>'
        for name, entry, shown in (
            ("on BOS", "head bos", _percent(one.bos)), ("on itself", "head itself", _percent(one.itself)),
            ("on the token before", "head before", _percent(one.before)),
            ("tokens back", "head distance", "–" if one.distance is None else f"{one.distance:.1f}"),
        )
    )  # fmt: skip
    scores = (
        f'<div class="fs-scroll"><table class="fs-table"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody>'
        f'</table></div><p class="fs-check">Called: {esc(called) or "nothing; no score is 0.4 or more"}.</p>'
    )
    where = "" if among.source is None else f"{among.tokens:,} tokens of {esc(among.source)}’s prompts"
    return card(f'{scores}<div class="fs-stats">{shares}</div>{_pairs(record)}', "Over the corpus", where)


def _percent(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _score(name: str, entry: str, one: Score) -> str:
    def cell(value: float | None, narrow: bool = False) -> str:
        return f'<td class="n{" fs-hide-narrow" * narrow}">{"–" if value is None else f"{value:.3f}"}</td>'

    return (
        f'<tr><td>{word(name, entry)}</td><td class="n"><b>{one.value:.3f}</b></td>{cell(one.control, True)}'
        f"{cell(one.uniform)}{cell(one.text)}{cell(one.text_uniform, True)}</tr>"
    )


def _pairs(record: HeadRecord) -> str:
    if not record.pairs:
        return ""
    rows = []
    for one in record.pairs:
        values = [one.weight if one.first + n == one.attended else 0.0 for n in range(len(one.tokens))]
        strip = charts.covered(
            charts.strip(
                one.tokens, values, 1.0, tips=False, marked={one.position - one.first}, special=False
            ),
            one.tokens,
        )  # fmt: skip
        rows.append(
            f'<tr><td><span class="fs-tok">{_shown(one.query)}</span> → <span class="fs-tok">{_shown(one.key)}</span>'
            f"</td>"
            f'<td class="n">{one.times:,}</td><td class="n">{percent(one.mean)}</td>'
            f'<td class="fs-hide-narrow">{strip}</td></tr>'
        )
    head = (
        f'<tr><th>{word("from → to", "head pairs")}</th><th class="n">times</th><th class="n">attention</th>'
        '<th class="fs-hide-narrow">where it is strongest: framed, the token that looks</th></tr>'
    )
    said = f"{percent(record.covered)} of tokens give something else than BOS and themselves a tenth or more."
    return (
        f'<h3 class="fs-h2">{word("What it attends to most", "head pairs")}</h3><div class="fs-scroll">'
        f'<table class="fs-table fs-pairs"><thead>{head}</thead><tbody>{join(rows)}</tbody></table></div>'
        f'<p class="fs-check">{said}</p>'
    )


def _word(item: Token) -> str:
    """A token as a choice is called."""
    return "BOS" if item.special else item.text.replace("\n", "↵") or "∅"


def _shown(item: Token) -> Html:
    return Html("BOS") if item.special else visible(item.text) if item.text else drawn(item)
