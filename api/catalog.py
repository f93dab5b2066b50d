"""`GET /catalog`: every source with its facts."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import Bench, Json
from core.interchange import neuronpedia

router = APIRouter(tags=["catalog"])


@router.get("/catalog", summary="Every source with its facts", response_model=None)
def catalog(workbench: Bench) -> Json:
    """`has` says what is at hand of a source: dashboards, weights, store."""
    return Json({"sources": [neuronpedia.catalog_entry(source) for source in workbench.sources()]})
