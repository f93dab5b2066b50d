"""What each feature gives at each place of a set of prompts, and which factors there are to ask about.

Works on codes; no model is run here. A value is asked about slot by slot, an observation a prompt. Position and role
are asked about slots that share fillers, an observation a mention, the filler held fixed: the same word, elsewhere.
Position is the mention's number among those of these slots; role is the slot's name. Each is asked with the other held
fixed where the templates let them vary apart, and without where they always go together. Cost: a look at the prompts'
codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from core.sources.codes import Codes
from core.techniques.templates.effects import Design, design
from core.techniques.templates.records import At, Kind, Prompt

Place = tuple[int, tuple[int, ...]]
"""(prompt, token positions)."""


@dataclass(frozen=True, slots=True)
class Question:
    """A factor, and where it is observed."""

    kind: Kind
    slots: tuple[str, ...]
    places: tuple[Place, ...]
    names: tuple[str, ...]
    """Of the levels."""
    labels: tuple[int, ...]
    """Which level each observation has."""
    fixed: tuple[tuple[int, ...], ...]
    """Labels of what is held fixed."""
    beside: tuple[Kind, ...]
    confounded: bool
    design: Design


def questions(
    prompts: Sequence[Prompt], fillers: Mapping[str, Sequence[str]], lengths: Sequence[int], at: At, first: int
) -> list[Question]:
    """Every factor that can be asked about. `first` is the first token that is not BOS."""
    found = [_value(prompts, name, own, lengths, at, first) for name, own in fillers.items()]
    if at == "slot":
        for group in groups(fillers):
            found += [_mentions(prompts, group, fillers, kind) for kind in ("position", "role")]
    return [one for one in found if one is not None]


def groups(fillers: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Slots that share a filler, two or more together."""
    found: list[set[str]] = []
    for name, own in fillers.items():
        alike = [group for group in found if any(set(own) & set(fillers[other]) for other in group)]
        found = [group for group in found if group not in alike] + [{name}.union(*alike)]
    return [tuple(name for name in fillers if name in group) for group in found if len(group) > 1]


def _value(
    prompts: Sequence[Prompt], slot: str, fillers: Sequence[str], lengths: Sequence[int], at: At, first: int
) -> Question | None:
    places: list[Place] = []
    for n, prompt in enumerate(prompts):
        own = [p for one in prompt.mentions if one.slot == slot for p in one.positions]
        where = {"slot": own, "end": [lengths[n] - 1], "any": list(range(first, lengths[n]))}[at]
        places.append((n, tuple(where)))
    labels = tuple(list(fillers).index(prompt.filler(slot)) for prompt in prompts)
    made = design(labels)
    if made is None:
        return None
    return Question("value", (slot,), tuple(places), tuple(fillers), labels, (), (), False, made)


def _mentions(
    prompts: Sequence[Prompt], group: tuple[str, ...], fillers: Mapping[str, Sequence[str]], kind: Kind
) -> Question | None:
    words = sorted({one for name in group for one in fillers[name]})
    places: list[Place] = []
    columns: dict[Kind, list[int]] = {"value": [], "position": [], "role": []}
    for n, prompt in enumerate(prompts):
        for number, one in enumerate(m for m in prompt.mentions if m.slot in group):
            places.append((n, one.positions))
            columns["value"].append(words.index(one.filler))
            columns["position"].append(number)
            columns["role"].append(group.index(one.slot))
    labels, other = tuple(columns[kind]), columns["role" if kind == "position" else "position"]
    fixed, beside = [tuple(columns["value"]), tuple(other)], ["value", "role" if kind == "position" else "position"]
    made = design(labels, fixed)
    confounded = made is None
    if made is None:
        fixed, beside = fixed[:1], beside[:1]
        made = design(labels, fixed)
    if made is None:
        return None
    names = group if kind == "role" else tuple(_ordinal(n) for n in range(max(columns["position"]) + 1))
    return Question(
        kind, group, tuple(places), names, labels, tuple(fixed), tuple(beside), confounded, made  # type: ignore[arg-type]
    )


def observed(codes: Sequence[Codes], places: Sequence[Place]) -> Float64[np.ndarray, "n features"]:
    """Every feature's value at each place: of several tokens the one of largest size."""
    out = np.zeros((len(places), codes[0].width))
    for row, (prompt, positions) in enumerate(places):
        out[row] = _strongest(codes[prompt], positions)
    return out


def _strongest(codes: Codes, positions: tuple[int, ...]) -> NDArray[np.float64]:
    where = np.zeros(codes.tokens, np.bool_)
    where[list(positions)] = True
    peaks = codes.peaks(where)
    out = np.zeros(codes.width)
    out[peaks.features] = peaks.values
    return out


def _ordinal(n: int) -> str:
    return ("first", "second", "third")[n] if n < 3 else f"{n + 1}th"
