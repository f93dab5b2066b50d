"""Activations: of a feature or a whole source on new text, whose first call loads the model; and those a build kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import INDEX, MODEL, SOURCE, TEXT, FeatureReference, SourceReference
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


class SourceTexts(SourceReference):
    """A source and one text or a few."""

    customText: Annotated[str | list[str], Field(description="one text, or a list of at most 4", examples=[TEXT])]


@router.post("/activation/source", summary="Everything a source gives on new text", response_model=None)
def source(workbench: Bench, body: SourceTexts) -> Json:
    """Of each text its `tokens`, and every active feature with `[position, value]` of each token that activates it.

    Positions count BOS as 0; BOS and other special tokens have no values. Three decimals.
    """
    return Json(neuronpedia.source_activations(workbench.activations(body.source_key(), body.customText)))
