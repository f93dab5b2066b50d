"""A feature through the layers, drawn: a box a layer, joined by bars as thick as the cosine between them."""

from __future__ import annotations

from components import links, ticks
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, tip
from components.similar_panels import left_out
from components.similar_view import View
from core.atlas.near.records import ChainLink, ChainRecord, SimilarHit


def chain(view: View, record: ChainRecord) -> Html:
    """The sentence, the chart, and what random directions have."""
    aside = f'<span class="fs-soft">random directions {record.random:.2f}</span>'
    said = f'<p class="fs-near-said">{_begins(record)} {_ends(record)}</p>'
    return Html(
        card(f"{said}{_chart(view, record)}", word("Twins through the layers", "similar layers"), aside)
        + left_out(record.left_out)
    )


def _begins(record: ChainRecord) -> str:
    first = record.members[0]
    if not record.down or record.down[-1].held:
        return f"It is there from layer {first.layer} on, the first source of its set."
    return f"It begins at layer {first.layer}: {_why(record, record.down[-1], 'before it')}"


def _ends(record: ChainRecord) -> str:
    last = record.members[-1]
    if not record.up or record.up[-1].held:
        return f"It is there to layer {last.layer}, the last source of its set."
    return f"It ends after layer {last.layer}: {_why(record, record.up[-1], 'after it')}"


def _why(record: ChainRecord, link_: ChainLink, where: str) -> str:
    best, back = link_.best, link_.back
    there = f"{link(links.feature(best.feature), f'{best.feature.source_id} · {best.feature.index}')}"
    if best.value < record.threshold:
        return f"the best match at the layer {where}, {there}, has only {best.value:.2f}, below {record.threshold:g}."
    own = f"{link(links.feature(back.feature), f'{back.feature.source_id} · {back.feature.index}')}"
    return f"the best match at the layer {where}, {there}, has {best.value:.2f}, but {own} is nearer: {back.value:.2f}."


def _chart(view: View, record: ChainRecord) -> Html:
    boxes: list[str] = []
    down = [one for one in record.down[::-1]]
    if down and not down[0].held:
        boxes += [_box(view, record, down[0].best, out=True), _bar(down[0], held=False)]
    steps = [one for one in down if one.held] + [one for one in record.up if one.held]
    for n, member in enumerate(record.members):
        boxes.append(_box(view, record, member.hit, layer=member.layer))
        if n < len(record.members) - 1:
            boxes.append(_bar(steps[n], held=True))
    if record.up and not record.up[-1].held:
        boxes += [_bar(record.up[-1], held=False), _box(view, record, record.up[-1].best, out=True)]
    return Html(f'<div class="fs-chain" role="list">{join(boxes)}</div>')


def _box(view: View, record: ChainRecord, hit: SimilarHit, *, layer: int | None = None, out: bool = False) -> str:
    own = hit.feature == record.key
    classes = "fs-chain-box" + " own" * own + " out" * out
    shown = "this feature" if own else ("no twin" if out else f"{hit.value:.2f} with it")
    where = f"layer {hit.feature.source.layer if layer is None else layer}"
    label = esc(hit.label) if hit.label else '<span class="fs-soft">no label</span>'
    box = "" if out or own else ticks.tick(view, hit.feature, hit.label or "no label")
    return (
        f'<div class="{classes}" role="listitem"><span class="fs-chain-top"><span>{esc(where)}</span>{box}</span>'
        f'<a class="main" href="{esc(links.feature(hit.feature))}">{label}</a>'
        f'<span class="fs-where">{esc(hit.feature.source_id)} · {hit.feature.index}</span>'
        f'<span class="fs-soft">{esc(shown)}</span></div>'
    )


def _bar(step: ChainLink, *, held: bool) -> str:
    about = f"cosine {step.best.value:.3f}" + ("" if held else ": the chain does not go on here")
    return (
        f'<div class="fs-chain-bar{"" if held else " out"}" style="--v:{max(0.0, step.best.value):.3f}" {tip(about)}>'
        f"<span>{step.best.value:.2f}</span><i></i></div>"
    )
