"""The parts of the page of circuits, each a function from a view and a record to HTML. Draws nothing itself.

What raises the target is one hue and what lowers it another, everywhere; depth is size. Under every sum stands what it
adds up to, and what it should.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from components import charts, links, source_panels
from components.circuit_view import MORE, ROWS, View, said
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, visible
from components.markup import token as drawn
from components.resources import define
from components.search_panels import left_out, pill
from core.records import FeatureKey, ModelRecord, Token
from core.techniques.circuits.records import (
    Component,
    DirectRecord,
    DriversRecord,
    FeaturesRecord,
    Head,
    Layer,
    LensCell,
    LensRecord,
    NextToken,
    Node,
    Target,
)

LEAD = (
    "Why does the model say that next? A prompt's output, followed back through layers, heads and features to the "
    "tokens that cause it."
)
WAYS = {"circuit": "One prompt", "pair": "Two prompts", "template": "Many, from a template", "graph": "As a graph"}
"""Pages, and what they take apart."""
PARTS, HEADS = 14, 4
"""Components and heads that are shown."""
NODE = "fs-node"
"""Where the chosen node is on the page."""
COLUMNS = 24
"""Tokens of the lens: the last ones."""
NAMES = {
    "drivers": "The tokens that it depends on", "direct": "The parts of the model", "features": "The features",
    "lens": "The logit lens",
}  # fmt: skip
ORDERS = {"effect": "activation × gradient", "direct": "direct effect", "norm": "what they write"}


# -- what is asked -----------------------------------------------------------------------------------------------------


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    if not view.text:
        return Html(f"{source_panels.title('Circuit', LEAD)}{ways('circuit')}")
    python = f'<button class="fs-btn" type="button" data-copy="{esc(view.python())}">Copy Python</button>'
    return Html(
        '<div class="fs-head fs-one"><h1 class="fs-title">Circuit</h1>'
        f'<div class="fs-actions">{python}{source_panels.COPY}</div></div>{ways("circuit")}'
    )


def ways(here: str) -> Html:
    """The pages on which prompts are taken apart, this one marked."""
    pills = join(
        f'<a class="fs-pill{" on" * (name == here)}"{" aria-current=page" * (name == here)} href="/{name}">{said}</a>'
        for name, said in WAYS.items()
    )
    return Html(f'<nav class="fs-pills" aria-label="Prompts taken apart" style="margin:12px 0 4px">{pills}</nav>')


def form(view: View, models: Sequence[ModelRecord]) -> Html:
    """The boxes for a prompt and its target. Another of either begins anew, with the sources that were chosen."""
    going = ("sources", "order", "bos")
    kept = {name: value for name, value in view.parameters().items() if name in going and value}
    which, hidden = chosen_model(view.model_id, models, kept)
    hint = "A leading space is part of a token · several tokens with | between"
    box = (
        '<textarea id="fs-text" class="fs-in" data-name="text" data-whole="" rows="1" spellcheck="false" '
        f'data-warm="{esc(view.model_id)}" placeholder="This PEP proposes a new syntax. This PEP">\n'
        f"{esc(view.text)}</textarea>"
    )
    return Html(
        '<form data-go="/circuit" class="fs-card fs-ask" role="search">'
        '<label class="fs-soft" for="fs-text">A prompt: why does the model go on as it does?</label>'
        f'<div class="fs-ask-row">{box}{which}<button class="fs-btn p" type="submit">Take apart</button></div>'
        f'<div class="fs-aim">{aim(view.target, "the likeliest", view.against, "the second")}</div>{hidden}'
        f'<div class="fs-hint"><span>{hint}</span></div></form>'
    )


def aim(target: Sequence[str], usual: str, against: Sequence[str], other: str) -> Html:
    """The boxes of the next tokens; `usual` and `other` say what stands for empty ones."""
    return join(
        f'<label><span class="fs-soft">{label}</span><input class="fs-in fs-mono" data-name="{name}" data-whole="" '
        f'spellcheck="false" autocomplete="off" placeholder="{placeholder}" value="{esc("|".join(value))}"></label>'
        for name, label, placeholder, value in (
            ("target", "Next token", usual, target), ("against", "against", other, against),
        )
    )  # fmt: skip


def chosen_model(model_id: str, models: Sequence[ModelRecord], kept: Mapping[str, str]) -> tuple[Html, Html]:
    """(the choice of a model where there are several, what a form keeps of the address unseen)."""
    which, kept = Html(""), dict(kept)
    if len(models) > 1:
        options = join(
            f'<option value="{esc(m.model_id)}"{" selected" * (m.model_id == model_id)}>{esc(m.name)}</option>'
            for m in models
        )
        which = Html(
            f'<select class="fs-in" data-name="model" aria-label="Model" '
            f'style="width:auto;max-width:40vw">{options}</select>'
        )
    else:
        kept["model"] = model_id
    hidden = join(
        f'<input type="hidden" data-name="{esc(name)}" value="{esc(value)}"'
        f"{f' data-model={chr(34)}{esc(model_id)}{chr(34)}' if name == 'sources' else ''}>"
        for name, value in kept.items()
    )
    return which, hidden


def examples(view: View, prompts: Sequence[Mapping[str, str]]) -> Html:
    """Before the first prompt: some to begin with, one click each."""
    return cards(
        (_example(view, one), one["name"], (visible(one["text"]),), sides(one["target"], one["against"]))
        for one in prompts
    )


def cards(made: Iterable[tuple[str, str, Sequence[Html], Html]], title: str = "Or begin with one of these") -> Html:
    """(address, name, texts, what is said below) each: a card to click."""
    drawn = join(
        f'<a class="fs-card fs-featured fs-circuit-example" href="{esc(href)}"><b>{esc(name)}</b>'
        + join(Html(f'<span class="fs-mono">{text}</span>') for text in texts)
        + (f'<span class="fs-soft fs-under">{below}</span>' if below else "")
        + "</a>"
        for href, name, texts, below in made
    )
    return Html(f'<h2 class="fs-h2">{title}</h2><div class="fs-three">{drawn}</div>')


def sides(target: str, against: str) -> Html:
    """Two next tokens, as text."""
    return Html(f"{_quoted(target)} against {_quoted(against)}")


def _example(view: View, one: Mapping[str, str]) -> str:
    return view.to(text=one["text"], target=(one["target"],), against=(one["against"],), feature=None, position=None)


def _quoted(text: str) -> Html:
    return Html(f'<span class="fs-mono">{visible(text)}</span>')


def failed(view: View, message: str) -> Html:
    """In the place of everything, when the target cannot be measured."""
    ways = [("The likeliest next token", view.to(target=(), against=(), feature=None, position=None))]
    pills = join(f'<a class="fs-pill" data-stay="" href="{esc(href)}">{name}</a>' for name, href in ways)
    return card(
        f'<div class="fs-empty" role="alert"><b>This could not be taken apart</b>{esc(message)}'
        f'<div class="fs-pills fs-ways">{pills}</div></div>'
    )


def part_failed(name: str, message: str) -> Html:
    """In the place of one part; the others stand."""
    return card(f'<div class="fs-empty" role="alert"><b>{NAMES[name]}</b>{esc(message)}</div>')


# -- the target --------------------------------------------------------------------------------------------------------


def target(view: View, found: Target, whole: Sequence[Token]) -> Html:
    """What is measured, where, and what the model would say there."""
    value = f'<b class="fs-aim-value">{number(found.value)}</b>'
    if found.feature is None:
        sides = [_side(found.target), _side(found.against)]
        what = " less ".join(f"the {word('logit', 'logit')} of {side}" for side in sides if side)
    else:
        name = link(links.feature(found.feature), f"{found.feature.source_id}/{found.feature.index}")
        label = f' <span class="fs-soft">{esc(found.label)}</span>' if found.label else ""
        where = drawn(found.tokens[-1])
        what = (
            f"{word('the pre-activation', 'circuit feature target')} of {name}{label} at "
            f'<span class="fs-tok">{where}</span> (active: {number(found.activation or 0.0)})'
        )
    back = ""
    if found.feature is not None or view.position is not None:
        back = pill(view.to(feature=None, position=None), "Back to the next token", on=False)
    if view.node is not None:  # far below on the page
        name = f"{view.node[0].source_id}/{view.node[0].index}"
        way = f'<a class="fs-pill" href="{esc(view.to())}#{NODE}">What {esc(name)} does here ↓</a>'
        back = f"{back} {way}"
    after = join(_next(view, one) for one in found.likeliest)
    return card(
        f'{_prompt(view, whole, found.position)}<p class="fs-aim-line">What is explained: {what} = {value} {back}</p>'
        f'<div class="fs-next"><span class="fs-soft">Next here:</span>{after}</div>',
        word("Target", "circuit target"),
        "click a token to read the model there",
    )


def _prompt(view: View, whole: Sequence[Token], position: int) -> Html:
    boxes = []
    for n, item in enumerate(whole):
        if item.special:
            continue
        split = item.partial and not item.text
        shown = "" if split else str(esc(item.text)).replace("\n", '<span class="nl">↵</span> ')
        there = view.to(position=None if n == len(whole) - 1 else n, feature=None)
        boxes.append(
            f'<a class="t{" p" * split}{" gone" * (n > position)}" id="token-{n}" role="button" data-stay="" '
            f'aria-pressed="{"true" if n == position else "false"}" tabindex="{-1 if boxes else 0}" '
            f'aria-label="{esc(f"token {n}: {item.text}")}" data-tip="{esc(f"position {n} · token id {item.id}")}" '
            f'href="{esc(there)}">{shown}</a>'
        )
    label = "Tokens of the prompt: arrow keys walk, Enter chooses"
    return Html(f'<div class="fs-strip fs-choose" role="group" aria-label="{label}" data-walk="">{join(boxes)}</div>')


def _side(side: Sequence[NextToken]) -> str:
    return " or ".join(
        f'<span class="fs-tok" data-tip="{esc(f"probability {percent(one.probability)} · rank {one.rank:,}")}" '
        f'tabindex="0">{drawn(one.token)}</span>'
        for one in side
    )


def _next(view: View, one: NextToken) -> Html:
    """A token that may come next, with the ways to make it the target or what the target is set against."""
    name = said(one.token)
    aimed = name in view.target
    chosen = view.to(target=(name,), against=tuple(t for t in view.against if t != name), feature=None)
    against = ""
    if view.target and not aimed:
        way = view.to(against=(name,), feature=None)
        against = f'<a class="fs-act" data-stay="" href="{esc(way)}" data-tip="Set it against the target">vs</a>'
    return Html(
        f'<span class="fs-cand"><a class="fs-pill{" on" * aimed}" data-stay="" role="button" '
        f'aria-pressed="{"true" if aimed else "false"}" href="{esc(chosen)}">{drawn(one.token)} '
        f"<small>{percent(one.probability)}</small></a>{against}</span>"
    )


# -- tokens ------------------------------------------------------------------------------------------------------------


def drivers(view: View, record: DriversRecord) -> Html:
    """The prompt, coloured by what each token does to the target; twice, by two methods."""
    return card(f"{_strips(record)}{_replaced(record)}", "Which tokens drive the target")


def node(record: DriversRecord | str) -> Html:
    """The same of a chosen feature at its token, to stand below its row."""
    if isinstance(record, str):
        return Html(f'<p class="fs-check off" role="alert">{esc(record)}</p>')
    where = f'at <span class="fs-tok">{drawn(record.target.tokens[-1])}</span>'
    return Html(
        f'<p class="fs-check">What drives {esc(record.target.label or record.target.feature)} {where}</p>'
        f"{_strips(record)}"
    )


def reading() -> Html:
    """Until that is there."""
    return Html('<p class="fs-check" role="status"><span class="fs-wait">Replacing its tokens…</span></p>')


def _strips(record: DriversRecord) -> Html:
    rows = []
    for name, entry, values in (
        ("Replaced", "token ablation", [one.ablated or 0.0 for one in record.tokens]),
        ("Integrated gradients", "integrated gradients", [one.integrated or 0.0 for one in record.tokens]),
    ):
        scale = max(map(abs, values), default=0.0)
        strip = _coloured(record.target.tokens, values, scale, name.lower())
        rows.append(f'<div class="fs-driver"><span>{word(name, entry)}</span>{strip}</div>')
    goal = record.target.value - record.baseline
    return Html(f"{join(rows)}{_adds_up(record.integrated, goal, 'Integrated gradients add', near=0.02)}")


def _replaced(record: DriversRecord) -> Html:
    others = join(f'<span class="fs-tok">{drawn(one)}</span>' for one in record.replacements[:-1])
    return Html(f'<p class="fs-check">Replaced by usual tokens: {others or "others"}</p>')


def _coloured(tokens: Sequence[Token], values: Sequence[float], scale: float, what: str) -> Html:
    boxes = []
    for item, value in zip(tokens, values, strict=True):
        if item.special:
            continue
        lit = scale > 0 and abs(value) > 0.01 * scale
        shown = esc(item.text).replace("\n", '<span class="nl">↵</span> ')
        style = f' style="--v:{charts.depth(value, scale):.3f}"' if lit else ""
        tip = esc(f"{item.text!r}\n{what}: {number(value)}")
        boxes.append(f'<span class="t{" on" * lit}{" neg" * (value < 0)}"{style} data-tip="{tip}">{shown}</span>')
    return Html(f'<div class="fs-strip signed">{join(boxes)}</div>')


# -- parts -------------------------------------------------------------------------------------------------------------


def direct(view: View, record: DirectRecord) -> Html:
    """The parts that add most to the target directly, their sum, and what the heads among them attended to."""
    title = word("What each part adds directly", "direct logit attribution")
    if not record.components:
        return card(f'<div class="fs-empty">{esc(record.note)}</div>', title)
    ranked = sorted(record.components, key=lambda one: -abs(one.value))
    reach = abs(ranked[0].value) or 1.0
    rest = ranked[PARTS:]
    bars = join(_bar(view, one, reach) for one in ranked[:PARTS])
    if rest:
        bars = Html(f"{bars}{_line(esc(f'{len(rest)} others'), sum(one.value for one in rest), reach)}")
    heads = join(_head(view, record, one) for one in record.heads[:HEADS])
    if heads:
        heads = Html(f'<h3 class="fs-h2">{word("Where the heads look", "attention pattern")}</h3>{heads}')
    check = _adds_up(record.total, record.target.value, "All parts add")
    return card(f'<div class="fs-bars fs-parts">{bars}</div>{check}{heads}', title)


def _bar(view: View, one: Component, reach: float) -> Html:
    if one.layer is not None and one.head is not None:
        return _line(_head_link(view, one.layer, one.head), one.value, reach)
    return _line(esc(one.name), one.value, reach)


def _line(name: Html, value: float, reach: float) -> Html:
    width = min(1.0, abs(value) / reach) * 100
    return Html(
        f'<div class="fs-bar{" neg" * (value < 0)}"><i style="width:{width:.1f}%"></i><span>{name}</span>'
        f"<span>{number(value)}</span></div>"
    )


def _head(view: View, record: DirectRecord, one: Head) -> Html:
    """A head's row of attention: depth is what it adds by each token, or where that is not known how much it looks."""
    given = one.given if all(map(math.isfinite, one.given)) else one.pattern
    if not given or not all(map(math.isfinite, given)):
        return Html("")
    scale = max(map(abs, given)) or 1.0
    boxes = []
    for item, weight, value in zip(record.target.tokens, one.pattern, given, strict=True):
        lit = abs(value) > 0.02 * scale
        shown = "BOS" if item.special else str(esc(item.text)).replace("\n", '<span class="nl">↵</span> ')
        style = f' style="--v:{charts.depth(value, scale):.3f}"' if lit else ""
        tip = esc(f"{item.text!r}\n{percent(weight)} of its attention, adds {number(value)}")
        classes = f"t{' s' * item.special}{' on' * lit}{' neg' * (value < 0)}"
        boxes.append(f'<span class="{classes}"{style} data-tip="{tip}">{shown}</span>')
    return Html(
        f'<div class="fs-driver"><span><b>{_head_link(view, one.layer, one.head)}</b> {number(one.value)}</span>'
        f'<div class="fs-strip signed">{join(boxes)}</div></div>'
    )


