"""Comments on features: Neuronpedia's two routes, and one of ours that reads them. Those on lists are with lists."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Json, Who
from api.bodies import FeatureReference, Unicode
from core.community import limits
from core.interchange import people as shape

router = APIRouter(prefix="/comment", tags=["comments"])

SAID = ("5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1e02", "5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1e03")
"""The comments of the examples: on a feature, and on a list."""
TEXT = Annotated[
    Unicode, Field(description=f"Markdown, at most {limits.COMMENT:,} characters", examples=["Also fires on “aunt”."])
]


class New(FeatureReference):
    """Something to say about a feature."""

    text: TEXT
    replyTo: Annotated[Unicode | None, Field(description="the comment that this answers; ours")] = None
    id: Annotated[
        Unicode | None, Field(description="a UUID of your own: asked twice, it is said once; ours", examples=[SAID[0]])
    ] = None


class CommentId(BaseModel):
    """Which comment."""

    commentId: Annotated[Unicode, Field(description="the comment's id", examples=[SAID[0]])]


@router.post("/new", summary="Comment on a feature", response_model=None)
def new(who: Who, body: New) -> Json:
    """The comment's `id`."""
    return Json({"id": who.comments.post(body.key(), body.text, parent=body.replyTo, id=body.id)})


@router.post("/list", summary="Comments on a feature", response_model=None)
def on(who: Who, body: FeatureReference) -> Json:
    """The oldest first, each followed by the answers to it; ours."""
    return Json([shape.comment(one) for one in who.comments.on(body.key())])


@router.post("/delete", summary="Take a comment back", response_model=None)
def delete(who: Who, body: CommentId) -> Json:
    """Its text goes; answers to it stay."""
    who.comments.delete(body.commentId)
    return Json({"message": "Success"})
