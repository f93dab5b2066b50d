"""The features that write what a head reads, and those that read what it writes: by weights, and on a text.

By weights a feature's direction d, of length 1, goes through the head's circuits (Elhage et al. 2021): ‖d Q Kᵀ‖ says
how much it makes the head look for something, ‖d K Qᵀ‖ how much it makes a token be found, ‖d V O‖ how much is written
of it; a feature of a later source reads the head by ‖V O e‖ with its encoder's column e of length 1. The matrices have
the norm's γ and centring in them and not its scale; Q Kᵀ and V O do not depend on a basis of the head's own space.
Biases are no part of it, nor are rotated positions: there Q Kᵀ is that of two tokens at one place. Every score is
divided by the root of the mean of its square over random directions, ‖M‖_F / √d_model: 1 is what nothing special gives,
and a thousand random directions say how far chance goes. A large score says that a path is there, not that it is used.

On a text the same paths carry what the active features wrote, and all add up exactly (`head_parts`): the attention
score of two tokens, and what the head writes at a token by way of the one that it looks at, along its own direction,
are sums over features, error and bias.
Cost: of each source a product with a d_model × d_model matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from core.errors import NotAvailable
from core.models.capture import hook_layer
from core.models.loading import LoadedModel
from core.models.thread import computing
from core.sources.codes import Codes
from core.sources.dictionary import Dictionary
from core.sources.heads import LINEAR
from core.sources.residual import residual_rows
from core.sources.sae import Sae
from core.techniques.circuits.splice import Entries, Splice, chunks, entries
from core.techniques.dfa import columns
from core.techniques.heads.parts import Parts, Weights, constant
from core.techniques.heads.records import Side

DRAWS, SEED, CHANCE = 1000, 0, 0.999
"""Random directions, and which of them is the bound: the one that one of a thousand passes."""
_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_in", "hook_out")
CHUNK = 4096


def writes_before(hook: str, layer: int) -> bool:
    """Whether what is written at a hook is there when a layer's heads read."""
    own, name = hook_layer(hook), hook.split(".", 2)[2]
    return own < layer or (own == layer and name in ("hook_resid_pre", "hook_in"))


def reads_after(hook: str, layer: int) -> bool:
    """Whether a hook shows the residual stream, or attention's output, with a layer's heads in it."""
    own, name = hook_layer(hook), hook.split(".", 2)[2]
    later = own > layer or (own == layer and name not in ("hook_resid_pre", "hook_in"))
    return later and (name in _STREAM or (own == layer and name in ("hook_attn_out", "attn.hook_out")))


@computing
def rows_of(source: Dictionary, model: LoadedModel) -> Float[Tensor, "d_sae d_model"] | None:
    """The decoder rows in the residual stream; None where they are not written there."""
    return residual_rows(source, model)


@computing
def columns_of(source: Dictionary) -> Float[Tensor, "d_sae d_model"] | None:
    """The encoder's columns in the residual stream, a row each; None where there is no one column a feature."""
    if not isinstance(source, Sae) or source.architecture not in LINEAR:
        return None
    column = source.sae.W_enc.detach().float().T
    mean = source.centred or source.sae.cfg.normalize_activations == "layer_norm"  # then it is taken off
    return column - column.mean(1, keepdim=True) if mean else column


