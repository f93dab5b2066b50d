"""What people do with explanations, at Neuronpedia's paths: written, voted for, taken back. Some fields are ours.

An explanation of a machine or of the data is voted for like any other. One that a person wrote is found by its id
alone; of any other the body names the feature, too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.access import Bench, Json, Who
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, Unicode, Whole
from core.community import limits
from core.community.alike import digest, joined
from core.errors import BadInput, Conflict, NotFound
from core.explain.records import Explanation
from core.interchange import explanations as shape
from core.records import FeatureKey, Records
from core.workbench import Workbench

router = APIRouter(prefix="/explanation", tags=["explanation"])

SAID = "5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1e04"
"""The explanation of the examples; `new` makes it, `delete` takes it away again."""
VOTED = 100
"""Explanations that one request votes for."""
FEATURE: dict[str, Any] = {"modelId": MODEL, "layer": SOURCE, "index": str(INDEX)}
Id = Annotated[str, Path(description="the explanation's id", examples=[SAID], max_length=200)]
Mark = Literal["none", "mess", "several"]
Vote = Annotated[Literal[1, -1], Field(description="1 for, -1 against")]


class New(FeatureReference):
    """What a feature means."""

    description: Annotated[
        Unicode,
        Field(
            validation_alias=AliasChoices("description", "text", "explanation"),
            description=f"at most {limits.EXPLANATION:,} characters; several meanings have “|” between them",
            examples=["family words"],
        ),
    ]
    id: Annotated[
        Unicode | None, Field(description="a UUID of your own: asked twice, it is said once; ours", examples=[SAID])
    ] = None
    anyway: Annotated[
        bool, Field(description="keep it also where somebody said the same in nearly the same words; ours")
    ] = False


class Voted(BaseModel):
    """A vote; the feature may be left out for what a person wrote."""

    model_config = ConfigDict(populate_by_name=True)

    vote: Vote = 1
    modelId: Annotated[Unicode | None, Field(description="ours")] = None
    source: Annotated[
        Unicode | None, Field(validation_alias=AliasChoices("source", "layer", "sourceId"), description="ours")
    ] = None
    index: Annotated[Whole | None, Field(description="ours")] = None

    def key(self) -> FeatureKey | None:
        """The feature, if it is named."""
        if self.modelId is None or self.source is None or self.index is None:
            return None
        return FeatureKey(self.modelId, self.source, self.index)


class Several(FeatureReference):
    """A vote for several explanations of a feature."""

    explanationIds: Annotated[list[Unicode], Field(max_length=VOTED, description="their ids", examples=[[SAID]])]
    vote: Annotated[Literal[1, -1, 0], Field(description="1 for, -1 against, 0 takes a vote back")] = 1


class Marked(FeatureReference):
    """What to say of a feature where no explanation will do."""

    mark: Annotated[
        Mark, Field(description="none of these, it is a mess, more than one meaning (several)", examples=["several"])
    ]
    on: Annotated[bool, Field(description="false takes it back")] = True


@router.post("/new", summary="Say what a feature means", response_model=None)
def new(bench: Bench, who: Who, body: New) -> Json:
    """The explanation's `id`. 409 names those that say the same already, so that you may vote for one instead."""
    key, text = body.key(), joined(body.description)
    bench.feature(key)
    same = Records(()) if body.anyway else bench.words.twins(key, text, beside=body.id or "")
    if same:
        raise Conflict(
            f"“{same[0].text[:120]}” says the same in nearly the same words: vote for it "
            f"(POST /api/explanation/{same[0].id}/vote), or send anyway: true."
        )
    return Json({"id": who.explanations.write(key, text, id=body.id)})


@router.post("/vote", summary="Vote for several explanations of a feature", response_model=None)
def vote_several(bench: Bench, who: Who, body: Several) -> Json:
    """All or none; ours. The votes of the feature's explanations as they are then."""
    known = {one.id: one for one in bench.words.of(body.key())}
    if gone := [id for id in body.explanationIds if id not in known]:
        raise NotFound(f"{body.key()} has no explanation “{gone[0][:80]}”.")
    chosen = [(id, digest(known[id].text)) for id in dict.fromkeys(body.explanationIds)]
    who.explanations.vote(body.key(), chosen, body.vote)
    return Json([_votes(one) for one in bench.words.of(body.key(), people=who)])


@router.post("/mark", summary="Mark a feature", response_model=None)
def mark(bench: Bench, who: Who, body: Marked) -> Json:
    """How many people said what of it, and you; ours."""
    bench.feature(body.key())
    who.explanations.mark(body.key(), body.mark, on=body.on)
    found = who.explanations.marks(body.key())
    return Json({"marks": dict(found.count), "yours": sorted(found.mine)})


@router.post("/{id:path}/vote", summary="Vote for an explanation", response_model=None)
def vote(bench: Bench, who: Who, id: Id, body: Voted | None = None) -> Json:
    """Its votes then."""
    asked = body or Voted()
    return _voted(bench, who, _one(bench, who, id, asked.key()), asked.vote)


@router.post("/{id:path}/unvote", summary="Take a vote back", response_model=None)
def unvote(bench: Bench, who: Who, id: Id, body: Voted | None = None) -> Json:
    """Without one nothing happens."""
    return _voted(bench, who, _one(bench, who, id, body.key() if body else None), 0)


@router.post("/{id:path}/delete", summary="Take your explanation back", response_model=None)
def delete(who: Who, id: Id) -> Json:
    """Only what you wrote."""
    who.explanations.delete(id)
    return Json({"message": "Success"})


def _one(bench: Workbench, who: Any, id: str, key: FeatureKey | None) -> Explanation:
    if key is None:
        try:
            key = who.explanations.get(id).feature
        except BadInput as error:
            raise BadInput("This is no person's explanation: send its modelId, layer and index, too.") from error
    for one in bench.words.of(key):
        if one.id == id.lower() or one.id == id:
            return one
    raise NotFound(f"{key} has no explanation “{id[:80]}”.")


def _voted(bench: Workbench, who: Any, on: Explanation, vote: int) -> Json:
    who.explanations.vote(on.feature, [(on.id, digest(on.text))], vote)
    found = [one for one in bench.words.of(on.feature, people=who) if one.id == on.id]
    return Json(_votes(found[0] if found else on))


def _votes(one: Explanation) -> shape.Json:
    return {"id": one.id, "description": one.text, "votes": {"up": one.up, "down": one.down}, "yourVote": one.mine}
