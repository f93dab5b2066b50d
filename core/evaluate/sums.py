"""The sums behind a dictionary's figures: float64, by groups of documents, so that a bootstrap needs no second pass.

Knows tensors of counted tokens and nothing of models. Of each token it takes the numbers that means are of, and the sum
of x itself, from which the variance comes. Every figure is a function of sums over groups; the interval draws groups
(`core.evaluate.bootstrap`). Memory: groups × (d + 20) numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from core.errors import BadInput
from core.evaluate import bootstrap
from core.evaluate.records import ReconstructionFigures

SCALARS = ("tokens", "active", "absolute", "error", "square", "dot", "rebuilt", "ratio", "cosine")
LOSSES = ("predictions", "own", "spliced", "zero", "mean")
DIVERGENCES = ("kl_spliced", "kl_zero", "kl_mean")
_COLUMN = {name: n for n, name in enumerate(SCALARS + LOSSES + DIVERGENCES)}
_SHORT = 1e-4
"""SAELens divides by 1 where an activation is shorter than this."""


class Sums:
    """The running sums of one dictionary over one choice of tokens."""

    def __init__(self, groups: int) -> None:
        self._sums = torch.zeros(groups, len(_COLUMN), dtype=torch.float64)
        self._total: Tensor | None = None
        """Sum of x, [groups, d], float64."""
        self._fired: Tensor | None = None

    def add_tokens(
        self, x: Float[Tensor, "tok d"], rebuilt: Float[Tensor, "tok d"], features: Float[Tensor, "tok d_sae"],
        group: Int[Tensor, " tok"],
    ) -> None:  # fmt: skip
        """Adds tokens with what the dictionary made of them."""
        exact, made = x.double(), rebuilt.double()
        on = features != 0  # SAEs that fire with both signs are active with either
        long, length = exact.norm(dim=-1), made.norm(dim=-1)
        dot = (exact * made).sum(-1)
        columns = (
            torch.ones_like(dot), on.sum(-1), features.abs().sum(-1, dtype=torch.float64),
            (exact - made).square().sum(-1), long.square(), dot, length.square(),
            length / torch.where(long < _SHORT, 1.0, long), dot / (long * length).clamp_min(1e-30),
        )  # fmt: skip
        self._add(group, torch.stack([c.double() for c in columns], -1), 0)
        if self._total is None:
            self._total = torch.zeros(len(self._sums), x.shape[-1], dtype=torch.float64, device=x.device)
        self._total.index_add_(0, group, exact)
        self._fired = on.any(0) if self._fired is None else self._fired | on.any(0)

    def add_losses(self, losses: Float[Tensor, "pred kinds"], group: Int[Tensor, " pred"]) -> None:
        """Adds predictions: own loss, spliced, with zeros, and with the mean where that was run."""
        self._add(group, torch.cat([torch.ones_like(losses[:, :1]), losses], -1).double(), _COLUMN["predictions"])

    def add_divergences(self, divergences: Float[Tensor, "tok 3"], group: Int[Tensor, " tok"]) -> None:
        """Adds tokens: the divergence of what follows, spliced, with zeros, with the mean."""
        self._add(group, divergences.double(), _COLUMN["kl_spliced"])

    def _add(self, group: Tensor, values: Tensor, first: int) -> None:
        found = torch.zeros(len(self._sums), values.shape[1], dtype=torch.float64, device=values.device)
        self._sums[:, first : first + values.shape[1]] += found.index_add_(0, group, values).cpu()

    @property
    def dead_fraction(self) -> float:
        """Features that no token activates."""
        assert self._fired is not None
        return 1 - float(self._fired.double().mean())

    @property
    def tokens(self) -> int:
        """Tokens that were added."""
        return int(self._sums[:, 0].sum())

    def check(self) -> None:
        """Raises `BadInput` where nothing was added."""
        if self._total is None or not self.tokens or not float(self._sums[:, _COLUMN["predictions"]].sum()):
            raise BadInput("There is nothing to evaluate: no token of the texts counts and has a token after it.")

    def values(self) -> dict[str, float]:
        """Every figure, without intervals."""
        self.check()
        assert self._total is not None
        found = _figures(self._sums.sum(0, keepdim=True).numpy(), self._total.sum(0, keepdim=True).cpu().numpy())
        return {name: float(value[0]) for name, value in found.items()}

    def figures(self) -> ReconstructionFigures:
        """Every figure with its interval."""
        self.check()
        assert self._total is not None
        used = (self._sums[:, 0] > 0).numpy()
        sums, total = self._sums.numpy()[used], self._total.cpu().numpy()[used]
        drawn = bootstrap.weights(len(sums))
        draws = _figures(drawn @ sums, drawn @ total)
        values = self.values()
        return ReconstructionFigures(
            tokens=self.tokens, **{name: bootstrap.of(values[name], draws[name]) for name in values}
        )


def _figures(
    sums: Float64[np.ndarray, "draws columns"], total: Float64[np.ndarray, "draws d"]
) -> dict[str, Float64[np.ndarray, " draws"]]:
    """The figures of each row of sums."""
    at = {name: sums[:, column] for name, column in _COLUMN.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        n, predictions = at["tokens"], at["predictions"]
        variance = at["square"] / n - np.square(total / n[:, None]).sum(1)
        own, spliced, zero, middle = (at[name] / predictions for name in LOSSES[1:])
        kl, kl_zero, kl_mean = (at[name] / n for name in DIVERGENCES)
        mse = at["error"] / n
        return {
            "l0": at["active"] / n, "l1": at["absolute"] / n, "mse": mse,
            "explained_variance": np.where(variance > 0, 1 - mse / variance, math.nan),
            "relative_reconstruction_bias": at["rebuilt"] / at["dot"], "l2_ratio": at["ratio"] / n,
            "cosine": at["cosine"] / n, "ce_loss": own, "ce_loss_spliced": spliced, "ce_loss_zero": zero,
            "ce_loss_mean": middle, "ce_loss_score": (zero - spliced) / _known(zero - own),
            "ce_loss_score_mean": (middle - spliced) / _known(middle - own), "kl_spliced": kl, "kl_zero": kl_zero,
            "kl_mean": kl_mean, "kl_score": (kl_zero - kl) / _known(kl_zero),
            "kl_score_mean": (kl_mean - kl) / _known(kl_mean),
        }  # fmt: skip


def _known(x: Float64[np.ndarray, " draws"]) -> Float64[np.ndarray, " draws"]:
    return np.where(x == 0, math.nan, x)


