"""Features that two models have in common, whatever their tokenizers: what `python -m core universal` found.

Correlations are over the bytes of the text that both read; `bound` and `p` say what chance gives. Nothing is computed
here: an answer takes some milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.access import Bench, Json
from api.bodies import INDEX, MODEL, SOURCE
from core.atlas.universal.records import By
from core.interchange import universal as shapes
from core.records import FeatureKey, SourceKey

router = APIRouter(tags=["similar features"])

MOST = 100
Format = Annotated[Literal["json", "csv"], Query(description="as JSON, or as a table")]
Model = Annotated[str, Path(description="the model", examples=[MODEL])]
Source = Annotated[str, Path(description="the source", examples=[SOURCE])]


@router.get("/universal/{model_id}/{source_id}/{index}", summary="A feature's twins in other models")
def universal(
    workbench: Bench,
    model_id: Model,
    source_id: Source,
    index: Annotated[str, Path(description="0 and up", examples=[str(INDEX)])],
    format: Format = "json",
) -> Response:
    """Its best match in each source of other models, the best first; empty where nobody has compared them."""
    key = FeatureKey.parse(f"{model_id}/{source_id}/{index}")
    found = workbench.atlas.universal(key)
    if format == "csv":
        return _csv(shapes.to_csv(found), f"{model_id}_{source_id}_{index}_universal.csv")
    return Json(shapes.feature(key, found))


@router.get("/universal/{model_id}/{source_id}", summary="What a source has in common with other models")
def universal_source(
    workbench: Bench,
    model_id: Model,
    source_id: Source,
    other: Annotated[
        str, Query(description="a source of another model, as model/source: the matches in it; all figures without one")
    ] = "",
    by: Annotated[
        By,
        Query(
            description="order: the correlation (value), what it is above its bound (margin), above the best single "
            "token (words), or the feature's index"
        ),
    ] = "value",
    mutual: Annotated[bool, Query(description="only matches that are each other's best")] = False,
    beyond: Annotated[bool, Query(description="only matches above the bound")] = True,
    offset: Annotated[int, Query(ge=0, le=10**9, description="matches to pass over")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST, description="matches of the page")] = 25,
    format: Format = "json",
) -> Response:
    """How many features are universal in each source of other models; with `other` which they are, page by page."""
    key = SourceKey(model_id, source_id)
    if not other:
        return Json(shapes.source(key, workbench.atlas.universal_source(key)))
    found = workbench.atlas.universal_matches(key, other, by=by, mutual=mutual, beyond=beyond, top=limit, offset=offset)
    if format == "csv":
        return _csv(shapes.to_csv(found.matches), f"{model_id}_{source_id}_in_{other.replace('/', '_')}.csv")
    return Json(shapes.matches(found))


def _csv(text: str, name: str) -> Response:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return Response(text, media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{safe}"'})
