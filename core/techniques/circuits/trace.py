"""One pass and its gradient: what passes at some hooks, and dL/dx there.

Nothing is changed on the way: the first activation of the residual stream is made a leaf, the pass runs to where L is
read and no further, and L's gradient is taken with respect to what passed at each hook. An SAE spliced in as x = x̂ + e
with its error e kept would give the same numbers, since it gives the same activations. Cost: one pass forward and one
backward, whatever the number of hooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.models.loading import LoadedModel
from core.models.plain import Change, plain_of
from core.models.thread import computing
from core.techniques.circuits.aim import Aim, activation, tokens_of

FIRST = "blocks.0.hook_resid_pre"
"""Where gradients end: embeddings, and positions where they are added."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One text."""

    value: float
    """L."""
    activation: float | None
    """Of the feature that is aimed at."""
    end: Float[Tensor, " d"]
    """What passes at the last token where L is read."""
    x: dict[str, Float[Tensor, "pos d"]]
    """What passes at each hook that the pass came to."""
    gradient: dict[str, Float[Tensor, "pos d"]]
    """dL/dx there; hooks on which L does not depend are left out."""


@computing
def trace(model: LoadedModel, ids: Int[Tensor, " pos"], aim: Aim, hooks: Sequence[str]) -> Trace:
    """Activations and gradients at `hooks`; use it under the model's lock."""
    runner = plain_of(model).runner(model, sorted({*hooks, FIRST, aim.hook}))
    seen: dict[str, Tensor] = {}

    def keep(hook: str, x: Tensor) -> Tensor | None:
        seen[hook] = x = x.detach().requires_grad_() if hook == FIRST else x
        return x if hook == FIRST else None

    with torch.enable_grad():
        changes: dict[str, Change] = {hook: partial(keep, hook) for hook in {*hooks, FIRST}}
        end = tokens_of(runner.until(ids[None], changes, aim.hook), 1, len(ids))[:, -1]
        value = aim(end).sum()
        there = [hook for hook in seen if seen[hook].requires_grad]
        found = torch.autograd.grad(value, [seen[hook] for hook in there], allow_unused=True)
    gradient = {
        hook: tokens_of(g, 1, len(ids))[0] for hook, g in zip(there, found, strict=True) if g is not None
    }
    x = {hook: tokens_of(value.detach(), 1, len(ids))[0] for hook, value in seen.items()}
    end = end.detach()
    return Trace(float(value.detach()), activation(aim, end), end[0], x, gradient)


@computing
def values(
    model: LoadedModel, ids: Int[Tensor, "batch pos"], aim: Aim, changes: dict[str, Change]
) -> Float[Tensor, " batch"]:
    """L of each text after changes on the way, without gradients; use it under the model's lock."""
    runner = plain_of(model).runner(model, sorted({*changes, aim.hook}))
    end = tokens_of(runner.until(ids, changes, aim.hook), *ids.shape)[:, -1]
    return aim(end).float()
