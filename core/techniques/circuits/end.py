"""The end of a model, from the residual stream to logits, and L as a direction in that stream.

The final norm divides by a scale σ that depends on the whole activation. Frozen at what it is on this text, the norm is
affine, y = γ (x - c mean(x)) / σ + β with c = 1 for LayerNorm and 0 for RMSNorm, so a difference of logits is
x · u + constant, exactly, with

    u = (γ v - c mean(γ v)) / σ,   v = W_U w,   constant = β · v + b_U · w,

where w is 1/n on each of n targets and -1/m on each of m others. γ, β and c are read off by asking the norm itself, so
it does not matter how an architecture writes them; that they say what the norm does is checked at every use. A softcap
on logits (Gemma 2) is no part of this: L is taken before it. Cost: some products with one vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import NotAvailable
from core.models.loading import LoadedModel
from core.models.plain import plain_of
from core.techniques.circuits.norm import NEAR, read_norm


@dataclass(frozen=True, slots=True)
class Direction:
    """L at one token as x · u + constant, float64."""

    u: Float[Tensor, " d_model"]
    constant: float


class End:
    """The final norm and the unembedding of one model."""

    def __init__(self, model: LoadedModel) -> None:
        bridge = model.bridge
        norm = getattr(bridge, "ln_final", None)
        self._norm: Any = norm if norm is None else norm._modules.get("_original_component", norm)
        self._unembed: Any = plain_of(model).unembedding
        config = bridge.original_model.config
        self.cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._near = NEAR[model.dtype]
        self._name = model.manifest.spec.id

    def __call__(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_vocab"]:
        """The logits of activations at the end of the residual stream, float32."""
        return self.capped(self.uncapped(x))

    def uncapped(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_vocab"]:
        """The same before a softcap."""
        found: Tensor = self._unembed(x if self._norm is None else self._norm(x))
        return found.float()

    def capped(self, logits: Tensor) -> Tensor:
        """Logits through the model's softcap, if it has one."""
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def raw(self, logits: Tensor) -> Tensor:
        """What stood before the softcap."""
        if self.cap is None:
            return logits
        return self.cap * torch.atanh((logits / self.cap).clamp(-1 + 1e-7, 1 - 1e-7))

    def beyond_mean(
        self, ids: Sequence[int]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """(rows of the unembedding less the mean of all rows, the same of its biases), float32."""
        rows = self._unembed.weight.detach().float()
        bias = getattr(self._unembed, "bias", None)
        chosen, mean = rows[list(ids)], rows.mean(0)
        if bias is None:
            return chosen - mean, torch.zeros(len(ids))
        bias = bias.detach().float()
        return chosen - mean, bias[list(ids)] - bias.mean()

    def direction(self, x: Float[Tensor, " d_model"], target: Sequence[int], against: Sequence[int]) -> Direction:
        """L as a direction, with the scale that the norm has at x.

        Raises:
            NotAvailable: the model's final norm is no LayerNorm or RMSNorm.
        """
        rows = self._unembed.weight
        v, constant = _mean(rows, target) - _mean(rows, against), 0.0
        bias = getattr(self._unembed, "bias", None)
        if bias is not None:
            constant += float(_mean(bias, target) - _mean(bias, against))
        if self._norm is None:
            return Direction(v, constant)
        gamma, beta, centred = read_norm(self._norm, x, self._near)
        inner = x.double() - (x.double().mean() if centred else 0.0)
        scaled, y = gamma * inner, self._norm(x[None])[0].double() - beta
        inverse = (y @ scaled) / (scaled @ scaled)
        if not (y - inverse * scaled).norm() <= self._near * y.norm():
            raise NotAvailable(f"The final norm of {self._name} is none that can be frozen: neither LayerNorm nor RMS.")
        u = gamma * v
        u = (u - u.mean() if centred else u) * inverse
        return Direction(u, constant + float(beta @ v))


def _mean(rows: Tensor, chosen: Sequence[int]) -> Tensor:
    if not chosen:
        return torch.zeros_like(rows[0], dtype=torch.float64)
    return rows[list(chosen)].double().mean(0)
