"""What a LayerNorm or an RMSNorm is, read off by asking it: y = γ (x - c mean(x)) / σ + β, c = 1 or 0.

It does not matter how an architecture writes γ, as 1 + γ say. That the formula says what the norm does is checked by
whoever uses it, at the activations that it is used on. Cost: the norm on three vectors.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NEAR = {"float32": 1e-4, "bfloat16": 3e-2}
"""How far the norm may be from its formula, as a share of its length."""


def read_norm(norm: Any, like: Float[Tensor, " d"], near: float) -> tuple[Tensor, Tensor, bool]:
    """(γ up to a factor, β, both [d] and float64, whether the mean is taken off) of a norm over vectors as `like`."""
    signs = torch.ones_like(like)
    signs[1::2] = -1
    if len(like) % 2:
        signs[-1] = 0
    asked = torch.stack([torch.zeros_like(like), signs, signs + 1])
    none, some, moved = norm(asked).double()
    centred = bool((some - moved).norm() <= near * (some - none).norm())
    gamma = (some - none) * signs.double()
    if len(like) % 2:  # the last was not asked: ask it with another sign pattern
        signs = signs.roll(1)
        gamma[-1] = ((norm(signs[None])[0].double() - none) * signs.double())[-1]
    return gamma, none, centred
