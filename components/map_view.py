"""What the page of maps shows, as a frozen value: from a link, changed into other links. Draws nothing.

Where the map stands, what is found on it and which feature is looked at change in the browser, which writes them into
the address itself; here they are read for a link that is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from components import links
from components.search_view import spelled
from core.records import SourceKey, SourceRecord

Of = Literal["decoder", "explanation"]
COLOURS = ("cluster", "layer", "source", "density", "score", "kind", "method")
LONGEST = 200
ALL = "all"
"""In a link in place of every source's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    model_id: str
    sources: tuple[SourceKey, ...]
    """Those that lie on the map."""
    of: Of = "explanation"
    colour: str = ""
    """By what points are coloured; empty for what suits the map."""
    query: str = ""
    place: tuple[float, float, float] | None = None
    """(x, y, zoom); None for all of it."""
    at: str = ""
    """The feature that is looked at."""

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters."""
        return {
            "model": self.model_id,
            "sources": ",".join(key.source_id for key in self.sources),
            "of": self.of,
            "colour": self.colour,
            "q": self.query,
            "view": ",".join(f"{v:g}" for v in self.place) if self.place else "",
            "at": self.at,
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; another map is shown whole."""
        fresh: dict[str, Any] = {} if changes.keys() <= {"colour", "query", "at"} else {"place": None}
        shown = replace(self, **fresh, **changes).parameters()
        return links.map_(**(shown if "sources" not in changes or changes["sources"] else shown | {"sources": ALL}))


def read(
    query: Mapping[str, str], models: Sequence[str], sources: Callable[[str], Sequence[SourceRecord]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it; `sources` gives those of a model."""
    wrong: list[str] = []
    named = [part.strip() for part in query.get("sources", "").split(",") if part.strip()]
    model_id = query.get("model", "").strip() or next((part.split("/")[0] for part in named if "/" in part), "")
    if model_id and model_id not in models:
        wrong.append(f"There is no model “{model_id[:60]}” here. There is: {', '.join(models)}.")
        model_id = ""
    model_id = model_id or models[0]
    records = sources(model_id)
    known = {record.key.source_id: record.key for record in records}
    asked = [part.removeprefix(f"{model_id}/") for part in named] if named != [ALL] else list(known)
    for part in (part for part in asked if part not in known):
        wrong.append(f"There is no source “{part[:80]}” of {model_id} here. There is: {', '.join(known)}.")
    keys = {known[part] for part in asked if part in known}
    of = query.get("of", "").strip()
    if of and of not in get_args(Of):
        wrong.append(f"“{of[:60]}” is no value of “of” in a link: {', '.join(get_args(Of))} are.")
        of = ""
    colour = query.get("colour", "").strip()
    if colour and colour not in COLOURS:
        wrong.append(f"“{colour[:60]}” is no value of “colour” in a link: {', '.join(COLOURS)} are.")
        colour = ""
    view = View(
        model_id=model_id, sources=spelled(keys, records) or tuple(sorted(keys)) or first(records), colour=colour,
        of=of if of in get_args(Of) else "explanation",  # type: ignore[arg-type]  # asked just here
        query=query.get("q", "").strip()[:LONGEST], place=_place(query.get("view", ""), wrong),
        at=query.get("at", "").strip()[:LONGEST],
    )  # fmt: skip
    return view, wrong


def first(records: Sequence[SourceRecord]) -> tuple[SourceKey, ...]:
    """What is shown where nothing is named: the sources of the first set."""
    if not records:
        return ()
    name = records[0].key.set_name
    return tuple(record.key for record in records if record.key.set_name == name)


def _place(text: str, wrong: list[str]) -> tuple[float, float, float] | None:
    if not text.strip():
        return None
    try:
        x, y, zoom = (float(part) for part in text.split(","))
        if abs(x) <= 2 and abs(y) <= 2 and 0 < zoom <= 1000:
            return x, y, zoom
    except ValueError:
        pass
    wrong.append(f"“view” of the link is x, y and zoom, such as 0.1,-0.3,4; “{text[:60]}” is not. All is shown.")
    return None
