"""Features as their pages show them: one, several by name, or a source's in pages.

Costs some 5 ms and 90 kB of JSON a feature; `maxActsToReturn` cuts what is sent.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from pydantic import Field

from api.access import Bench, Json, JsonList
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, SourceReference, Whole
from core.interchange import neuronpedia
from core.records import FeatureKey, FeatureRecord

router = APIRouter(tags=["features"])

MOST = 256
"""Features in one answer at most: some 25 MB."""
PAGE = 25
"""Features of a page, as Neuronpedia has it."""


@router.get("/feature/{model_id}/{source_id}/{index}", summary="One feature's dashboard", response_model=None)
def feature(
    workbench: Bench,
    model_id: Annotated[str, Path(description="the model", examples=[MODEL])],
    source_id: Annotated[str, Path(description="the source", examples=[SOURCE])],
    index: Annotated[str, Path(description="0 and up", examples=[str(INDEX)])],
) -> Json:
    """Logits, histograms, relations and `activations`: the ranking and the intervals, strongest first, BOS left out."""
    return Json(_whole(workbench, workbench.feature(FeatureKey.parse(f"{model_id}/{source_id}/{index}"))))


def _whole(workbench: Bench, record: FeatureRecord, most: int | None = None) -> dict[str, Any]:
    """A feature with what is said of it."""
    return neuronpedia.feature(record, most, workbench.words.of(record.key))


class Wanted(FeatureReference):
    """A feature, and how much of it."""

    maxActsToReturn: Annotated[
        Whole | None, Field(description="activations at most; all if it is left out", examples=[3])
    ] = None


@router.post("/features", summary="Several features' dashboards", response_model=None)
def features(
    workbench: Bench,
    body: Annotated[
        list[Wanted],
        Body(
            max_length=MOST,
            examples=[
                [
                    {"modelId": MODEL, "source": SOURCE, "index": INDEX, "maxActsToReturn": 3},
                    {"modelId": MODEL, "source": "3-res", "index": "12"},
                ]
            ],
        ),
    ],
) -> JsonList:
    """The same objects as `feature` gives, in the order of the list, which may mix sources and name a feature twice.

    At most 256 at once. If one of them is not here, none is given, and the message says which it is.
    """
    records = workbench.each_feature([wanted.key() for wanted in body])
    return JsonList(_whole(workbench, r, wanted.maxActsToReturn) for r, wanted in zip(records, body, strict=True))


class Offset(SourceReference):
    """A page of a source."""

    offset: Annotated[Whole | None, Field(description="living features to pass over", examples=[0])] = 0
    limit: Annotated[
        Annotated[Whole, Field(le=MOST)] | None,
        Field(description=f"features of the page, {PAGE} if it is left out, {MOST} at most"),
    ] = PAGE
    maxActsToReturn: Annotated[
        Whole | None, Field(description="activations of each at most; all if it is left out", examples=[3])
    ] = None


@router.post("/features-offset", summary="A source's features in pages", response_model=None)
def features_offset(workbench: Bench, body: Offset) -> JsonList:
    """The features that are not dead, by index, from `offset` on; an empty list after the last.

    `limit` and `maxActsToReturn` are this server's own.
    """
    limit = PAGE if body.limit is None else body.limit
    keys = workbench.living(body.source_key(), offset=body.offset or 0, limit=limit)
    return JsonList(_whole(workbench, record, body.maxActsToReturn) for record in workbench.each_feature(keys))
