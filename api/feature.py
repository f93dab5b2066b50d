"""`GET /feature/{modelId}/{layer}/{index}`: one feature's dashboard."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.access import Bench, Json
from core.interchange import neuronpedia
from core.records import FeatureKey

router = APIRouter(tags=["features"])


@router.get("/feature/{model_id}/{source_id}/{index}", summary="One feature's dashboard", response_model=None)
def feature(
    workbench: Bench,
    model_id: Annotated[str, Path(description="for example gpt2-small")],
    source_id: Annotated[str, Path(description="the source, for example 8-res-jb")],
    index: Annotated[str, Path(description="0 and up")],
) -> Json:
    """Logits, histograms, relations and `activations`: the ranking and the intervals, strongest first, BOS left out."""
    record = workbench.feature(FeatureKey.parse(f"{model_id}/{source_id}/{index}"))
    return Json(neuronpedia.feature(record))
