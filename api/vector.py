"""Directions of one's own: kept by the server, to steer with and to test like a feature.

Making one runs a token through the model, to see that the direction fits its hook.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.asks import FEATURES, ModelName, Steered, named
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, Unicode, Whole
from core.interchange import steering

router = APIRouter(prefix="/vector", tags=["vectors"])

LONGEST = 24576
"""Numbers of a direction."""
STRENGTH, LARGEST = 10.0, 1e6
"""A direction's own strength unless it says one, and at most."""
FEATURE: dict[str, Any] = {"layer": SOURCE, "index": str(INDEX), "strength": 1}
MADE: dict[str, Any] = {"modelId": MODEL, "source": f"{SOURCE.split('-')[0]}-vectors-resid-pre", "index": "3124790"}
"""What the example of `new` makes, on the demo."""


class New(BaseModel):
    """The numbers of a direction and where they belong; or, ours, features, whose rows are summed."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": MODEL, "features": [FEATURE], "vectorLabel": "my direction"}]},
    )

    modelId: ModelName
    layerNumber: Annotated[Whole, named("layerNumber", "layer_number", about="the hook's layer, from 0")] = 0
    hookType: Annotated[
        Unicode,
        named("hookType", "hook_type", about="hook_resid_pre, hook_resid_post, or any other activation of the block"),
    ] = "hook_resid_pre"
    vector: Annotated[
        list[Annotated[float, Field(allow_inf_nan=False)]],
        Field(max_length=LONGEST, description=f"as many numbers as the activation has, at most {LONGEST:,}"),
    ] = []
    features: Annotated[
        list[Steered],
        Field(max_length=FEATURES, description="instead of numbers: the sum of decoder rows, each times its strength"),
    ] = []
    vectorLabel: Annotated[Unicode, named("vectorLabel", "vector_label", about="what to call it")] = ""
    vectorDefaultSteerStrength: Annotated[
        Annotated[float, Field(ge=-LARGEST, le=LARGEST)] | None,
        named("vectorDefaultSteerStrength", "vector_default_steer_strength",
              about=f"the strength to begin with; {STRENGTH:g} if it is left out"),
    ] = None  # fmt: skip

    def hook(self) -> str:
        """TransformerLens's name of the place; `resid-pre`, as Neuronpedia's pages write it, is `hook_resid_pre`."""
        name = self.hookType if "." in self.hookType else self.hookType.replace("-", "_")
        return f"blocks.{self.layerNumber}.{name if '.' in name or name.startswith('hook_') else f'hook_{name}'}"


@router.post("/new", summary="Keep a direction", response_model=None)
def new(workbench: Bench, request: Request, body: New) -> Json:
    """The direction under the name that steering and testing know it by: `modelId`, `source` and `index`.

    The index is a hash of the numbers: the same direction once more is the same one, with its new label and strength.
    `url` is the page that steers with it.
    """
    strength = body.vectorDefaultSteerStrength
    record = workbench.new_vector(
        body.modelId, "" if body.features else body.hook(), body.vector,
        features=[one.push(workbench, body.modelId, "add", 1.0) for one in body.features],
        label=body.vectorLabel, strength=STRENGTH if strength is None else strength,
    )  # fmt: skip
    return Json(steering.new_vector(record, str(request.base_url)))


class Direction(FeatureReference):
    """Which direction."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"examples": [MADE]})


@router.post("/get", summary="A direction", response_model=None)
def get(workbench: Bench, body: Direction) -> Json:
    """Its numbers under `vector.vector`, with its label, hook and strength."""
    return Json({"vector": steering.vector(workbench.vector(body.key()))})


@router.post("/delete", summary="Delete a direction", response_model=None)
def delete(workbench: Bench, body: Direction) -> Json:
    """Runs that were steered with it stay as they are."""
    workbench.drop_vector(body.key())
    return Json({"message": "Success"})


@router.post("/list-owned", summary="Every direction", response_model=None)
def owned(workbench: Bench) -> Json:
    """The newest first; a body is not read."""
    return Json({"vectors": [steering.vector(one) for one in workbench.vectors()]})
