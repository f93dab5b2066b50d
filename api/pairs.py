"""Pairs of prompts over HTTP: features by difference and attribution, patching, residual heat map, faithfulness. Ours.

All take the same ask: a clean and a corrupted prompt, and a target. Without one it is the likeliest next token after
the clean prompt against the likeliest after the corrupted one.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import MODEL, ModelId, SourceId, Unicode, Whole
from api.circuit import At, Named, Tokens
from core.interchange import pairs as shapes
from core.records import FeatureKey, SourceKey
from core.techniques.pairs.records import Direction, PairAsk, Rank

router = APIRouter(prefix="/circuit/pair", tags=["circuits"])

EXAMPLE = {
    "modelId": MODEL, "clean": "She said that", "corrupted": "He said that", "target": [" she"], "against": [" he"],
    "sources": ["2-res"],
}  # fmt: skip
Prompt = Annotated[Unicode, Field(max_length=10_000)]


class Asked(BaseModel):
    """Two prompts and a target."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"examples": [EXAMPLE]})
    modelId: ModelId
    clean: Annotated[Prompt, Field(description="the prompt after which the target is likely")]
    corrupted: Annotated[Prompt, Field(description="the same but for what is asked about")]
    target: Annotated[Tokens, Field(description="next tokens; without them the likeliest after each prompt")] = ()
    against: Annotated[Tokens, Field(description="the same, set against the target")] = ()
    feature: Annotated[Named | None, Field(description="a feature as the target, instead of tokens")] = None
    sources: Annotated[
        tuple[Unicode, ...],
        Field(max_length=256, description="whose features take part; all SAEs and transcoders if empty"),
    ] = ()

    def ask(self) -> PairAsk:
        """As the workbench is asked."""
        own = self.feature
        return PairAsk(
            model_id=self.modelId, clean=self.clean, corrupted=self.corrupted, target=self.target,
            against=self.against, feature=None if own is None else FeatureKey(self.modelId, own.source, own.index),
            sources=tuple(SourceKey.of(self.modelId, name) for name in self.sources),
        )  # fmt: skip


class AskedFeatures(Asked):
    """The same, and how many nodes in which order."""

    by: Annotated[Rank, Field(description="the order, by size")] = "attribution"
    top: Annotated[int, Field(ge=1, le=2000, description="nodes that are listed")] = 100
    patch: Annotated[int, Field(ge=0, le=64, description="of the first so many the patching effect is measured")] = 0


class AskedNodes(Asked):
    """The same, and which nodes."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [EXAMPLE | {"nodes": [{"source": "2-res", "index": 41, "position": 1}]}]},
    )
    nodes: Annotated[tuple[At, ...], Field(min_length=1, max_length=64, description="{source, index, position} each")]


class AskedResidual(Asked):
    """The same, and which run is patched."""

    direction: Annotated[Direction, Field(description="denoising: what is clean into the corrupted run")] = "denoising"


class AskedCurve(Asked):
    """The same, and of which source."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"examples": [EXAMPLE | {"source": "2-res"}]})
    source: SourceId
    by: Annotated[Rank, Field(description="which nodes come first")] = "attribution"
    draws: Annotated[int, Field(ge=1, le=50, description="of as many random nodes")] = 10
    seed: Annotated[Whole, Field(description="of the draws")] = 0


@router.post("", summary="Two prompts measured and aligned", response_model=None)
def pair(workbench: Bench, body: Asked) -> Json:
    """`gap` is the target's value after the clean prompt less after the corrupted one: effects are shares of it."""
    return Json(shapes.pair(workbench.pairs.pair(body.ask())))


@router.post("/features", summary="Features by what differs, by attribution, by patching", response_model=None)
def features(workbench: Bench, body: AskedFeatures) -> Json:
    """`denoising` and `noising` are attributions; `denoised` and `noised` what patching the node alone did."""
    return Json(shapes.features(workbench.pairs.features(body.ask(), top=body.top, by=body.by, patch=body.patch)))


@router.post("/patch", summary="What patching features does", response_model=None)
def patch(workbench: Bench, body: AskedNodes) -> Json:
    """Each node by itself, in both directions."""
    ask = body.ask()
    nodes = [(FeatureKey(body.modelId, one.source, one.index), one.position) for one in body.nodes]
    whole = workbench.pairs.pair(ask)
    return Json({"nodes": [shapes.node(whole, one) for one in workbench.pairs.patch(ask, nodes)]})


@router.post("/residual", summary="The residual stream patched, layer by layer and token by token", response_model=None)
def residual(workbench: Bench, body: AskedResidual) -> Json:
    """`whole`: all aligned tokens of a layer together; where all are aligned that is the gap."""
    return Json(shapes.residual(workbench.pairs.residual(body.ask(), direction=body.direction)))


@router.post("/curve", summary="Faithfulness of the first n features against random ones", response_model=None)
def curve(workbench: Bench, body: AskedCurve) -> Json:
    """The first n nodes of one source kept as in the clean run, all others as in the corrupted one."""
    key = SourceKey(body.modelId, body.source)
    return Json(shapes.curve(workbench.pairs.curve(body.ask(), key, by=body.by, draws=body.draws, seed=body.seed)))