@computing
def by_weight(
    directions: Float[Tensor, "n d_model"], weights: Weights, side: Side
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(score in units of a random direction's, length) of each direction."""
    matrix = through(weights, side)
    usual = float(matrix.square().sum() / len(matrix)) ** 0.5 or 1.0
    scores, norms = [], []
    for part in torch.split(directions, CHUNK):
        part = part.to(matrix.device).double()
        norm = part.norm(dim=1)
        scores.append((part @ matrix).norm(dim=1) / norm.clamp_min(1e-12) / usual)
        norms.append(norm)
    none = torch.zeros(0, dtype=torch.float64)
    return torch.cat([none, *scores]).cpu().numpy(), torch.cat([none, *norms]).cpu().numpy()


@computing
def chance(weights: Weights, side: Side) -> float:
    """The score that one of a thousand random directions passes."""
    width = len(weights.q)
    random = torch.randn(DRAWS, width, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    made, _ = by_weight(random, weights, side)
    return float(np.quantile(made, CHANCE))


def through(weights: Weights, side: Side) -> Float[Tensor, "d_model d_model"]:
    """What a direction becomes on a side: rows meet it from the left."""
    return (weights.v @ weights.o).T if side == "output" else weights.reading(side)


@dataclass(frozen=True, slots=True)
class Terms:
    """A number of a head as a sum over the active features of a source; arrays, the largest first."""

    positions: NDArray[np.int64]
    features: NDArray[np.int64]
    activations: NDArray[np.float64]
    values: NDArray[np.float64]
    error: float
    bias: float
    total: float

    @property
    def sum(self) -> float:
        """Of the nodes alone."""
        return float(self.values.sum())


@computing
def read_terms(
    model: LoadedModel, parts: Parts, splice: Splice, codes: Codes, place: tuple[int, int], where: tuple[int, int],
    side: Side,
) -> Terms:  # fmt: skip
    """What a source's active features are of a score, or of what is written at a token.

    `place` is (layer, head), `where` (the token from which it looks, the one that it looks at). The error is what the
    source leaves of the residual stream that the head reads: what it does not reconstruct and what came after it.
    """
    to, attended = where
    if side == "value":
        written = parts.results[to]
        along = parts.weights.o @ written / written.square().sum().clamp_min(1e-24) * parts.pattern[to, attended]
        meets, at = parts.weights.v @ along, attended
        constants, total = float(constant(model, *place, "V") @ along), float(parts.v[attended] @ along)
    else:
        if parts.scale is None:
            raise NotAvailable("Its scores are more than query times key, as where positions are rotated.")
        query = side == "query"
        other = parts.k[attended] if query else parts.q[to]
        mine, at = (parts.weights.q, to) if query else (parts.weights.k, attended)
        meets = mine @ other * parts.scale
        constants = float(constant(model, *place, "Q" if query else "K") @ other * parts.scale)
        total = float(parts.q[to] @ parts.k[attended] * parts.scale)
    by_token = torch.zeros_like(parts.inverse)
    by_token[at] = parts.inverse[at]
    found = entries(codes, parts.x.device)
    each = [_each(part, splice, meets, by_token) for part in chunks(found)]
    values = torch.cat([torch.zeros(0, dtype=torch.float64, device=parts.x.device), *each])
    bias = float((splice.bias.double() @ meets) @ by_token)
    rest = parts.x - splice.bias.double() - splice.written(found).double()
    order = values.abs().argsort(descending=True, stable=True)
    kept = order[values[order] != 0].cpu().numpy()
    return Terms(
        *_arrays(found, values, kept), float((rest @ meets) @ by_token), bias + constants, total
    )


@computing
def given_terms(
    parts: Parts, source: Dictionary, x: Float[Tensor, "pos d_in"], codes: Codes, position: int
) -> Terms | None:
    """What a head gives the pre-activation of each feature of a later source that is active at a token.

    None where a feature has no one encoder column.
    """
    if columns_of(source) is None or not isinstance(source, Sae):
        return None
    found = entries(codes, parts.x.device)
    here = found.positions == position
    own = Entries(found.positions[here], found.features[here], found.values[here])
    column, _, factor = columns(source, source.given(x[own.positions].float()), own.features)
    column = column - column.mean(1, keepdim=True) if source.centred else column
    values = (column.double() @ parts.results[position]) * factor.double()
    order = values.abs().argsort(descending=True, stable=True).cpu().numpy()
    return Terms(*_arrays(own, values, order), 0.0, 0.0, 0.0)


def _each(part: Entries, splice: Splice, meets: Tensor, by_token: Tensor) -> Float[Tensor, " n"]:
    rows = part.values[:, None] * splice.rows(part.positions, part.features)
    return (rows.double() @ meets) * by_token[part.positions]


def _arrays(
    found: Entries, values: Tensor, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    return (
        found.positions.cpu().numpy()[order].astype(np.int64), found.features.cpu().numpy()[order].astype(np.int64),
        found.values.cpu().numpy()[order].astype(np.float64), values.cpu().numpy()[order].astype(np.float64),
    )  # fmt: skip
