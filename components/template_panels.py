"""The parts of the page of templates, each a function from a view and a record to HTML. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components import charts, links, source_panels
from components.circuit_panels import cards, chosen_model, ways
from components.feature_panels import word
from components.markup import Html, card, esc, join, number, visible
from components.resources import define
from components.search_panels import left_out, pill
from components.template_view import MORE, ROWS, View, written
from core.records import ModelRecord
from core.techniques.templates.records import Factor, Prompt, Response, TemplateRecord

LEAD = (
    "A prompt with slots becomes a set of prompts: which features respond to what stands in a slot, to where it "
    "stands, to the part that it plays?"
)
SHOWN = 6
"""Prompts that are shown."""
LEVELS = 8
"""Means of a feature that are shown."""
AT = {"slot": "at the slot", "end": "at the last token", "any": "anywhere"}
KINDS = {
    "value": "Which word stands in", "position": "The place of", "role": "The part of",
}  # fmt: skip


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    if not view.template:
        return Html(f"{source_panels.title('Template', LEAD)}{ways('template')}")
    python = f'<button class="fs-btn" type="button" data-copy="{esc(view.python())}">Copy Python</button>'
    return Html(
        '<div class="fs-head fs-one"><h1 class="fs-title">Template</h1>'
        f'<div class="fs-actions">{python}{source_panels.COPY}</div></div>{ways("template")}'
    )


def form(view: View, models: Sequence[ModelRecord]) -> Html:
    """The boxes for templates and fillers."""
    going = ("sources", "at", "prompts", "seed")
    kept = {name: value for name, value in view.parameters().items() if name in going and value}
    boxes = join(
        f'<label for="fs-{name}"><span class="fs-soft">{label}</span><textarea id="fs-{name}" class="fs-in" '
        f'data-name="{name}" data-whole="" rows="3" spellcheck="false" placeholder="{placeholder}">\n{esc(value)}'
        "</textarea></label>"
        for name, label, value, placeholder in (
            ("template", "A prompt with {slots}; variants on lines of their own", view.template,
             "{opening}It is very {what}"),
            ("fill", "Fillers: a line for each slot", view.fill, "opening = “, (&#10;what = good, bad, well"),
        )
    )  # fmt: skip
    which, hidden = chosen_model(view.model_id, models, kept)
    return Html(
        f'<form data-go="/template" class="fs-card fs-ask" role="search"><div class="fs-two">{boxes}</div>'
        f'<div class="fs-aim">{which}<button class="fs-btn p" type="submit">Make the set</button></div>{hidden}'
        '<div class="fs-hint"><span>A slot may stand in several places · slots that share a filler are never filled '
        "alike · {{ and }} are braces</span></div></form>"
    )


def examples(view: View, made: Sequence[Mapping[str, Any]]) -> Html:
    """Ready-made templates, one click each."""
    return cards(
        (
            (_example(view, one), one["name"], [_slotted(text) for text in one["templates"]], _summary(one["fillers"]))
            for one in made
        ),
        "Ready made",
    )


def _example(view: View, one: Mapping[str, Any]) -> str:
    return view.to(template="\n".join(one["templates"]), fill=written(one["fillers"]), at=one["at"])


def _slotted(text: str) -> Html:
    """A template with its slots marked."""
    pieces = text.replace("}", "{").split("{")
    return join(
        f'<b class="fs-slot">{esc(piece)}</b>' if n % 2 else _shown(piece) for n, piece in enumerate(pieces)
    )


def _shown(text: str) -> Html:
    """What stands between slots, which may be nothing."""
    return visible(text) if text else Html("")


def _summary(fillers: Mapping[str, Sequence[str]]) -> Html:
    each = (f"{esc(name)}: {join((visible(one) for one in own[:4]), ', ')}" for name, own in fillers.items())
    return join(each, " · ")


def failed(view: View, message: str) -> Html:
    """In the place of everything."""
    return card(f'<div class="fs-empty" role="alert"><b>This set could not be made</b>{esc(message)}</div>')


def prompts(view: View, record: TemplateRecord) -> Html:
    """The set: how many, the first of them with their slots marked."""
    rows = join(f'<div class="fs-prompt fs-mono">{_prompt(one)}</div>' for one in record.prompts[:SHOWN])
    more = len(record.prompts) - SHOWN
    of = f" of {record.combinations:,} combinations" if record.combinations > len(record.prompts) else ""
    rest = f'<p class="fs-check">and {more:,} more</p>' if more > 0 else ""
    control = record.control
    said = (
        f'<p class="fs-check" data-control=""><b>{record.found:,}</b> of {record.tests:,} '
        f"{word('tests', 'template tests')} pass at a {word('false discovery rate', 'false discovery rate')} of "
        f"{record.level * 100:.0f} %. With {word('labels shuffled', 'shuffled labels')}: <b>{control.found:.1f}</b> "
        f"(mean of {control.shuffles}; at most {control.most:,}), largest ω² {control.largest:.2f}.</p>"
    )
    return card(f"{rows}{rest}{said}{left_out(record.left_out)}", "The set", f"{len(record.prompts):,} prompts{of}")


def _prompt(one: Prompt) -> Html:
    parts, at = [], 0
    for m in one.mentions:
        end = m.begin + len(m.filler)
        where = ", ".join(map(str, m.positions)) or "none of its own"
        parts.append(_shown(one.text[at : m.begin]))
        parts.append(
            f'<b class="fs-slot" data-tip="{esc(f"{m.slot}: token {where}")}">{visible(one.text[m.begin : end])}</b>'
        )
        at = end
    return Html(f"{join(parts)}{_shown(one.text[at:])}")


def tools(view: View, record: TemplateRecord) -> Html:
    """Where features are read, and of which sources."""
    about = define("template place")
    at = join(pill(view.to(at=key), name, on=view.at == key, about=about) for key, name in AT.items())
    every = pill(view.to(sources=()), "all SAEs", on=not view.sources)
    named = sorted({r.key.source for r in record.responses} | set(view.sources), key=lambda key: key.source_id)
    each = join(pill(view.to(sources=(key,)), key.source_id, on=view.sources == (key,)) for key in named)
    return Html(
        '<div class="fs-node-tools"><span class="fs-facet"><span class="fs-soft">Read</span><span class="fs-pills" '
        f'role="group" aria-label="Read">{at}</span></span><span class="fs-facet"><span class="fs-soft">In</span>'
        f'<span class="fs-pills" role="group" aria-label="In">{every}{each}</span></span></div>'
    )


def factor(view: View, record: TemplateRecord, one: Factor) -> Html:
    """One question: the features that respond, the largest effects first."""
    slots = " and ".join(f'<b class="fs-slot">{esc(name)}</b>' for name in one.slots)
    title = f"{word(KINDS[one.kind], f'template {one.kind}')} {slots}"
    aside = f"{one.found:,} of {one.tested:,} features"
    notes = _notes(one)
    pair = _pair(view, record, one)
    own = record.of(one)
    if not own:
        return card(f'{notes}<div class="fs-empty">No feature responds to it here.</div>{pair}', title, aside)
    columns = (("feature", "feature"), ("ω²", "omega squared"), ("q", "q value"), ("active", ""), ("means", ""))
    names = join(
        f'<th class="{"n" if 0 < n < 4 else ""}">{word(name, entry) if entry else name}</th>'
        for n, (name, entry) in enumerate(columns)
    )
    rows = join(_row(view, record, r) for r in own[: MORE if view.more else ROWS])
    more = ""
    if len(own) > ROWS and not view.more:
        more = f'<div class="fs-pills fs-ways">{pill(view.to(more=True), f"the first {MORE}", on=False)}</div>'
    return card(
        f'{notes}<div class="fs-scroll"><table class="fs-table fs-nodes fs-responses"><thead><tr>{names}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}{pair}",
        title, aside,
    )  # fmt: skip


def _notes(one: Factor) -> str:
    """What is held fixed, and what cannot be."""
    said = []
    if one.beside:
        names = {"value": "the word", "position": "the place", "role": "the slot"}
        said.append(f"Held fixed: {' and '.join(names[kind] for kind in one.beside)}.")
    if one.confounded:
        said.append("Place and slot always go together in these templates: add a variant in another order.")
    return f'<p class="fs-check">{" ".join(said)}</p>' if said else ""


def _pair(view: View, record: TemplateRecord, one: Factor) -> str:
    """Two prompts of the set that differ in this slot alone."""
    if one.kind != "value":
        return ""
    first = record.prompts[0]
    slots = {m.slot for m in first.mentions}
    for other in record.prompts[1:]:
        differing = {name for name in slots if other.filler(name) != first.filler(name)}
        if differing == set(one.slots) and other.variant == first.variant:
            words = f"{visible(first.filler(one.slots[0]))} against {visible(other.filler(one.slots[0]))}"
            return (
                f'<p class="fs-check"><a class="fs-act" href="{esc(view.pair(first, other))}">Compare two of its '
                f"prompts</a> {words}</p>"
            )
    return ""


def _row(view: View, record: TemplateRecord, one: Response) -> str:
    label = one.label or f"feature {one.key.index}"
    text = next((p.text for p in record.prompts if one.levels[0].name in {m.filler for m in p.mentions}), "")
    name = f'<a href="{esc(links.feature(one.key, text))}"><b>{one.key.source_id}/{one.key.index}</b>'
    reach = max(abs(level.mean) for level in one.levels) or 1.0
    means = join(
        f'<span class="fs-level{" neg" * (level.mean < 0)}" style="--v:{charts.depth(level.mean, reach):.3f}" '
        f'data-tip="{esc(f"{level.count} observations")}">{visible(level.name)} {number(level.mean)}</span>'
        for level in one.levels[:LEVELS]
    )
    f = "without end: it explains everything" if one.f == float("inf") else number(one.f)
    tip = esc(f"η² {one.eta:.3f}\nF {f}\np {one.p:.1e}")
    return (
        f'<tr><td class="fs-node-name">{name} <span class="fs-soft">{esc(label)}</span></a></td>'
        f'<td class="n" data-said="ω²" data-tip="{tip}">{one.effect:.2f}</td>'
        f'<td class="n" data-said="q">{one.q:.1g}</td>'
        f'<td class="n" data-said="active">{one.active} <span class="fs-soft">of {one.factor.observations}</span></td>'
        f'<td class="fs-levels">{means}</td></tr>'
    )
