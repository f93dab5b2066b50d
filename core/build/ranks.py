"""How a feature's values are spread at their strong end: the values at certain ranks, two for each doubling.

The k-th largest of a feature's values says that it is at least so strong on k tokens. Kept for k = 1, 2, 3, 4, 6, 8,
11, 16, …, and for the last of a sparse source, they answer how rare a value is for sources that are kept without their
activation store: a rank between two that are kept is known to within their ratio. A dense source has the ranks of both
its tails.

Cost: a sort of each feature's entries, on all cores; some hundred bytes a feature.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from core.kernel import F32, I64, compiled, no_type_check
from core.store.grouped import Grouped
from core.store.layout import RANKS


def ranked(some: Grouped, beyond: F32, *, sign: int = 1, last: bool = True) -> tuple[F32, I64]:
    """(values at the ranks of `RANKS`, feature after feature; how many each feature has), the strongest first.

    Ranks run over the entries beyond `beyond` of their feature: above it, or below it if `sign` is -1. The value of the
    last rank of all is put after the others, unless it is one of them, if `last`.
    """
    table = np.empty((some.width, len(RANKS) + 1), np.float32)
    sizes = np.zeros(some.width, np.int64)
    _ranked(some.offsets, some.values, beyond, np.float32(sign), last, RANKS, table, sizes)
    return table[np.arange(table.shape[1]) < sizes[:, None]], sizes


@compiled(parallel=True)
@no_type_check
def _ranked(
    offsets: I64, values: F32, beyond: F32, sign: np.float32, last: bool, grid: I64, table: F32, sizes: I64
) -> None:
    for f in prange(len(sizes)):
        part = sign * values[offsets[f] : offsets[f + 1]]
        part = np.sort(part[part > sign * beyond[f]])
        n, k = len(part), 0
        while k < len(grid) and grid[k] <= n:
            table[f, k] = sign * part[n - grid[k]]
            k += 1
        if last and n > 0 and grid[k - 1] != n:
            table[f, k] = sign * part[0]
            k += 1
        sizes[f] = k
