"""A source's codes of one text: the value of every feature at every token, and what a search asks of them.

An SAE's codes are kept as their non-zeros, a dense source's (neurons, directions) as the matrix that they are. Both
answer the same questions. Positions count BOS as 0. Cost: a look at a text's non-zeros, or at each value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool as Flags
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray

from core.kernel import F32, I32, I64, Bool, compiled, no_type_check

Where: TypeAlias = Flags[np.ndarray, " tokens"]
"""The tokens that are looked at."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The features that are active on some tokens, by index, and where each is strongest."""

    features: Int64[np.ndarray, " n"]
    values: Float32[np.ndarray, " n"]
    """Of largest magnitude."""
    positions: Int64[np.ndarray, " n"]
    """The first, of several."""


@dataclass(frozen=True, slots=True)
class Sparse:
    """The non-zeros, by token and then by feature."""

    tokens: int
    width: int
    positions: Int32[np.ndarray, " entries"]
    features: Int32[np.ndarray, " entries"]
    values: Float32[np.ndarray, " entries"]

    @property
    def bytes(self) -> int:
        """Memory."""
        return self.positions.nbytes + self.features.nbytes + self.values.nbytes

    def peaks(self, where: Where) -> Peaks:
        """Every feature's strongest value among the tokens `where`."""
        at = np.full(self.width, -1, np.int64)
        _strongest(where, self.positions, self.features, self.values, at)
        features = np.flatnonzero(at >= 0)
        first = at[features]
        return Peaks(features, self.values[first], self.positions[first].astype(np.int64))

    def of(self, features: Int64[np.ndarray, " k"]) -> Float32[np.ndarray, "k tokens"]:
        """The values of some features, each named once, at every token."""
        found = np.zeros((len(features), self.tokens), np.float32)
        order = np.argsort(features, kind="stable")
        at = np.searchsorted(features[order], self.features)
        there = np.flatnonzero(at < len(features))
        there = there[features[order][at[there]] == self.features[there]]
        found[order[at[there]], self.positions[there]] = self.values[there]
        return found

    def at(self, position: int) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """(features, values) of one token."""
        begin, end = np.searchsorted(self.positions, [position, position + 1])
        return self.features[begin:end].astype(np.int64), self.values[begin:end]

    def entries(self, where: Where) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """(feature, value) of all that is active among the tokens `where`, by token and then by feature."""
        kept = where[self.positions]
        return self.features[kept].astype(np.int64), self.values[kept]

    def parts(self, lengths: Sequence[int]) -> Iterator[Sparse]:
        """Those of several texts one after another, taken apart: copies, so that one does not keep the others."""
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            first, last = np.searchsorted(self.positions, [end - length, end])
            part = slice(first, last)
            positions = self.positions[part] - np.int32(end - length)
            yield Sparse(length, self.width, positions, self.features[part].copy(), self.values[part].copy())


@dataclass(frozen=True, slots=True)
class Dense:
    """All values."""

    values: Float32[np.ndarray, "tokens width"]

    @property
    def tokens(self) -> int:
        """Of the text."""
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.values.shape[1])

    @property
    def bytes(self) -> int:
        """Memory."""
        return self.values.nbytes

    def peaks(self, where: Where) -> Peaks:
        """Every feature's value of largest magnitude among the tokens `where`."""
        positions = np.flatnonzero(where)
        some = self.values[positions]
        if not len(some):
            return Peaks(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
        best = np.abs(some).argmax(0)
        values = some[best, np.arange(self.width)]
        features = np.flatnonzero(values)
        return Peaks(features, values[features], positions[best[features]])

    def of(self, features: Int64[np.ndarray, " k"]) -> Float32[np.ndarray, "k tokens"]:
        """The values of some features at every token."""
        return np.ascontiguousarray(self.values[:, features].T)

    def at(self, position: int) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """(features, values) of one token."""
        features = np.flatnonzero(self.values[position])
        return features, self.values[position, features]

    def entries(self, where: Where) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """(feature, value) of all that is not 0 among the tokens `where`, by token and then by feature."""
        some = self.values[where]
        rows, features = np.nonzero(some)
        return features, some[rows, features]

    def parts(self, lengths: Sequence[int]) -> Iterator[Dense]:
        """Those of several texts one after another, taken apart: copies, so that one does not keep the others."""
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            yield Dense(self.values[end - length : end].copy())


Codes: TypeAlias = Sparse | Dense


@compiled()
@no_type_check
def _strongest(where: Bool, positions: I32, features: I32, values: F32, at: I64) -> None:
    """Of each feature the entry of largest magnitude, the first of several; what is no number comes last."""
    for entry in range(len(features)):
        if where[positions[entry]]:
            held = at[features[entry]]
            size = abs(values[entry])
            if held < 0 or size > abs(values[held]) or (size == size and values[held] != values[held]):
                at[features[entry]] = entry


def sparse(acts: Float32[np.ndarray, "tokens width"]) -> Sparse:
    """The non-zeros of a matrix."""
    positions, features = np.nonzero(acts)
    tokens, width = acts.shape
    values = acts[positions, features].astype(np.float32)
    return Sparse(tokens, width, positions.astype(np.int32), features.astype(np.int32), values)


def merged(tokens: int, parts: Sequence[tuple[NDArray[np.int64], Sparse]]) -> Sparse:
    """Codes of so many tokens from those of some of them, of which each part says where they are, ascending."""
    positions = np.concatenate([where[one.positions] for where, one in parts]).astype(np.int32)
    order = np.argsort(positions, kind="stable")
    features = np.concatenate([one.features for _, one in parts])
    values = np.concatenate([one.values for _, one in parts])
    return Sparse(tokens, parts[0][1].width, positions[order], features[order], values[order])
