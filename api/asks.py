"""What a steering request may say, in Neuronpedia's names (snake_case or camelCase) and limits, and the ask it makes.

A strength times `strength_multiplier` is the strength. Features of sources and directions of one's own may be mixed.
Fields that Neuronpedia does not have are marked as ours.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.bodies import INDEX, MODEL, SourceId, Unicode, Whole
from core.errors import BadInput, NotFound
from core.interchange import steering
from core.records import FeatureKey, Message, Method, Push, SteerAsk, Where
from core.workbench import Workbench

PROMPT = 2048
"""Characters of a prompt, and of all messages of a chat together."""
FEATURES, MESSAGES, POSITIONS = 256, 1024, 4096
"""Of each what a body may name; how many features will do is a setting."""
ROLES = {"model": "assistant", "developer": "system"}
"""What some templates call them."""


def named(*names: str, about: str = "", **more: Any) -> Any:
    """A field that is read under each of these names, of which the first is the description's."""
    return Field(validation_alias=AliasChoices(*names), description=about, **more)


ModelName = Annotated[Unicode, named("modelId", "model_id", "model", about="the model", examples=[MODEL])]


class Named(BaseModel):
    """A feature, or a direction of one's own."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: Annotated[
        Unicode | None, named("modelId", "model_id", "model", about="its model; the body's, if it is left out")
    ] = None
    source: SourceId
    index: Annotated[Whole, Field(description="its number, as a number or as text", examples=[str(INDEX)])]

    def key(self, model_id: str) -> FeatureKey:
        """As the workbench names it."""
        return FeatureKey(self.modelId or model_id, self.source, self.index)


class Steered(Named):
    """One that steers."""

    strength: Annotated[
        float | None,
        Field(
            allow_inf_nan=False,
            description="its meaning is the method's; not needed with ABLATE, nor of a direction, which has its own",
            examples=[30],
        ),
    ] = None

    def push(self, workbench: Workbench, model_id: str, method: Method, multiplier: float) -> Push:
        """As the workbench has it.

        Raises:
            BadInput: it has no strength, and should.
        """
        key, strength = self.key(model_id), self.strength
        if strength is None and method != "ablate":
            try:
                strength = workbench.vector(key).strength
            except NotFound as error:
                raise BadInput(f"The strength of {key} is missing.") from error
        return Push(key, (strength or 0.0) * multiplier)


Features = Annotated[
    list[Steered], Field(max_length=FEATURES, description="what steers: {modelId, source, index, strength} each")
]


class Asked(BaseModel):
    """What every kind of run may say; all but the model and the features may be left out."""

    model_config = ConfigDict(populate_by_name=True)

    modelId: ModelName
    features: Features
    temperature: Annotated[float, Field(ge=0, le=2, description="0 to 2; 0 takes the likeliest token each time")] = 0.7
    n_tokens: Annotated[
        int, named("n_tokens", "nTokens", "n_completion_tokens", "nCompletionTokens", ge=1,
                   about="tokens to generate at most, 1 to 256"),
    ] = 48  # fmt: skip
    freq_penalty: Annotated[
        float, named("freq_penalty", "freqPenalty", ge=-2, le=2,
                     about="-2 to 2: taken from a token's logit for each time that it was generated"),
    ] = 0.0  # fmt: skip
    seed: Annotated[int, Field(ge=-(2**53), le=2**53, description="the same seed, the same text")] = 16
    strength_multiplier: Annotated[
        float, named("strength_multiplier", "strengthMultiplier", ge=0, le=10, about="0 to 10: times every strength")
    ] = 1.0
    steer_method: Annotated[
        str, named("steer_method", "steerMethod", about=f"{', '.join(steering.METHODS)}; the last two are ours")
    ] = "SIMPLE_ADDITIVE"
    normalize_steering: Annotated[
        bool, named("normalize_steering", "normalizeSteering", about="divide directions by their length first")
    ] = False
    steer_special_tokens: Annotated[
        bool, named("steer_special_tokens", "steerSpecialTokens",
                    about="steer the prompt's special tokens too, such as BOS and a chat's marks"),
    ] = False  # fmt: skip
    n_logprobs: Annotated[
        int, named("n_logprobs", "nLogprobs", ge=0, le=20,
                   about="likeliest tokens to give in each place, 0 to 20; 0 gives no log-probabilities"),
    ] = 5  # fmt: skip
    top_p: Annotated[
        float, named("top_p", "topP", gt=0, le=1, about="draw from the likeliest tokens of so much probability; ours")
    ] = 1.0
    where: Annotated[Where, Field(description="steer the prompt, what is generated, or all; ours")] = "all"
    positions: Annotated[
        tuple[Whole, ...], Field(max_length=POSITIONS, description="of the prompt, these tokens alone; BOS is 0; ours")
    ] = ()
    watch: Annotated[
        tuple[Named, ...],
        Field(max_length=FEATURES, description="features whose values on the prompt are compared; ours"),
    ] = ()

    def ask(self, workbench: Workbench, **more: Any) -> SteerAsk:
        """As the workbench is asked; `more` is the prompt or the chat."""
        if self.n_tokens > workbench.settings.max_length:
            raise BadInput(f"n_tokens: {self.n_tokens:,} is not between 1 and {workbench.settings.max_length:,}.")
        method, model_id = method_of(self.steer_method), self.modelId
        return SteerAsk(
            model_id=model_id, method=method, unit=self.normalize_steering, where=self.where, positions=self.positions,
            pushes=tuple(one.push(workbench, model_id, method, self.strength_multiplier) for one in self.features),
            special=self.steer_special_tokens, length=self.n_tokens, temperature=self.temperature, top_p=self.top_p,
            frequency_penalty=self.freq_penalty, seed=steering.seed_of(self.seed), alternatives=self.n_logprobs,
            watch=tuple(one.key(model_id) for one in self.watch), **more,
        )  # fmt: skip


class Turn(BaseModel):
    """A message of a chat."""

    role: Annotated[Unicode, Field(description="system, user or assistant; model and developer are also read")]
    content: Unicode


Turns = Annotated[list[Turn], Field(min_length=1, max_length=MESSAGES)]


def messages(name: str, turns: list[Turn]) -> tuple[Message, ...]:
    """A chat as the workbench has it.

    Raises:
        BadInput: it is too long.
    """
    characters = sum(len(turn.content) for turn in turns)
    if characters > PROMPT:
        raise BadInput(f"{name}: {characters:,} characters are too many: at most {PROMPT:,} together.")
    return tuple(Message(ROLES.get(turn.role, turn.role), turn.content) for turn in turns)  # type: ignore[arg-type]


def method_of(name: str) -> Method:
    """The method of this name, Neuronpedia's or the workbench's own.

    Raises:
        BadInput: there is none.
    """
    for theirs, ours in steering.METHODS.items():
        if name in (theirs, ours):
            return ours
    raise BadInput(f"steer_method: there is no “{name[:40]}”. There is: {', '.join(steering.METHODS)}.")
