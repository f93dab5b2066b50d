"""Which tokens of the prompt drive L: by replacing each, and by integrated gradients over their embeddings.

Replaced: each token but special ones, in turn, by each of the four most usual tokens of the build's prompts that are
not it, and L computed anew; its share is L less the mean over the replacements. The text keeps its length and its
positions, and every input is one that the model can meet, which a masked position or a zero vector is not. Exact, and
about one token at a time: two that can stand in for each other both come out small.

Integrated gradients (Sundararajan, Taly and Yan, 2017): from a baseline, the same text with every token but special
ones at the replacements' mean activation before the first layer, along a straight line, by Gauss-Legendre quadrature.
The shares add up to L less L at the baseline; what is missing is the quadrature's error, and the record shows both.
Cost: replacements × tokens passes, and as many passes forward and backward as steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from core.models.cache import Arrays
from core.models.loading import LoadedModel
from core.models.plain import capture, plain_of
from core.models.thread import computing
from core.techniques.circuits.ablation import TOKENS
from core.techniques.circuits.aim import Aim, tokens_of
from core.techniques.circuits.trace import FIRST, values

REPLACEMENTS = 4
STEPS = 32
"""Of the quadrature."""


def replaced(
    model: LoadedModel, ids: Int[Tensor, " pos"], aim: Aim, own: Sequence[int], stand_ins: Sequence[int],
    done: Callable[[int], None],
) -> NDArray[np.float64]:  # fmt: skip
    """L less L with each of `own` positions replaced, [own, REPLACEMENTS]; use it under the model's lock.

    By the first stand-ins that are another token.
    """
    texts = []
    for position in own:
        for stand_in in [one for one in stand_ins if one != ids[position]][:REPLACEMENTS]:
            text = ids.clone()
            text[position] = stand_in
            texts.append(text)
    rows, found = max(1, TOKENS // len(ids) - 1), []
    for begin in range(0, len(texts), rows):
        some = torch.stack([ids, *texts[begin : begin + rows]])
        whole, *less = values(model, some, aim, {}).tolist()
        found += [whole - one for one in less]
        done(len(found))
    return np.array(found).reshape(len(own), len(found) // max(1, len(own)))  # after BOS alone there are none


@computing
def integrated(
    model: LoadedModel, ids: Int[Tensor, " pos"], aim: Aim, own: Sequence[int], stand_ins: Sequence[int]
) -> Arrays:
    """`shares` [pos], `value` and `baseline`: L at both ends of the path. Use it under the model's lock."""
    others = ids.repeat(len(stand_ins), 1)
    for row, stand_in in enumerate(stand_ins):
        others[row, list(own)] = stand_in
    seen = capture(model, torch.cat([ids[None], others]), [FIRST])[FIRST].float()
    x, baseline = seen[0], seen[0].clone()
    baseline[list(own)] = seen[1:].mean(0)[list(own)]
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    points = torch.tensor([0.0, 1.0, *((nodes + 1) / 2)], dtype=torch.float32, device=x.device)
    factors = torch.tensor([0.0, 0.0, *(weights / 2)], dtype=torch.float64, device=x.device)
    total, ends = torch.zeros_like(x, dtype=torch.float64), []
    rows = max(2, TOKENS // len(ids))
    for begin in range(0, len(points), rows):
        some = points[begin : begin + rows]
        value, gradient = _gradient(model, ids, aim, baseline + some[:, None, None] * (x - baseline))
        total += (factors[begin : begin + rows, None, None] * gradient.double()).sum(0)
        ends += value[: max(0, 2 - begin)].tolist()
    shares = ((x - baseline).double() * total).sum(1)
    return {"shares": shares.cpu().numpy(), "baseline": np.array(ends[0]), "value": np.array(ends[1])}


def _gradient(
    model: LoadedModel, ids: Tensor, aim: Aim, points: Float[Tensor, "batch pos d"]
) -> tuple[Tensor, Float[Tensor, "batch pos d"]]:
    """L and its gradient where the residual stream begins with each of `points`."""
    runner = plain_of(model).runner(model, sorted({FIRST, aim.hook}))
    batch, pos = len(points), len(ids)
    with torch.enable_grad():
        leaf = points.to(next(model.bridge.parameters()).dtype).requires_grad_()
        out = runner.until(ids.expand(batch, -1), {FIRST: lambda x: leaf.reshape(x.shape)}, aim.hook)
        value = aim(tokens_of(out, batch, pos)[:, -1])
        (gradient,) = torch.autograd.grad(value.sum(), [leaf])
    return value.detach().float(), gradient
