"""Circuits of one prompt over HTTP: lens, direct attribution, features, ablation, and the tokens that drive it. Ours.

All take the same ask: a prompt and a target, which is next tokens (against others) or a feature. Without either it is
the likeliest next token against the second.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import MODEL, ModelId, SourceId, Unicode, Whole
from core.interchange import circuits as shapes
from core.records import FeatureKey, SourceKey
from core.techniques.circuits.records import TOP, CircuitAsk

router = APIRouter(prefix="/circuit", tags=["circuits"])

PROMPT = "My mother and her"
SIDE = 64
"""Tokens of a target at most."""
ABOUT = "next tokens, each written out with its leading space, or by its id as #287"
Tokens = Annotated[tuple[Unicode, ...], Field(max_length=SIDE, description=ABOUT)]


class Named(BaseModel):
    """A feature of the ask's model."""

    model_config = ConfigDict(populate_by_name=True)
    source: SourceId
    index: Annotated[Whole, Field(description="its number")]


class Asked(BaseModel):
    """A prompt and a target."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [
            {"modelId": MODEL, "text": PROMPT, "target": [" father"], "against": [" mother"], "sources": ["2-res"]}
        ]},
    )  # fmt: skip
    modelId: ModelId
    text: Annotated[Unicode, Field(description="the prompt", max_length=10_000)]
    target: Annotated[Tokens, Field(description=f"{ABOUT}; without them the likeliest against the second")] = ()
    against: Annotated[Tokens, Field(description="the same, set against the target")] = ()
    feature: Annotated[Named | None, Field(description="a feature as the target, instead of tokens")] = None
    position: Annotated[Whole | None, Field(description="where the target is read; the last token if left out")] = None
    sources: Annotated[
        tuple[Unicode, ...],
        Field(max_length=256, description="whose features take part; all SAEs and transcoders if empty"),
    ] = ()

    def ask(self) -> CircuitAsk:
        """As the workbench is asked."""
        own = self.feature
        return CircuitAsk(
            model_id=self.modelId, text=self.text, target=self.target, against=self.against,
            feature=None if own is None else FeatureKey(self.modelId, own.source, own.index), position=self.position,
            sources=tuple(SourceKey.of(self.modelId, name) for name in self.sources),
        )  # fmt: skip


class AskedFeatures(Asked):
    """The same, and how many nodes."""

    top: Annotated[int, Field(ge=1, le=2000, description="nodes that are listed, the largest effects")] = TOP
    ablate: Annotated[int, Field(ge=0, le=64, description="of the first so many the effect is measured too")] = 0


class At(Named):
    """A feature at a token."""

    position: Annotated[Whole, Field(description="of the prompt; BOS is 0")]


class AskedNodes(Asked):
    """The same, and which nodes."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [
            {"modelId": MODEL, "text": PROMPT, "nodes": [{"source": "2-res", "index": 78, "position": 2}]}
        ]},
    )  # fmt: skip
    nodes: Annotated[tuple[At, ...], Field(min_length=1, max_length=64, description="{source, index, position} each")]


@router.post("/lens", summary="The logit lens at every layer and token", response_model=None)
def lens(workbench: Bench, body: Asked) -> Json:
    """The residual stream before every layer through the final norm and the unembedding; the last row is the model's.

    `probability` and `rank` are of the target's tokens, null where the target is a feature.
    """
    return Json(shapes.lens(workbench.circuits.lens(body.ask())))


@router.post("/components", summary="Direct attribution by component", response_model=None)
def components(workbench: Bench, body: Asked) -> Json:
    """What each part adds to the target, the final norm's scale frozen; they add up to `value`.

    `heads` that add most have their row of attention, and what they add by each token.
    """
    return Json(shapes.direct(workbench.circuits.direct(body.ask())))


@router.post("/features", summary="Activation × gradient of every active feature", response_model=None)
def features(workbench: Bench, body: AskedFeatures) -> Json:
    """Each source is a decomposition by itself: `features` + `error` + `bias` = `total`, which is x · dL/dx there.

    `effect` estimates what removing a node takes from the target; `ablated` is what it did.
    """
    return Json(shapes.features(workbench.circuits.features(body.ask(), top=body.top, ablate=body.ablate)))


@router.post("/ablate", summary="What removing features takes from the target", response_model=None)
def ablate(workbench: Bench, body: AskedNodes) -> Json:
    """Each node by itself: its contribution is taken out at its token, and the rest computed anew."""
    nodes = [(FeatureKey(body.modelId, one.source, one.index), one.position) for one in body.nodes]
    return Json(shapes.ablated(workbench.circuits.ablate(body.ask(), nodes)))


@router.post("/tokens", summary="Which tokens of the prompt drive the target", response_model=None)
def tokens(workbench: Bench, body: Asked) -> Json:
    """`ablated`: the target less its mean with the token replaced by usual ones. `integrated`: integrated gradients.

    With `feature` and `position` these are the tokens that drive a feature there.
    """
    return Json(shapes.drivers(workbench.circuits.drivers(body.ask())))
