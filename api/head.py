"""Attention heads over HTTP: scores of all, one with what it attends to, patterns, and the features around it. Ours.

The first answer about a model measures all its heads over a corpus, which takes a while; it is kept.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import MODEL, ModelId, Unicode, Whole
from core.interchange import heads as shapes
from core.records import SourceKey
from core.techniques.heads.door import MOST
from core.techniques.heads.records import TOP, HeadKey

router = APIRouter(prefix="/head", tags=["attention heads"])

PROMPT = "My mother and her"
Model = Annotated[str, Path(description="the model", examples=[MODEL])]


class Named(BaseModel):
    """A head, and whose features take part."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": MODEL, "layer": 1, "head": 1, "top": 3}]},
    )
    modelId: ModelId
    layer: Annotated[Whole, Field(description="0 and up")]
    head: Annotated[Whole, Field(description="0 and up")]
    top: Annotated[int, Field(ge=1, le=MOST, description="features of a side")] = TOP
    sources: Annotated[
        tuple[Unicode, ...],
        Field(max_length=256, description="whose features take part; all SAEs and transcoders if empty"),
    ] = ()

    def key(self) -> HeadKey:
        """As the workbench is asked."""
        return HeadKey(self.modelId, self.layer, self.head)

    def named(self) -> list[SourceKey]:
        """The sources."""
        return [SourceKey.of(self.modelId, one) for one in self.sources]


class Asked(BaseModel):
    """A head and a text."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": MODEL, "layer": 1, "head": 1, "text": PROMPT}]},
    )
    modelId: ModelId
    layer: Annotated[Whole, Field(description="0 and up")]
    head: Annotated[Whole, Field(description="0 and up")]
    text: Annotated[Unicode, Field(description="the prompt", max_length=10_000)]


class AskedActive(Named):
    """A head on a text, at one token."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": MODEL, "layer": 1, "head": 1, "text": PROMPT, "position": 2}]},
    )
    text: Annotated[Unicode, Field(description="the prompt", max_length=10_000)]
    position: Annotated[Whole | None, Field(description="from which it looks; the last token if left out")] = None
    attended: Annotated[Whole | None, Field(description="at which it looks; its strongest but BOS if left out")] = None


@router.get("/{model_id}", summary="Every attention head of a model with its standard scores", response_model=None)
def heads(workbench: Bench, model_id: Model) -> Json:
    """`previous`, `duplicate` and `induction` on repeated random tokens, with what chance gives, and on text."""
    return Json(shapes.heads(workbench.heads.scores(model_id)))


@router.get("/{model_id}/{layer}/{head}", summary="An attention head", response_model=None)
def head(
    workbench: Bench,
    model_id: Model,
    layer: Annotated[int, Path(ge=0, le=10**5, description="0 and up", examples=[1])],
    head: Annotated[int, Path(ge=0, le=10**5, description="0 and up", examples=[1])],
) -> Json:
    """Its scores, and the pairs of tokens that it attends to most over the corpus."""
    return Json(shapes.head(workbench.heads.of(HeadKey(model_id, layer, head))))


@router.post("/pattern", summary="An attention head's pattern on a text", response_model=None)
def pattern(workbench: Bench, body: Asked) -> Json:
    """A row a token from which it looks; each adds up to 1. `moved` is ‖attention × value · W_O‖."""
    return Json(shapes.pattern(workbench.heads.pattern(HeadKey(body.modelId, body.layer, body.head), body.text)))


@router.post("/features", summary="The features that an attention head reads and that read it", response_model=None)
def features(workbench: Bench, body: Named) -> Json:
    """By weights alone, in units of what a random direction gives; no text is read."""
    return Json(shapes.features(workbench.heads.features(body.key(), sources=body.named(), top=body.top)))


@router.post("/active", summary="The features at work in an attention head on a text", response_model=None)
def active(workbench: Bench, body: AskedActive) -> Json:
    """What active features give the score of two tokens and what is written, as sums that add up to the model's own.

    `output`: what the head gives the pre-activations of the features that are active behind it.
    """
    found = workbench.heads.active(
        body.key(), body.text, position=body.position, attended=body.attended, sources=body.named(), top=body.top
    )
    return Json(shapes.active(found))
