"""Lists of features: made, filled, changed, read. Neuronpedia's paths and names, and some fields of ours.

Whoever has the id of an unlisted list reads it; a private one is its owner's alone. Costs a query or two.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.access import Json, Who
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, SourceId, Unicode, Whole
from api.comment import SAID, TEXT
from core.community import limits
from core.community.records import Item
from core.interchange import people as shape
from core.records import FeatureKey

router = APIRouter(prefix="/list", tags=["lists"])

LIST = "5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1e01"
"""The list of the examples; `new` makes it, `delete` takes it away again."""
FEATURE: dict[str, Any] = {"modelId": MODEL, "layer": SOURCE, "index": str(INDEX)}
AT_ONCE = 100
"""Features added in one request, as Neuronpedia has it."""

Visible = Annotated[
    Unicode | None, Field(description="PUBLIC, UNLISTED (whoever has its id reads it) or PRIVATE; ours")
]
Name = Annotated[Unicode, Field(description="what it is called", examples=["Family words"])]
About = Annotated[Unicode, Field(description="what it is about")]
TestText = Annotated[Unicode, Field(description="a text that is run over all of its features")]


class Added(FeatureReference):
    """A feature to put in."""

    description: Annotated[Unicode, Field(description="a note to it")] = ""
    weight: Annotated[float, Field(allow_inf_nan=False, description="where the list steers as one; ours")] = 1.0

    def item(self) -> Item:
        """As the workbench names it."""
        return Item(self.key(), self.description, self.weight)


class New(BaseModel):
    """A list to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Family words", "id": LIST}]})

    name: Name
    description: About = ""
    defaultTestText: TestText = ""
    visibility: Visible = None
    id: Annotated[Unicode | None, Field(description="a UUID of your own: asked twice, it is made once; ours")] = None


class Filled(New):
    """A list to make, with its features."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Family words", "features": [FEATURE | {"description": "mother"}]}]}
    )

    features: Annotated[
        list[Added],
        Field(max_length=limits.ITEMS, validation_alias=AliasChoices("features", "featuresToAdd"),
              description=f"{{modelId, layer, index, description}} each, at most {limits.ITEMS:,}"),
    ]  # fmt: skip


class Named(BaseModel):
    """Which list."""

    listId: Annotated[Unicode, Field(description="the list's id", examples=[LIST])]


class Adding(Named):
    """Features for a list."""

    featuresToAdd: Annotated[
        list[Added],
        Field(max_length=AT_ONCE, description=f"{{modelId, layer, index, description}} each, at most {AT_ONCE}",
              examples=[[FEATURE | {"description": "mother"}, FEATURE | {"index": "79"}]]),
    ]  # fmt: skip


class Member(Named):
    """A feature of a list."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: Annotated[Unicode, Field(description="the model", examples=[MODEL])]
    source: SourceId
    index: Annotated[Whole, Field(description="the feature's number", examples=[str(INDEX)])]

    def key(self) -> FeatureKey:
        """As the workbench names it."""
        return FeatureKey(self.modelId, self.source, self.index)


class Edited(Member):
    """What is to be said of it."""

    description: Annotated[Unicode | None, Field(description="the note to it", examples=["mothers and aunts"])] = None
    weight: Annotated[float | None, Field(allow_inf_nan=False, description="where the list steers as one; ours")] = None


class Changed(Named):
    """What is to be changed; what is left out stays."""

    name: Annotated[Unicode | None, Field(description="what it is called")] = None
    description: Annotated[Unicode | None, Field(description="what it is about", examples=["Who is whose."])] = None
    defaultTestText: Annotated[Unicode | None, Field(description="a text that is run over all of its features")] = None
    visibility: Visible = None


class Comment(Named):
    """Something to say about a list."""

    text: TEXT
    id: Annotated[
        Unicode | None, Field(description="a UUID of your own: asked twice, it is said once; ours", examples=[SAID[1]])
    ] = None


class Taken(BaseModel):
    """Which comment."""

    commentId: Annotated[Unicode, Field(description="the comment's id", examples=[SAID[1]])]


@router.post("/new", summary="Make a list", response_model=None)
def new(who: Who, request: Request, body: New) -> Json:
    """The list, empty. It is public unless it says otherwise."""
    return _made(who, request, body, [])


@router.post("/new-with-features", summary="Make a list of features", response_model=None)
def filled(who: Who, request: Request, body: Filled) -> Json:
    """The list with its features, both or neither."""
    return _made(who, request, body, [one.item() for one in body.features])


def _made(who: Who, request: Request, body: New, items: list[Item]) -> Json:
    made = who.lists.new(
        body.name, body.description, visibility=body.visibility or "public", test_text=body.defaultTestText,
        items=items, id=body.id,
    )  # fmt: skip
    return Json(shape.whole(who.lists.get(made), (), str(request.base_url)))


@router.post("/list", summary="Your lists", response_model=None)
def owned(who: Who, request: Request) -> Json:
    """Of whoever asks, the last changed first, without their features; a body is not read."""
    return Json([shape.card(one, str(request.base_url)) for one in who.lists.mine()])


@router.post("/get", summary="A list", response_model=None)
def get(who: Who, request: Request, body: Named) -> Json:
    """The list with its features under `neurons`, in their order, and what was said about it under `comments`."""
    found = who.lists.get(body.listId)
    return Json(shape.whole(found, who.comments.on(found.card.id), str(request.base_url)))


@router.post("/add-features", summary="Put features into a list", response_model=None)
def add(who: Who, body: Adding) -> Json:
    """Those that are new to it, at its end; one that is there already keeps its place and its note."""
    return Json([shape.item(one) for one in who.lists.add(body.listId, [one.item() for one in body.featuresToAdd])])


@router.post("/edit-feature", summary="Change the note to a feature of a list", response_model=None)
def edit(who: Who, body: Edited) -> Json:
    """What is left out stays as it is."""
    who.lists.edit(body.listId, body.key(), note=body.description, weight=body.weight)
    return Json({"message": "Success"})


@router.post("/remove", summary="Take a feature out of a list", response_model=None)
def remove(who: Who, body: Member) -> Json:
    """One that is not there is no error."""
    who.lists.take(body.listId, [body.key()])
    return Json({"message": "Success"})


@router.post("/update", summary="Change a list", response_model=None)
def update(who: Who, request: Request, body: Changed) -> Json:
    """The list as it is then."""
    who.lists.change(
        body.listId, name=body.name, about=body.description, visibility=body.visibility,
        test_text=body.defaultTestText,
    )  # fmt: skip
    return Json(shape.card(who.lists.get(body.listId).card, str(request.base_url)))


@router.post("/comment/new", summary="Comment on a list", response_model=None)
def say(who: Who, body: Comment) -> Json:
    """The comment's `id`."""
    return Json({"id": who.comments.post(body.listId, body.text, id=body.id)})


@router.post("/comment/delete", summary="Take a comment on a list back", response_model=None)
def unsay(who: Who, body: Taken) -> Json:
    """Its text goes; answers to it stay."""
    who.comments.delete(body.commentId)
    return Json({"message": "Success"})


@router.post("/delete", summary="Delete a list", response_model=None)
def delete(who: Who, body: Named) -> Json:
    """With its notes and comments; its features are untouched."""
    who.lists.delete(body.listId)
    return Json({"message": "Success"})
