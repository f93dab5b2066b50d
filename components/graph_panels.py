"""The parts of the page of attribution graphs beside the drawing: from a view and records to HTML. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import circuit_panels, links, source_panels
from components.feature_panels import word
from components.graph_view import View
from components.markup import Html, card, esc, join, link, number, visible
from core.records import ModelRecord
from core.techniques.graphs.records import ADDS_UP, GraphEntry, GraphRecord, Way

LEAD = "Which feature acts on which: a prompt as a graph, from its tokens through features to the next token."
SAID: Mapping[Way, str] = {
    "transcoders": "direct effects through transcoders at every layer",
    "residual": "activation × gradient between residual SAEs",
    "elsewhere": "from a file",
}


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    ways = circuit_panels.ways("graph")
    if not (view.text or view.slug):
        return Html(f"{source_panels.title('Attribution graph', LEAD)}{ways}")
    python = f'<button class="fs-btn" type="button" data-copy="{esc(view.python())}">Copy Python</button>'
    return Html(
        '<div class="fs-head fs-one"><h1 class="fs-title">Attribution graph</h1>'
        f'<div class="fs-actions">{python}{source_panels.COPY}</div></div>{ways}'
    )


def form(view: View, models: Sequence[ModelRecord], sets: Mapping[str, Way]) -> Html:
    """The boxes for a prompt, its next tokens and the set; what a person made of a graph is left behind."""
    kept = {name: value for name, value in view.parameters().items() if name in ("nodes", "edges") and value}
    which, hidden = circuit_panels.chosen_model(view.model_id, models, kept)
    box = (
        '<textarea id="fs-text" class="fs-in" data-name="text" data-whole="" rows="1" spellcheck="false" '
        f'data-warm="{esc(view.model_id)}" style="flex:1 1 230px" '
        f'placeholder="My mother and her">\n{esc(view.text)}</textarea>'
    )
    options = join(
        f'<option value="{esc(name)}"{" selected" * (name == view.set_name)}>{esc(name)} · {SAID[way]}</option>'
        for name, way in sets.items()
    )
    choice = (
        '<select class="fs-in" data-name="set" aria-label="Whose features" '
        f'style="width:auto;max-width:min(54vw,440px)">{options}</select>'
    )
    aim = (
        '<label><span class="fs-soft">Next tokens</span><input class="fs-in fs-mono" data-name="target" data-whole="" '
        'spellcheck="false" autocomplete="off" placeholder="the likeliest" '
        f'value="{esc("|".join(view.target))}"></label>'
    )
    return Html(
        '<form data-go="/graph" class="fs-card fs-ask" role="search">'
        '<label class="fs-soft" for="fs-text">A prompt: what leads to its next token?</label>'
        f'<div class="fs-ask-row">{box}{which}'
        '<button class="fs-btn p" type="submit">Draw</button></div>'
        f'<div class="fs-aim"><label><span class="fs-soft">Features of</span>{choice}</label>{aim}</div>{hidden}</form>'
    )


def examples(view: View, prompts: Sequence[Mapping[str, str]]) -> Html:
    """Before the first prompt: some to begin with, one click each."""
    return circuit_panels.cards(
        (view.to(text=one["text"]), one["name"], (visible(one["text"]),), Html("")) for one in prompts
    )


def kept(entries: Sequence[GraphEntry]) -> Html:
    """The graphs that were kept here."""
    if not entries:
        return Html("")
    rows = join(
        f'<tr><td>{link(links.graph(model=one.model_id, slug=one.slug), one.slug)}</td><td>{esc(one.model_id)}</td>'
        f'<td class="fs-mono">{visible(one.prompt[:120])}</td><td class="n">{one.nodes:,}</td>'
        f'<td class="n">{one.links:,}</td><td class="fs-soft">{esc(one.made[:10])}</td></tr>'
        for one in entries
    )
    heads = join(f"<th>{name}</th>" for name in ("graph", "model", "prompt", "nodes", "links", "made"))
    table = (
        f'<div class="fs-scroll"><table class="fs-nodes"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )
    return Html(f'<h2 class="fs-h2">Kept here</h2>{card(table)}')


def about(record: GraphRecord, *, slug: bool) -> Html:
    """What kind of graph it is, how much of it is drawn, how far it can be trusted; of a kept one its prompt too."""
    parts = [f"<b>{SAID[record.way]}</b>", f"{len(record.nodes):,} nodes, {len(record.links):,} links"]
    facts = record.facts
    if facts is not None:
        left = f" of {facts.active:,} active" if facts.active > facts.features else ""
        parts[1] += f" of {facts.features:,}{left} features and {facts.links:,} links"
        parts += [
            f"{word('replacement score')} {number(facts.replacement)}",
            f"{word('completeness score')} {number(facts.completeness)}",
            f"inputs and biases add up {ADDS_UP[record.way]} within {facts.residual:.0e}",
        ]
    return Html(f'<p class="fs-check">{" · ".join(parts)}</p>{_prompt(record) if slug else ""}')


def _prompt(record: GraphRecord) -> str:
    said = f" · {esc(record.description)}" if record.description and record.way == "elsewhere" else ""
    return f'<p class="fs-soft"><span class="fs-mono">{visible(record.prompt[:400])}</span>{said}</p>'


def failed(view: View, message: str) -> Html:
    """In the place of the graph, when there is none."""
    again = link(links.graph(model="" if view.slug else view.model_id), "Another prompt", ' class="fs-pill"')
    return card(
        f'<div class="fs-empty" role="alert"><b>There is no graph to draw</b>{esc(message)}'
        f'<div class="fs-pills fs-ways">{again}</div></div>'
    )
