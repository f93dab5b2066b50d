"""A map's points in Neuronpedia's JSON: an explanation each, with where it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atlas.map.records import MapRecord

Json = dict[str, Any]


def points(record: MapRecord, lines: Sequence[str], density: NDArray[np.float64]) -> list[Json]:
    """One a feature. `umap_cluster` is the smallest cluster that it lies in, -1 for none; coordinates are -1 to 1."""
    smallest = np.full(len(record), -1)
    for row in record.cluster:
        smallest = np.where(row >= 0, row, smallest)
    keys = record.sources
    return [
        {
            "modelId": keys[source].model_id, "layer": keys[source].source_id, "index": str(index),
            "description": line, "umap_x": round(x, 5), "umap_y": round(y, 5), "umap_cluster": cluster,
            "umap_log_feature_sparsity": round(math.log10(share), 4) if share > 0 else None,
        }
        for source, index, line, x, y, cluster, share in zip(
            record.source.tolist(), record.index.tolist(), lines, record.x.tolist(), record.y.tolist(),
            smallest.tolist(), density.tolist(), strict=True,
        )
    ]  # fmt: skip


def clusters(record: MapRecord) -> list[Json]:
    """What the numbers of `umap_cluster` mean; ours."""
    return [
        {
            "umap_cluster": one.id, "level": one.level, "label": one.label, "size": one.size, "x": round(one.x, 5),
            "y": round(one.y, 5), "parent": one.parent,
        }
        for one in record.clusters
    ]  # fmt: skip


def summary(record: MapRecord) -> Json:
    """What a map is, without its points."""
    return {
        "of": record.of, "sources": [str(key) for key in record.sources], "points": len(record),
        "fitted": record.fitted, "dead": record.dead, "unexplained": record.unsaid, "seed": record.seed,
        "made": record.made, "seconds": record.seconds, "changed": record.changed, "map": record.name,
        "embedder": record.embedder or None,
    }  # fmt: skip
