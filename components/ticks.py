"""Picking features from a list of hits, as HTML: a box to tick on each card, and a bar with what is picked.

Functions from a view; draws nothing itself. A tick is a link to the view with the feature picked, so that it is in the
address, stays over pages, orders and other texts, and is shared with the link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from components import links
from components.markup import Html, esc
from components.search_view import PICKS, View, short
from core.records import FeatureKey

LISTED = "Put them into a list, with a note to each"


class Picking(Protocol):
    """A view in which features are picked."""

    @property
    def picked(self) -> tuple[FeatureKey, ...]:
        """Those that are."""

    def picking(self, key: FeatureKey) -> str:
        """The address with one more of them, or one less."""


def tick(view: Picking, key: FeatureKey, name: str) -> Html:
    """A box on a card or in a line, which picks its feature."""
    on = key in view.picked
    label = esc(f"Select {key.source_id} {key.index}, {name}")
    if not on and len(view.picked) >= PICKS:
        about = esc(f"{PICKS} are selected, and more do not fit into a link. Clear some first.")
        return Html(
            f'<span class="fs-tick" role="checkbox" aria-checked="false" aria-disabled="true" tabindex="0" '
            f'aria-label="{label}" data-tip="{about}"></span>'
        )
    return Html(
        f'<a class="fs-tick" id="pick-{esc(short(key)).replace("/", "-")}" role="checkbox" '
        f'aria-checked="{"true" if on else "false"}" aria-label="{label}" data-stay="" '
        f'data-toggle="picked:{esc(short(key))}" href="{esc(view.picking(key))}"></a>'
    )


def bar(view: View) -> Html:
    """What is picked of the search, and what can be done with it."""
    table = ""
    if view.shown != "picked":
        about = "What is selected, with the text on each of them" if view.text else "What is selected"
        table = f'<a class="fs-btn p" href="{esc(view.to(shown="picked"))}" data-tip="{esc(about)}">As a table</a>'
    return chosen(view.picked, view.to(page=view.page, picked=()), view.text, table)


def chosen(picked: Sequence[FeatureKey], clear: str, text: str = "", more: str = "") -> Html:
    """What is picked; it stays in sight, and takes no room where nothing is picked.

    `clear` is the address without, `text` goes with them into a list, `more` is HTML of other things to do.
    """
    if not picked:
        return Html("")
    count, ids = len(picked), "\n".join(map(str, picked))
    if count == 2 and picked[0].model_id == picked[1].model_id:
        href = links.compare(ids=",".join(map(str, picked)))
        more += f'<a class="fs-btn" href="{esc(href)}" data-tip="One against the other">Compare</a>'
    return Html(
        f'<div class="fs-card fs-bar-picked" role="region" aria-label="Selected features">'
        f'<span role="status"><b>{count:,}</b> selected</span><span class="fs-row">{more}'
        f'<a class="fs-btn" href="{esc(links.quick_list(picked, text=text))}" data-tip="{esc(LISTED)}">'
        f'Make a list</a><button class="fs-btn" type="button" data-copy="{esc(ids)}">Copy ids</button>'
        f'<a class="fs-btn" data-stay="" href="{esc(clear)}">Clear</a></span></div>'
    )
