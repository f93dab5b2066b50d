"""The page of attribution graphs at work: reads its view from the URL, has the graph made, draws and keeps it.

The whole graph is kept in the activation cache below, so that other shares of influence run no model. What is clicked,
pinned and put together changes the address alone, in the browser; only to keep a graph it comes here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from components import circuit, controls, graph_panels, graph_part, graph_view, links, people, resources, searching
from components.circuit_parts import STYLE
from components.graph_view import View
from components.markup import note
from core.errors import BadInput, Conflict, WorkbenchError
from core.interchange import graphs as shape
from core.records import ModelRecord, Records
from core.techniques.graphs.records import GraphEntry, GraphRecord, Way

LARGEST = shape.LARGEST >> 20
PART, SHARES = "graph-part", "graph-shares"
"""Of the session: what the browser fired, and the shares that it moved to since the page was opened."""


def ways() -> dict[str, dict[str, Way]]:
    """The models of which a graph can be made, each with its sets; the one that a page falls back to first."""
    found = {name: resources.workbench().graphs.sets(name) for name in searching.models()}
    return {name: sets for name, sets in found.items() if sets}


def view(here: Mapping[str, Mapping[str, Way]]) -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if no graph can be made here."""
    query = st.query_params.to_dict()
    if not here and not query.get("slug"):
        controls.say("No model here has transcoders for every layer, or residual SAEs, with their weights.")
        return None
    found, wrong = graph_view.read(query, list(here) or [query.get("model", "")], {k: list(v) for k, v in here.items()})
    for message in wrong:
        controls.say(message)
    return found


def form(asked: View, here: Mapping[str, Mapping[str, Way]]) -> None:
    """The boxes to ask with, where there is a model to ask."""
    if here:
        model_id = asked.model_id if asked.model_id in here else next(iter(here))
        models: list[ModelRecord] = [resources.workbench().model(name) for name in here]
        st.html(graph_panels.form(replace(asked, model_id=model_id), models, here[model_id]))


def page(asked: View) -> None:
    """Draw the graph, or where it will be, or what keeps it from being made; before a prompt the ways in."""
    st.html(STYLE)
    st.session_state.pop(SHARES, None)
    if asked.slug:
        record = controls.attempt(lambda: resources.workbench().graphs.load(asked.model_id, asked.slug))
        if record is not None:
            _drawn(asked, record)
        return
    if not asked.text:
        st.html(graph_panels.examples(asked, resources.circuits()) + graph_panels.kept(_kept()))
        _open()
        return
    place, made = searching.follow(_begin(asked), asked.model_id, st.container(key="fs-graph"))
    if isinstance(made, str):
        place.html(graph_panels.failed(asked, made))
        return
    with place.container():
        _drawn(asked, made)


def _kept() -> Records[GraphEntry]:
    return resources.workbench().graphs.kept()


def _begin(asked: View) -> resources.Job[GraphRecord]:
    return resources.graph(asked.ask(), circuit.stamp(asked.model_id))


@st.fragment
def _drawn(asked: View, record: GraphRecord) -> None:
    """The graph with what is said of it; drawn again by itself when other shares are to be kept."""
    if shares := st.session_state.get(SHARES):
        moved = replace(asked, nodes=shares[0], edges=shares[1])
        job = _begin(moved)
        found = job.outcome() if job.wait(circuit.WAIT) else circuit.LATE
        asked, record = (asked, record) if isinstance(found, str) else (moved, found)
    st.html(graph_panels.about(record, slug=bool(asked.slug)))
    file = shape.write(record)
    mark = hashlib.sha256(repr((record.slug, asked, record.made if asked.slug else "")).encode()).hexdigest()
    data = {
        "file": file, "pages": _pages(record), "keeps": people.kept(), "prunes": not asked.slug,
        "nodes": asked.nodes, "edges": asked.edges, "mark": mark,
    }  # fmt: skip
    graph_part.part(data, key=PART, on_prune=_pruned, on_keep=lambda: None)
    if fired := getattr(st.session_state.get(PART), "keep", None):
        _keep(record, fired)


def _pruned() -> None:
    """The shares that the sliders say; the browser has put them into the address."""
    fired = getattr(st.session_state.get(PART), "prune", None) or {}
    said = {name: str(fired.get(name, "")) for name in ("nodes", "edges")}
    now, _ = graph_view.read(said, [""], {"": []})
    st.session_state[SHARES] = (now.nodes, now.edges)


def _pages(record: GraphRecord) -> dict[str, dict[str, str]]:
    """Where each feature is shown, and how to steer with it, if its source is here."""
    here = {str(one.key): one for one in resources.workbench().sources(model_id=record.model_id)}
    found = {}
    for one in record.nodes:
        source = None if one.key is None else here.get(str(one.key.source))
        if one.key is None or source is None or one.key.index >= source.width:
            continue
        found[one.id] = {"feature": links.feature(one.key)}
        if "weights" in source.has:
            found[one.id]["steer"] = links.steer(one.key, prompt=record.prompt)
    return found


def edited(record: GraphRecord, said: Mapping[str, Any]) -> GraphRecord:
    """The graph with what a browser says that a person made of it.

    Raises:
        BadInput: it is no such thing.
    """
    pairs = said.get("labels")
    rows = [one for one in (pairs if isinstance(pairs, list) else []) if isinstance(one, list) and len(one) == 2]
    labels = {str(id): str(label) for id, label in rows}
    file = shape.write(replace(record, slug=str(said.get("slug", ""))))
    for node in file["nodes"]:
        if node["node_id"] in labels and node["feature_type"] != "logit":
            node["clerp"] = labels[node["node_id"]]
    file["qParams"] |= {
        "pinnedIds": said.get("pinned", []), "supernodes": said.get("supernodes", []),
        "clickedId": said.get("clicked", ""),
    }  # fmt: skip
    if not shape.SLUG.fullmatch(file["metadata"]["slug"]):
        raise BadInput("A graph's name is 1 to 100 letters, digits, “-” and “_”.")
    return shape.read(file)


def _keep(record: GraphRecord, said: Mapping[str, Any]) -> None:
    """Keeps the graph under the name that was written, and opens it."""
    if people.people().me is None:
        st.html(note("Sign in to keep this graph; its link and its file hold it until then."))
        return
    try:
        kept = resources.workbench().graphs.save(edited(record, said))
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    st.switch_page("graph.py", query_params={"model": kept.model_id, "slug": kept.slug})


def _open() -> None:
    """A graph from a file: kept under its own name, or under the next that is free."""
    if not people.kept():
        return
    st.html('<h2 class="fs-h2">Or open a file</h2>')
    given = st.file_uploader(
        "A graph of circuit-tracer, of Neuronpedia or of this page, as JSON", type="json", key="graph-file",
        max_upload_size=LARGEST,
    )  # fmt: skip
    if given is None:
        return
    if people.people().me is None:
        st.html(note("Sign in to bring a graph."))
        return
    try:
        record = _brought(shape.read(given.getvalue()))
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    st.switch_page("graph.py", query_params={"model": record.model_id, "slug": record.slug})


def _brought(record: GraphRecord) -> GraphRecord:
    graphs = resources.workbench().graphs
    for n in range(1, 100):
        name = record.slug if n == 1 else f"{record.slug[:95]}-{n}"
        try:
            return graphs.save(replace(record, slug=name))
        except Conflict:
            if replace(graphs.load(record.model_id, name), slug="") == replace(record, slug=""):
                return replace(record, slug=name)  # the same file once more
    raise Conflict(f"There are too many graphs called {record.slug}: give the file another name inside.")
