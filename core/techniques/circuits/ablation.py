"""Ablation: L rerun with one node's contribution taken out of the activation, in batches.

The node's a r is subtracted at its token where its source writes, and everything after it is computed anew: what it
takes from L is measured, where activation × gradient estimates it. One node a row, the text as it is in the first row
of every batch, so that both are computed in the same way. Cost: a pass a node, from the first layer on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from core.models.loading import LoadedModel
from core.techniques.circuits.aim import Aim
from core.techniques.circuits.trace import values

TOKENS = 2048
"""Of a batch, at most."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is taken out."""

    hook: str
    position: int
    vector: Float[Tensor, " d"]


def ablate(
    model: LoadedModel, ids: Int[Tensor, " pos"], aim: Aim, cuts: Sequence[Cut], done: Callable[[int], None]
) -> list[float]:
    """L less L without each; `done` is told how many are. Use it under the model's lock."""
    rows = max(1, TOKENS // len(ids) - 1)
    found: list[float] = []
    for begin in range(0, len(cuts), rows):
        some = cuts[begin : begin + rows]
        at: dict[str, list[tuple[int, Cut]]] = {}
        for row, cut in enumerate(some):
            at.setdefault(cut.hook, []).append((row + 1, cut))
        changes = {hook: partial(_without, own, len(some) + 1) for hook, own in at.items()}
        whole, *less = values(model, ids.expand(len(some) + 1, -1), aim, changes).tolist()  # type: ignore[arg-type]
        found += [whole - one for one in less]
        done(len(found))
    return found


def _without(cuts: Sequence[tuple[int, Cut]], batch: int, x: Tensor) -> Tensor:
    """The activation with each row's part taken out at its token."""
    out = x.clone()
    flat = out.reshape(batch, -1, cuts[0][1].vector.shape[0])
    for row, cut in cuts:
        flat[row, cut.position] -= cut.vector.to(x.dtype)
    return flat.reshape(x.shape)
