"""Bookmarks, which the pages call stars: everybody sees how many a feature has, and whose."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import Json, Who
from api.bodies import FeatureReference
from core.errors import NotSignedIn
from core.interchange import people as shape

router = APIRouter(tags=["bookmarks"])

MOST = 1000
"""Bookmarks of an answer."""


@router.post("/bookmark/add", summary="Bookmark a feature", response_model=None)
def add(who: Who, body: FeatureReference) -> Json:
    """Twice is once."""
    who.stars.add(body.key())
    return Json({"message": "Success"})


@router.post("/user/bookmarks", summary="Your bookmarks", response_model=None)
def owned(who: Who) -> Json:
    """The newest first, at most a thousand; a body is not read."""
    if who.me is None:
        raise NotSignedIn("Sign in to see your bookmarks: send an API key of your account page as X-Api-Key.")
    return Json([shape.bookmark(one) for one in who.stars.by(who.me.id, limit=MOST)])


@router.post("/bookmark/delete", summary="Take a bookmark back", response_model=None)
def delete(who: Who, body: FeatureReference) -> Json:
    """Without one nothing happens."""
    who.stars.remove(body.key())
    return Json({"message": "Success"})
