"""The parts of the page of maps beside the map, each a function from a view and records to HTML."""

from __future__ import annotations

from collections.abc import Sequence

from components import charts, links, markup, search_view, source_panels
from components.feature_panels import word
from components.map_view import View
from components.markup import Html, card, esc, join, link, number, percent, stat
from components.resources import define
from components.search_panels import pill, source_choice, waiting
from core.explain.records import Explanation
from core.records import FeatureRecord, ModelRecord, SourceRecord

LEAD = "All features at once, the alike ones near each other. Wander, select a region, keep it."
KINDS = {"explanation": "What is said of features", "decoder": "Decoder directions"}
EXAMPLES = 2


def head() -> Html:
    """The page's title, and the way to share what is shown."""
    return source_panels.title("Map", LEAD, actions=source_panels.COPY)


def tools(view: View, models: Sequence[ModelRecord], records: Sequence[SourceRecord]) -> Html:
    """What is on the map: of which model, what lies near, of which sources."""
    rows = []
    if len(models) > 1:
        names = join(
            pill(links.map_(model=m.model_id, of=view.of), m.name, on=m.model_id == view.model_id) for m in models
        )
        rows.append(("Model", names))
    kinds = join(
        pill(view.to(of=of), name, on=view.of == of, about=define(f"map of {of}s")) for of, name in KINDS.items()
    )
    rows.append(("Near is alike in", kinds))
    facets = search_view.facets(records, view.sources)
    drawn = join(
        f'<span class="fs-facet"><span class="fs-soft">{esc(name)}</span><span class="fs-pills">{pills}</span></span>'
        for name, pills in rows
    )
    chosen = source_choice(view, records, facets)  # type: ignore[arg-type]  # has what it asks for
    return Html(f'<div class="fs-card fs-map-tools">{drawn}{chosen}</div>')


def said(parts: Sequence[str]) -> Html:
    """How the map was made, under it."""
    return Html(f'<div class="fs-map-said">{join(f"<span>{esc(one)}</span>" for one in parts)}</div>')


def unmade(view: View, of: int) -> Html:
    """In the place of a map that was not made."""
    what = "what is said of their features" if view.of == "explanation" else "their decoder directions"
    names = ", ".join(key.source_id for key in view.sources)
    return card(
        f'<div class="fs-empty"><b>This map was not made yet</b>{esc(names)}: {of:,} features, by {what}. Making it '
        "takes about as many seconds as there are thousands of features, and half a minute more at first.</div>"
    )


def busy(text: str, part: float | None) -> Html:
    """While a map is made."""
    return waiting(text, part)


def nothing_picked() -> Html:
    """Beside the map while no feature is looked at."""
    return card(
        '<div class="fs-map-none">Click a point to see its feature here.<ul>'
        "<li>Drag to move, scroll or pinch to zoom; names of clusters appear as you come closer.</li>"
        "<li>Click a name to select its cluster. With Lasso or Box, or <kbd>Shift</kbd> and a drag, select any region."
        "</li><li>With the keyboard: <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> move, <kbd>+</kbd> "
        "<kbd>−</kbd> zoom, <kbd>0</kbd> shows all, <kbd>s</kbd> selects what is in view.</li></ul></div>"
    )


def picked(record: FeatureRecord, explanations: Sequence[Explanation]) -> Html:
    """The feature that is looked at: its name, what is said of it, its numbers, examples, and the way to its page."""
    key, scale = record.key, charts.scale(record)
    name = markup.title(record)
    lines = "".join(f"<p>{esc(one.text)}</p>" for one in explanations[:2])
    promotes = join((markup.token(row.token) for row in record.top_logits[:6]), " ")
    raised = f'<p class="fs-soft fs-small">raises <span class="fs-mono">{promotes}</span></p>' if promotes else ""
    numbers = join((
        stat(percent(record.density), word("density")), stat(number(record.maximum), word("maximum")),
    ))  # fmt: skip
    shape, signed = "", record.source.signed
    if record.histogram:
        shape = charts.histogram(record.histogram, what="tokens", signed=signed, log=True)
    group = source_panels.best(record)
    strips = join(
        charts.example(one, scale, signed=signed, before=12, after=6)
        for one in (group.examples[:EXAMPLES] if group else ())
    )
    body = (
        f'<div class="fs-map-look"><div>{link(links.feature(key), name, "fs-name")} '
        f'<span class="fs-where">{esc(key.source_id)} · {key.index}</span></div>{lines}{raised}'
        f'<div class="fs-stats">{numbers}</div>{shape}<div class="fs-examples">{strips}</div>'
        f'<div class="fs-row"><a class="fs-btn p" href="{esc(links.feature(key))}">Open this feature</a></div></div>'
    )
    return card(body)


def lost(message: str) -> Html:
    """Beside the map, where the feature that the link names is not here."""
    return card(f'<div class="fs-map-none">{esc(message)}</div>')
