"""What the steering page shows, as a frozen value: read from a link, changed into other links. Draws nothing.

A link names everything that the texts depend on, so that the same link gives the same texts; `run` names a saved run
instead. Neuronpedia's `source`, `index` and `strength` are read too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from components import links
from core.errors import WorkbenchError
from core.records import FeatureKey, Message, Method, Push, Role, SteerAsk, Where

METHODS: tuple[Method, ...] = get_args(Method)
PLACES: tuple[Where, ...] = get_args(Where)
USUAL = SteerAsk(model_id="", pushes=())
"""What a link does not name."""
TIMES = 1.5
"""Of a feature's maximum, where a link names no strength."""
ALONE = 10.0
"""The strength of what has no maximum."""
SCALE = 4.0
"""Nats by which steering changed a token's log-probability that are drawn at full depth: the same for every run."""
_FEATURE = re.compile(r"(?:(?P<model>[^/:]+)/)?(?P<source>[^/:]+)/(?P<index>[0-9]{1,12})(?::(?P<strength>.*))?")


@dataclass(frozen=True, slots=True)
class Bound:
    """A number of the link and what it may be."""

    name: str
    """In the link."""
    field: str
    """Of `SteerAsk`."""
    low: float
    high: float
    whole: bool = False


BOUNDS = (
    Bound("length", "length", 1, math.inf, whole=True),
    Bound("temperature", "temperature", 0, 2),
    Bound("top_p", "top_p", 0.01, 1),
    Bound("penalty", "frequency_penalty", -2, 2),
    Bound("seed", "seed", 0, 2**63 - 1, whole=True),
)
"""Length has the server's bound beside its own."""
NAMED = 32
"""Features of a link that are read at most; the workbench has its own bound."""
STRENGTH = 1e6
"""Of a strength in size at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What the page knows of a feature or of a direction without running a model."""

    key: FeatureKey
    label: str
    maximum: float | None
    """The largest value on the build's texts; None for a direction of somebody's own."""
    hook: str
    """Where it writes."""
    strength: float | None = None
    """A direction's own."""

    @property
    def own(self) -> bool:
        """Whether somebody brought it."""
        return self.maximum is None

    def usual(self, method: Method) -> float:
        """The strength to begin with: enough to see something."""
        if method == "ablate":
            return 0.0
        if method == "orthogonal":
            return 3.0
        if method == "cap":
            return 0.0
        if self.maximum is None or self.maximum <= 0:
            return self.strength if self.strength is not None else ALONE
        return float(f"{TIMES * self.maximum:.3g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the steering page."""

    ask: SteerAsk
    run: str = ""
    """A saved run, whose ask it then is."""
    swept: bool = False
    """Whether the same prompt is shown at several strengths too."""
    features: tuple[Feature, ...] = field(default=())
    """What is known of the ask's features, in their order."""
    watched: tuple[Feature, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Whether there is something to run."""
        return bool(self.ask.pushes and (self.ask.prompt or self.ask.messages))

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is usual anyway."""
        own = {"sweep": "1" if self.swept else ""}
        return {"run": self.run} | own if self.run else parameters(self.ask) | own

    def to(self, *, swept: bool | None = None, **changes: Any) -> str:
        """The address of this view with changes of its ask; a changed one is not the saved one any more."""
        shown = self.swept if swept is None else swept
        there = replace(self, ask=replace(self.ask, **changes), run="" if changes else self.run, swept=shown)
        return links.steer(**there.parameters())


def parameters(ask: SteerAsk) -> dict[str, str]:
    """An ask as URL parameters."""
    numbers = {b.name: _number(getattr(ask, b.field)) for b in BOUNDS}
    usual = {b.name: _number(getattr(USUAL, b.field)) for b in BOUNDS}
    return {
        "model": ask.model_id,
        "features": ",".join(_push(push, ask.method) for push in ask.pushes),
        "prompt": ask.prompt,
        "chat": _chat(ask),
        "method": "" if ask.method == USUAL.method else ask.method,
        "where": "" if ask.where == USUAL.where else ask.where,
        "tokens": ",".join(map(str, ask.positions)),
        "special": "1" if ask.special else "",
        "unit": "1" if ask.unit else "",
        **{name: "" if value == usual[name] else value for name, value in numbers.items()},
        "watch": ",".join(f"{key.source_id}/{key.index}" for key in ask.watch),
    }


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _push(push: Push, method: Method) -> str:
    name = f"{push.key.source_id}/{push.key.index}"
    return name if method == "ablate" else f"{name}:{_number(float(push.strength))}"


def _chat(ask: SteerAsk) -> str:
    """`[[role, text], …]`, with what the steered one said instead as a third where that is something else."""
    if not ask.messages:
        return ""
    turns = []
    for said, steered in zip(ask.messages, ask.steered_messages or ask.messages, strict=True):
        turns.append([said.role, said.content] + [steered.content] * (steered != said))
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


# -- reading -----------------------------------------------------------------------------------------------------------


def read(
    query: Mapping[str, str], models: Sequence[str], know: Callable[[str, str], Feature], longest: int
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it.

    `models` is not empty; its first is the default. `know` gives what is known of what a text names in a model, or
    raises; `longest` is how many tokens may be generated.
    """
    reader = _Reader(query, know)
    model_id = reader.word("model", models, "There is no model “{}” here that can be steered. There is: {}.")
    method = reader.word("method", METHODS)
    numbers = {b.field: reader.number(b, longest) for b in BOUNDS}
    features = reader.features(model_id, method)
    messages, steered = reader.chat()
    prompt = query.get("prompt", "")
    if messages and prompt.strip():
        reader.wrong.append("The link has a prompt and a chat; the chat is shown.")
    watched = reader.watched(model_id)
    ask = SteerAsk(
        model_id=model_id, prompt="" if messages or not prompt.strip() else prompt, messages=messages,
        steered_messages=steered, pushes=tuple(push for _, push in features), method=method,
        unit=reader.word("unit", ("0", "1")) == "1", where=reader.word("where", PLACES),
        positions=reader.positions(), special=reader.word("special", ("0", "1")) == "1",
        watch=tuple(one.key for one in watched), **numbers,
    )  # fmt: skip
    view = View(
        ask=ask, swept=reader.word("sweep", ("0", "1")) == "1", features=tuple(one for one, _ in features),
        watched=watched,
    )  # fmt: skip
    return view, reader.wrong


class _Reader:
    """Reads one link; `wrong` is what could not be read."""

    def __init__(self, query: Mapping[str, str], know: Callable[[str, str], Feature]) -> None:
        self.query, self.know = query, know
        self.wrong: list[str] = []

    def word(self, name: str, options: Sequence[str], said: str = "") -> Any:
        value = self.query.get(name, "").strip()
        if value and value not in options:
            said = said or f"“{{}}” is not a value of “{name}” in a link: {{}} are."
            self.wrong.append(said.format(value[:60], ", ".join(options)))
        return value if value in options else options[0]

    def number(self, bound: Bound, longest: int) -> float:
        usual: float = getattr(USUAL, bound.field)
        usual = min(usual, longest) if bound.name == "length" else usual
        text = self.query.get(bound.name, "").strip()
        if not text:
            return usual
        high = longest if bound.name == "length" else bound.high
        value = _read_number(text, whole=bound.whole)
        if value is not None and bound.low <= value <= high:
            return value
        kind = "a whole number" if bound.whole else "a number"
        self.wrong.append(
            f"“{bound.name}” of the link is {kind} from {bound.low:g} to {high:g}; “{text[:60]}” is not. "
            f"This takes {usual:g}."
        )
        return usual

    def features(self, model_id: str, method: Method) -> list[tuple[Feature, Push]]:
        found: dict[FeatureKey, tuple[Feature, Push]] = {}
        for part in self._named():
            match = _FEATURE.fullmatch(part)
            if match is None or match["model"] not in (None, model_id):
                self.wrong.append(
                    f"“{part[:80]}” is not a feature of {model_id} in a link: write <source>/<index>:<strength>, with "
                    "commas between several. It is left out."
                )
                continue
            known = self._known(model_id, f"{match['source']}/{match['index']}")
            if known is None:
                continue
            if known.key in found:
                self.wrong.append(f"{known.key} is named twice; its last strength counts.")
            found[known.key] = (known, Push(known.key, self._strength(known, match["strength"], method)))
        return list(found.values())

    def _named(self) -> list[str]:
        """What the link says of features, Neuronpedia's three parameters made one."""
        parts = self._few("features")
        source, index = (self.query.get(name, "").strip() for name in ("source", "index"))
        if source or index:
            strength = self.query.get("strength", "").strip()
            parts.append(f"{source}/{index}" + (f":{strength}" if strength else ""))
        return parts

    def _few(self, name: str) -> list[str]:
        """The parts of a list, as many as are read."""
        parts = _parts(self.query.get(name, ""))
        if len(parts) > NAMED:
            self.wrong.append(f"“{name}” of the link names {len(parts)} features; the first {NAMED} are read.")
        return parts[:NAMED]

    def _known(self, model_id: str, name: str) -> Feature | None:
        try:
            return self.know(model_id, name)
        except WorkbenchError as error:
            self.wrong.append(f"{error} It is left out.")
            return None

    def _strength(self, known: Feature, text: str | None, method: Method) -> float:
        if method == "ablate":
            return 0.0
        if text is None or not text.strip():
            return known.usual(method)
        value = _read_number(text)
        if value is not None and abs(value) <= STRENGTH:
            return value
        usual = known.usual(method)
        self.wrong.append(
            f"The strength of {known.key} is a number between −{STRENGTH:,.0f} and {STRENGTH:,.0f}; “{text[:40]}” is "
            f"not. This takes {usual:g}."
        )
        return usual

    def watched(self, model_id: str) -> tuple[Feature, ...]:
        found = {}
        for part in self._few("watch"):
            known = self._known(model_id, part)
            if known is not None and known.own:
                self.wrong.append(f"{known.key} is a direction: it has no values to watch. It is left out.")
            elif known is not None:
                found[known.key] = known
        return tuple(found.values())

    def positions(self) -> tuple[int, ...]:
        text = self.query.get("tokens", "")
        parts = _parts(text)
        good = [p for p in parts if p.isascii() and p.isdecimal() and len(p) < 7]
        if len(good) < len(parts):
            self.wrong.append(f"“tokens” of the link is whole numbers with commas between; “{text[:60]}” is not.")
        return tuple(sorted({int(p) for p in good}))

    def chat(self) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        text = self.query.get("chat", "").strip()
        if not text:
            return (), ()
        try:
            turns = [_turn(one) for one in json.loads(text)]
        except (ValueError, TypeError, RecursionError):
            self.wrong.append("“chat” of the link is [[role, text], …] as JSON, and this one cannot be read.")
            return (), ()
        said, steered = (tuple(turn[n] for turn in turns) for n in range(2))
        return said, () if said == steered else steered


def _turn(one: Any) -> tuple[Message, Message]:
    """(what was said, what the steered one said instead)."""
    role, *texts = one
    if role not in get_args(Role) or not 1 <= len(texts) <= 2 or not all(isinstance(text, str) for text in texts):
        raise ValueError
    return Message(role, texts[0]), Message(role, texts[-1])


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_number(text: str, *, whole: bool = False) -> float | None:
    """A finite number as a link writes it; None if it is none."""
    text = text.strip().replace("−", "-")
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def within(view: View, tokens: int) -> tuple[View, list[str]]:
    """The view with those chosen tokens that a prompt of so many has, and what was wrong with the others."""
    gone = [str(n) for n in view.ask.positions if n >= tokens]
    if not gone:
        return view, []
    kept = tuple(n for n in view.ask.positions if n < tokens)
    said = f"The prompt has tokens 0 to {tokens - 1}, BOS counted; the link’s {', '.join(gone[:8])} left out."
    return replace(view, ask=replace(view.ask, positions=kept)), [said]


def of_run(ask: SteerAsk, run: str, *, swept: bool) -> View:
    """The view of a saved run."""
    return View(ask=ask, run=run, swept=swept)
