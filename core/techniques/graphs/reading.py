"""A source in a graph: which of its features are active, what each writes, and what a feature reads.

A feature's pre-activation is factor (given · column) + bias, the input's normalisation frozen where the source has one;
its activation is that wherever it is active. BOS's features are no nodes: what a source does there is all in its error
node, as circuit-tracer has it. Cost: one encoding, and a row for every active feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import NotAvailable
from core.sources.codes import Codes
from core.sources.sae import Sae
from core.techniques.circuits.aim import LINEAR_READ
from core.techniques.circuits.splice import Entries, Splice, entries
from core.techniques.dfa import columns


@dataclass(frozen=True, slots=True)
class Level:
    """One source at one text."""

    source: Sae
    layer: int
    """That its id names."""
    found: Entries
    """Active features, by token and then by number."""
    rows: Float[Tensor, "n d_out"]
    """What each writes: its activation times its decoder row."""
    error: Float[Tensor, "pos d_out"]
    bias: Float[Tensor, "pos d_out"]
    """What the source adds whatever is active, without its skip."""
    skip: Float[Tensor, "d_out d_in"] | None
    given: Float[Tensor, "pos d_in"]
    """What its encoder is given."""

    def features(self, g: Float[Tensor, "n pos d_out"]) -> Float[Tensor, "n features"]:
        """What each active feature adds along directions at every token."""
        made = torch.empty(len(g), len(self.rows), device=g.device)
        for position in sorted(set(self.found.positions.tolist())):
            here = self.found.positions == position
            made[:, here] = g[:, position] @ self.rows[here].T
        return made

    def errors(self, g: Float[Tensor, "n pos d_out"]) -> Float[Tensor, "n pos"]:
        """And what is left out."""
        return (g * self.error).sum(-1)

    def constant(self, g: Float[Tensor, "n pos d_out"]) -> Float[Tensor, " n"]:
        """And its bias."""
        return (g * self.bias).sum((1, 2))

    def reads(self, chosen: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n d_in"], Float[Tensor, " n"]]:
        """(direction in what the source reads, constant) of some of the active features."""
        positions, features = self.found.positions[chosen], self.found.features[chosen]
        column, bias, factor = columns(self.source, self.given[positions], features)
        u = column * factor[:, None]
        return (u - u.mean(1, keepdim=True) if self.source.centred else u), bias


def level(
    source: Sae, layer: int, x: Float[Tensor, "pos d_in"], out: Float[Tensor, "pos d_out"], codes: Codes, bos: bool
) -> Level:
    """A source where `x` is what it reads and `out` what passes where it writes.

    Raises:
        NotAvailable: its features are no products with encoder columns.
    """
    if source.architecture not in LINEAR_READ:
        raise NotAvailable(f"Features of {source.architecture} sources are not linear in what they read: no graph.")
    found = entries(codes, x.device)
    if bos:
        own = found.positions > 0
        found = Entries(found.positions[own], found.features[own], found.values[own])
    splice = Splice(source, x, out)
    rows = found.values[:, None].float() * splice.rows(found.positions, found.features)
    written = torch.zeros_like(splice.out).index_add_(0, found.positions, rows)
    error = splice.out - splice.bias - written
    skip, bias = getattr(source.sae, "W_skip", None), splice.bias
    given = source.given(x)
    if isinstance(skip, Tensor):
        skip = skip.detach().float()
        bias = bias - given @ skip.T
    else:
        skip = None
    return Level(source, layer, found, rows, error, bias, skip, given)
