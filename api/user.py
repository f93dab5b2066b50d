"""Whoever asks: who they are, and their API keys. Neuronpedia's paths; `me`, `api-keys` and `revoke` are ours."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json, Who
from api.bodies import Unicode
from core.errors import NotSignedIn
from core.interchange import people as shape

router = APIRouter(prefix="/user", tags=["users"])

NONE = "5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1e04"
"""The example of a key's id: no key has it, since each is given one when it is made."""


class Edited(BaseModel):
    """What is to be changed; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bio": "Looks for family words."}]})

    name: Annotated[Unicode | None, Field(description="2 to 32 letters, digits, “.”, “_” or “-”")] = None
    bio: Annotated[Unicode | None, Field(description="what they say about themselves")] = None


class NewKey(BaseModel):
    """A key to make."""

    name: Annotated[Unicode, Field(description="what it is for; ours", examples=["a notebook"])] = "made by the API"


class KeyId(BaseModel):
    """Which key."""

    id: Annotated[Unicode, Field(description="the key's id, as api-keys has it", examples=[NONE])]


@router.post("/me", summary="Who you are", response_model=None)
def me(who: Who) -> Json:
    """Whose key it is; a body is not read."""
    if who.me is None:
        raise NotSignedIn("Nobody asks: send an API key of your account page as X-Api-Key.")
    return Json(shape.person(who.me))


@router.post("/edit", summary="Change your name or what you say about yourself", response_model=None)
def edit(who: Who, body: Edited) -> Json:
    """Yourself, as you are then."""
    who.describe(name=body.name, about=body.bio)
    return me(who)


@router.post("/api-key", summary="Make an API key", response_model=None)
def new_key(who: Who, body: NewKey) -> Json:
    """The key under `apiKey`. It is shown this once, and kept as a hash."""
    return Json({"apiKey": who.keys.new(body.name)})


@router.post("/api-keys", summary="Your API keys", response_model=None)
def keys(who: Who) -> Json:
    """What may be told of each; a body is not read."""
    return Json([shape.api_key(one) for one in who.keys.mine()])


@router.post("/api-key/revoke", summary="End an API key", response_model=None)
def revoke(workbench: Bench, who: Who, body: KeyId) -> Json:
    """Whatever sends it is refused from then on."""
    workbench.community.revoke(who, body.id)
    return Json({"message": "Success"})