def _head_link(view: View, layer: int, head: int) -> Html:
    """The page of a head, on this prompt and from the token at which the target is read."""
    where = {} if view.position is None else {"position": str(view.position)}
    there = links.head(id=f"{view.model_id}/{layer}/{head}", text=view.text, **where)
    tip = esc(f"Where L{layer}H{head} looks on this prompt, and what it reads and writes")
    return Html(f'<a class="fs-way" href="{esc(there)}" data-tip="{tip}">L{layer}H{head}</a>')


def _adds_up(total: float, whole: float, lead: str, near: float = 1e-3) -> Html:
    """A sum and what it should be."""
    right = abs(total - whole) <= near * max(1.0, abs(whole))
    mark = "✓" if right else "✗"
    said = f"{lead} up to <b>{total:.4f}</b> of <b>{whole:.4f}</b> {mark}".replace("-", "−")
    return Html(f'<p class="fs-check{"" if right else " off"}" data-check="">{said}</p>')


# -- features ----------------------------------------------------------------------------------------------------------


def ordered(view: View, record: FeaturesRecord) -> list[Node]:
    """The nodes that are listed, in the order that is asked for."""
    nodes = [n for n in record.nodes if view.bos or not record.target.tokens[n.position].special]
    if view.order == "direct":
        nodes.sort(key=lambda n: -abs(n.direct or 0.0))
    elif view.order == "norm":
        nodes.sort(key=lambda n: -n.norm)
    return nodes


