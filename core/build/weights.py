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
import torch
from jaxtyping import Float
from numba import prange
from torch import Tensor

from core.build.nonzeros import to_numpy
from core.kernel import F32, I64, compiled, no_type_check

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


class Product:
    """`rows @ b` for block after block of rows, each time into the same memory: new pages cost more than they seem."""

    def __init__(self, b: Float[Tensor, "d m"]) -> None:
        self._b = b
        self._out = torch.empty(0, b.shape[1], device=b.device)

    def __call__(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """The product; the next call overwrites it."""
        if len(rows) > len(self._out):
            self._out = torch.empty(len(rows), self._b.shape[1], device=self._b.device)
        return torch.mm(rows, self._b, out=self._out[: len(rows)])


def logit_table(rows: Float[Tensor, "n d_model"], unembed: Product) -> LogitTable:
    """The strongest tokens and the histogram of each row; `unembed` multiplies with W_U."""
    effects = to_numpy(unembed(rows))
    n, k = len(rows), min(LOGITS, effects.shape[1])
    top, bottom = np.empty((n, k), np.int64), np.empty((n, k), np.int64)
    top_values, bottom_values = np.empty((n, k), np.float32), np.empty((n, k), np.float32)
    counts = np.zeros((n, BINS), np.int64)
    _tables(effects, top, top_values, bottom, bottom_values, counts)
    return LogitTable(top, top_values, bottom, bottom_values, bottom_values[:, 0], top_values[:, 0], counts)


@compiled(parallel=True)
@no_type_check
def _tables(effects: F32, top: I64, top_values: F32, bottom: I64, bottom_values: F32, counts: I64) -> None:
    for r in prange(len(effects)):
        _extremes(effects[r], top[r], top_values[r], bottom[r], bottom_values[r])
        low, high = bottom_values[r, 0], top_values[r, 0]
        _histogram(effects[r], low, np.float32(BINS) / max(high - low, np.finfo(np.float32).tiny), counts[r])


@compiled()
@no_type_check
def _histogram(values: F32, low: np.float32, scale: np.float32, counts: I64) -> None:
    """Bins first, which vectorises, then counts in four tables, so that equal neighbours do not wait for each other."""
    size = len(values)
    bins = np.empty(size, np.uint8)
    for c in range(size):
        bins[c] = np.uint8(min((values[c] - low) * scale, np.float32(BINS - 1)))
    some = np.zeros((4, 256), np.int64)
    whole = size - size % 4
    for c in range(0, whole, 4):
        some[0, bins[c]] += 1
        some[1, bins[c + 1]] += 1
        some[2, bins[c + 2]] += 1
        some[3, bins[c + 3]] += 1
    for c in range(whole, size):
        some[0, bins[c]] += 1
    for b in range(BINS):
        counts[b] = some[0, b] + some[1, b] + some[2, b] + some[3, b]


@compiled()
@no_type_check
def _extremes(values: F32, top: I64, top_values: F32, bottom: I64, bottom_values: F32) -> None:
    """The largest and the smallest values, outermost first, the first of equals before the others."""
    k = len(top)
    for c in range(min(k, len(values))):
        _insert(values[c], c, np.float32(1), c, top, top_values)
        _insert(values[c], c, np.float32(-1), c, bottom, bottom_values)
    least, most = top_values[k - 1], bottom_values[k - 1]
    for c in range(k, len(values)):
        v = values[c]
        if v > least:
            _insert(v, c, np.float32(1), k - 1, top, top_values)
            least = top_values[k - 1]
        if v < most:
            _insert(v, c, np.float32(-1), k - 1, bottom, bottom_values)
            most = bottom_values[k - 1]


@compiled()
@no_type_check
def _insert(v: np.float32, c: int, sign: np.float32, at: int, index: I64, kept: F32) -> None:
    """Puts `v` of column `c` where it belongs in an ordered list, at place `at` or before."""
    while at > 0 and sign * v > sign * kept[at - 1]:
        kept[at], index[at] = kept[at - 1], index[at - 1]
        at -= 1
    kept[at], index[at] = v, c


def coordinates(rows: Float[Tensor, "n d"]) -> tuple[I64, F32, F32]:
    """(index, value, share of the L1 norm) of the largest coordinates of each row."""
    best = rows.topk(min(COORDINATES, rows.shape[1]), dim=1)
    share = best.values.abs() / rows.abs().sum(1, keepdim=True).clamp_min(1e-12)
    return best.indices.cpu().numpy(), best.values.cpu().numpy(), share.cpu().numpy()


def unit_rows(W_dec: Float[Tensor, "d_sae d"]) -> Float[Tensor, "d_sae d"]:
    """The decoder's rows at length one; a row of zeros stays."""
    return W_dec / W_dec.norm(dim=1, keepdim=True).clamp_min(1e-12)


class Neighbours:
    """The nearest rows of every decoder row, by blocks; a cosine is computed once for both of its rows."""

    def __init__(self, W_dec: Float[Tensor, "d_sae d"], block: int) -> None:
        self._unit, self._block = unit_rows(W_dec), block
        k = min(NEIGHBOURS, len(W_dec) - 1)
        self._index = np.full((len(W_dec), k), -1, np.int64)
        self._values = np.full((len(W_dec), k), -np.inf, np.float32)

    def __call__(self, begin: int) -> tuple[I64, F32]:
        """(index, cosine) of the rows nearest to a block's, themselves left out; blocks are asked for in order."""
        end = min(begin + self._block, len(self._unit))
        if self._index.shape[1]:
            found = to_numpy(self._unit[begin:end] @ self._unit[begin:].T)
            _nearer(found, begin, self._index, self._values)
            _nearer_to_columns(found, begin, self._index, self._values)
        return self._index[begin:end], self._values[begin:end]


COLUMNS = 64
"""That one thread looks at together: a cache line's worth of numbers, four times."""


@compiled(parallel=True)
@no_type_check
def _nearer(cosine: F32, first: int, index: I64, values: F32) -> None:
    """Takes into the lists of rows `first` and on what is larger among themselves and the rows after them."""
    for r in prange(len(cosine)):
        best, at = values[first + r], index[first + r]
        least = best[-1]
        for c in range(cosine.shape[1]):
            if cosine[r, c] > least and c != r:
                least = _take(cosine[r, c], first + c, best, at)


@compiled(parallel=True)
@no_type_check
def _nearer_to_columns(cosine: F32, first: int, index: I64, values: F32) -> None:
    """Takes the rows `first` and on into the lists of the rows after them, which are the columns."""
    rows, width = cosine.shape
    for part in prange((width - rows + COLUMNS - 1) // COLUMNS):
        begin = rows + part * COLUMNS
        end = min(begin + COLUMNS, width)
        least = np.empty(COLUMNS, np.float32)
        for c in range(begin, end):
            least[c - begin] = values[first + c, -1]
        for r in range(rows):
            for c in range(begin, end):
                if cosine[r, c] > least[c - begin]:
                    least[c - begin] = _take(cosine[r, c], first + r, values[first + c], index[first + c])


@compiled()
@no_type_check
def _take(v: np.float32, number: int, best: F32, at: I64) -> np.float32:
    """Puts row `number` where it belongs in an ordered list, after its equals; returns the list's new least."""
    n = len(best) - 1
    while n > 0 and v > best[n - 1]:
        best[n], at[n] = best[n - 1], at[n - 1]
        n -= 1
    best[n], at[n] = v, number
    return best[-1]
