"""Features that are like one, by weights, words and activations; and a feature's rows.

`cossim` is Neuronpedia's route. Where its server takes any pair of sources of one width, and its page drops feature 0,
here rows of another space are refused and every index counts. The first call loads the weights of the sources.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field
from starlette.responses import Response

from api.access import Bench, Json
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, Unicode, Whole
from core.atlas.near import rows
from core.atlas.near.records import By, ChainRecord, FamilyRecord, Side, SimilarHit, SimilarRecord, WiringRecord
from core.interchange import similar as shapes
from core.records import FeatureKey, SourceKey
from core.workbench import Workbench

router = APIRouter(tags=["similar features"])

COUNT, MOST = 10, 128
"""Results of `cossim`, as Neuronpedia has it, and at most."""
View = Literal["similar", "layers", "family", "wiring"]
"""Lists by a measure; twins through the layers; near-duplicates and splits; reads and writes."""
Threshold = Annotated[float, Field(gt=0, le=1)]
ABOUT = {
    "view": "similar: a list by a measure; layers: its twins through the layers; family: near-duplicates, and what it "
    "splits into; wiring: what it reads and writes",
    "by": "the measure of similar and layers",
    "sources": "only these, for example 2-res; all of the model if it is empty",
    "threshold": "the least cosine of a step (layers, 0.5 if it is left out) or of a near-duplicate (family, 0.7)",
}


class Wanted(FeatureReference):
    """A feature, and where to look for its like."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {"modelId": MODEL, "source": SOURCE, "index": INDEX, "targetModelId": MODEL, "targetSourceId": "3-res"}
            ]
        },
    )
    targetModelId: Annotated[str | None, Field(description="the same model, or left out")] = None
    targetSourceId: Annotated[str | None, Field(description="where to look; its own source if it is left out")] = None
    numResults: Annotated[
        Annotated[Whole, Field(ge=1, le=MOST)] | None, Field(description=f"{COUNT} if it is left out; ours")
    ] = None


@router.post("/cossim", summary="Nearest decoder rows in one source", response_model=None)
def cossim(workbench: Bench, body: Wanted) -> Json:
    """By cosine, the nearest first. In its own source the feature itself is first, with 1."""
    key, count = body.key(), body.numResults or COUNT
    there = SourceKey(body.targetModelId or key.model_id, body.targetSourceId or key.source_id)
    inside = there == key.source
    own = SimilarHit(feature=key, value=1.0) if inside else None
    top = max(1, count - inside)
    record = workbench.atlas.similar(key, sources=[there], top=top, chance=False)
    return Json(shapes.cossim(key, own, record.hits[: count - inside]))


class Asked(FeatureReference):
    """A feature, and what of its like."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": MODEL, "source": SOURCE, "index": INDEX, "numResults": 5}]},
    )
    view: Annotated[View | None, Field(description=ABOUT["view"])] = "similar"
    by: Annotated[By | None, Field(description=ABOUT["by"])] = "decoder"
    sources: Annotated[list[Unicode] | None, Field(max_length=256, description=ABOUT["sources"])] = None
    numResults: Annotated[
        Whole | None, Field(description="20 if it is left out; of wiring those of each source, 5", examples=[5])
    ] = None
    threshold: Annotated[Threshold | None, Field(description=ABOUT["threshold"])] = None


@router.post("/similar", summary="What is like a feature", response_model=None)
def similar(workbench: Bench, body: Asked) -> Json:
    """Each value beside what chance gives: what other features of its source have there, and random directions.

    By explanation there are no directions: `pair` is what 95 % of pairs of features are below. By correlation it is the
    others alone.

    Sources that cannot be compared are under `leftOut`, with the reason.
    """
    found = look(
        workbench, body.key(), body.view or "similar", body.by or "decoder", body.sources or (), body.numResults,
        body.threshold,
    )  # fmt: skip
    return Json(shapes.answer(found))


def look(
    bench: Workbench, key: FeatureKey, view: View, by: By, sources: list[str] | tuple[()], count: int | None,
    threshold: float | None,
) -> SimilarRecord | ChainRecord | FamilyRecord | WiringRecord:  # fmt: skip
    """What a request asks of the atlas."""
    if view == "layers":
        return bench.atlas.chain(key, by=by, threshold=threshold or 0.5)
    if view == "family":
        return bench.atlas.family(key, threshold=threshold or 0.7, sources=sources)
    if view == "wiring":
        return bench.atlas.wiring(key, top=5 if count is None else count)
    return bench.atlas.similar(key, by=by, sources=sources, top=20 if count is None else count)


Model = Annotated[str, Path(description="the model", examples=[MODEL])]
Source = Annotated[str, Path(description="the source", examples=[SOURCE])]
Index = Annotated[str, Path(description="0 and up", examples=[str(INDEX)])]


@router.get("/similar/{model_id}/{source_id}/{index}", summary="The same by its address", response_model=None)
def similar_at(
    workbench: Bench,
    model_id: Model,
    source_id: Source,
    index: Index,
    view: Annotated[View, Query(description=ABOUT["view"])] = "similar",
    by: Annotated[By, Query(description=ABOUT["by"])] = "decoder",
    sources: Annotated[str, Query(alias="in", description=f"{ABOUT['sources']}; with commas between")] = "",
    top: Annotated[int | None, Query(ge=1, le=10_000, description="results")] = None,
    threshold: Annotated[Threshold | None, Query(description=ABOUT["threshold"])] = None,
    format: Annotated[Literal["json", "csv"], Query(description="as JSON, or as a table")] = "json",
) -> Response:
    """What `POST /similar` gives."""
    key = FeatureKey.parse(f"{model_id}/{source_id}/{index}")
    names = [name for name in sources.split(",") if name.strip()]
    found = look(workbench, key, view, by, names, top, threshold)
    if format == "csv":
        return _file(shapes.to_csv(found).encode(), "text/csv", f"{model_id}_{source_id}_{index}_{view}.csv")
    return Json(shapes.answer(found))


@router.get("/feature/{model_id}/{source_id}/{index}/vector", summary="A decoder row or encoder row")
def vector(
    workbench: Bench,
    model_id: Model,
    source_id: Source,
    index: Index,
    row: Annotated[Side, Query(description="which: what it writes (decoder) or what it reads (encoder)")] = "decoder",
    format: Annotated[Literal["json", "npy"], Query(description="as JSON, or as a NumPy file")] = "json",
) -> Response:
    """The row as on disk, nothing scaled; `row` and `hook` say which it is and where it belongs.

    So does a file's name. Neuronpedia's `sae-vector` gives the encoder's row and calls it the decoder's.
    """
    found = workbench.atlas.row(FeatureKey.parse(f"{model_id}/{source_id}/{index}"), row)
    if format == "npy":
        return _file(rows.npy(found), "application/octet-stream", rows.file_name(found, "npy"))
    return Json(shapes.row(found))


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