def features(
    view: View, record: FeaturesRecord, shown: Sequence[Node], measured: Mapping[tuple[FeatureKey, int], float],
    below: str,
) -> Html:  # fmt: skip
    """The active features by what they do to the target, and each source's sum; `below` stands under the chosen one."""
    tools = _tools(view, record)
    if not shown:
        said = "No feature is active before the target is read." if not record.layers else "No feature is active here."
        return card(f'{tools}{below}<div class="fs-empty">{said}</div>{_without(record)}', _title())
    reach = max(max(abs(n.effect) for n in shown), max(map(abs, measured.values()), default=0.0)) or 1.0
    rows, there = "", False
    for one in shown:
        rows += _row(view, record, one, measured.get((one.key, one.position)), reach)
        if below and view.node == (one.key, one.position):
            rows, there = f'{rows}<tr class="on fs-below" id="{NODE}"><td colspan="8">{below}</td></tr>', True
    if below and not there:  # chosen by a link, and not among the first
        tools = Html(f'{tools}<div class="fs-below" id="{NODE}">{below}</div>')
    columns = (
        ("feature", "feature"), ("at", ""), ("activation", "activation"), ("effect", "activation × gradient"),
        ("measured", "ablation effect"), ("direct", "direct effect"), ("writes", "written norm"), ("", ""),
    )  # fmt: skip
    names = join(
        f'<th class="{"n" if n > 1 else ""}{" fs-hide-narrow" if name in ("writes", "direct", "activation") else ""}">'
        f"{word(name, entry) if entry else name}</th>"
        for n, (name, entry) in enumerate(columns)
    )
    more = ""
    if len(shown) == ROWS and not view.more:
        way = pill(view.to(more=True, node=view.node), f"the first {MORE}", on=False)
        more = f'<div class="fs-pills fs-ways">{way}</div>'
    table = (
        f'<div class="fs-scroll"><table class="fs-table fs-nodes"><thead><tr>{names}</tr></thead><tbody>{rows}</tbody>'
        f"</table></div>{more}"
    )
    return card(f"{tools}{table}{_sums(record)}{_without(record)}", _title(), f"{record.active:,} active")


