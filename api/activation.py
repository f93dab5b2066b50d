"""A feature's activations: on new text, where the first call for a model loads it, and the ones its build kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import INDEX, MODEL, SOURCE, TEXT, FeatureReference
from core.interchange import neuronpedia

router = APIRouter(tags=["activations"])


class NewActivation(BaseModel):
    """A feature and one text or several; `neuron` is the older name of `feature`."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [{"feature": {"modelId": MODEL, "source": SOURCE, "index": str(INDEX)}, "customText": TEXT}]
        },
    )

    feature: FeatureReference = Field(validation_alias=AliasChoices("feature", "neuron"))
    customText: Annotated[str | list[str], Field(description="one text, or a list of texts")]
    ignoreBos: bool | None = Field(
        True, description="read so that clients work, and of no effect: BOS is never part of the answer"
    )


@router.post("/activation/new", summary="A feature on new text", response_model=None)
def new(workbench: Bench, body: NewActivation) -> Json:
    """One answer for a text, a list of answers for a list of texts. Tokens and values leave BOS out."""
    answers = [neuronpedia.activation(record) for record in workbench.test(body.feature.key(), body.customText)]
    return Json(answers[0] if isinstance(body.customText, str) else answers)


@router.post("/activation/get", summary="A feature's strongest contexts", response_model=None)
def get(workbench: Bench, body: FeatureReference) -> Json:
    """What `feature` has under `activations`: the ranking and the intervals, strongest first; empty if it is dead."""
    return Json(neuronpedia.activations(workbench.feature(body.key())))
