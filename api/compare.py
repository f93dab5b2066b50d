"""Comparisons: what fires with a feature, sources side by side, their matched pairs, one feature against another.

All are this server's own. To read a prompt runs the model; to compare features does where the activation stores are
not here; the others read what was kept, or the stores.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import INDEX, MODEL, SOURCE, TEXT, Unicode
from core.errors import BadInput
from core.interchange import compared
from core.records import FeatureKey, SourceKey

router = APIRouter(tags=["compare"])

MOST = 100
"""Features of a list, and pairs of a page."""
Threshold = Annotated[float, Query(gt=0, le=1, description="the correlation from which a best match is a partner")]


@router.get("/together/{model_id}/{source_id}/{index}", summary="What fires together with a feature")
def together(
    workbench: Bench,
    model_id: Annotated[str, Path(description="the model", examples=[MODEL])],
    source_id: Annotated[str, Path(description="the source", examples=[SOURCE])],
    index: Annotated[str, Path(description="0 and up", examples=[str(INDEX)])],
    sources: Annotated[str, Query(description="only these, with commas between; all of the model without")] = "",
    window: Annotated[int, Query(ge=0, le=64, description="tokens on either side; 0 is the same token")] = 0,
    top: Annotated[int, Query(ge=1, le=MOST, description="features of each list")] = 8,
) -> Json:
    """By source: the most correlated, those that fire together beyond chance, and those that avoid it.

    `live` says that it was read from the activation stores; else it is each feature's kept best, without a window.
    """
    key = FeatureKey.parse(f"{model_id}/{source_id}/{index}")
    named = [SourceKey(model_id, name) for name in _names(sources)]
    return Json(compared.together(workbench.atlas.together(key, named, window=window, top=top)))


@router.get("/compare", summary="Sources side by side")
def compare(
    workbench: Bench,
    modelId: Annotated[str, Query(description="the model", examples=[MODEL])],
    sources: Annotated[str, Query(description="two to twelve, with commas between", examples=["2-res,3-res"])],
    threshold: Threshold = 0.5,
) -> Json:
    """Facts, densities in shared bins, concepts, and of each pair how many features are found again.

    `missing` are pairs that nobody has related yet, with what would.
    """
    keys = [SourceKey(modelId, name) for name in _names(sources)]
    return Json(compared.sources(workbench.atlas.compare(keys, threshold=threshold)))


@router.get("/compare/matches", summary="The matched pairs of two sources")
def matches(
    workbench: Bench,
    modelId: Annotated[str, Query(description="the model", examples=[MODEL])],
    sources: Annotated[str, Query(description="two, with a comma between", examples=["2-res,3-res"])],
    threshold: Threshold = 0.5,
    offset: Annotated[int, Query(ge=0, le=10**9, description="pairs to pass over")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST, description="pairs in the answer")] = 25,
) -> Json:
    """Pairs of which each is the other's best by correlation, and some features without a partner."""
    keys = [SourceKey(modelId, name) for name in _names(sources)]
    if len(keys) != 2:
        raise BadInput("sources: name two, with a comma between.")
    record = workbench.atlas.matches(*keys, threshold=threshold, top=limit, offset=offset)
    return Json(compared.matches(record))


@router.get("/compare/features", summary="One feature against another")
def features(
    workbench: Bench,
    ids: Annotated[
        str,
        Query(description="two ids, with a comma between", examples=[f"{MODEL}/{SOURCE}/{INDEX},{MODEL}/3-res/12"]),
    ],
) -> Json:
    """On how many tokens both fire, one or neither, their correlation and cosine, and texts on which only one fires."""
    keys = [FeatureKey.parse(name) for name in _names(ids)]
    if len(keys) != 2:
        raise BadInput("ids: name two features, with a comma between.")
    return Json(compared.features(workbench.atlas.versus(*keys)))


class Read(BaseModel):
    """A prompt, and by which sources it is read."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"modelId": MODEL, "sources": [SOURCE, "3-res"], "text": TEXT}]}
    )
    modelId: Annotated[Unicode, Field(description="the model")]
    sources: Annotated[list[Unicode], Field(min_length=2, max_length=12, description="two to twelve, as 2-res")]
    text: Annotated[Unicode, Field(description="the prompt")]


@router.post("/compare/read", summary="One prompt in the codes of some sources", response_model=None)
def read(workbench: Bench, body: Read) -> Json:
    """Of each source its most surprising features, with values at all `tokens`.

    `partner` is a feature's best match by correlation in the other source of the first two, or in the first for those
    after them; `activeHere` says whether that is active on this prompt too.
    """
    keys = [SourceKey(body.modelId, name) for name in body.sources]
    return Json(compared.read(workbench.atlas.read(keys, body.text)))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