def _without(record: FeaturesRecord) -> Html:
    """Sources that take no part."""
    names = ", ".join(key.source_id for key in record.later)
    said = f'<p class="fs-check">{esc(names)}: after the target, so no part of it.</p>' if names else ""
    return Html(f"{said}{left_out(record.left_out)}")


def _title() -> str:
    return str(word("Features, by what they do to the target", "activation × gradient"))


def _tools(view: View, record: FeaturesRecord) -> Html:
    order = join(
        pill(view.to(order=key), name, on=view.order == key, about=define({"effect": "activation × gradient",
             "direct": "direct effect", "norm": "written norm"}[key]))
        for key, name in ORDERS.items()
    )  # fmt: skip
    named = [layer.key for layer in record.layers]
    places = ""
    if view.sources or len(named) > 1:
        every = pill(view.to(sources=()), "all SAEs", on=not view.sources)
        each = join(pill(view.to(sources=(key,)), key.source_id, on=view.sources == (key,)) for key in named)
        pills = f'<span class="fs-pills" role="group" aria-label="In">{every}{each}</span>'
        places = f'<span class="fs-facet"><span class="fs-soft">In</span>{pills}</span>'
    special = ""
    if any(token.special for token in record.target.tokens):
        special = str(pill(view.to(bos=not view.bos), "those at BOS too", on=view.bos, about=define("bos")))
    return Html(
        '<div class="fs-node-tools"><span class="fs-facet"><span class="fs-soft">By</span>'
        f'<span class="fs-pills" role="group" aria-label="By">{order}</span></span>{places}{special}</div>'
    )


