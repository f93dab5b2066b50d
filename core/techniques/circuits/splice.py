"""What a dictionary makes of an activation: x = Σ a r + bias + error, term by term.

r is the decoder row as `decode` uses it: times the scale that the source took off this token, and divided by its length
where the source says so. Bias is everything that is added whatever is active: b_dec, a mean that was taken off, a skip.
The error is what is left, so that the sum is x and splicing it in changes nothing. Cost: one look at the encoder, and a
row for every active feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.sources.codes import Codes, Dense
from core.sources.dictionary import Dictionary
from core.sources.sae import Sae

CHUNK = 8192
"""Entries whose rows are held at once."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The active features of a text, by token and then by feature."""

    positions: Int[Tensor, " n"]
    features: Int[Tensor, " n"]
    values: Float[Tensor, " n"]


def entries(codes: Codes, device: torch.device) -> Entries:
    """Of codes; of a dense source every value that is not 0."""
    if isinstance(codes, Dense):
        values = torch.tensor(codes.values, device=device)
        positions, features = values.nonzero(as_tuple=True)
        return Entries(positions, features, values[positions, features])
    held = (codes.positions.astype("int64"), codes.features.astype("int64"), codes.values)
    positions, features, found = (torch.tensor(part, device=device) for part in held)
    return Entries(positions, features, found)


class Splice:
    """A source at one text: its rows as they count there, and what it adds besides them."""

    def __init__(
        self, source: Dictionary, x: Float[Tensor, "pos d_in"], out: Float[Tensor, "pos d_out"],
        bias: Float[Tensor, " d_out"] | None = None,
    ) -> None:  # fmt: skip
        """`x`: what is read; `out`: what passes where it writes; `bias`: what the model adds to neurons' rows."""
        self._rows = source.W_dec
        self._scale = torch.ones(len(x), device=x.device)
        self._unit = False
        self.out = out.float()
        self.bias: Float[Tensor, "pos d_out"] = torch.zeros_like(self.out)
        if isinstance(source, Sae):
            self._unit = bool(getattr(source.sae.cfg, "rescale_acts_by_decoder_norm", False))
            self._scale, self.bias = _told(source, x, self._unit)
        elif bias is not None:
            self.bias = bias.float().expand_as(self.out)

    def rows(self, positions: Int[Tensor, " n"], features: Int[Tensor, " n"]) -> Float[Tensor, "n d_out"]:
        """What each feature writes at a value of 1, at each token."""
        rows = self._rows[features].float()
        if self._unit:
            rows = rows / rows.norm(dim=1, keepdim=True)
        return rows * self._scale[positions, None]

    def written(self, found: Entries) -> Float[Tensor, "pos d_out"]:
        """Σ a r at every token."""
        total = torch.zeros_like(self.out)
        for part in chunks(found):
            total.index_add_(0, part.positions, part.values[:, None] * self.rows(part.positions, part.features))
        return total


def chunks(found: Entries) -> list[Entries]:
    """The entries in pieces."""
    parts = (torch.split(part, CHUNK) for part in (found.positions, found.features, found.values))
    return [Entries(*part) for part in zip(*parts, strict=True)]


def _told(source: Sae, x: Tensor, unit: bool) -> tuple[Float[Tensor, " pos"], Float[Tensor, "pos d_out"]]:
    """(what each token's rows are scaled by, what is added besides them)."""
    index = int(source.W_dec.float().norm(dim=1).argmax())
    row = source.W_dec[index].float()
    row = row / row.norm() if unit else row
    if source.sae.cfg.normalize_activations in ("constant_norm_rescale", "layer_norm"):
        one = torch.ones(len(x), 1, device=x.device)
        step = source.written(x.float(), one, torch.tensor([index], device=x.device))
        scale = step @ row / row.square().sum()
    else:
        scale = torch.ones(len(x), device=x.device)
    return scale, source.unmoved(x)
