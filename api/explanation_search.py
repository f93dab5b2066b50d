"""Explanations by meaning and by words, over a model, a release, some sources or all; and an export of them.

Neuronpedia’s paths and JSON. Its pages are cut before its filters, so that they come out short and `hasMore` is wrong;
here filters come first. The next page is asked for by `offset`, which the one before gives as `nextOffset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from api.access import Bench, Json
from api.bodies import MODEL, SOURCE, ModelId, Unicode, Whole
from core.errors import BadInput
from core.explain.records import Origin, Rank
from core.interchange import explanations, found
from core.records import SourceKey
from core.workbench import Workbench

router = APIRouter(tags=["explanation"])

PAGE = 20
"""Results of a page, as Neuronpedia has it, unless `numResults` says otherwise."""
ROWS, MOST_ROWS = 1000, 10_000
"""Explanations of one page of an export, unless it is the whole as lines."""
NAMES = 256
QUERY = "family"
Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[list[str], Field(max_length=NAMES)]


class Asked(BaseModel):
    """A query and how its results are chosen; all but the query may be left out."""

    query: Annotated[
        Unicode, Field(description="what a feature should be about, at least 3 characters", examples=[QUERY])
    ]
    offset: Annotated[Whole | None, Field(description="results to pass over: the page before's nextOffset")] = 0
    numResults: Annotated[
        Whole | None, Field(description="results of the page, 20 if it is left out, 100 at most; ours", examples=[5])
    ] = None
    rank: Annotated[
        Rank | None,
        Field(
            description="order by both (the mean of cosine similarity and of the share of the query’s words), by "
            "meaning alone as Neuronpedia does, or by words alone, which needs no embedder; ours"
        ),
    ] = "both"
    origins: Annotated[
        list[Origin] | None, Field(description="only explanations from data, models, people or imports; ours")
    ] = None
    typeNames: Annotated[Names | None, Field(description="only explanations of these methods; ours")] = None
    explanationModelNames: Annotated[Names | None, Field(description="only those that these models wrote; ours")] = None
    authorIds: Annotated[Names | None, Field(description="only those that these people wrote; ours")] = None
    minDensity: Annotated[Share | None, Field(description="leave out features active on fewer tokens; ours")] = None
    maxDensity: Annotated[
        Share | None, Field(description="leave out features active on a larger share of tokens; ours")
    ] = None
    minScore: Annotated[
        Annotated[float, Field(allow_inf_nan=False)] | None,
        Field(description="leave out explanations whose own score is less, or that have none; ours"),
    ] = None
    includeDead: Annotated[bool | None, Field(description="also features that are never active; ours")] = False


class InSources(Asked):
    """The same in some sources of a model."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"modelId": MODEL, "layers": [SOURCE], "query": QUERY, "numResults": 5}]}
    )
    modelId: ModelId
    layers: Annotated[
        Names | None, Field(description="the sources, for example 2-res; all of the model if it is empty")
    ] = None


class InModel(Asked):
    """The same in all sources of a model."""

    modelId: ModelId


class InRelease(Asked):
    """The same in all sources of a release."""

    releaseName: Annotated[str, Field(description="the release", examples=["demo"])]


@router.post("/explanation/search", summary="Explanations in some sources, by meaning and words", response_model=None)
def search(workbench: Bench, body: InSources) -> Json:
    """The nearest first; `cosine_similarity` is that of the embeddings of query and explanation.

    `total`, `score`, `words` (the share of the query's words that the explanation has, by weight), `matched` (those
    words), `origin`, `trust` (the explanation’s own score) and `scorer` are this server’s own. `resultsCount` is how
    many are in this answer. Features that are never active are left out unless `includeDead`.
    """
    return _found(workbench, body, model_id=body.modelId, sources=body.layers or ())


@router.post("/explanation/search-model", summary="Explanations in a model", response_model=None)
def search_model(workbench: Bench, body: InModel) -> Json:
    """The same in all sources of a model."""
    return _found(workbench, body, model_id=body.modelId)


@router.post("/explanation/search-release", summary="Explanations in a release", response_model=None)
def search_release(workbench: Bench, body: InRelease) -> Json:
    """The same in all sources of a release, of whatever model."""
    return _found(workbench, body, release=body.releaseName)


@router.post("/explanation/search-all", summary="Explanations in everything", response_model=None)
def search_all(workbench: Bench, body: Asked) -> Json:
    """The same in everything that is here."""
    return _found(workbench, body)


def _found(
    workbench: Workbench,
    body: Asked,
    *,
    model_id: str | None = None,
    sources: Sequence[str] = (),
    release: str | None = None,
) -> Json:
    most = workbench.settings.max_results
    count = min(PAGE, most) if body.numResults is None else body.numResults
    if not 1 <= count <= most:
        raise BadInput(f"numResults: {count:,} is not between 1 and {most}.")
    record = workbench.words.find(
        body.query,
        model_id=model_id,
        sources=sources,
        release=release,
        rank=body.rank or "both",
        origins=body.origins or (),
        methods=body.typeNames or (),
        models=body.explanationModelNames or (),
        authors=body.authorIds or (),
        densest=body.maxDensity,
        sparsest=body.minDensity or 0.0,
        dead=bool(body.includeDead),
        trusted=body.minScore,
        top=count,
        offset=body.offset or 0,
    )
    return Json(found.search(record, body.model_dump(exclude_none=True)))


@router.get("/explanation/export", summary="All explanations of a source or a model, with their scores")
def export(
    workbench: Bench,
    modelId: Annotated[str, Query(description="the model; all models without one")] = "",
    sourceId: Annotated[str, Query(description="one source of it, for example 2-res; all without one")] = "",
    offset: Annotated[int, Query(ge=0, le=10**9, description="explanations to pass over")] = 0,
    limit: Annotated[
        int,
        Query(ge=0, le=MOST_ROWS, description=f"explanations in the answer; without it {ROWS:,}, as jsonl all of them"),
    ] = 0,
    format: Annotated[
        Literal["json", "jsonl"], Query(description="a page with hasMore and nextOffset, or a line each")
    ] = "json",
) -> Response:
    """By source, feature and id. As JSON a page; as JSON lines all of them, or `limit` after the first `offset`."""
    if sourceId and not modelId:
        raise BadInput("sourceId: name its model too, as modelId.")
    keys = [SourceKey(modelId, sourceId)] if sourceId else [s.key for s in workbench.sources(model_id=modelId or None)]
    if modelId:
        workbench.model(modelId)
    if format == "jsonl":
        name = f"explanations_{modelId or 'all'}{f'_{sourceId}' if sourceId else ''}.jsonl"
        lines = (
            orjson.dumps(explanations.explanation(one, details=False), option=orjson.OPT_APPEND_NEWLINE)
            for one in workbench.words.export(keys, offset=offset, limit=limit or None)
        )
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        pieces = _whole(lines)
        first = next(pieces)  # what keeps it from being read is said before the answer begins
        return StreamingResponse(chain([first], pieces), media_type="application/x-ndjson", headers=headers)
    count = limit or ROWS
    rows = [
        explanations.explanation(one, details=False)
        for one in workbench.words.export(keys, offset=offset, limit=count + 1)
    ]
    more = len(rows) > count
    return Json(
        {
            "results": rows[:count],
            "resultsCount": min(count, len(rows)),
            "hasMore": more,
            "nextOffset": offset + count if more else None,
        }
    )


def _whole(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Some lines at a time: each piece is a change of thread."""
    held: list[bytes] = []
    for line in lines:
        held.append(line)
        if len(held) == 256:
            yield b"".join(held)
            held.clear()
    yield b"".join(held)
