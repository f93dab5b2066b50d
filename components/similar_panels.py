"""The parts of the page of similar features, each a function from a view and a record to HTML. Draws nothing itself.

A value is a bar from 0 to 1; where chance is known a tick on it says what other features have, and a hollow one what
random directions have.
"""

from __future__ import annotations

from collections.abc import Sequence

from components import links, source_panels, ticks
from components.feature_panels import KINDS, word
from components.markup import Html, card, esc, join, link, number, percent, tip
from components.resources import define
from components.search_panels import pill
from components.similar_view import BYS, View
from core.atlas.near.records import (
    By,
    Chance,
    FamilyRecord,
    GlanceRecord,
    NeuronAnswer,
    SimilarHit,
    SimilarPlace,
    SimilarRecord,
    Split,
    Wire,
    WirePlace,
    WiringRecord,
)
from core.records import FeatureKey, LeftOut, SourceKey, SourceRecord

VIEWS = {
    "similar": "Similar", "layers": "Through the layers", "family": "Family", "wiring": "Reads and writes",
    "together": "Fires together", "models": "Other models",
}  # fmt: skip
NAMES = {
    "decoder": "Decoder", "encoder": "Encoder", "logits": "Logit effect", "explanation": "Explanation",
    "correlation": "Correlation",
}  # fmt: skip
MEASURES = {
    "decoder": "cosine", "encoder": "cosine", "logits": "cosine", "explanation": "cosine", "correlation": "correlation",
}  # fmt: skip
TERMS = {by: f"similar by {by}" for by in NAMES}
LEAST = (0.3, 0.5, 0.7, 0.9)


def head(view: View, label: str) -> Html:
    """The page's title, and the ways back."""
    key = view.key
    own = link(links.feature(key), f"{key.source_id} · {key.index}")
    name = f'<span class="fs-soft fs-near-of">{esc(label)}</span>' if label else ""
    ways = f"{link(links.feature(key), 'Its page', 'fs-btn')}{source_panels.COPY}"
    return Html(
        f'<div class="fs-head fs-one"><h1 class="fs-title">Like {own}{name}</h1>'
        f'<div class="fs-actions">{ways}</div></div>'
    )


def tools(view: View, records: Sequence[SourceRecord], *, models: bool) -> Html:
    """What is shown, by which measure, and where; `models`: whether other models can be compared."""
    shown = join(
        pill(view.to(shown=name), said, on=view.shown == name, about=define(f"similar {name}"))
        for name, said in VIEWS.items()
        if models or name != "models" or view.shown == name
    )
    rows = [("Show", shown)]
    if view.shown in BYS:
        rows.append(
            ("By", join(
                pill(view.to(by=by), NAMES[by], on=view.by == by, about=define(TERMS[by])) for by in BYS[view.shown]
            ))
        )  # fmt: skip
    if view.shown in ("layers", "family"):
        offered = sorted({*LEAST, view.least})
        rows.append(
            ("From", join(pill(view.to(threshold=x), f"≥ {x:g}", on=view.least == x) for x in offered))
        )  # fmt: skip
    if view.shown in ("similar", "family") and len(records) > 1:
        rows.append(("In", _where(view, records)))
    body = join(
        f'<span class="fs-facet"><span class="fs-soft">{name}</span>'
        f'<span class="fs-pills" role="group" aria-label="{name}">{pills}</span></span>'
        for name, pills in rows
    )
    return Html(f'<div class="fs-card fs-near-tools">{body}</div>')


def _where(view: View, records: Sequence[SourceRecord]) -> Html:
    own = (view.key.source,)
    pills = [pill(view.to(sources=()), "all sources", on=not view.sources)]
    if view.shown == "similar":
        pills.append(pill(view.to(sources=own), "its own", on=view.sources == own))
    for record in records:
        if record.key == view.key.source:
            continue
        on = record.key in view.sources
        left = tuple(key for key in view.sources if key != record.key)
        there = left if on else (*(() if view.sources == own else view.sources), record.key)
        pills.append(pill(view.to(sources=there), record.key.source_id, on=on, about=KINDS[record.kind]))
    return join(pills)


