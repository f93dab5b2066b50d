"""Probes over HTTP: a direction that tells two sets of texts apart, with what it does on held-out texts. Ours."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.asks import ModelName
from api.bodies import MODEL, SOURCE, FeatureReference, Unicode
from core.interchange import probes as shape
from core.techniques.probe import MOST

router = APIRouter(prefix="/probe", tags=["probes"])

LAYER = SOURCE.split("-")[0]
POSITIVE = ["My mother came home.", "Her father was tall.", "The son of the king.", "His sister laughed."]
NEGATIVE = ["The house is old.", "A cold wind blew.", "It costs ten pounds.", "The road was long."]
Texts = Annotated[list[Unicode], Field(max_length=2 * MOST)]


class New(BaseModel):
    """Two sets of texts, and where in the model they are to be told apart."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{
            "modelId": MODEL, "hookName": f"blocks.{LAYER}.hook_resid_post", "positive": POSITIVE, "negative": NEGATIVE,
            "label": "kin",
        }]},
    )  # fmt: skip

    modelId: ModelName
    hookName: Annotated[Unicode, Field(max_length=200, description="as TransformerLens names it")]
    positive: Annotated[Texts, Field(description="texts that have it")]
    negative: Annotated[Texts, Field(description="texts that do not")]
    method: Annotated[
        Literal["difference", "logistic"], Field(description="the difference of means, or logistic regression")
    ] = "difference"
    pooled: Annotated[
        Literal["mean", "last", "each"], Field(description="a sample: the mean of a text, its last token, each token")
    ] = "mean"
    label: Annotated[Unicode, Field(max_length=400, description="what to call it")] = ""
    seed: Annotated[int, Field(ge=0, lt=2**32, description="of how texts are dealt out")] = 0
    keep: Annotated[bool, Field(description="as a direction to test and steer with")] = True


@router.post("/new", summary="Train a probe", response_model=None)
def new(workbench: Bench, request: Request, body: New) -> Json:
    """The direction, its AUC on held-out texts with a 95 % interval, and the AUC with shuffled labels beside it.

    `vector` is of length 1; `distance` is that between the classes' means along it, a strength to begin with. Kept, it
    is a direction like those of `vector/new`.
    """
    found = workbench.train_probe(
        body.modelId, body.hookName, body.positive, body.negative, method=body.method, pooled=body.pooled,
        label=body.label, seed=body.seed, keep=body.keep,
    )  # fmt: skip
    return Json(shape.record(found, str(request.base_url)))


class Probe(FeatureReference):
    """Which probe."""


@router.post("/get", summary="A probe", response_model=None)
def get(workbench: Bench, request: Request, body: Probe) -> Json:
    """What `new` answered, of one that was kept."""
    return Json(shape.record(workbench.probe(body.key()), str(request.base_url)))
