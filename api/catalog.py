"""What is here: every source with its facts, and the same as Neuronpedia's models, releases and source sets."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path

from api.access import Bench, Json
from api.bodies import MODEL
from core.errors import NotFound
from core.interchange import directory, neuronpedia

router = APIRouter(tags=["catalog"])


@router.get("/catalog", summary="Every source with its facts", response_model=None)
def catalog(workbench: Bench) -> Json:
    """`has` says what is at hand of a source: dashboards, weights, store."""
    return Json({"sources": [neuronpedia.catalog_entry(source) for source in workbench.sources()]})


@router.get("/global", summary="Every model and release", response_model=None)
@router.post("/global", include_in_schema=False, response_model=None)
def everything(workbench: Bench) -> Json:
    """`models` and `releases`, each with its source sets and their sources. Explanation and score types are empty."""
    return Json(directory.everything(workbench.models(), workbench.releases(), workbench.sources()))


@router.get("/source-set/{model_id}/{name}", summary="One source set", response_model=None)
def source_set(
    workbench: Bench,
    model_id: Annotated[str, Path(description="the model", examples=[MODEL])],
    name: Annotated[str, Path(description="the set: a source's id without its layer", examples=["res"])],
) -> Json:
    """The set and its `sources`, by layer; of one that is being uploaded also those without features yet."""
    with suppress(NotFound):
        return Json(workbench.bring.staging.set(model_id, name))
    own = workbench.sources(model_id=workbench.model(model_id).model_id)
    members = [source for source in own if source.key.set_name == name]
    if not members:
        names = ", ".join(sorted({source.key.set_name for source in own}))
        raise NotFound(f"{model_id} has no source set “{name[:96]}” here. It has: {names}.")
    return Json(directory.source_set(members))
