"""How rare a value of a feature is: on how many of the build's tokens the feature is at least so strong.

Exact over the activation store. A source that is kept without it has the values at certain ranks (core.build.ranks),
two for each doubling: between two of them the logarithm of the count is taken to fall evenly, from the one to just
before the other, which is at most √2 off, and exact at the ranks themselves where no other value is equal. Of a dense
source the size of a value counts, whatever its sign: within the tails that its ranks cover by them, and else by its
histogram, evenly within a bin.

Cost: a look at every stored value of the features asked for, or one bisection each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Float64, Int64

from core.errors import BadData, NotAvailable
from core.kernel import F32, F64, I64, compiled, no_type_check
from core.records import SourceRecord
from core.store.layout import RANKS, SourceData


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists."""

    offsets: I64
    flat: F64

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Lists:
        """From a column of `features.arrow`."""
        lengths = pc.list_value_length(column).to_numpy()
        flat = pc.list_flatten(column).to_numpy().astype(np.float64)
        return cls(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), flat)


class Rarity:
    """Counts of one source's features."""

    def __init__(self, data: SourceData, source: SourceRecord) -> None:
        self._data, self._signed = data, source.signed
        self.tokens = source.tokens
        self.active: F64 = data.features.column("active").to_numpy().astype(np.float64)
        self._store: tuple[I64, F32] | None = None
        if not source.signed:
            try:
                self._store = data.store_values()
            except NotAvailable:
                pass
            else:  # compiled loops look where these lead
                _need(len(self._store[0]) == len(self.active) + 1, source)
                return
        self._high, self._low = (Lists.of(data.features.column(name)) for name in ("ranked", "ranked_low"))
        for lists in (self._high, self._low):
            _need(int(np.diff(lists.offsets).max(initial=0)) <= len(RANKS), source)
        if source.signed:
            self._bins = Lists.of(data.features.column("histogram"))
            ends = (data.features.column(f"histogram_{end}").to_numpy() for end in ("low", "high"))
            self._least, self._most = (end.astype(np.float64) for end in ends)

    @property
    def exact(self) -> bool:
        """Whether every count is, and not only those at the ranks that are kept."""
        return self._store is not None

    def at_least(
        self, features: Int64[np.ndarray, " n"], values: Float32[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        """On how many tokens each feature is as strong as its value or stronger (in size, if it is dense)."""
        counts = np.zeros(len(features))
        if self._store is not None:
            _stored(*self._store, features, values, counts)
        elif not self._signed:
            _between(self._high.offsets, self._high.flat, self.active, features, values, 1.0, RANKS, counts)
        else:
            self._both_sides(features, np.abs(values), counts)
        return counts

    def share(self, features: Int64[np.ndarray, " n"], values: Float32[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Of all counted tokens, between 0 and 1 and neither: what was never seen is counted as seen once."""
        return self._share(self.at_least(features, values))

    def percentile(
        self, features: Int64[np.ndarray, " n"], values: Float32[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        """The share of a feature's active tokens (of all, if it is dense) on which it is weaker."""
        return self._percentile(features, self.at_least(features, values))

    def ranks(
        self, features: Int64[np.ndarray, " n"], values: Float32[np.ndarray, " n"]
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """(percentile, share), from one look at the values."""
        counts = self.at_least(features, values)
        return self._percentile(features, counts), self._share(counts)

    def _share(self, counts: F64) -> F64:
        return (counts + 1) / (self.tokens + 1)

    def _percentile(self, features: I64, counts: F64) -> F64:
        every = np.full(len(features), float(self.tokens)) if self._signed else self.active[features]
        return 1 - np.minimum(counts, every) / np.maximum(every, 1)

    def _both_sides(self, features: I64, sizes: F32, counts: F64) -> None:
        """Adds the tokens with a value of at least such a size, above zero and below."""
        for sign, ranked in ((1.0, self._high), (-1.0, self._low)):
            values = np.float32(sign) * sizes
            tail, rest = np.zeros(len(features)), np.zeros(len(features))
            _between(ranked.offsets, ranked.flat, None, features, values, sign, RANKS, tail)
            _binned(self._bins.offsets, self._bins.flat, self._least, self._most, features, values, sign, rest)
            lengths = np.diff(ranked.offsets)[features]
            known = np.where(lengths > 0, RANKS[np.maximum(lengths - 1, 0)], 0)  # ranks that the tail covers
            end = np.append(ranked.flat, 0)[np.maximum(ranked.offsets[1:][features] - 1, 0)]
            counts += np.where((lengths > 0) & (sign * values >= sign * end), tail, np.maximum(rest, known))


def _need(holds: bool, source: SourceRecord) -> None:
    if not holds:
        raise BadData(f"The files of {source.key} do not belong together. Build it again.")


@compiled()
@no_type_check
def _stored(offsets: I64, kept: F32, features: I64, values: F32, counts: F64) -> None:
    for n in range(len(features)):
        f = features[n]
        for m in range(offsets[f], offsets[f + 1]):
            counts[n] += kept[m] >= values[n]


@compiled()
@no_type_check
def _between(
    offsets: I64, ranked: F64, last: F64 | None, features: I64, values: F32, sign: float, grid: I64, counts: F64
) -> None:
    """Ranks of values among those kept; `last` is the rank of a list's last value where it is not the grid's."""
    for n in range(len(features)):
        f = features[n]
        begin, end = offsets[f], offsets[f + 1]
        v = sign * values[n]
        if begin == end or v > sign * ranked[begin]:
            continue
        low, high = begin, end  # ranked[low] is at least as strong as v, ranked[high] is not
        while high - low > 1:
            middle = (low + high) // 2
            if sign * ranked[middle] >= v:
                low = middle
            else:
                high = middle
        first = np.float64(grid[low - begin])
        if last is not None and low == end - 1:
            first = last[f]
        if high == end or sign * ranked[low] == v:
            counts[n] = first
            continue
        second = np.float64(grid[high - begin])
        if last is not None and high == end - 1:
            second = last[f]
        part = (sign * ranked[low] - v) / (sign * ranked[low] - sign * ranked[high])
        counts[n] = first * ((second - 1) / first) ** part


@compiled()
@no_type_check
def _binned(
    offsets: I64, bins: F64, lows: F64, highs: F64, features: I64, values: F32, sign: float, counts: F64
) -> None:
    """Tokens beyond a value by the histogram."""
    for n in range(len(features)):
        f = features[n]
        begin, size = offsets[f], offsets[f + 1] - offsets[f]
        if size == 0 or highs[f] <= lows[f]:
            continue
        at = (values[n] - lows[f]) / (highs[f] - lows[f]) * size
        for b in range(size):
            part = min(max(b + 1 - at, 0.0), 1.0)  # of the bin, what lies above
            counts[n] += bins[begin + b] * (part if sign > 0 else 1 - part)