def _row(view: View, record: FeaturesRecord, node: Node, measured: float | None, reach: float) -> Html:
    key, item = node.key, record.target.tokens[node.position]
    label = node.label or f"feature {key.index}"
    shown = Html("BOS") if item.special else drawn(item)
    chosen = view.node == (key, node.position)
    ways = (
        f'<a class="fs-act" data-stay="" href="{esc(view.to(node=None if chosen else (key, node.position)))}" '
        f'data-tip="Which tokens of the prompt drive it here" aria-pressed="{"true" if chosen else "false"}" '
        f'role="button">tokens</a> '
        f'<a class="fs-act" href="{esc(view.aiming(key, node.position))}" data-tip="What makes it active here: take it '
        'apart in turn">trace</a> '
        f'<a class="fs-act" href="{esc(links.steer(key, prompt=view.text))}" data-tip="Steer with it from this prompt">'
        "steer</a>"
    )
    name = f'<a href="{esc(links.feature(key, view.text))}"><b>{key.source_id}/{key.index}</b> <span class="fs-soft">'
    return Html(
        f'<tr class="{"on" if chosen else ""}"><td class="fs-node-name">{name}{esc(label)}</span></a></td>'
        f'<td><span class="fs-tok" data-tip="token {node.position}">{shown}</span></td>'
        f'<td class="n fs-hide-narrow">{number(node.activation)}</td>'
        f'<td class="n" data-said="effect">{_signed(node.effect, reach)}</td>'
        f'<td class="n" data-said="measured">{"" if measured is None else _signed(measured, reach)}</td>'
        f'<td class="n fs-hide-narrow">{"–" if node.direct is None else number(node.direct)}</td>'
        f'<td class="n fs-hide-narrow">{number(node.norm)}</td><td class="fs-node-ways">{ways}</td></tr>'
    )