# -- lists -------------------------------------------------------------------------------------------------------------


def similar(view: View, record: SimilarRecord) -> Html:
    """The list, and beside it the nearest of each source."""
    if not record.hits:
        return nothing("Nothing is like it", "None of the sources that were looked into has anything to compare.")
    # a source that is left out is beside the list, with the reason
    main = f"{neuron(record.neuron)}{card(table(view, record.hits, record.by))}{more(view, record)}"
    side = card(places(view, record.places), word("Nearest in each source", "nearest in each"), _legend(record.places))
    side = Html(f'<div class="fs-stack">{side}{left_out(record.left_out)}</div>')
    return Html(f'<div class="fs-near"><div>{main}</div>{side}</div>')


def more(view: View, record: SimilarRecord) -> Html:
    """The way to a longer list."""
    if len(record.hits) < view.top or view.top >= 100:
        return Html("")
    return Html(f'<div class="fs-pills fs-ways">{pill(view.to(top=100), "the first 100", on=False)}</div>')


def table(view: View, hits: Sequence[SimilarHit], by: By) -> Html:
    """Features with their values; each can be ticked."""
    rows = join(
        f"<tr><td>{_tick(view, hit)}</td>"
        f'<td class="fs-near-name">{_name(hit)}</td>'
        f'<td class="fs-near-cell">{bar(hit.value)}</td><td class="n">{_value(hit.value)}</td>'
        f'<td class="n fs-hide-narrow">{"" if hit.density is None else percent(hit.density)}</td></tr>'
        for hit in hits
    )
    head = (
        f'<th></th><th>{word("feature")}</th><th colspan="2">{word(MEASURES[by], TERMS[by])}</th>'
        f'<th class="n fs-hide-narrow">{word("density")}</th>'
    )
    return _rows(head, rows)


