"""Which features are active together: for each sparse feature the others with the largest Pearson correlation.

Sums of products and counts of common tokens are gathered over the non-zeros alone: for every token of a feature, the
other features of that token. A block of features is held as two dense tables, and the chunks are walked once a block,
so that memory does not grow with the number of tokens. Pairs with fewer than `TOGETHER` tokens in common are left out:
two or three coincidences correlate perfectly and mean nothing.

Cost: Σ L0² over the tokens, in steps of a few nanoseconds, on all cores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import prange

from core.build.moments import Strongest, Sums
from core.build.nonzeros import Chunk, mapped
from core.kernel import F32, F64, I32, I64, compiled, no_type_check

TOGETHER = 3
"""Tokens on which two sparse features must both be active before their correlation is listed."""
CELLS = 2**23
"""Pairs in the tables of a block, at most: 12 bytes each. The chunks are opened anew for each block."""


class Together:
    """The best correlated features of one feature after another.

    The tables are kept from call to call, always back at zero: fresh memory would cost as much as what is done in it.
    """

    def __init__(self, chunks: list[Path], sums: Sums, n: int, k: int) -> None:
        width = len(sums.total)
        self._chunks, self._n, self._k = chunks, n, k
        self._mean, self._spread, self._length = sums.total / n, sums.spread(n), sums.length(n)
        self._step = min(width, max(1, CELLS // width))
        self._products = np.zeros((0, width))
        self._counts = np.zeros((0, width), np.int32)

    def __call__(self, begin: int, end: int) -> Strongest:
        """The `k` best of features `begin` to `end`, over `n` counted tokens; -1 where there are fewer."""
        shape = (end - begin, self._k)
        found = Strongest(np.full(shape, -1, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        for first in range(begin, end, self._step):
            last = min(first + self._step, end)
            products, counts = self._tables(last - first)
            for chunk in mapped(self._chunks):
                _gather(*_columns(chunk, first, last), *_rows(chunk), products, counts)
            part = slice(first - begin, last - begin)
            lists = (found.index[part], found.pearson[part], found.cosine[part])
            _best(products, counts, first, self._n, self._mean, self._spread, self._length, *lists)
        return found

    def _tables(self, rows: int) -> tuple[F64, I32]:
        if rows > len(self._counts):
            width = self._counts.shape[1]
            self._products, self._counts = np.zeros((rows, width)), np.zeros((rows, width), np.int32)
        return self._products[:rows], self._counts[:rows]


def _columns(chunk: Chunk, first: int, last: int) -> tuple[I64, I32, F32]:
    """(offsets, rows, values) of some features."""
    offsets = np.array(chunk.offsets[first : last + 1])
    part = slice(offsets[0], offsets[-1])
    return offsets - offsets[0], np.asarray(chunk.rows[part]), np.asarray(chunk.values[part])


def _rows(chunk: Chunk) -> tuple[I64, I32, F32]:
    return np.asarray(chunk.row_offsets), np.asarray(chunk.row_features), np.asarray(chunk.row_values)


@compiled(parallel=True)
@no_type_check
def _gather(
    offsets: I64, rows: I32, values: F32, row_offsets: I64, row_features: I32, row_values: F32,
    products: F64, counts: I32,
) -> None:  # fmt: skip
    """Adds every pair of a feature's entry and another entry of the same token."""
    for f in prange(len(products)):
        for n in range(offsets[f], offsets[f + 1]):
            v, row = np.float64(values[n]), rows[n]
            for m in range(row_offsets[row], row_offsets[row + 1]):
                g = row_features[m]
                products[f, g] += v * row_values[m]
                counts[f, g] += 1


@compiled(parallel=True)
@no_type_check
def _best(
    products: F64, counts: I32, first: int, n: int, mean: F64, spread: F64, length: F64,
    index: I32, pearson: F32, cosine: F32,
) -> None:  # fmt: skip
    """The largest correlations of each row, largest first, the first of equals before the others; clears the tables."""
    k = index.shape[1]
    for f in prange(len(products)):
        score = np.full(k, -np.inf)
        for g in range(products.shape[1]):
            if counts[f, g] < TOGETHER or g == first + f or spread[first + f] * spread[g] == 0:
                continue
            r = (products[f, g] / n - mean[first + f] * mean[g]) / (spread[first + f] * spread[g])
            at = k
            while at > 0 and r > score[at - 1]:
                at -= 1
            if at == k:
                continue
            for place in range(k - 1, at, -1):
                score[place], index[f, place] = score[place - 1], index[f, place - 1]
            score[at], index[f, at] = r, g
        for at in range(k):
            g = index[f, at]
            if g >= 0:
                pearson[f, at] = score[at]
                cosine[f, at] = products[f, g] / (length[first + f] * length[g])
        products[f] = 0
        counts[f] = 0
