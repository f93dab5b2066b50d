"""The columns of `features.arrow` and `examples.arrow`, which a build and an import write alike, and filling them.

A column of lists is written from all its values one after another and how long each list is (`Lists`). A reader goes by
names; the widths of numbers may differ between files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

L32, LF, LI = pa.list_(pa.uint32()), pa.list_(pa.float32()), pa.list_(pa.int32())
WITHIN_ONE = {
    "coordinate_share", "neuron_pearson", "neuron_cosine", "related_pearson", "related_cosine", "near_cosine",
}  # fmt: skip
"""Columns of numbers between -1 and 1, for which float16 will do in a compact build."""
FEATURES = pa.schema([
    ("active", pa.uint32()), ("maximum", pa.float32()), ("minimum", pa.float32()), ("mean", pa.float64()),
    ("deviation", pa.float64()), ("label", pa.string()), ("promotes", pa.string()),
    ("histogram_low", pa.float32()), ("histogram_high", pa.float32()), ("histogram", L32),
    ("ranked", LF), ("ranked_low", LF),
    ("logits_low", pa.float32()), ("logits_high", pa.float32()), ("logits", L32),
    ("top_ids", L32), ("top_values", LF), ("bottom_ids", L32), ("bottom_values", LF),
    ("coordinate", LI), ("coordinate_value", LF), ("coordinate_share", LF),
    ("neuron", LI), ("neuron_pearson", LF), ("neuron_cosine", LF),
    ("related", LI), ("related_pearson", LF), ("related_cosine", LF),
    ("near", LI), ("near_cosine", LF),
])  # fmt: skip


def features_schema(compact: bool) -> pa.Schema:
    """The columns of features.arrow."""
    half = pa.list_(pa.float16())
    return pa.schema([pa.field(c.name, half) if compact and c.name in WITHIN_ONE else c for c in FEATURES])


def examples_schema(*, half: bool, context: int, many: bool = False) -> pa.Schema:
    """The columns of examples.arrow; `half`: strips in float16, `many`: groups of more than 255."""
    place = pa.uint8() if context <= 256 else pa.uint32()
    count = pa.uint32() if many else pa.uint8()
    value = pa.float16() if half else pa.float32()
    return pa.schema([
        ("group_kind", pa.list_(pa.uint8())), ("group_low", LF), ("group_high", LF),
        ("group_share", pa.list_(pa.float64())), ("group_size", pa.list_(count)),
        ("prompt", L32), ("position", pa.list_(place)), ("value", LF), ("repeats", L32),
        ("member_count", pa.list_(count)), ("member_prompt", L32), ("member_position", pa.list_(place)),
        ("member_value", LF),
        ("shown", L32), ("shown_size", L32), ("shown_position", pa.list_(place)), ("shown_value", pa.list_(value)),
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists: all of them one after another, and how long each is."""

    flat: NDArray[Any]
    sizes: NDArray[np.int64]


def arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """A column; a two-dimensional array becomes lists, and so do `Lists`."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        values = Lists(values.ravel(), np.full(len(values), values.shape[1]))
    if isinstance(values, Lists):
        offsets = np.concatenate([[0], np.cumsum(values.sizes)]).astype(np.int32)
        inner = values.flat.astype(kind.value_type.to_pandas_dtype(), copy=False)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(inner, kind.value_type))
    return pa.array(values, kind)
