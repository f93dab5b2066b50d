"""Non-zeros (feature, token, value) of a source, grouped by feature: what a build merges and a store holds.

Knows arrays and nothing of files, and takes no compiler along: a store is read without numba. Whoever walks features in
a compiled loop asks `fits` first: offsets and positions that lie would be followed beyond the arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOK = 2**24
"""Positions that are looked at together, so that a mapped file does not come into memory as a whole."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """All non-zeros of one source by feature. Tokens are numbered over all prompts, BOS included."""

    offsets: NDArray[np.int64]
    """[width + 1]: where each feature's entries begin."""
    positions: NDArray[np.uint32]
    """[entries]: tokens, ascending within a feature."""
    values: NDArray[np.float32]

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.offsets) - 1

    def of(self, feature: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """(positions, values) of one feature."""
        begin, end = self.offsets[feature], self.offsets[feature + 1]
        return self.positions[begin:end], self.values[begin:end]

    def block(self, begin: int, end: int) -> Grouped:
        """Some features, copied into memory."""
        first, last = self.offsets[begin], self.offsets[end]
        offsets = self.offsets[begin : end + 1] - first
        return Grouped(np.asarray(offsets), np.array(self.positions[first:last]), np.array(self.values[first:last]))

    def fits(self, width: int, tokens: int) -> bool:
        """Whether a loop may trust it, for so many features and tokens."""
        blocks = (self.positions[i : i + LOOK] for i in range(0, len(self.positions), LOOK))
        return (
            self.width == width
            and int(self.offsets[0]) == 0
            and bool((np.diff(self.offsets) >= 0).all())
            and int(self.offsets[-1]) == len(self.positions) == len(self.values)
            and all(int(block.max(initial=0)) < tokens for block in blocks)
        )
