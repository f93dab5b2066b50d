"""Features by token, as HTML: a table of the text's tokens with their strongest features, and these features counted.

Functions from a view and a record; draws nothing itself. All features are of one source, so all values have one scale.
"""

from __future__ import annotations

from collections.abc import Sequence

from components import charts, links
from components.feature_panels import word
from components.markup import Html, card, esc, join, number, percent, visible
from components.resources import define
from components.search_panels import bos_choice, length, pill, token_choice
from components.search_view import View
from core.records import ByTokenRecord, Recurring, SourceRecord, Token, TokenHit

TOP = 6
"""Features of a token."""
COUNTED = 40
"""Features in the table of those counted."""


def asked(view: View, text: Sequence[Token], records: Sequence[SourceRecord]) -> Html:
    """The text as a strip, of which tokens can be chosen, and the source."""
    said = f"{len(view.tokens)} of its tokens shown" if view.tokens else "All are shown. Click to choose some."
    every = f'<a class="fs-pill" data-stay="" href="{esc(view.to(tokens=()))}">All tokens</a>' if view.tokens else ""
    each = join(pill(view.to(source=r.key), r.key.source_id, on=r.key == view.source) for r in records)
    sources = (
        f'<div class="fs-facets"><span class="fs-facet"><span class="fs-soft">{word("source")}</span>'
        f'<span class="fs-pills" role="group" aria-label="source">{each}</span></span></div>'
    )
    hint = f'<div class="fs-hint fs-chosen"><span>{said}</span>{every}</div>'
    return card(f"{token_choice(view, text)}{hint}{sources}", length(text), bos_choice(view, text))


def table(view: View, record: ByTokenRecord, source: SourceRecord) -> Html:
    """Each token with its strongest features, the strongest first."""
    rows = [row for row in record.rows if not view.tokens or row.position in view.tokens]
    scale = max((abs(hit.value) for row in record.rows for hit in row.hits), default=0.0)
    body = ""
    for row in rows:
        item = record.tokens[row.position]
        only = view.to(shown="features", tokens=(row.position,), sources=(source.key,))
        about = f"position {row.position}: search with this token alone"
        chips = join(_chip(view, hit, scale) for hit in row.hits) or '<span class="fs-soft">none is active</span>'
        said = visible(item.text) if item.text else '<span class="fs-dot">part of a character</span>'
        body += (
            f'<tr><th scope="row"><a class="fs-tok" href="{esc(only)}" data-tip="{esc(about)}">{said}</a></th>'
            f'<td><div class="fs-chips">{chips}</div></td></tr>'
        )
    legend = f'<span class="fs-scale">{word("colour", "colour by token")} 0<i></i>{number(scale)}</span>'
    return card(
        f'<table class="fs-table fs-bytoken"><tbody>{body}</tbody></table>',
        word("Strongest features of each token", "features by token"),
        legend,
    )


def _chip(view: View, hit: TokenHit, scale: float) -> Html:
    name = hit.label.split(" · ")[0] if hit.label else f"#{hit.key.index}"
    about = (
        f"{hit.label or 'no label'}\n{hit.key.source_id} · {hit.key.index}\nvalue {number(hit.value)} · "
        f"active on {percent(hit.density)} of tokens"
    )
    return Html(
        f'<a class="fs-lit{" neg" * (hit.value < 0)}" style="--v:{charts.depth(hit.value, scale):.3f}" '
        f'href="{esc(links.feature(hit.key, view.text))}" data-tip="{esc(about)}"><span>{visible(name)}</span>'
        f"<b>{number(hit.value)}</b></a>"
    )


_ORDERS = {"frequency": "tokens", "strength": "largest", "density": "density"}
_TERMS = {"frequency": "frequency", "strength": "strength", "density": "density"}


def counted(view: View, record: ByTokenRecord, source: SourceRecord) -> Html:
    """The features of the table, each once: on how many tokens it is there, how strong, how dense."""
    keys = {
        "frequency": lambda one: -one.frequency,
        "strength": lambda one: -abs(one.strength),
        "density": lambda one: one.density,
    }
    ordered = sorted(record.features, key=keys[view.order])  # stable: the record's own order among equals
    head = join(
        f'<th class="n"{_sorted(view, name)}><a href="{esc(view.to(order=name))}" data-stay="" '
        f'data-tip="{esc(_about(name))}">{label}</a></th>'
        for name, label in _ORDERS.items()
    )
    body = join(_line(view, record, one) for one in ordered[:COUNTED])
    many = len(record.features)
    aside = f"the first {COUNTED} of {many:,}" if many > COUNTED else f"{many:,}"
    return card(
        f'<div class="fs-wide"><table class="fs-table fs-recurring"><thead><tr><th>feature</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>",
        word("Over all tokens", "recurring features"),
        aside,
    )


def _sorted(view: View, name: str) -> str:
    if view.order != name:
        return ""
    return f' aria-sort="{"ascending" if name == "density" else "descending"}"'


def _about(name: str) -> str:
    return f"{define(_TERMS[name])}\nClick to sort by it."


def _line(view: View, record: ByTokenRecord, one: Recurring) -> Html:
    at = record.tokens[one.position].text
    where = f"{one.key.source_id} · {one.key.index}\nstrongest on {at!r}, position {one.position}"
    return Html(
        f'<tr><td><a class="main" href="{esc(links.feature(one.key, view.text))}" data-tip="{esc(where)}">'
        f'{visible(one.label) if one.label else f"#{one.key.index}"}</a></td><td class="n">{one.frequency}</td>'
        f'<td class="n">{number(one.strength)}</td><td class="n">{percent(one.density)}</td></tr>'
    )