def _rows(head: str, rows: str) -> Html:
    return Html(
        f'<table class="fs-table fs-ticked fs-near-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _tick(view: View, hit: SimilarHit) -> Html:
    if hit.feature.model_id != view.key.model_id:
        return Html("")
    return ticks.tick(view, hit.feature, hit.label or "no label")


def _name(hit: SimilarHit) -> Html:
    href = esc(links.feature(hit.feature))
    label = esc(hit.label) if hit.label else Html('<span class="fs-soft">no label</span>')
    at = esc(f"{hit.feature.source_id} · {hit.feature.index}")
    return Html(f'<a class="main" href="{href}">{label}</a><span class="fs-where">{at}</span>')


def _value(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def bar(value: float, *, usual: float | None = None, random: float | None = None, about: str = "") -> Html:
    """A value from 0 to 1, or −1 to 1 by its size, beside what chance gives."""
    marks = ""
    if usual is not None:
        marks += f'<b style="left:{_at(usual)}"></b>'
    if random is not None:
        marks += f'<b class="r" style="left:{_at(random)}"></b>'
    told = f" {tip(about)}" if about else ""
    side = ' class="neg"' if value < 0 else ""
    return Html(f'<span class="fs-near-bar"{told}><i{side} style="width:{_at(value)}"></i>{marks}</span>')


def _at(value: float) -> str:
    return f"{min(1.0, abs(value)) * 100:.1f}%"


def places(view: View, found: Sequence[SimilarPlace]) -> Html:
    """One line a source: its nearest, beside chance."""
    lines = []
    for place in sorted(found, key=_order):
        source = place.key.source_id if place.key.model_id == view.key.model_id else str(place.key)
        best = place.best
        name = f'<span class="l">{esc(source)}{_note(place.note)}</span>'
        if best is None:
            lines.append(f'<div class="fs-near-place">{name}<span></span><span>–</span></div>')
            continue
        chance = place.chance
        shown = bar(best.value, usual=chance and chance.median, random=chance and _without(chance))
        about = f"{best.feature.source_id} · {best.feature.index}: {best.label or 'no label'}{_chance(place.chance)}"
        href = esc(links.feature(best.feature))
        lines.append(
            f'<a class="fs-near-place" href="{href}" data-tip="{esc(about)}">{name}{shown}'
            f"<span>{_value(best.value)}</span></a>"
        )
    return Html(f'<div class="fs-near-places">{join(lines)}</div>')


def _order(place: SimilarPlace) -> tuple[bool, str, int, SourceKey]:
    return place.kind in ("neurons", "directions"), place.key.set_name, place.key.layer, place.key


def _note(note: str) -> str:
    return f' <span class="fs-soft" {tip(f"{note}: see the glossary on encoder rows.")}>*</span>' if note else ""


def _chance(chance: Chance | None) -> str:
    if chance is None:
        return ""
    said = (
        f"\nOf {chance.sample:,} other features of this source half have less than {chance.median:.2f} there, "
        f"95 % less than {chance.high:.2f}"
    )
    if chance.random is not None:
        said += f"; of random directions half less than {chance.random:.2f}"
    if chance.pair is not None:
        said += f"; of pairs of any two features 95 % less than {chance.pair:.2f}"
    return f"{said}."


def _without(chance: Chance) -> float | None:
    """What a value that means nothing has: a random direction's, or a pair's."""
    return chance.pair if chance.random is None else chance.random


def _legend(found: Sequence[SimilarPlace]) -> str:
    known = [place.chance for place in found if place.chance]
    if not known:
        return ""
    marks = f'<i {tip(define("chance of others"))}>▎others</i>'
    for name in ("random", "pair"):
        if any(getattr(chance, name) is not None for chance in known):
            said = "any pair" if name == "pair" else name
            marks += f'<i class="r" {tip(define(f"chance of {name}"))}>▎{said}</i>'
    return f'<span class="fs-near-key">{marks}</span>'


def neuron(answer: NeuronAnswer | None) -> Html:
    """In a sentence whether there is a neuron for the feature."""
    if answer is None:
        return Html("")
    best, chance = answer.best, answer.chance
    said = {"yes": "Yes", "partly": "In part", "no": "No"}[answer.level]
    name = link(links.feature(best.feature), f"{best.feature.source_id} · {best.feature.index}")
    stands = {
        "yes": "which points nearly the same way",
        "partly": "which is more than 95 % of other features have",
        "no": "too far to say so" if best.value > chance.high else "no nearer than other features have one",
    }[answer.level]
    asked = word("Is there a neuron for it?", "neuron for a feature")
    return Html(
        f'<div class="fs-note fs-near-neuron"><b>{asked} {said}.</b> '
        f"The nearest of {answer.neurons:,} neurons is {name}, at {best.value:.2f}, {stands}: the median of other "
        f"features is {chance.median:.2f}, 95 % of them are below {chance.high:.2f}, and a random direction has "
        f"{chance.random:.2f}.</div>"
    )


def left_out(found: Sequence[LeftOut]) -> Html:
    """Sources that could not be compared, and why."""
    if not found:
        return Html("")
    why = join(f"<li><b>{esc(one.key)}</b> {esc(one.why)}</li>" for one in found)
    said = "1 source is left out" if len(found) == 1 else f"{len(found)} sources are left out"
    return Html(f'<details class="fs-note fs-left-out"><summary>{said}</summary><ul>{why}</ul></details>')


def nothing(title: str, said: str) -> Html:
    """In the place of results that there are none of."""
    return Html(f'<div class="fs-card"><div class="fs-empty"><b>{esc(title)}</b>{esc(said)}</div></div>')


def failed(view: View, message: str) -> Html:
    """In the place of results when there are none to be had."""
    ways = [
        ("Try again", view.to()), ("By decoder rows", view.to(shown="similar", by="decoder", sources=())),
        ("By logit effect", view.to(shown="similar", by="logits", sources=())),
        ("By explanation", view.to(shown="similar", by="explanation", sources=())),
    ]  # fmt: skip
    pills = join(f'<a class="fs-pill" data-stay="" href="{esc(href)}">{esc(name)}</a>' for name, href in ways)
    return Html(
        f'<div class="fs-card"><div class="fs-empty" role="alert"><b>This could not be compared</b>{esc(message)}'
        f'<div class="fs-pills fs-ways">{pills}</div></div></div>'
    )


# -- families ----------------------------------------------------------------------------------------------------------


def family(view: View, record: FamilyRecord) -> Html:
    """Near-duplicates, and the features of other sources that it splits into."""
    title = word("Near-duplicates in its own source", "near-duplicates")
    if record.duplicates:
        alike = card(table(view, record.duplicates, "decoder"), title, f"{len(record.duplicates):,}")
    else:
        near = record.nearest
        rest = ""
        if near is not None:
            name = link(links.feature(near.feature), f"{near.feature.source_id} · {near.feature.index}")
            rest = f" The nearest is {name}, {esc(near.label or 'no label')}, at {_value(near.value)}."
        alike = card(f"<p>No other feature of {esc(record.key.source_id)} is so near.{rest}</p>", title)
    parts = join(_split(view, split) for split in record.splits)
    return Html(f'<div class="fs-stack">{alike}{parts}{left_out(record.left_out)}</div>')


def _split(view: View, split: Split) -> Html:
    count = "1 feature explains" if len(split.parts) == 1 else f"{len(split.parts)} features explain"
    about = (
        f"As many rows explain {percent(split.chance)} of other features of the same source (median), and "
        f"{percent(split.random)} of random directions."
    )
    drawn = bar(split.explained, usual=split.chance, random=split.random, about=about)
    line = (
        f'<div class="fs-near-split"><span><b>{count} {percent(split.explained)}</b> of its row; the nearest alone '
        f"{percent(split.single)}</span>{drawn}</div>"
    )
    rows = join(
        f"<tr><td>{_tick(view, part.hit)}</td><td class='fs-near-name'>{_name(part.hit)}</td>"
        f'<td class="fs-near-cell">{bar(part.weight)}</td><td class="n">{_value(part.weight)}</td>'
        f'<td class="n">{_value(part.hit.value)}</td></tr>'
        for part in split.parts
    )
    head = (
        f'<th></th><th>{word("feature")}</th><th colspan="2">{word("weight", "split weight")}</th>'
        f'<th class="n">{word("cosine")}</th>'
    )
    body = f"{line}{_rows(head, rows)}" if split.parts else "<p>No row there points its way.</p>"
    return card(body, word(f"As a sum of features of {split.source.source_id}", "split"), f"{split.width:,} wide")


# -- reads and writes --------------------------------------------------------------------------------------------------


def wiring(view: View, record: WiringRecord) -> Html:
    """Two columns: what writes into it, and what reads what it writes."""
    note = f'<div class="fs-note">{esc(record.silent)}</div>' if record.silent else ""
    columns = [
        ("What writes into what it reads", "reads", record.reads, "No source here writes before it reads."),
        ("What reads what it writes", "writes", record.writes, "No source here reads after it writes."),
    ]
    drawn = join(
        f'<div class="fs-stack"><h2 class="fs-h2"><span>{word(title, term)}</span></h2>'
        + (join(_place(view, place) for place in found) or card(f'<p class="fs-soft">{esc(empty)}</p>'))
        + "</div>"
        for title, term, found, empty in columns
    )
    return Html(f'{note}<div class="fs-two fs-near-wiring">{drawn}</div>{left_out(record.left_out)}')


def _place(view: View, place: WirePlace) -> Html:
    norm = f" {word(f'behind {place.norm}', 'behind a norm')}" if place.norm else ""
    told = (
        f"The strongest path of other features of the same source has {place.chance:.2f} in size (median), that of "
        f"random directions {place.random:.2f}."
    )
    aside = f'<span class="fs-soft" {tip(told)}>usual {place.chance:.2f} · random {place.random:.2f}</span>'
    exact = any(wire.weight is not None for wire in place.wires)
    head = f'<th></th><th>{word("feature")}</th><th class="fs-near-cell"></th>'
    head += f'<th class="n">{word("cosine", "wire cosine")}</th>'
    if exact:
        head += f'<th class="n">{word("at its max.", "wire adds")}</th>'
    rows = join(_wire(view, place, wire, exact) for wire in place.wires)
    return card(_rows(head, rows), f"{link(links.source(place.key), place.key.source_id)}{norm}", aside)


def _wire(view: View, place: WirePlace, wire: Wire, exact: bool) -> Html:
    value = bar(wire.hit.value, usual=place.chance, random=place.random)
    adds = ""
    if exact:
        shown = "" if wire.adds is None else number(wire.adds)
        about = "" if wire.weight is None else f"A unit of the writer adds {number(wire.weight)} to the reader"
        adds = f'<td class="n" {tip(about)}>{shown}</td>'
    return Html(
        f"<tr><td>{_tick(view, wire.hit)}</td><td class='fs-near-name'>{_name(wire.hit)}</td>"
        f'<td class="fs-near-cell">{value}</td><td class="n">{_value(wire.hit.value)}</td>{adds}</tr>'
    )


# -- elsewhere ---------------------------------------------------------------------------------------------------------


def glance(key: FeatureKey, record: GlanceRecord | None) -> Html:
    """On a feature's page: the nearest in other sources, where known without weights, and the way to the rest."""
    ways = join(link(links.similar(id=str(key), view=view), said, "fs-pill") for view, said in WAYS.items())
    if record is None or not record.hits:
        return card(f'<div class="fs-pills">{ways}</div>', word("Similar features", "similar similar"))
    lines = f'<div class="fs-list">{join(map(_line, record.hits))}</div><div class="fs-pills fs-ways">{ways}</div>'
    return card(lines, word("Similar in other sources", "similar by decoder"), word("cosine"))


WAYS = {"": "All similar features", "layers": "Layers", "family": "Family", "wiring": "Reads and writes"}


def _line(hit: SimilarHit) -> Html:
    about = esc(f"{hit.feature.source_id} · {hit.feature.index}: {hit.label or 'no label'}\ncosine {_value(hit.value)}")
    label = esc(hit.label) or Html("<i class=fs-soft>no label</i>")
    return Html(
        f'<a class="fs-rel fs-near-rel" href="{esc(links.feature(hit.feature))}" data-tip="{about}">'
        f'<span>{esc(hit.feature.source_id)}</span><span class="l">{label}</span><span>{hit.value:.2f}</span></a>'
    )


def rows(key: FeatureKey, *, encoder: bool = True) -> Html:
    """The feature's two rows as files; each says which it is. Of an import without weights there is one at most."""
    about = {"decoder": "What it writes, as on disk", **({"encoder": "What it reads, as on disk"} if encoder else {})}

    def one(side: str, kind: str) -> Html:
        href = esc(links.page(f"api/feature/{key}/vector", ("row", side), ("format", kind)))
        name = f"{key.model_id}_{key.source_id}_{key.index}_{side}.{kind}"
        return Html(
            f'<a class="fs-pill" download="{esc(name)}" href="{href}" data-tip="{esc(about[side])}">{side} .{kind}</a>'
        )

    made = join(one(side, kind) for side in about for kind in ("json", "npy"))
    return Html(f'<div class="fs-pills fs-near-rows"><span class="fs-soft">{word("Vectors", "row")}</span>{made}</div>')


def taking(view: View) -> Html:
    """What there is to take along of this view."""
    python = esc(view.python())
    files = join(
        f'<a class="fs-btn" download href="{esc(view.address(kind))}">{kind.upper()}</a>' for kind in ("json", "csv")
    )
    about = "Copy the Python line"
    button = f'<button class="fs-btn" type="button" data-copy="{python}" aria-label="{about}">Copy</button>'
    return Html(
        f'<div class="fs-near-take"><div class="fs-code"><code>{python}</code>{button}</div>'
        f'<span class="fs-row">{files}</span></div>'
    )