def _signed(value: float, reach: float) -> Html:
    depth = charts.depth(value, reach)
    return Html(f'<span class="fs-effect{" neg" * (value < 0)}" style="--v:{depth:.3f}">{number(value)}</span>')


def _sums(record: FeaturesRecord) -> Html:
    """Each source's own sum, and a word about why they are not added up."""
    if not record.layers:
        return Html("")
    rows = join(_sum(one) for one in record.layers)
    columns = (
        ("features", "activation × gradient"), ("+ error", "error node"), ("+ bias", "bias node"), ("= sum", ""),
        ("x · dL/dx", "circuit total"),
    )  # fmt: skip
    head = join(f'<th class="n">{word(name, entry) if entry else name}</th>' for name, entry in columns)
    return Html(
        f'<h3 class="fs-h2">{word("Each source adds up by itself", "circuit total")}</h3><div class="fs-scroll">'
        f'<table class="fs-table fs-sums"><thead><tr><th>source</th><th class="n">nodes</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _sum(one: Layer) -> Html:
    right = abs(one.residual) <= 1e-3 * max(1.0, abs(one.total))
    cells = join(f'<td class="n">{number(value)}</td>' for value in (one.features, one.error, one.bias))
    total = f"{one.sum:.4f}".replace("-", "−")
    whole = f"{one.total:.4f} {'✓' if right else '✗'}".replace("-", "−")
    tip = esc(f"They differ by {one.residual:.1e}, which is rounding")
    return Html(
        f'<tr><td>{esc(one.key.source_id)}</td><td class="n">{one.active:,}</td>{cells}'
        f'<td class="n"><b>{total}</b></td><td class="n" data-tip="{tip}"><b>{whole}</b></td></tr>'
    )


# -- the lens ----------------------------------------------------------------------------------------------------------


def lens(view: View, record: LensRecord) -> Html:
    """What the model would say at each token after each layer; the last layer on top."""
    tokens = record.target.tokens
    first = max(0, len(tokens) - COLUMNS)
    shown = [n for n in range(first, len(tokens)) if not tokens[n].special]
    aimed = {one.token.id for one in record.target.target}
    names = join(f'<th class="fs-mono">{drawn(tokens[n])}</th>' for n in shown)
    last = "<th class='n'>target</th>" if aimed else ""
    rows = []
    for hook, row in reversed(list(zip(record.hooks, record.rows, strict=True))):
        cells = join(_cell(view, n, len(tokens), row[n], aimed, tokens[n]) for n in shown)
        end = row[-1]
        about = ""
        if end.probability is not None and end.rank is not None:
            about = f'<td class="n">{percent(end.probability)} <span class="fs-soft">{_rank(end.rank)}</span></td>'
        rows.append(f'<tr><th scope="row" data-tip="{esc(hook)}">{_place(hook)}</th>{cells}{about}</tr>')
    cut = f"the last {COLUMNS} tokens" if first else ""
    return card(
        f'<div class="fs-scroll fs-lens-scroll"><table class="fs-lens"><thead><tr><th></th>{names}{last}</tr></thead>'
        f"<tbody>{join(rows)}</tbody></table></div>",
        word("Logit lens: what it would say after each layer", "logit lens"), cut,
    )  # fmt: skip


def _place(hook: str) -> str:
    layer = int(hook.split(".")[1])
    if hook.endswith("post"):
        return "output"
    return f"after {layer - 1}" if layer else "embedding"


def _rank(rank: int) -> str:
    return f"rank {rank:,}"


def _cell(view: View, n: int, of: int, cell: LensCell, aimed: set[int], item: Token) -> Html:
    best, chance = cell.top[0]
    lines = [f"{one.text!r} {percent(p)}" for one, p in cell.top]
    if cell.probability is not None and cell.rank is not None and n == of - 1:
        lines.append(f"target: {percent(cell.probability)}, rank {cell.rank:,}")
    tip = esc(f"after {item.text!r}\n" + "\n".join(lines))
    mark = " aim" if best.id in aimed else ""
    there = view.to(position=n, feature=None)
    return Html(
        f'<td><a class="fs-lens-cell{mark}" style="--v:{chance:.3f}" href="{esc(there)}" data-stay="" data-tip="{tip}">'
        f"{drawn(best)}</a></td>"
    )
