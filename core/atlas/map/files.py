"""A map on disk: `derived/map-<hash>/` of the first of its sources, in the order of their keys.

    points.arrow    one row a point: source, index, x, y (65,536 steps of the map's width), its cluster at each level
    clusters.arrow  one row a cluster: level, words, middle, size, the cluster that it lies in (-1: none)
    made.json       what it was made from, and how

The hash is that of what is on the map, of every source's stamp, the seed and the method, so that a map of several
sources has one home, whoever asks for it in whatever order, and none is taken for that of an earlier build. It is not
that of the explanations: a map of them stays, and the record says how many are others now. About 5 bytes a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.atlas.map.records import Cluster, MapRecord, Of
from core.errors import BadData
from core.records import SourceKey
from core.store import derived
from core.store.layout import DAMAGED

FORMAT = 1
"""Of the method and of the files; maps of another one are made anew."""
POINTS, CLUSTERS = "points.arrow", "clusters.arrow"
SCHEMA = pa.schema([
    ("level", pa.uint8()), ("words", pa.list_(pa.string())), ("x", pa.float32()), ("y", pa.float32()),
    ("size", pa.uint32()), ("parent", pa.int16()),
])  # fmt: skip
STEPS = 65_535


def made_from(of: Of, stamps: Mapping[SourceKey, Mapping[str, Any]], embedder: str, seed: int) -> dict[str, Any]:
    """What a map depends on, as `core.store.derived` wants it."""
    its = {str(key): dict(stamps[key]) for key in sorted(stamps)}
    return {"format": FORMAT, "of": of, "seed": seed, "sources": its, **({"embedder": embedder} if embedder else {})}


def write(folder: Path, record: MapRecord, texts: NDArray[np.uint64]) -> dict[str, Any]:
    """Writes the points into `folder`; returns what belongs into `made.json`. `texts` are hashes, one a point."""
    columns: dict[str, NDArray[Any]] = {
        "source": record.source, "index": record.index, "x": steps(record.x), "y": steps(record.y),
        **{f"cluster_{level}": row for level, row in enumerate(record.cluster)},
    }  # fmt: skip
    if len(texts):
        columns["text"] = (texts & np.uint64(0xFFFF)).astype(np.uint16)
    _write(folder / POINTS, pa.table(columns))
    names = ("level", "words", "x", "y", "size")
    rows = {name: [getattr(one, name) for one in record.clusters] for name in names}
    rows["parent"] = [-1 if one.parent is None else one.parent for one in record.clusters]
    _write(folder / CLUSTERS, pa.table(rows, schema=SCHEMA))
    return {
        "fitted": record.fitted, "dead": record.dead, "unsaid": record.unsaid, "seconds": round(record.seconds, 1),
        "levels": len(record.cluster),
    }  # fmt: skip


def _write(path: Path, table: pa.Table) -> None:
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=12))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def _table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def steps(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Numbers between -1 and 1 as whole ones of two bytes."""
    return np.rint((np.clip(values, -1, 1) + 1) / 2 * STEPS).astype(np.uint16)


def read(folder: Path, of: Of, sources: Sequence[SourceKey]) -> tuple[MapRecord, NDArray[np.uint16]]:
    """(the map that `folder` holds, what its explanations' hashes end with; empty for directions).

    Raises:
        BadData: it is damaged.
    """
    made = derived.read_made(folder)
    try:
        table = _table(folder / POINTS)
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        record = MapRecord(
            of=of, sources=tuple(sources), name=folder.name, source=columns["source"], index=columns["index"],
            x=_back(columns["x"]), y=_back(columns["y"]),
            cluster=np.stack([columns[f"cluster_{level}"] for level in range(made["levels"])]),
            clusters=tuple(
                Cluster(id=n, level=c["level"], words=tuple(c["words"]), x=c["x"], y=c["y"], size=c["size"],
                        parent=None if c["parent"] < 0 else c["parent"])
                for n, c in enumerate(_table(folder / CLUSTERS).to_pylist())
            ),
            fitted=made["fitted"], dead=made["dead"], unsaid=made["unsaid"], seed=made["from"]["seed"],
            made=made["made"], seconds=made["seconds"], embedder=made["from"].get("embedder", ""),
        )  # fmt: skip
    except (*DAMAGED, KeyError, TypeError) as error:
        raise BadData(f"The map {folder.name} of {sources[0]} cannot be read. Make it anew.") from error
    return record, columns.get("text", np.zeros(0, np.uint16))


def _back(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (values.astype(np.float32) / STEPS * 2 - 1).astype(np.float32)
