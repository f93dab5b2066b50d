"""Maps of features: their points as Neuronpedia has them, and as bytes for the page that draws them.

Only maps that were made are answered: making one takes a core for seconds to minutes, which the page and the command
line do. What the page fetches carries the map's mark in its address, so that a browser keeps it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import Bench, Json
from api.bodies import MODEL, SOURCE, ModelId
from core.atlas.map.records import MapRecord, Of
from core.errors import BadInput, NotFound
from core.records import SourceKey
from core.workbench import Workbench

router = APIRouter(tags=["maps"])

KEEP = "public, max-age=31536000, immutable"
NAMES = 256
Names = Annotated[list[str], Field(max_length=NAMES)]


class Asked(BaseModel):
    """The sources of a model that lie on one map."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"modelId": MODEL, "layers": [SOURCE]}]})
    modelId: ModelId
    layers: Annotated[Names, Field(min_length=1, description="the sources, for example 2-res")]
    of: Annotated[
        Of | None, Field(description="explanation, or the map of decoder directions; ours")
    ] = "explanation"  # fmt: skip


@router.post("/umap", summary="Where features lie on a map", response_model=None)
def umap(workbench: Bench, body: Asked) -> Json:
    """A point a feature that fires, with its leading explanation; features that are alike lie near each other.

    Coordinates are between -1 and 1. 404 if the map was not made yet.
    """
    keys = [SourceKey(body.modelId, name.removeprefix(f"{body.modelId}/")) for name in body.layers]
    record = _made(workbench, keys, body.of or "explanation")
    return Json(workbench.atlas.map_points(record))


@router.get("/umap/clusters", summary="The clusters of a map, by the number that its points give", response_model=None)
def clusters(
    workbench: Bench,
    sources: Annotated[str, Query(max_length=20_000, examples=[f"{MODEL}/{SOURCE}"], description="with commas")],
    of: Of = "explanation",
) -> Json:
    """Their labels, where their middles lie, which lies in which; `made`, `fitted` and so on say how it was made."""
    from core.interchange import umap as neuronpedia

    record = _made(workbench, _named(sources), of)
    return Json(neuronpedia.summary(record) | {"clusters": neuronpedia.clusters(record)})


@router.get("/umap/{part}.bin", include_in_schema=False)
def packed(
    workbench: Bench, part: str, sources: Annotated[str, Query(max_length=20_000)], of: Of = "explanation",
    mark: str = "",
) -> Response:  # fmt: skip
    """Half of a map as the page draws it: `points`, or `texts`; see `core.atlas.map.pack`."""
    if part not in ("points", "texts"):
        raise NotFound("A map has points.bin and texts.bin.")
    record = _made(workbench, _named(sources), of)
    made = workbench.atlas.packed(record)
    kept = {"Cache-Control": KEEP} if mark == workbench.atlas.packed.mark(record) else {"Cache-Control": "no-store"}
    return Response(
        made.points if part == "points" else made.texts, media_type="application/octet-stream", headers=kept
    )


def _named(sources: str) -> list[SourceKey]:
    return [SourceKey.parse(name) for name in sources.split(",") if name.strip()]


def _made(workbench: Workbench, keys: list[SourceKey], of: Of) -> MapRecord:
    if len(keys) > NAMES:
        raise BadInput(f"{len(keys)} sources are too many for one map: at most {NAMES}.")
    record = workbench.atlas.map_here(keys, of=of)
    if record is None:
        names = " ".join(map(str, keys))
        raise NotFound(f"This map was not made yet: `python -m core map {names} --of {of}`, or the page /map.")
    return record
