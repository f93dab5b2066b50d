"""Attribution graphs over HTTP, under Neuronpedia's names: made, kept, read, listed, deleted.

A graph is circuit-tracer's JSON (`core.interchange.graphs`). Neuronpedia's client makes one and gets what is known of
it: `generate` with a slug keeps the graph under it; without one it is in the answer. To keep one takes a person; to
delete one somebody whose workbench this is, or a moderator.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json, Who, _people
from api.bodies import MODEL, ModelId, Unicode
from core.errors import BadInput, NotAllowed, NotSignedIn
from core.interchange import graphs as shape
from core.techniques.graphs.records import CHANCE, EDGES, FEATURES, LOGITS, NODES, GraphAsk, GraphEntry, GraphRecord
from core.workbench import Workbench

router = APIRouter(prefix="/graph", tags=["attribution graphs"])

PROMPT, NAME = "My mother and her", "my-mother"
Model = Annotated[str, Path(description="the model", examples=[MODEL])]
Slug = Annotated[str, Path(description="what the graph is called", examples=[NAME])]
Name = Annotated[Unicode, Field(max_length=100, description="what to call it: letters, digits, “-” and “_”")]
Share = Annotated[float, Field(gt=0, le=1)]


class Asked(BaseModel):
    """A prompt, whose features, and how much to keep."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"modelId": MODEL, "prompt": PROMPT, "slug": NAME}]},
    )
    modelId: ModelId
    prompt: Annotated[Unicode, Field(max_length=10_000, description="at most 64 tokens")]
    slug: Annotated[Name, Field(description="keeps the graph under this name; without it the graph is answered")] = ""
    sourceSetName: Annotated[
        Unicode, Field(max_length=96, description="whose features; transcoders of every layer if it is left out")
    ] = ""
    target: Annotated[
        tuple[Unicode, ...], Field(max_length=15, description="next tokens as nodes; the likeliest if left out")
    ] = ()
    maxNLogits: Annotated[int, Field(ge=1, le=15)] = LOGITS
    desiredLogitProb: Share = CHANCE
    nodeThreshold: Annotated[Share, Field(description="the share of influence that the kept nodes hold")] = NODES
    edgeThreshold: Annotated[Share, Field(description="the share that the kept edges hold")] = EDGES
    maxFeatureNodes: Annotated[int, Field(ge=1, le=10_000, description=f"at most {FEATURES:,} are taken")] = FEATURES

    def ask(self) -> GraphAsk:
        """As the workbench is asked."""
        return GraphAsk(
            model_id=self.modelId, text=self.prompt, set_name=self.sourceSetName, target=self.target,
            logits=self.maxNLogits, chance=self.desiredLogitProb, nodes=self.nodeThreshold, edges=self.edgeThreshold,
            features=min(self.maxFeatureNodes, FEATURES),
        )  # fmt: skip


class Given(BaseModel):
    """A graph to keep, in circuit-tracer's JSON."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"slug": "by-hand", "graph": {
        "metadata": {"slug": "by-hand", "scan": MODEL, "prompt_tokens": ["a"], "prompt": "a"}, "qParams": {},
        "nodes": [{"node_id": "E_1_0", "feature": 0, "layer": "E", "ctx_idx": 0, "feature_type": "embedding",
                   "jsNodeId": "E_1-0", "clerp": "a"}],
        "links": [],
    }}]})  # fmt: skip
    graph: Annotated[dict[str, Any], Field(description="metadata, qParams, nodes, links")]
    slug: Annotated[Name, Field(description="what to call it; its own name if it is left out")] = ""


class Which(BaseModel):
    """A graph that is kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"modelId": MODEL, "slug": NAME}]})
    modelId: ModelId
    slug: Name


