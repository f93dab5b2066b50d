"""What follows from the decoder alone, with no text: logit effects, coordinates, nearest rows.

- logit effects: W_dec @ W_U with the unembedding as it is on disk (no final norm folded in, nothing centred).
- alignment: the largest coordinates of a decoder row, signed, and each one's share of the row's L1 norm.
- neighbours: cosine of decoder rows.

Cost: two matrix products of width × d_model × d_vocab and width² × d_model, in blocks of rows, and one look at each
number that comes out of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numba import prange
from torch import Tensor

from core.build.kernel import F32, I64, compiled, no_type_check
from core.build.nonzeros import to_numpy

LOGITS, BINS, COORDINATES, NEIGHBOURS = 10, 50, 5, 10


@dataclass(frozen=True, slots=True)
class LogitTable:
    """Logit effects of a block of features."""

    top: I64
    top_values: F32
    bottom: I64
    bottom_values: F32
    low: F32
    high: F32
    counts: I64
    """[rows, BINS] over the vocabulary, equal bins from `low` to `high`, the last one closed."""


def logit_table(rows: Float[Tensor, "n d_model"], W_U: Float[Tensor, "d_model d_vocab"]) -> LogitTable:
    """The strongest tokens and the histogram of each row."""
    effects = rows @ W_U
    low, high = effects.amin(1), effects.amax(1)
    n, k = len(rows), min(LOGITS, effects.shape[1])
    made = LogitTable(
        np.empty((n, k), np.int64), np.empty((n, k), np.float32), np.empty((n, k), np.int64),
        np.empty((n, k), np.float32), to_numpy(low), to_numpy(high), np.zeros((n, BINS), np.int64),
    )  # fmt: skip
    lists = (made.top, made.top_values, made.bottom, made.bottom_values)
    _tables(to_numpy(effects), made.low, made.high, *lists, made.counts)
    return made


@compiled(parallel=True)
@no_type_check
def _tables(
    effects: F32, low: F32, high: F32, top: I64, top_values: F32, bottom: I64, bottom_values: F32, counts: I64
) -> None:  # fmt: skip
    for r in prange(len(effects)):
        width = max(high[r] - low[r], np.finfo(np.float32).tiny)
        for c in range(effects.shape[1]):
            v = effects[r, c]
            counts[r, max(0, min(int((v - low[r]) / width * np.float32(BINS)), BINS - 1))] += 1
        _largest(effects[r], np.float32(1), -1, top[r], top_values[r])
        _largest(effects[r], np.float32(-1), -1, bottom[r], bottom_values[r])


@compiled()
@no_type_check
def _largest(values: F32, sign: np.float32, without: int, index: I64, out: F32) -> None:
    """The largest of `sign` times the values, largest first, the first of equals before the others."""
    k = len(index)
    n = 0
    least = np.float32(-np.inf)
    for c in range(len(values)):
        v = sign * values[c]
        if (n == k and v <= least) or c == without:
            continue
        at = min(n, k - 1)
        while at > 0 and v > out[at - 1]:
            out[at], index[at] = out[at - 1], index[at - 1]
            at -= 1
        out[at], index[at] = v, c
        n = min(n + 1, k)
        least = out[n - 1]
    out *= sign


def coordinates(rows: Float[Tensor, "n d"]) -> tuple[I64, F32, F32]:
    """(index, value, share of the L1 norm) of the largest coordinates of each row."""
    best = rows.topk(min(COORDINATES, rows.shape[1]), dim=1)
    share = best.values.abs() / rows.abs().sum(1, keepdim=True).clamp_min(1e-12)
    return best.indices.cpu().numpy(), best.values.cpu().numpy(), share.cpu().numpy()


def unit_rows(W_dec: Float[Tensor, "d_sae d"]) -> Float[Tensor, "d_sae d"]:
    """The decoder's rows at length one; a row of zeros stays."""
    return W_dec / W_dec.norm(dim=1, keepdim=True).clamp_min(1e-12)


def neighbours(unit: Float[Tensor, "d_sae d"], begin: int, end: int) -> tuple[I64, F32]:
    """(index, cosine) of the rows nearest to rows `begin` to `end` of `unit_rows`, themselves left out."""
    k = min(NEIGHBOURS, len(unit) - 1)
    index, values = np.empty((end - begin, k), np.int64), np.empty((end - begin, k), np.float32)
    if k:
        _nearest(to_numpy(unit[begin:end] @ unit.T), begin, index, values)
    return index, values


@compiled(parallel=True)
@no_type_check
def _nearest(cosine: F32, begin: int, index: I64, values: F32) -> None:
    for r in prange(len(cosine)):
        _largest(cosine[r], np.float32(1), begin + r, index[r], values[r])
