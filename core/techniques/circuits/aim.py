"""What L is: a difference of next-token logits, or a feature, read from one activation at the prompt's last token.

A feature is read as its pre-activation (its encoder's product before the activation function and the threshold), which
is its activation wherever it is active and goes on where it is not; of architectures whose value is no such product,
and of those that normalise nothing linear, as its activation. Either way L is a function of what passes at one hook, so
a pass ends there. Cost: a product with the unembedding, or with one encoder column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from core.sources.dictionary import Dictionary
from core.sources.heads import LINEAR
from core.sources.sae import Sae
from core.techniques.circuits.end import Direction, End
from core.techniques.dfa import columns

_TRANSCODERS = tuple(
    f"{kind}{skip}transcoder" for kind in ("", "jumprelu_", "topk_") for skip in ("", "skip_")
)
LINEAR_READ = (*LINEAR, *_TRANSCODERS)
"""Architectures whose features read by one encoder column each."""
_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_in", "hook_out")


@runtime_checkable
class Aim(Protocol):
    """What is measured at the last token of a text."""

    @property
    def hook(self) -> str:
        """Where it is read."""
        ...

    @property
    def mark(self) -> tuple[object, ...]:
        """What tells it from others of the same model, as JSON."""
        ...

    def __call__(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """L of each text from the activation at its last token; gradients go through."""
        ...

    def direction(self, x: Float[Tensor, " d"]) -> Direction | None:
        """The same as one direction in the residual stream, norms frozen at x; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Logits:
    """Mean logit of some tokens less that of others."""

    end: End
    layers: int
    target: tuple[int, ...]
    against: tuple[int, ...]

    @property
    def hook(self) -> str:
        """The end of the residual stream."""
        return f"blocks.{self.layers - 1}.hook_resid_post"

    @property
    def mark(self) -> tuple[object, ...]:
        """Its tokens."""
        return ("logits", self.target, self.against)

    def __call__(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """Before a softcap."""
        logits = self.end.uncapped(x)
        found = logits[:, list(self.target)].mean(1)
        return found - logits[:, list(self.against)].mean(1) if self.against else found

    def direction(self, x: Float[Tensor, " d"]) -> Direction:
        """W_U behind the frozen norm."""
        return self.end.direction(x, self.target, self.against)


@dataclass(frozen=True, slots=True)
class Reading:
    """A feature of a source."""

    source: Dictionary
    index: int

    @property
    def hook(self) -> str:
        """What its encoder reads."""
        return self.source.hook

    @property
    def mark(self) -> tuple[object, ...]:
        """Its source's weights, and its index."""
        return ("feature", self.source.kind, self.source.hook, self.source.sha256, self.index)

    def __call__(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """The pre-activation, or the activation where there is none."""
        x = x.float()
        if not isinstance(self.source, Sae):
            if self.source.kind == "neurons":
                return x[:, self.index]
            return x @ self.source.W_dec[self.index].float()
        if not self._linear(self.source):
            return self.source.traced(x)[:, self.index]
        given = self.source.given(x)
        column, bias, factor = columns(self.source, given, torch.full((len(x),), self.index, device=x.device))
        return factor * (given * column).sum(1) + bias

    def direction(self, x: Float[Tensor, " d"]) -> Direction | None:
        """The encoder's column, with what the source does to its input frozen at x."""
        if self.hook.split(".", 2)[2] not in _STREAM:
            return None
        if not isinstance(self.source, Sae):
            return Direction(self.source.W_dec[self.index].double(), 0.0) if self.source.kind == "directions" else None
        if not self._linear(self.source):
            return None
        given = self.source.given(x[None].float())
        column, bias, factor = columns(self.source, given, torch.tensor([self.index], device=x.device))
        u = (column[0] * factor[0]).detach().double()
        return Direction(u - u.mean() if self.source.centred else u, float(bias[0].detach()))

    @staticmethod
    def _linear(source: Sae) -> bool:
        return source.architecture in LINEAR_READ


def activation(aim: Aim, x: Float[Tensor, "batch d"]) -> float | None:
    """The activation of the feature that is aimed at, on the first text; None where the target is logits."""
    if not isinstance(aim, Reading):
        return None
    return float(aim.source.values(x[:1].float(), torch.tensor([aim.index], device=x.device))[0, 0])


def tokens_of(x: Tensor, batch: int, pos: int) -> Float[Tensor, "batch pos d"]:
    """One vector a token, from whatever shape a hook gives."""
    return x.reshape(batch, pos, -1)