@router.post("/generate", summary="The attribution graph of a prompt", response_model=None)
def generate(
    workbench: Bench, request: Request, body: Asked,
    key: Annotated[str, Header(alias="X-Api-Key", description="a key of yours, to keep the graph")] = "",
) -> Json:  # fmt: skip
    """Exact direct effects where the set has a transcoder for every layer, else activation × gradient between SAEs.

    With a `slug` the graph is kept, `url` is its page and `s3url` its file; without one it is in the answer.
    """
    if body.slug:
        _person(_people(request, key))
        if not shape.SLUG.fullmatch(body.slug):
            raise BadInput(f"“{body.slug}” is no name for a graph: 1 to 100 letters, digits, “-” and “_”.")
    record = workbench.graph(body.ask())
    counts = {"numNodes": len(record.nodes), "numLinks": len(record.links)}
    if not body.slug:
        view = urlencode({"model": record.model_id, "text": record.prompt, "set": record.set_name}, quote_via=quote)
        url = f"{_site(request)}/graph?{view}"
        return Json({"message": "Success", "url": url} | counts | {"graph": shape.write(record)})
    return Json(_saved(workbench, request, record, body.slug) | counts)


@router.post("/save", summary="Keep a graph", response_model=None)
def save(workbench: Bench, request: Request, who: Who, body: Given) -> Json:
    """Of ours, of circuit-tracer or of Neuronpedia, with its pinned nodes and supernodes; its model need not be here.

    A name that is taken is refused.
    """
    _person(who)
    record = shape.read(body.graph)
    return Json(_saved(workbench, request, record, body.slug or record.slug))


@router.post("/list-owned", summary="Every graph that is kept", response_model=None)
def owned(workbench: Bench, request: Request) -> Json:
    """The newest first; a body is not read."""
    return Json([_metadata(request, one, ()) for one in workbench.graphs.kept()])


@router.get("/{model_id}/{slug}", summary="What is known of a graph", response_model=None)
def get(workbench: Bench, request: Request, model_id: Model, slug: Slug) -> Json:
    """`url` is its file, in circuit-tracer's JSON."""
    one = workbench.graphs.load(model_id, slug)
    entry = GraphEntry(
        model_id=model_id, slug=slug, prompt=one.prompt, nodes=len(one.nodes), links=len(one.links), made=one.made
    )
    return Json(_metadata(request, entry, one.tokens))


@router.get("/{model_id}/{slug}/file", summary="A graph's file", response_model=None)
def file(workbench: Bench, model_id: Model, slug: Slug) -> Json:
    """As circuit-tracer's and Neuronpedia's own pages read it."""
    return Json(shape.write(workbench.graphs.load(model_id, slug)))


@router.post("/delete", summary="Delete a graph", response_model=None)
def delete(workbench: Bench, who: Who, body: Which) -> Json:
    """Only where the workbench is yours, or you moderate it."""
    if not _person(who).moderates:
        raise NotAllowed("Only a moderator deletes graphs of a shared workbench.")
    workbench.graphs.drop(body.modelId, body.slug)
    return Json({"message": "Success"})


def _person(who: Any) -> Any:  # a `People`; naming it would bring SQLAlchemy into every start
    if who.me is None:
        raise NotSignedIn("Sign in to keep graphs: send an API key of your account page as X-Api-Key.")
    return who.me


def _saved(workbench: Workbench, request: Request, record: GraphRecord, slug: str) -> dict[str, Any]:
    kept = workbench.graphs.save(replace(record, slug=slug))
    found = _addresses(request, kept.model_id, kept.slug)
    return {"message": "Graph saved", "s3url": found[1], "url": found[0]}


def _metadata(request: Request, one: GraphEntry, tokens: tuple[str, ...]) -> dict[str, Any]:
    return shape.entry(one) | {
        "id": f"{one.model_id}/{one.slug}", "promptTokens": list(tokens), "titlePrefix": "",
        "url": _addresses(request, one.model_id, one.slug)[1],
    }  # fmt: skip


def _addresses(request: Request, model_id: str, slug: str) -> tuple[str, str]:
    """(the page of a graph, its file)."""
    page = f"{_site(request)}/graph?{urlencode({'model': model_id, 'slug': slug})}"
    return page, f"{str(request.base_url).rstrip('/')}/graph/{quote(model_id)}/{quote(slug)}/file"


def _site(request: Request) -> str:
    return str(request.base_url).rstrip("/").removesuffix("/api")
