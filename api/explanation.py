"""Explanations by models and their scores: asked for, read, taken away. Neuronpedia's paths and names.

A key for the model that is asked comes with the request, in the header `X-Model-Key`, and is kept nowhere. Without one
the server's own is used, where it has one and lets whoever asks have it. Explaining takes one question and scoring
some; both wait for them. This router comes before that of people's explanations, whose ids have no such form.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json, Who
from api.bodies import INDEX, MODEL, SOURCE, FeatureReference, Unicode
from core.errors import BadData, Conflict, NotAvailable
from core.explain.machine.methods import method
from core.explain.records import Explanation, Progress
from core.interchange import explanations as shape

router = APIRouter(prefix="/explanation", tags=["explanation"])

ANNOTATION = f"annotation:{MODEL}/{SOURCE}/{INDEX}"
"""The explanation of the examples."""
Id = Annotated[str, Path(description="the explanation's id", examples=[ANNOTATION], max_length=400)]
ModelsId = Annotated[str, Path(description="what follows “m-” in its id", examples=["0123abcd"], max_length=200)]
ScoreId = Annotated[str, Path(description="the score's id", examples=["s-0123456789abcdef012345"], max_length=200)]
ModelKey = Annotated[str, Header(alias="X-Model-Key", description="a key for the model's endpoint; kept nowhere")]
BaseUrl = Annotated[Unicode, Field(description="an endpoint that speaks OpenAI's; ours", max_length=400)]


class Generate(FeatureReference):
    """A feature to explain."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{
            "modelId": MODEL, "layer": SOURCE, "index": str(INDEX), "explanationType": "np_max-act-logits",
            "explanationModelName": "gpt-4.1-mini",
        }]},
    )  # fmt: skip

    explanationType: Annotated[Unicode, Field(description="the method: np_max-act-logits, np_max-act, …")]
    explanationModelName: Annotated[Unicode, Field(description="the model, as its endpoint calls it")] = ""
    baseUrl: BaseUrl = ""


class ScoreAsked(BaseModel):
    """An explanation to score."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"explanationId": ANNOTATION, "scorerType": "eleuther_embedding"}]}
    )

    explanationId: Annotated[Unicode, Field(description="the explanation's id", max_length=400)]
    scorerType: Annotated[
        Unicode, Field(description="eleuther_recall, eleuther_fuzz, eleuther_embedding; ours: simulation")
    ]
    scorerModel: Annotated[Unicode, Field(description="the judge, as its endpoint calls it")] = ""
    baseUrl: BaseUrl = ""


@router.post("/generate", summary="Have a language model explain a feature", response_model=None)
def generate(asked: Generate, workbench: Bench, who: Who, key: ModelKey = "") -> Json:
    """A language model explains a feature. A method and model that did so already is refused with 409."""
    words, feature = workbench.words, asked.key()
    workbench.feature(feature)
    method(asked.explanationType)
    same = (asked.explanationType, asked.explanationModelName)
    if any((one.method, one.model) == same for one in words.of(feature)):
        raise Conflict(f"{feature} has an explanation by {same[0]} and {same[1]} already.")
    endpoint = words.machines.visitor(who, asked.explanationModelName, asked.baseUrl, key)
    author = who.me.id if who.me is not None else ""
    made = _last(words.explain([feature], asked.explanationType, endpoint, author=author, concurrency=1))
    return Json({"explanation": shape.explanation(made)})


@router.post("/score", summary="Score an explanation", response_model=None)
def score(asked: ScoreAsked, workbench: Bench, who: Who, key: ModelKey = "") -> Json:
    """An explanation is scored on examples that no explainer saw; the score says how, and of how many."""
    words, scorer = workbench.words, shape.scorer(asked.scorerType)
    explanation = words.machines.find(asked.explanationId)
    endpoint = None
    if scorer != "embedding":
        words.estimate_scores([], scorer)
        endpoint = words.machines.visitor(who, asked.scorerModel, asked.baseUrl, key)
    steps = list(words.score([explanation], scorer, endpoint))
    if steps[-1].there:
        raise Conflict(f"This explanation has a score by {asked.scorerType} already.")
    made = _last(steps)
    newest = next(one for one in reversed(made.scores) if one.scorer == scorer)
    return Json({"score": shape.score(newest, made.id)})


@router.post("/score/{id}/delete", summary="Take a score away", response_model=None)
def delete_score(id: ScoreId, workbench: Bench, who: Who) -> Json:
    """Takes a score away: as whoever had the explanation made, as a moderator, or on one's own machine."""
    workbench.words.machines.remove_score(id, who)
    return Json({"success": True})


@router.post("/m-{id}/delete", summary="Take a model's explanation away", response_model=None)
def delete(id: ModelsId, workbench: Bench, who: Who) -> Json:
    """Takes a model's explanation away, with its scores; likewise."""
    workbench.words.machines.remove(f"m-{id}", who)
    return Json({"success": True})


@router.get("/{id:path}", summary="One explanation with its scores", response_model=None)
def get(id: Id, workbench: Bench) -> Json:
    """One explanation with its scores, whoever wrote it."""
    return Json({"explanation": shape.explanation(workbench.words.machines.find(id))})


def _last(steps: Any) -> Explanation:
    """What was made; raises what was wrong where nothing was."""
    last, made = Progress(), None
    for last in steps:
        made = last.made[0] if last.made else made
    if made is None:
        problem = last.problem or last.stopped
        raise (BadData if "holds no explanation" in problem else NotAvailable)(problem or "Nothing came of it.")
    return made
