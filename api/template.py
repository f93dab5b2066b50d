"""Templates over HTTP: a prompt with slots becomes a set, and features are asked what they respond to in it. Ours."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import MODEL, ModelId, Unicode, Whole
from core.interchange import templates as shapes
from core.records import SourceKey
from core.techniques.templates.records import MOST, PROMPTS, At, TemplateAsk

router = APIRouter(tags=["circuits"])

Text = Annotated[Unicode, Field(max_length=10_000)]
Filler = Annotated[Unicode, Field(max_length=1000)]


class Asked(BaseModel):
    """Templates and their fillers."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{
            "modelId": MODEL, "templates": ["{opening}It is very {what}"], "at": "end", "sources": ["2-res"],
            "fillers": {"opening": ["“", "("], "what": ["good", "bad", "well", "small"]},
        }]},
    )  # fmt: skip
    modelId: ModelId
    templates: Annotated[
        tuple[Text, ...], Field(min_length=1, max_length=8, description="prompts with {slots}; several are variants")
    ]
    fillers: Annotated[
        dict[Unicode, Annotated[tuple[Filler, ...], Field(max_length=64)]],
        Field(max_length=8, description="of each slot; slots that share one are never filled alike"),
    ]
    at: Annotated[At, Field(description="where features are read: the slot, the last token, or anywhere")] = "slot"
    sources: Annotated[
        tuple[Unicode, ...],
        Field(max_length=256, description="whose features; all SAEs and transcoders if empty"),
    ] = ()
    prompts: Annotated[int, Field(ge=2, le=MOST, description="at most; of more so many are drawn")] = PROMPTS
    seed: Annotated[Whole, Field(description="of the prompts that are drawn")] = 0
    top: Annotated[int, Field(ge=1, le=500, description="features of each factor that are listed")] = 20


@router.post("/template", summary="What features respond to in a set of prompts", response_model=None)
def template(workbench: Bench, body: Asked) -> Json:
    """A slot's value, its position, its role: ω² of each feature, q corrected over all tests, a control beside it."""
    ask = TemplateAsk(
        model_id=body.modelId, templates=body.templates, fillers=tuple(body.fillers.items()), at=body.at,
        prompts=body.prompts, seed=body.seed,
        sources=tuple(SourceKey.of(body.modelId, one) for one in body.sources),
    )  # fmt: skip
    return Json(shapes.record(workbench.templates.responses(ask, top=body.top)))
