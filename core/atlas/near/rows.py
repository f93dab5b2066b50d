"""One feature's row by itself, and as a file that says which row it is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, get_args

import numpy as np

from core.atlas import vectors
from core.atlas.near.records import RowRecord, Side
from core.errors import BadInput
from core.records import FeatureKey

if TYPE_CHECKING:
    from core.workbench import Workbench


def row(bench: Workbench, key: FeatureKey, side: Side) -> RowRecord:
    """See `core.atlas.door.Atlas.row`."""
    if side not in get_args(Side):
        raise BadInput(f"A row is one of {', '.join(get_args(Side))}; there is no “{side}”.")
    bench._source_of(key)
    came = vectors.came_along(bench, key.source) is not None and side == "decoder"
    source = bench.source(key.source) if came else vectors._source(bench, key.source, side)
    rows = vectors.decoder(bench, key.source) if side == "decoder" else vectors.encoder(bench, key.source)
    values = np.array(rows[key.index], np.float32)
    hook = source.hook_out or source.hook if side == "decoder" else source.hook
    if side == "encoder" and source.kind == "neurons":
        hook = hook.replace("hook_post", "hook_in")  # the columns of W_in meet what goes into the MLP
    return RowRecord(
        key=key, side=side, hook=hook, values=tuple(values.tolist()), norm=float(np.linalg.norm(values))
    )


def npy(record: RowRecord) -> bytes:
    """The numbers as a NumPy file, float32."""
    file = io.BytesIO()
    np.save(file, np.array(record.values, np.float32))
    return file.getvalue()


def file_name(record: RowRecord, kind: str) -> str:
    """What a file of it is called: it says which row it is."""
    key = record.key
    return f"{key.model_id}_{key.source_id}_{key.index}_{record.side}.{kind}"
