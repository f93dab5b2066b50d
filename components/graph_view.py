"""What the page of attribution graphs shows, as a frozen value: from a link, changed into other links. Draws nothing.

What a person makes of a graph (the node that is looked at, pinned ones, supernodes, labels) stands in the link too,
under Neuronpedia's names, and is read and written in the browser (`components.graph_part`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components import links
from core.interchange.graphs import SLUG
from core.techniques.graphs.records import EDGES, NODES, GraphAsk

EDITS = ("clickedId", "pinnedIds", "supernodes", "clerps")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    model_id: str
    text: str = ""
    slug: str = ""
    """A graph that is kept, instead of a prompt."""
    set_name: str = ""
    target: tuple[str, ...] = ()
    nodes: float = NODES
    edges: float = EDGES

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "model": self.model_id, "slug": self.slug, "text": self.text, "set": self.set_name,
            "target": "|".join(self.target), "nodes": "" if self.nodes == NODES else f"{self.nodes:g}",
            "edges": "" if self.edges == EDGES else f"{self.edges:g}",
        }  # fmt: skip

    def to(self, **changes: Any) -> str:
        """The address of this view with changes."""
        return links.graph(**replace(self, **changes).parameters())

    def ask(self) -> GraphAsk:
        """What the workbench is asked."""
        return GraphAsk(
            model_id=self.model_id, text=self.text, set_name=self.set_name, target=self.target, nodes=self.nodes,
            edges=self.edges,
        )  # fmt: skip

    def python(self) -> str:
        """The line that gets the same in a notebook."""
        begins = "from core.workbench import Workbench; "
        if self.slug:
            return f"{begins}graph = Workbench().graphs.load({self.model_id!r}, {self.slug!r})"
        ask, usual = self.ask(), GraphAsk(model_id="", text="")
        names = ("set_name", "target", "nodes", "edges")
        more = "".join(
            f", {name}={getattr(ask, name)!r}" for name in names if getattr(ask, name) != getattr(usual, name)
        )
        return (
            f"{begins}from core.techniques.graphs.records import GraphAsk; "
            f"graph = Workbench().graph(GraphAsk(model_id={self.model_id!r}, text={self.text!r}{more}))"
        )


def read(
    query: Mapping[str, str], models: Sequence[str], sets: Mapping[str, Sequence[str]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it. `models` is not empty; `sets` are those of each.

    A graph that is kept may be of a model that is not here.
    """
    wrong: list[str] = []
    asked, slug = query.get("model", "").strip(), query.get("slug", "").strip()
    if slug and not SLUG.fullmatch(slug):
        wrong.append(f"“{slug[:60]}” is no name of a graph.")
        slug = ""
    if slug and asked:
        return View(model_id=asked[:96], slug=slug), wrong
    if asked and asked not in models:
        wrong.append(f"No graph can be made of a model “{asked[:60]}” here. It can of: {', '.join(models)}.")
    model_id = asked if asked in models else models[0]
    name = query.get("set", "").strip()
    if name and name not in sets.get(model_id, ()):
        wrong.append(f"{model_id} has no set “{name[:60]}” of which a graph can be made.")
        name = ""
    text = query.get("text", "")
    target = tuple(part for part in query.get("target", "").replace("␣", " ").split("|") if part)[:15]
    return View(
        model_id=model_id, text=text if text.strip() else "", set_name=name, target=target,
        nodes=_share(query.get("nodes", ""), "nodes", NODES, wrong),
        edges=_share(query.get("edges", ""), "edges", EDGES, wrong),
    ), wrong  # fmt: skip


def _share(text: str, name: str, usual: float, wrong: list[str]) -> float:
    try:
        value = float(text) if text.strip() else usual
    except ValueError:
        value = 0.0
    if 0 < value <= 1:
        return value
    wrong.append(f"“{name}” of the link is a share from above 0 to 1; “{text[:20]}” is not.")
    return usual
