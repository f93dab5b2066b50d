"""Play over HTTP: leaderboards, and what play teaches. Ours; rounds themselves are played on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.access import Bench, Json, Who
from api.bodies import MODEL, SOURCE
from core.interchange import people as shape
from core.records import SourceKey

router = APIRouter(prefix="/play", tags=["play"])

Model = Annotated[str, Path(description="the model", examples=[MODEL])]
Source = Annotated[str, Path(description="the source", examples=[SOURCE])]


@router.get("/board", summary="A leaderboard", response_model=None)
def board(bench: Bench, who: Who, since: Annotated[Literal["day", "week"], Query()] = "week") -> Json:
    """Everybody's points of today or of this week (UTC), the most first; without those whose answers do not count."""
    today = datetime.now(UTC).date()
    first = today if since == "day" else today - timedelta(today.weekday())
    lines = bench.words.play.board(who, first)
    standings = [
        {"user": {"name": one.name}, "points": one.points, "rounds": one.rounds, "agreement": one.agreed}
        for one in lines
    ]
    return Json({"since": first.isoformat(), "standings": standings})


@router.get("/doubted/{modelId}/{source}", summary="Features whose explanation people doubt", response_model=None)
def doubted(bench: Bench, who: Who, modelId: Model, source: Source) -> Json:
    """The most doubted first, with votes, marks and agreement."""
    return Json([
        shape.feature(one.feature) | {
            "doubt": one.doubt, "votes": {"up": one.up, "down": one.down}, "marks": dict(one.marks),
            "agreement": one.agreement.agreed if one.agreement else None,
            "rounds": one.agreement.rounds if one.agreement else 0,
        }
        for one in bench.words.play.doubted(who, SourceKey(modelId, source))
    ])  # fmt: skip


@router.get("/export/{modelId}/{source}", summary="Labels from play, for training", response_model=None)
def export(bench: Bench, who: Who, modelId: Model, source: Source) -> Response:
    """JSON lines, after one about the file one a (feature, text, label): what people said, beside what is so."""
    key = bench.source(SourceKey(modelId, source)).key

    rows = list(bench.words.play.rows(who, key))
    lines = [{"featurescope": "play", "source": str(key), "build": bench.build_of(key), "rows": len(rows)}, *rows]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    name = f"{key.model_id}-{key.source_id}-play.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type="application/x-ndjson", headers=headers)
