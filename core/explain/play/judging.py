"""What an answer comes to. Points are for agreement with held-out activations and for nothing else.

Each text that is told right gives `RIGHT` points, each that is told wrong takes as many, “unsure” does neither; the odd
one out gives `ODD`, and a wrong one takes an equal share of it from each of the others. So that guessing, or the same
answer to everything, earns nothing on average, and “unsure” is a real answer. Words and choices earn nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import BadInput
from core.explain.play.records import Outcome, Round

RIGHT = 2
ODD = 6


def judge(round_: Round, answer: Mapping[str, Any]) -> Outcome:
    """An answer beside a round's truth.

    Raises:
        BadInput: it is no answer to this round.
    """
    if round_.key.kind == "odd":
        return _odd(round_, answer)
    labels = answer.get("labels")
    if (
        not isinstance(labels, list)
        or len(labels) != len(round_.truth)
        or any(one is not None and not isinstance(one, bool) for one in labels)
    ):
        raise BadInput(f"An answer to this round has {len(round_.truth)} labels: true, false, or null for unsure.")
    chosen = answer.get("choice")
    if chosen is not None and (not isinstance(chosen, str) or len(chosen) > 200):
        raise BadInput("A choice is the id of an explanation, or null for unsure.")
    right = sum(label is not None and label == truth for label, truth in zip(labels, round_.truth, strict=True))
    wrong = sum(label is not None and label != truth for label, truth in zip(labels, round_.truth, strict=True))
    return Outcome(
        right=right, wrong=wrong, unsure=len(labels) - right - wrong, points=RIGHT * (right - wrong),
        agreed=balanced(labels, round_.truth),
    )  # fmt: skip


def balanced(labels: Sequence[bool | None], truth: Sequence[bool]) -> float | None:
    """Balanced accuracy over the texts that were told; the plain one where only one side was asked about."""
    sides = []
    for side in (True, False):
        told = [label == side for label, true in zip(labels, truth, strict=True) if true == side and label is not None]
        if told:
            sides.append(sum(told) / len(told))
    return sum(sides) / len(sides) if sides else None


def _odd(round_: Round, answer: Mapping[str, Any]) -> Outcome:
    chosen = answer.get("odd")
    count = len(round_.truth)
    if chosen is None:
        return Outcome(right=0, wrong=0, unsure=1, points=0, agreed=None)
    if isinstance(chosen, bool) or chosen not in range(count):
        raise BadInput(f"The odd one is a number from 0 to {count - 1}, or null for unsure.")
    right = not round_.truth[chosen]
    points = ODD if right else -(ODD // (count - 1))
    return Outcome(right=int(right), wrong=int(not right), unsure=0, points=points, agreed=float(right))
