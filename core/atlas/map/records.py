"""The record of a map, and its clusters.

Points are arrays and no tuples, since a map may have 300,000; treat them as read-only. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    import pandas as pd

Of = Literal["decoder", "explanation"]
"""What lies near on a map: decoder directions, or what is said of features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Features that lie together."""

    id: int
    level: int
    """0 for those that are seen from afar; the higher, the closer one has to look."""
    words: tuple[str, ...]
    """What is said of its features and not of others, the most telling first; may be empty."""
    x: float
    y: float
    """Its middle: the median of its points."""
    size: int
    parent: int | None
    """The cluster of a lower level that it lies in."""

    @property
    def label(self) -> str:
        """Its words as one reads them."""
        return " · ".join(self.words)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MapRecord:
    """Features on a plane, those that are alike near each other. Distances between far points mean nothing."""

    of: Of
    sources: tuple[SourceKey, ...]
    name: str
    """Of the folder that it is kept in: another one where anything that it was made from is another."""
    source: NDArray[np.uint8]
    """[points]: which of `sources`."""
    index: NDArray[np.uint32]
    """[points]: of the feature in its source."""
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    """[points]: between -1 and 1, on one scale."""
    cluster: NDArray[np.int16]
    """[levels, points]: the number of the point's cluster at each level; -1 for none."""
    clusters: tuple[Cluster, ...]
    """By number."""
    fitted: int
    """Points that UMAP was fitted to; the others were put among them."""
    dead: int
    """Features that no text activates: they are left out."""
    unsaid: int
    """Features that nothing is said of, left out of a map of explanations."""
    seed: int
    made: str
    """ISO date."""
    seconds: float
    """What making it took."""
    changed: int = 0
    """Features whose explanations are others than when it was made; 0 for a map of directions."""
    embedder: str = ""
    """What made the vectors of explanations."""

    def __len__(self) -> int:
        return len(self.index)

    def key(self, point: int) -> FeatureKey:
        """The feature of a point, by its number."""
        source = self.sources[int(self.source[point])]
        return FeatureKey(source.model_id, source.source_id, int(self.index[point]))

    @cached_property
    def points(self) -> dict[FeatureKey, int]:
        """The number of each feature's point."""
        return {self.key(n): n for n in range(len(self))}

    def to_pandas(self) -> pd.DataFrame:
        """A row a point: feature, x, y, and the label of its cluster at each level."""
        import pandas as pd

        labels = np.array([*(one.label for one in self.clusters), ""], object)
        columns = {f"cluster_{level}": labels[row] for level, row in enumerate(self.cluster)}
        features = [str(self.key(n)) for n in range(len(self))]
        return pd.DataFrame({"feature": features, "x": self.x, "y": self.y, **columns})

    def __repr__(self) -> str:
        of = ", ".join(map(str, self.sources))
        return f"MapRecord({self.of!r}, {of}: {len(self):,} points, {len(self.clusters):,} clusters)"
