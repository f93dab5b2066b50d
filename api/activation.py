"""`POST /activation/new`: a feature on new text. The first call for a model loads it."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.access import Bench, Json
from core.interchange import neuronpedia
from core.records import FeatureKey

router = APIRouter(tags=["activations"])


class FeatureReference(BaseModel):
    """Which feature; `layer` is the older name of `source`."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: str
    source: str = Field(validation_alias=AliasChoices("source", "layer"))
    index: int | str

    def key(self) -> FeatureKey:
        """As the workbench names it."""
        return FeatureKey.parse(f"{self.modelId}/{self.source}/{self.index}")


class NewActivation(BaseModel):
    """A feature and one text or several; `neuron` is the older name of `feature`."""

    model_config = ConfigDict(populate_by_name=True)

    feature: FeatureReference = Field(validation_alias=AliasChoices("feature", "neuron"))
    customText: str | list[str]
    ignoreBos: bool = Field(True, description="BOS is never part of the answer; kept so that older clients work.")


@router.post("/activation/new", summary="A feature on new text", response_model=None)
def new(workbench: Bench, body: NewActivation) -> Json:
    """One answer for a text, a list of answers for a list of texts. Tokens and values leave BOS out."""
    answers = [neuronpedia.activation(record) for record in workbench.test(body.feature.key(), body.customText)]
    return Json(answers[0] if isinstance(body.customText, str) else answers)
