"""What the address of a steering embed, or a program's call, asks for, as the steering page's own view.

`id=a,b&strength=30,10` names features in any form that a person may paste, `features=2-res/78:30` as the page's links
do; the rest (method, length, seed, …) is read as the page reads it, with the same bounds. Costs a look at the catalog.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from components import steer_features, steer_view
from components.steer_view import View
from core.errors import BadInput, NotFound, WorkbenchError
from core.records import FeatureKey, Push, SteerAsk
from core.workbench import Workbench
from embeds.shared import feature_key

NAMES = (
    "id", "strength", "features", "model", "prompt", "method", "where", "tokens", "special", "unit", "length",
    "temperature", "top_p", "penalty", "seed",
)  # fmt: skip
"""What an address may say."""
TIMES = 3.0
"""Of a feature's maximum: how far the slider goes, if the address does not ask for more."""


def view(bench: Workbench, given: Mapping[str, str]) -> tuple[View, list[str]]:
    """What is asked for, and what was wrong with it. The view has no feature where none is named, or none is here.

    Raises:
        NotFound: nothing here can be steered.
    """
    query = {name: given[name] for name in NAMES if given.get(name, "").strip()}
    keys, wrong = _keys(bench, query.pop("id", ""), query.pop("strength", ""))
    named = [f"{key}{amount}" for key, amount in keys]
    query["features"] = ",".join([*named, *filter(None, [query.get("features", "")])])
    if "model" not in query and (first := query["features"].split(",")[0]).count("/") == 2:
        query["model"] = first.split("/")[0].strip()
    models = list(dict.fromkeys(s.key.model_id for s in bench.sources() if "weights" in s.has))
    if not models:
        raise NotFound("No source here has its weights, so nothing can be steered.")

    def know(model_id: str, name: str) -> steer_view.Feature:
        return steer_features.feature(bench, FeatureKey.parse(f"{model_id}/{name}"))

    found, more = steer_view.read(query, models, know, bench.settings.max_length)
    return found, wrong + more


def _keys(bench: Workbench, ids: str, strengths: str) -> tuple[list[tuple[FeatureKey, str]], list[str]]:
    """(each feature with `:strength`, or nothing where there is none), and what was wrong."""
    names, amounts = _parts(ids), _parts(strengths)
    found, wrong = [], []
    if len(amounts) > len(names) > 0:
        wrong.append(f"There are {len(amounts)} strengths for {len(names)} features: give each feature one.")
    for n, name in enumerate(names):
        try:
            found.append((_key(bench, name), f":{amounts[n]}" if n < len(amounts) and amounts[n] else ""))
        except WorkbenchError as error:
            wrong.append(str(error))
    return found, wrong


def _key(bench: Workbench, name: str) -> FeatureKey:
    try:
        return feature_key(bench, name)
    except WorkbenchError:
        try:
            return bench.vector(name).key  # a direction that somebody brought is in no source
        except WorkbenchError:
            pass
        raise


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def ask(bench: Workbench, given: Mapping[str, object]) -> SteerAsk:
    """What a program asks for.

    Raises:
        WorkbenchError: the first thing that is wrong with it.
    """
    found, wrong = view(bench, {name: _plain(value) for name, value in given.items() if value is not None})
    if wrong:
        raise BadInput(wrong[0])
    return found.ask


def _plain(value: object) -> str:
    """A number as an address has it: JSON does not tell 48.0 from 48."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def link(view: View) -> str:
    """The view in a line, for the browser to keep and send back; without the prompt, which has its own field."""
    return urlencode(
        {name: value for name, value in view.parameters().items() if value and name != "prompt"}, safe="/:,"
    )


def unlink(text: str) -> dict[str, str]:
    """The parameters of such a line. It comes from a browser: nothing says that we made it."""
    return dict(parse_qsl(text))


# -- the slider --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Knob:
    """What the slider sets: the strength of one feature, or by how many times all strengths of several are taken."""

    low: float
    high: float
    step: float
    value: float
    times: bool
    """Whether it multiplies."""


def knob(view: View) -> Knob | None:
    """The slider of a view; None where there is nothing to set."""
    pushes, method = view.ask.pushes, view.ask.method
    if not pushes or method == "ablate":
        return None
    if len(pushes) > 1:
        return Knob(-4.0, 4.0, 0.05, 1.0, True)
    (push,), (known,) = pushes, view.features
    usual = 10.0 if method == "orthogonal" else TIMES * abs(known.maximum or steer_view.ALONE)
    reach = _round(max(usual, 1.2 * abs(push.strength)))
    return Knob(-reach, reach, _step(reach, push.strength), push.strength, False)


def _round(reach: float) -> float:
    """The next number above that is round."""
    ten = 10.0 ** math.floor(math.log10(reach))
    return next(n * ten for n in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if n * ten >= reach * (1 - 1e-9))


def _step(reach: float, value: float) -> float:
    """A hundredth or so of the way, finer if the value lies between two steps."""
    step = 10.0 ** math.floor(math.log10(reach / 50))
    for _ in range(3):
        if math.isclose(value / step, round(value / step), abs_tol=1e-6):
            break
        step /= 10
    return step


def turned(view: View, amount: object) -> View:
    """The view with the slider at `amount`, or as it is if that is no number."""
    pushes = view.ask.pushes
    if not isinstance(amount, int | float) or not math.isfinite(amount) or knob(view) is None:
        return view
    if len(pushes) > 1:
        pushes = tuple(Push(p.key, float(f"{p.strength * amount:.12g}")) for p in pushes)
    else:
        pushes = (Push(pushes[0].key, float(amount)),)
    return replace(view, ask=replace(view.ask, pushes=pushes))
