"""How good sources are: a source's quality, and the leaderboard of all. What was measured is read; nothing runs.

Figures come with the ends of their 95 % interval, null where there is none. `python -m core eval` measures.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.access import Bench, Json
from api.bodies import MODEL, SOURCE
from core.evaluate import board
from core.interchange import quality as shapes
from core.records import SourceKey

router = APIRouter(tags=["quality"])
Some = Annotated[str, Query(max_length=2000, description="names with commas between; all without any")]


@router.get("/quality/{model_id}/{source_id}", summary="How good a source is")
def quality(
    workbench: Bench,
    model_id: Annotated[str, Path(max_length=96, description="the model", examples=[MODEL])],
    source_id: Annotated[str, Path(max_length=96, description="the source", examples=[SOURCE])],
) -> Response:
    """What was measured of it, part by part, with baselines and controls; 404 where nobody has."""
    return Json(shapes.evaluation(workbench.quality.of(SourceKey(model_id, source_id))))


@router.get("/leaderboard", summary="All sources by how good they are")
def leaderboard(
    workbench: Bench,
    models: Some = "",
    kinds: Some = "",
    sets: Some = "",
    q: Annotated[str, Query(max_length=200, description="words of a name, hook, architecture or release")] = "",
    elsewhere: Annotated[bool, Query(description="also what other programs measured (SAEBench)")] = True,
    unmeasured: Annotated[bool, Query(description="also sources that nobody has measured")] = False,
    sort: Annotated[str, Query(max_length=60, description="a figure's key, width, name or hook; - turns it")] = "",
    format: Annotated[Literal["json", "csv"], Query(description="as JSON, or as a table")] = "json",
) -> Response:
    """A row a source; rows with a null `sourceId` are results of other programs, with the file that they are from."""
    found = board.chosen(
        [*workbench.quality.leaderboard(), *workbench.quality.elsewhere()], models=_names(models), kinds=_names(kinds),
        sets=_names(sets), q=q, elsewhere=elsewhere, unmeasured=unmeasured, sort=sort,
    )  # fmt: skip
    if format == "csv":
        headers = {"Content-Disposition": 'attachment; filename="leaderboard.csv"'}
        return Response(shapes.leaderboard_csv(found), media_type="text/csv", headers=headers)
    return Json(shapes.leaderboard(found))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
