"""`POST /tokenize`: a text as a model reads it. Loads the model's tokenizer on first need, not the model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import MODEL, TEXT
from core.interchange import neuronpedia

router = APIRouter(tags=["models"])


class Prompt(BaseModel):
    """A text and a model; `text` and `model` are what Neuronpedia's inference server calls them."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: Annotated[
        str,
        Field(
            validation_alias=AliasChoices("modelId", "model"),
            description="the model; also read as model",
            examples=[MODEL],
        ),
    ]
    prompt: Annotated[
        str,
        Field(
            validation_alias=AliasChoices("prompt", "text"),
            min_length=1,
            description="the text, at most 10,000 characters; also read as text",
            examples=[TEXT],
        ),
    ]
    prependBos: Annotated[bool | None, Field(description="whether BOS comes first", examples=[True])] = True


@router.post("/tokenize", summary="A text's tokens", response_model=None)
def tokenize(workbench: Bench, body: Prompt) -> Json:
    """Ids as `tokens` and texts as `tokenStrings`, which without BOS join to the text. `prependBos` says what was done.

    A character that is cut into several tokens is written on the last of them; the others are empty.
    """
    drawn = workbench.tokenize(body.modelId, body.prompt, bos=body.prependBos is not False)
    has_bos = workbench.catalog.model(body.modelId)[0].bos is not None
    return Json(neuronpedia.tokens(drawn, bos=has_bos and body.prependBos is not False))
