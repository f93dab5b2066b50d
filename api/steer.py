"""Steering: a default and a steered text, of a prompt or a chat, whole or as they grow; sweeps; saved runs; presets.

Runs the model, unless the same was asked for before: a run is kept under a name that is a hash of all it depends on,
and `shareUrl` is the page that shows it without a model call. Neuronpedia's client writes a slash at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import Bench, Json
from api.asks import PROMPT, Asked, ModelName, Turns, messages, named
from api.bodies import INDEX, MODEL, SOURCE, Unicode
from api.stream import answer
from core.interchange import steering
from core.records import SteerAsk, SteerRecord, Tell
from core.workbench import SWEEP, Workbench

router = APIRouter(tags=["steering"])

FEATURE: dict[str, Any] = {"modelId": MODEL, "layer": SOURCE, "index": str(INDEX), "strength": 30}
EXAMPLE: dict[str, Any] = {
    "modelId": MODEL, "prompt": "The old house was", "features": [FEATURE], "temperature": 0.5, "n_tokens": 16,
    "seed": 16,
}  # fmt: skip
RUN = "33cb46e71cd6a983de03"
"""As the name of a run looks."""
CHAT: list[Any] = [{"role": "user", "content": "Write a one sentence story."}]

Prompt = Annotated[str, Field(max_length=PROMPT, description=f"at most {PROMPT:,} characters")]
Stream = Annotated[bool, Field(description="answer with Server-Sent Events, each frame with all that is there so far")]


class Completion(Asked):
    """A prompt, and what steers."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"examples": [EXAMPLE]})

    prompt: Prompt
    stream: Stream = False


@router.post("/steer", summary="A prompt, with and without steering", response_model=None)
@router.post("/steer/", include_in_schema=False, response_model=None)
async def steer(workbench: Bench, request: Request, body: Completion) -> Response:
    """`STEERED` and `DEFAULT`: the generated texts, the prompt apart, from one batch with the same seed.

    `steeredLogProbs` and `defaultLogProbs` have each token's log-probability and the likeliest in its place. Ours:
    `otherLogprob`, the same token's under the other model, and `effect`, what steering does to the next token at the
    prompt's end. A frame of a stream is the same object so far, and the last one is the answer.
    """
    ask = partial(body.ask, workbench, prompt=body.prompt)
    return await _run(workbench, request, ask, steering.completion, stream=body.stream)


class Chat(Asked):
    """Two chats, and what steers the second: they go different ways once an answer was steered."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"modelId": MODEL, "defaultChatMessages": CHAT, "features": [FEATURE]}]},
    )

    defaultChatMessages: Annotated[
        Turns, named("defaultChatMessages", "default_chat_messages",
                     about=f"role and content each; at most {PROMPT:,} characters together"),
    ]  # fmt: skip
    steeredChatMessages: Annotated[
        Turns | None, named("steeredChatMessages", "steered_chat_messages", about="the same if they are left out")
    ] = None
    stream: Stream = False

    def chats(self, workbench: Workbench) -> SteerAsk:
        """As the workbench is asked."""
        default = messages("defaultChatMessages", self.defaultChatMessages)
        steered = messages("steeredChatMessages", self.steeredChatMessages or self.defaultChatMessages)
        return self.ask(workbench, messages=default, steered_messages=() if steered == default else steered)


@router.post("/steer-chat", summary="A chat, with and without steering", response_model=None)
@router.post("/steer-chat/", include_in_schema=False, response_model=None)
async def steer_chat(workbench: Bench, request: Request, body: Chat) -> Response:
    """As `steer`, through the model's chat template; `STEERED` and `DEFAULT` are `{raw, chatTemplate, logprobs}`.

    `raw` is what was generated, `chatTemplate` the chat with it as its last message. A model without a template is
    refused. `effect` and `otherLogprob` are null where the two chats differ.
    """
    return await _run(workbench, request, partial(body.chats, workbench), steering.chat, stream=body.stream)


async def _run(
    workbench: Workbench, request: Request, ask: Callable[[], SteerAsk],
    draw: Callable[[SteerRecord, str], steering.Json], *, stream: bool,
) -> Response:  # fmt: skip
    def begin(tell: Tell) -> Generator[SteerRecord]:
        return workbench.steering(ask(), keep=True, tell=tell)

    base = str(request.base_url)
    return await answer(request, begin, lambda record: draw(record, base), stream=stream)


class Sweep(Asked):
    """A prompt or a chat, what steers, and by how many times its strength."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"examples": [EXAMPLE]})

    prompt: Prompt = ""
    messages: Annotated[Turns | None, Field(description="a chat, instead of the prompt")] = None
    factors: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=False)], ...],
        Field(max_length=64, description="multiples of the strengths, at most 15"),
    ] = SWEEP


@router.post("/steer-sweep", summary="A prompt at several strengths", response_model=None)
def sweep(workbench: Bench, body: Sweep) -> Json:
    """Ours: a row of `results` a factor, with its text, `divergence` and `perplexity`.

    The divergence is KL(steered ‖ unsteered) of the next token at the prompt's end, in nats; the perplexity is the
    text's under the unsteered model, so that one sees at which strength it breaks. `otherLogprob` of each token is the
    unsteered model's. Nothing is kept.
    """
    turns = messages("messages", body.messages or [])
    return Json(steering.sweep(workbench.sweep(body.ask(workbench, prompt=body.prompt, messages=turns), body.factors)))


class Saved(BaseModel):
    """Which run."""

    model_config = ConfigDict(populate_by_name=True)

    steerOutputId: Annotated[
        Unicode, named("steerOutputId", "steer_output_id", "id", about="the `id` of an answer", examples=[RUN])
    ]


@router.post("/steer-load", summary="A saved run", response_model=None)
def load(workbench: Bench, request: Request, body: Saved) -> Json:
    """The texts of a run with its settings and features, without a model call. Of a chat or a prompt, in one form.

    `raw` is what was generated, `inputText` the prompt; `chatTemplate` is null for a prompt.
    """
    return Json(steering.loaded(workbench.steered(body.steerOutputId), str(request.base_url)))


class Presets(BaseModel):
    """Of which model."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: ModelName


@router.post("/steer/presets", summary="Steerings to begin with", response_model=None)
def presets(workbench: Bench, body: Presets) -> Json:
    """`featurePresets`: the directions of one's own, then those that came with the server; and prompts for them."""
    model = workbench.model(body.modelId)
    name = model.model_id
    return Json(
        steering.presets(model, workbench.sources(model_id=name), workbench.presets(name), workbench.vectors(name))
    )
