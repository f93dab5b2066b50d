"""Models, source sets and features that a program uploads: what Neuronpedia's client calls to bring its own in.

Who may is who may add sources (`core.bring.allowed`). A source appears with its first batch, imported and without
weights; `core.bring.staging` says when larger ones do.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.asks import ModelName
from api.bodies import SourceReference, Unicode, Whole
from api.bring import By

router = APIRouter(tags=["adding sources"])

FEATURES, LOGITS, TOKENS, WORDS, MANY = 128, 20, 1024, 512, 256
"""At most: features of a batch, logits and tokens of each, characters of an explanation, activations of a feature."""
NAME = "my-model"
"""The model of the examples."""
FEATURE: dict[str, Any] = {
    "index": 0, "density": 0.03, "topLogits": [{"token": "dog", "value": 0.9}], "bottomLogits": None,
    "explanations": [{"text": "dogs"}], "activations": [{"tokens": ["my", " dog"], "values": [0, 5.3]}],
}  # fmt: skip
Number = Annotated[float, Field(allow_inf_nan=False)]


class NewModel(BaseModel):
    """A model to upload for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": NAME, "layers": 3}]})

    id: Annotated[Unicode, Field(max_length=96, description="what it is called here")]
    layers: Annotated[Whole, Field(description="how many it has")]
    displayName: Annotated[Unicode | None, Field(max_length=200)] = None
    url: Annotated[Unicode | None, Field(max_length=1000)] = None


@router.post("/model/new", summary="A model to upload for", response_model=None)
def new_model(workbench: Bench, by: By, body: NewModel) -> Json:
    """It appears with the first features that are uploaded; the same again is the same."""
    made = workbench.bring.staging.new_model(body.id, body.layers, body.displayName or "", body.url or "")
    return Json(made)


class NewSet(BaseModel):
    """A source set to upload to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"modelId": NAME, "name": "res-mine"}]})

    modelId: ModelName
    name: Annotated[Unicode, Field(max_length=80, description="sources are called <layer>-<name>")]
    description: Annotated[Unicode | None, Field(max_length=2000)] = None
    url: Annotated[Unicode | None, Field(max_length=1000)] = None


@router.post("/source-set/new", summary="A source set to upload to", response_model=None)
def new_set(workbench: Bench, by: By, body: NewSet) -> Json:
    """With a source for each layer of the model, of those here or of `model/new`."""
    made = workbench.bring.staging.new_set(body.modelId, body.name, body.description or "", body.url or "")
    return Json(made)


class Logit(BaseModel):
    """A token that a feature promotes or suppresses."""

    token: Annotated[Unicode, Field(max_length=200)]
    value: Number


class Said(BaseModel):
    """An explanation."""

    text: Annotated[Unicode, Field(min_length=1, max_length=WORDS)]
    methodName: Annotated[Unicode | None, Field(max_length=200)] = None
    modelName: Annotated[Unicode | None, Field(max_length=200)] = None


class Acted(BaseModel):
    """A text with a value for each token."""

    tokens: Annotated[list[Annotated[Unicode, Field(max_length=1000)]], Field(min_length=1, max_length=TOKENS)]
    values: Annotated[list[Number], Field(min_length=1, max_length=TOKENS)]
    quantileMax: Number | None = None
    quantileMin: Number | None = None
    quantileFraction: Annotated[float | None, Field(ge=0, le=1)] = None


class Given(BaseModel):
    """A feature."""

    index: Whole
    density: Annotated[float | None, Field(ge=0, le=1, description="share of tokens on which it is active")] = None
    topLogits: Annotated[list[Logit] | None, Field(max_length=LOGITS)] = None
    bottomLogits: Annotated[list[Logit] | None, Field(max_length=LOGITS)] = None
    explanations: Annotated[list[Said], Field(max_length=MANY)] = []
    activations: Annotated[list[Acted], Field(max_length=MANY)] = []


class Batch(SourceReference):
    """Features of one source."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": NAME, "source": "1-res-mine", "features": [FEATURE]}]},
    )

    features: Annotated[
        list[Given], Field(min_length=1, max_length=FEATURES, description=f"at most {FEATURES} of them")
    ]


@router.post("/feature/upload-batch", summary="Upload features", response_model=None)
def upload(workbench: Bench, request: Request, by: By, body: Batch) -> Json:
    """With their activations and explanations; `url` is the source's page. The same batch twice is one."""
    made = workbench.bring.staging.upload(body.source_key(), [one.model_dump() for one in body.features])
    return Json(
        {
            "message": "Success", "modelId": made.key.model_id, "source": made.key.source_id,
            "features": made.features, "activations": made.activations, "explanations": made.explanations,
            "imported": made.imported,
            "url": f"{str(request.base_url).removesuffix('api/')}source?id={made.key}",
        }
    )  # fmt: skip
