"""Red-teaming over HTTP: a hypothesis about a feature, tested with texts that are made to break it. Ours.

Without a model's name no language model is asked. With one it writes texts too: its key comes in the header
`X-Model-Key` and is kept nowhere; without a key the server's own is used, where it has one and whoever asks may use it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from api.access import Bench, Json, Who
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, Unicode
from api.explanation import BaseUrl, ModelKey
from core.explain.redteam.records import FEWEST, MOST, SHARE, TEXTS
from core.interchange import redteam as shape

router = APIRouter(tags=["red-teaming"])


class Asked(FeatureReference):
    """A hypothesis about a feature."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{
            "modelId": MODEL, "source": SOURCE, "index": str(INDEX),
            "hypothesis": "fires on mother and father, not on house", "texts": 40,
        }]},
    )  # fmt: skip

    hypothesis: Annotated[Unicode, Field(description="what it fires on, what too, what not", max_length=4000)]
    share: Annotated[
        float, Field(gt=0, lt=1, allow_inf_nan=False, description="of its maximum, above which a text fires")
    ] = SHARE
    texts: Annotated[int, Field(ge=FEWEST, le=MOST, description="how many texts are made at most")] = TEXTS
    seed: Annotated[int, Field(ge=0, le=2**53, description="the same seed, the same texts")] = 0
    makers: Annotated[
        tuple[Unicode, ...],
        Field(max_length=8, description="templates, letters, neighbours, corpus; all if none is named"),
    ] = ()
    writerModel: Annotated[
        Unicode, Field(description="a language model that writes texts too, as its endpoint calls it", max_length=200)
    ] = ""
    baseUrl: BaseUrl = ""


@router.post("/redteam", summary="Test a hypothesis about a feature", response_model=None)
def redteam(asked: Asked, workbench: Bench, who: Who, key: ModelKey = "") -> Json:
    """Texts are made to break the hypothesis and read by the model; what came out otherwise is first.

    `verdict` is `holds`, `fires on more`, `fires on less`, `wrong` or `undecided`. `expected` of a case is null where
    the hypothesis says nothing of it. The first call of a build embeds its words, which takes some seconds.
    """
    endpoint = None
    if asked.writerModel or asked.baseUrl:
        workbench.words.checked(asked.key(), asked.hypothesis)  # before anybody's share of the day is counted
        endpoint = workbench.words.machines.visitor(who, asked.writerModel, asked.baseUrl, key)
    found = workbench.words.redteam(
        asked.key(), asked.hypothesis, share=asked.share, texts=asked.texts, seed=asked.seed, makers=asked.makers,
        endpoint=endpoint,
    )  # fmt: skip
    return Json(shape.record(found))
