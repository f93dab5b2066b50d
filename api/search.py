"""Which features a text activates: over all sources of a model, and token by token in one source.

Both run the model on a text that was not read before; what is asked of the same text again is a look-up. Neuronpedia's
client writes these two paths with a slash at the end, and finds the answers to a list of texts under `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json
from api.bodies import MODEL, SOURCE, TEXT, ModelId, SourceReference, Whole
from core.errors import BadInput, WorkbenchError
from core.interchange import neuronpedia
from core.records import Combine, Measure

router = APIRouter(tags=["search"])

NAMES = 1024
"""Sources that a body may name; how many are searched at once is a setting."""
POSITIONS = 4096
"""Tokens that a body may name."""
RESULTS, A_TOKEN, MOST_A_TOKEN = 50, 10, 20
"""Features of a search, and of a token, as Neuronpedia has it."""

Texts = Annotated[str | list[str], Field(description="one text, or a list of at most 4", examples=[TEXT])]
Names = Annotated[list[str], Field(max_length=NAMES)]
Share = Annotated[float, Field(allow_inf_nan=False)]


class Search(BaseModel):
    """A text, and how its features are chosen and sorted; all but `modelId` and `text` may be left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"modelId": MODEL, "sourceSet": SOURCE.split("-")[1], "text": TEXT, "sortIndexes": [], "numResults": 5}
            ]
        }
    )

    modelId: ModelId
    text: Texts
    sourceSet: Annotated[str | None, Field(description="search the sources of this set; of all sets without it")] = None
    selectedLayers: Annotated[
        Names | None, Field(description="search only these sources, for example 2-res; all if it is empty")
    ] = None
    sources: Annotated[Names | None, Field(description="the same as selectedLayers; ours")] = None
    sortIndexes: Annotated[
        Annotated[list[Whole], Field(max_length=POSITIONS)] | None,
        Field(
            description="sort by the sum over these tokens, BOS counted as 0; by the maximum over all if it is empty, "
            "unless combine says otherwise"
        ),
    ] = None
    ignoreBos: Annotated[bool | None, Field(description="whether BOS and other special tokens count as 0")] = True
    densityThreshold: Annotated[
        Share | None, Field(description="leave out features active on a larger share of tokens; 0 or less: none")
    ] = -1.0
    numResults: Annotated[
        Whole | None, Field(description="features in the answer, 50 if it is left out, 100 at most")
    ] = None
    offset: Annotated[Whole | None, Field(description="features to pass over: the next page; ours")] = 0
    measure: Annotated[
        Measure | None,
        Field(
            description="what to sort by: value; or, fair to layers of other scale, fraction of the feature's maximum, "
            "percentile of its own values, surprise (-log10 of how rare it is so strong); ours"
        ),
    ] = "value"
    combine: Annotated[
        Combine | None,
        Field(
            description="sum or max over the tokens of sortIndexes, or over all tokens if it is empty; without it the "
            "sum over sortIndexes, or the maximum if that is empty; ours"
        ),
    ] = None


@router.post("/search-all", summary="The features that a text activates", response_model=None)
@router.post("/search-all/", include_in_schema=False, response_model=None)
def search_all(workbench: Bench, body: Search) -> Json:
    """Strongest first, with the values at all `tokens`; every index of a token counts BOS as 0.

    `fraction`, `percentile`, `surprise`, `label`, `total` and `sources` are this server's own, and so is `leftOut`: the
    sources that could not be read, with the reason; one that the body names is an error. A list of texts is answered by
    `results`, one a text.
    """
    most = workbench.settings.max_results
    count = min(RESULTS, most) if body.numResults is None else body.numResults
    if not 1 <= count <= most:
        raise BadInput(f"numResults: {count:,} is not between 1 and {most}.")
    named = [*(body.selectedLayers or ()), *(body.sources or ())]
    sources = workbench.choose(body.modelId, named, set_name=body.sourceSet or "")
    ignore = body.ignoreBos is not False
    workbench.read(body.modelId, _list(body.text), sources)

    def one(text: str) -> neuronpedia.Json:
        record = workbench.search(
            body.modelId,
            text,
            sources=sources,
            measure=body.measure or "value",
            combine=body.combine or ("sum" if body.sortIndexes else "max"),
            positions=body.sortIndexes or (),
            densest=_densest(body.densityThreshold),
            bos=not ignore,
            top=count,
            offset=body.offset or 0,
            strict=bool(named),
        )
        return neuronpedia.search(record, ignore_bos=ignore)

    return _answer(body.text, one)


class ByToken(SourceReference):
    """A text and a source, and how much of each token."""

    text: Texts
    numResults: Annotated[
        Annotated[Whole, Field(ge=1, le=MOST_A_TOKEN)] | None,
        Field(description=f"features of each token, {A_TOKEN} if it is left out, {MOST_A_TOKEN} at most", examples=[3]),
    ] = None
    ignoreBos: Annotated[bool | None, Field(description="whether BOS and other special tokens are left out")] = True
    densityThreshold: Annotated[
        Share | None, Field(description="leave out features active on a larger share of tokens; 0 or less: none")
    ] = 0.01


@router.post("/search-topk-by-token", summary="Each token's strongest features", response_model=None)
@router.post("/search-topk-by-token/", include_in_schema=False, response_model=None)
def by_token(workbench: Bench, body: ByToken) -> Json:
    """A row of `results` a token; `position` counts BOS as 0, also where it has no row.

    `features` is this server's own: each of these features once, with the number of tokens that it is among the
    strongest of (`frequency`) and its largest value there (`strength`). A list of texts is answered by `results`.
    """
    workbench.read(body.modelId, _list(body.text), [body.source_key()])

    def one(text: str) -> neuronpedia.Json:
        record = workbench.by_token(
            body.source_key(),
            text,
            top=min(A_TOKEN, workbench.settings.max_results) if body.numResults is None else body.numResults,
            densest=_densest(0.01 if body.densityThreshold is None else body.densityThreshold),
            bos=body.ignoreBos is False,
        )
        return neuronpedia.by_token(record)

    return _answer(body.text, one)


def _list(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _densest(threshold: float | None) -> float | None:
    """Neuronpedia writes -1, and its client 0, for no threshold."""
    return threshold if threshold is not None and threshold > 0 else None


def _answer(text: str | list[str], ask: Callable[[str], neuronpedia.Json]) -> Json:
    if isinstance(text, str):
        return Json(ask(text))
    return Json({"results": [_numbered(ask, text, n) for n in range(len(text))]})


def _numbered(ask: Callable[[str], neuronpedia.Json], texts: Sequence[str], n: int) -> neuronpedia.Json:
    """The answer to one of several texts; an error says to which."""
    try:
        return ask(texts[n])
    except WorkbenchError as error:
        raise type(error)(f"Text {n + 1} of {len(texts)}: {error}" if len(texts) > 1 else str(error)) from error
