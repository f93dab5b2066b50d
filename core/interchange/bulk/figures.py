"""Figures of an imported feature: what its row says, and what follows from that.

Counts are the histogram's, which holds every active value; where there is none they follow from the density. Mean and
deviation are read off the histogram, to half a bin, unless the export brings ours beside it (`Said`); so are the values
at certain ranks, from which a search tells how rare a value is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.interchange.bulk.rows import Json, numbers
from core.store.layout import RANKS

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram: ends and counts; no counts where there is none."""

    low: float
    high: float
    counts: Array

    @classmethod
    def of(cls, row: Json, name: str) -> Bars:
        """From heights and the middles of bins."""
        heights, middles = numbers(row, f"{name}_data_bar_heights"), numbers(row, f"{name}_data_bar_values")
        if not len(heights) or not len(middles):
            return cls(0.0, 0.0, np.empty(0, np.int64))
        step = (middles[-1] - middles[0]) / (len(middles) - 1) if len(middles) > 1 else max(1.0, abs(middles[0]))
        return cls(middles[0] - step / 2, middles[-1] + step / 2, np.round(heights).astype(np.int64))

    @property
    def centres(self) -> Array:
        """The middle of each bin."""
        n = max(1, len(self.counts))
        return self.low + (np.arange(len(self.counts)) + 0.5) * (self.high - self.low) / n

    def moments(self) -> tuple[float, float]:
        """(mean, standard deviation), every value taken to be its bin's middle."""
        total = int(self.counts.sum())
        if not total:
            return 0.0, 0.0
        mean = float((self.counts * self.centres).sum() / total)
        return mean, float(np.sqrt((self.counts * (self.centres - mean) ** 2).sum() / total))

    def ranked(self, maximum: float, active: int) -> Array:
        """Values at `RANKS`, the strongest first: evenly spread in their bins, falling, the first as given."""
        if not active or not len(self.counts):
            return np.array([maximum] if active else [], np.float32)
        above = np.concatenate([[0], np.cumsum(self.counts[::-1])])  # values above each edge, from the top
        edges = np.linspace(self.high, self.low, len(self.counts) + 1)
        ranks = RANKS[RANKS <= above[-1]]
        if above[-1] not in ranks:
            ranks = np.append(ranks, above[-1])
        found = np.interp(ranks, above, edges).astype(np.float32)
        found[0] = maximum
        for n in range(1, len(found)):  # no two alike, whatever float32 makes of them
            if found[n] >= found[n - 1]:
                found[n] = np.nextafter(found[n - 1], np.float32(-np.inf))
        return found


@dataclass(frozen=True, slots=True)
class Said:
    """What our own export says of a feature beside its row, exactly."""

    label: str
    active: int
    """-1 where only the moments are said."""
    minimum: float
    mean: float
    deviation: float


def active_of(row: Json, bars: Bars, tokens: int, signed: bool) -> int:
    """Tokens on which the feature is active."""
    if len(bars.counts) and not signed:
        return int(bars.counts.sum())
    return round(float(row.get("frac_nonzero") or 0.0) * tokens)
