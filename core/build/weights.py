"""What follows from the decoder alone, with no text: logit effects, coordinates, nearest rows.

- logit effects: W_dec @ W_U with the unembedding as it is on disk (no final norm folded in, nothing centred).
- alignment: the largest coordinates of a decoder row, signed, and each one's share of the row's L1 norm.
- neighbours: cosine of decoder rows.

Cost: two matrix products of width × d_model × d_vocab and width² × d_model, in blocks of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

LOGITS, BINS, COORDINATES, NEIGHBOURS = 10, 50, 5, 10


@dataclass(frozen=True, slots=True)
class LogitTable:
    """Logit effects of a block of features."""

    top: NDArray[np.int64]
    top_values: NDArray[np.float32]
    bottom: NDArray[np.int64]
    bottom_values: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    counts: NDArray[np.int64]
    """[rows, BINS] over the vocabulary, equal bins from `low` to `high`, the last one closed."""


def logit_table(rows: Float[Tensor, "n d_model"], W_U: Float[Tensor, "d_model d_vocab"]) -> LogitTable:
    """The strongest tokens and the histogram of each row."""
    effects = rows @ W_U
    top = effects.topk(min(LOGITS, effects.shape[1]), dim=1)
    bottom = effects.topk(min(LOGITS, effects.shape[1]), dim=1, largest=False)
    low, high = effects.amin(1, keepdim=True), effects.amax(1, keepdim=True)
    width = (high - low).clamp_min(torch.finfo(effects.dtype).tiny)
    bins = ((effects - low) / width * BINS).long().clamp_(0, BINS - 1)
    bins += torch.arange(len(rows), device=rows.device)[:, None] * BINS
    counts = torch.bincount(bins.flatten(), minlength=len(rows) * BINS).view(len(rows), BINS)
    parts = (top.indices, top.values, bottom.indices, bottom.values, low[:, 0], high[:, 0], counts)
    return LogitTable(*(p.cpu().numpy() for p in parts))


def coordinates(rows: Float[Tensor, "n d"]) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """(index, value, share of the L1 norm) of the largest coordinates of each row."""
    best = rows.topk(min(COORDINATES, rows.shape[1]), dim=1)
    share = best.values.abs() / rows.abs().sum(1, keepdim=True).clamp_min(1e-12)
    return best.indices.cpu().numpy(), best.values.cpu().numpy(), share.cpu().numpy()


def neighbours(W_dec: Float[Tensor, "d_sae d"], begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(index, cosine) of the rows nearest to rows `begin` to `end`, themselves left out."""
    unit = W_dec / W_dec.norm(dim=1, keepdim=True).clamp_min(1e-12)
    cosine = unit[begin:end] @ unit.T
    cosine[torch.arange(end - begin), torch.arange(begin, end)] = -torch.inf
    best = cosine.topk(min(NEIGHBOURS, len(W_dec) - 1), dim=1)
    return best.indices.cpu().numpy(), best.values.cpu().numpy()
