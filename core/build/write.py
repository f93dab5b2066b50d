"""Writes one source's folder from what the pass gathered: statistics, tables, examples, store, manifest.

Works through the features in blocks of `layout.BATCH`, so that memory beyond the non-zeros is that of one block.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy import sparse

from core.build import examples, weights
from core.build.moments import CoordinateMoments, DenseMoments, Strongest, Sums, strongest
from core.build.nonzeros import Grouped
from core.build.texts import Prompts
from core.catalog.manifest import SourceManifest, WeightsSpec, write_source
from core.models.vocabulary import Vocabulary
from core.records import ReleaseRecord, SourceKey, SourceRecord
from core.sources.dictionary import Dictionary
from core.store import layout
from core.store.write import checksums, staged

BINS, RELATED, LABEL = 50, 10, 3
TOGETHER = 3
"""Tokens on which two sparse features must both be active before their correlation is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One source after the pass."""

    folder: Path
    key: SourceKey
    source: Dictionary
    weights: WeightsSpec
    origin: str
    grouped: Grouped
    coordinates: CoordinateMoments | None
    dense: DenseMoments | None
    tails: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    texts: examples.Texts
    prompts: Prompts
    counted: int
    vocabulary: Vocabulary
    W_U: torch.Tensor
    store: bool
    compact: bool
    release: ReleaseRecord
    build: dict[str, Any]
    context: int
    dtype: str


def write_source_folder(f: Finished, tell: Callable[[float, float], None]) -> SourceRecord:
    """Writes the folder beside and renames it; returns the record that its manifest holds."""
    with staged(f.folder) as folder:
        _write_prompts(folder / layout.PROMPTS, f)
        layout.write_batches(folder / layout.FEATURES, _FEATURES, _feature_batches(f, tell), compact=f.compact)
        half = f.compact and bool((np.abs(f.grouped.values) <= np.finfo(np.float16).max).all())
        schema = _examples_schema(half=half, context=f.context)
        layout.write_batches(folder / layout.EXAMPLES, schema, _example_batches(f, schema, tell), compact=f.compact)
        if f.store:
            _write_store(folder / layout.STORE, f.grouped)
        record = _record(f)
        write_source(
            folder / "source.json",
            SourceManifest(record=record, weights=f.weights, build=f.build, checksums=checksums(folder)),
        )
    return record


def _record(f: Finished) -> SourceRecord:
    active = "its value is greater than zero"
    if f.tails is not None:
        active = (
            "its value lies beyond the 98th or below the 0.5th percentile of the first counted tokens; moments, "
            "extremes and histograms cover every token"
        )
    return SourceRecord(
        key=f.key, kind=f.source.kind, architecture=f.source.architecture, hook=f.source.hook, layer=f.key.layer,
        width=f.source.width, d_in=f.source.d_in, signed=f.source.signed, release=f.release, dataset=f.prompts.dataset,
        dataset_sha256=f.prompts.sha256, prompts=len(f.prompts.tokens), context=f.context, tokens=f.counted,
        alive=int((np.diff(f.grouped.offsets) > 0).sum()), dtype=f.dtype,
        has=("dashboards", "weights", "store") if f.store else ("dashboards", "weights"), active=active,
        built=datetime.date.today().isoformat(), origin=f.origin,
    )  # fmt: skip


def _write_prompts(path: Path, f: Finished) -> None:
    """Tokens in the smallest integers that hold the vocabulary."""
    width = pa.uint16() if len(f.vocabulary) <= 65536 else pa.uint32()
    values = pa.array(f.texts.tokens.astype(width.to_pandas_dtype()))
    tokens = pa.ListArray.from_arrays(pa.array(f.texts.starts.astype(np.int32)), values)
    parts = pa.array(f.prompts.parts).dictionary_encode()
    batch = pa.record_batch([tokens, pa.array(f.prompts.documents), parts], names=["tokens", "document", "part"])
    layout.write_batches(path, batch.schema, [batch], compact=f.compact)


def _write_store(folder: Path, grouped: Grouped) -> None:
    folder.mkdir()
    np.save(folder / "offsets.npy", grouped.offsets)
    np.save(folder / "positions.npy", grouped.positions)
    np.save(folder / "values.npy", grouped.values)


# -- features.arrow ----------------------------------------------------------------------------------------------------

_L32, _LF, _LI = pa.list_(pa.uint32()), pa.list_(pa.float32()), pa.list_(pa.int32())
_FEATURES = pa.schema([
    ("active", pa.uint32()), ("maximum", pa.float32()), ("minimum", pa.float32()), ("mean", pa.float64()),
    ("deviation", pa.float64()), ("label", pa.string()), ("promotes", pa.string()),
    ("histogram_low", pa.float32()), ("histogram_high", pa.float32()), ("histogram", _L32),
    ("logits_low", pa.float32()), ("logits_high", pa.float32()), ("logits", _L32),
    ("top_ids", _L32), ("top_values", _LF), ("bottom_ids", _L32), ("bottom_values", _LF),
    ("coordinate", _LI), ("coordinate_value", _LF), ("coordinate_share", _LF),
    ("neuron", _LI), ("neuron_pearson", _LF), ("neuron_cosine", _LF),
    ("related", _LI), ("related_pearson", _LF), ("related_cosine", _LF),
    ("near", _LI), ("near_cosine", _LF),
])  # fmt: skip


def _feature_batches(f: Finished, tell: Callable[[float, float], None]) -> Iterator[pa.RecordBatch]:
    W_dec = f.source.W_dec.float()
    matrix = None if f.dense else f.grouped.matrix(len(f.texts.tokens))
    sums = _sums(f)
    for begin in range(0, f.grouped.width, layout.BATCH):
        end = min(begin + layout.BATCH, f.grouped.width)
        columns = _statistics(f, begin, end) | _logits(f, W_dec[begin:end])
        index, value, share = weights.coordinates(W_dec[begin:end])
        columns |= {"coordinate": index, "coordinate_value": value, "coordinate_share": share}
        columns |= _related(f, matrix, sums, begin, end)
        near, cosine = weights.neighbours(W_dec, begin, end)
        columns |= {"near": near, "near_cosine": cosine}
        yield pa.record_batch([_arrow(columns[c.name], c.type) for c in _FEATURES], schema=_FEATURES)
        tell(end / 2, f.grouped.width)


def _arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """A column; a two-dimensional array becomes lists."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
        return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), kind.value_type))
    return pa.array(values, kind)


def _statistics(f: Finished, begin: int, end: int) -> dict[str, Any]:
    """Counts, extremes, moments, histograms and labels of a block."""
    rows = [_one(f, i) for i in range(begin, end)]
    result = {name: [r[name] for r in rows] for name in rows[0]}
    if f.dense is not None:
        result |= _dense_statistics(f.dense, begin, end)
    return result


def _one(f: Finished, feature: int) -> dict[str, Any]:
    """The statistics of one feature from its non-zeros."""
    positions, values = f.grouped.of(feature)
    if not len(values):
        return {
            "active": 0, "maximum": 0.0, "minimum": 0.0, "mean": 0.0, "deviation": 0.0, "label": "", "histogram": [],
            "histogram_low": 0.0, "histogram_high": 0.0,
        }  # fmt: skip
    wide = values.astype(np.float64)
    counts, low, high = _histogram(wide)
    return {
        "active": len(values), "maximum": wide.max(), "minimum": wide.min(), "mean": wide.mean(),
        "deviation": wide.std(), "label": _label(f, positions, values), "histogram": counts,
        "histogram_low": low, "histogram_high": high,
    }  # fmt: skip


def _histogram(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], float, float]:
    """(counts, low, high) in equal bins from the least to the largest; around the value if all are equal."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = sorted((0.5 * low, 1.5 * low))
    return np.histogram(values, BINS, (low, high))[0], low, high


def _label(f: Finished, positions: NDArray[np.uint32], values: NDArray[np.float32]) -> str:
    """The tokens that set the upper half of the feature's range apart from the texts as a whole.

    Ranked by p ln(p / q), a token's part of the divergence between its share p of the activation and its share q of all
    tokens: a feature of one token is named by it, one of a context by the words of that context rather than by “the”.
    """
    strong = values >= 0.5 * values.max() if values.max() > 0 else values <= 0.5 * values.min()
    ids, inverse = np.unique(f.texts.tokens[positions[strong]], return_inverse=True)
    mass = np.bincount(inverse, np.abs(values[strong]).astype(np.float64))
    share = mass / mass.sum()
    return _names(f.vocabulary, ids[np.argsort(-share * np.log(share / f.texts.frequency[ids]), kind="stable")])


def _names(vocabulary: Vocabulary, ids: NDArray[Any]) -> str:
    """Up to `LABEL` tokens as words, each way of writing a word once."""
    words: list[str] = []
    for i in ids:
        text = vocabulary.alone(int(i)).text
        word = text.strip() or text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")
        if word not in words:
            words.append(word)
        if len(words) == LABEL:
            break
    return " · ".join(words)


def _dense_statistics(dense: DenseMoments, begin: int, end: int) -> dict[str, Any]:
    """Exact figures over every counted token; the histogram's empty ends are cut off."""
    sums = dense.sums.of(begin, end)
    lows, highs, counts = [], [], []
    for bins, step in zip(dense.bins[begin:end], dense.step[begin:end], strict=True):
        used = np.flatnonzero(bins)
        first, last = (used[0], used[-1] + 1) if len(used) else (0, 0)
        lows.append((first - len(bins) // 2) * step)
        highs.append((last - len(bins) // 2) * step)
        counts.append(bins[first:last])
    return {
        "maximum": dense.high[begin:end], "minimum": dense.low[begin:end],
        "mean": sums.shift + sums.total / dense.count, "deviation": sums.spread(dense.count),
        "histogram": counts, "histogram_low": lows, "histogram_high": highs,
    }  # fmt: skip


def _logits(f: Finished, rows: torch.Tensor) -> dict[str, Any]:
    """Logit tables of a block; empty for a decoder that does not write to the residual stream."""
    if rows.shape[1] != f.W_U.shape[0]:
        empty = np.empty((len(rows), 0))
        zeros = np.zeros(len(rows))
        return {
            "top_ids": empty, "top_values": empty, "bottom_ids": empty, "bottom_values": empty, "logits": empty,
            "logits_low": zeros, "logits_high": zeros, "promotes": [""] * len(rows),
        }  # fmt: skip
    t = weights.logit_table(rows, f.W_U)
    return {
        "top_ids": t.top, "top_values": t.top_values, "bottom_ids": t.bottom, "bottom_values": t.bottom_values,
        "logits_low": t.low, "logits_high": t.high, "logits": t.counts,
        "promotes": [_names(f.vocabulary, ids) for ids in t.top],
    }  # fmt: skip


# -- correlations ------------------------------------------------------------------------------------------------------


def _sums(f: Finished) -> Sums:
    """Of every feature over the counted tokens."""
    if f.dense is not None:
        return f.dense.sums
    owner = np.repeat(np.arange(f.grouped.width), np.diff(f.grouped.offsets))
    values = f.grouped.values.astype(np.float64)
    total = np.bincount(owner, values, f.grouped.width).astype(np.float64)
    square = np.bincount(owner, values**2, f.grouped.width).astype(np.float64)
    return Sums(total, square, np.zeros(f.grouped.width))


def _related(f: Finished, matrix: sparse.csc_matrix | None, sums: Sums, begin: int, end: int) -> dict[str, Any]:
    """Correlated coordinates and features of a block."""
    block = sums.of(begin, end)
    if matrix is None:
        assert f.dense is not None
        products = f.dense.ff[begin:end].copy()
        allowed = np.ones(products.shape, bool)
    else:
        wide = matrix.astype(np.float64)
        left = wide[:, begin:end]
        products = np.asarray((left.T @ wide).todense())
        ones = sparse.csc_matrix((np.ones(len(matrix.data), np.float32), matrix.indices, matrix.indptr), matrix.shape)
        allowed = np.asarray((ones[:, begin:end].T @ ones).todense()) >= TOGETHER
    allowed[np.arange(end - begin), np.arange(begin, end)] = False
    found = strongest(products, f.counted, block, sums, RELATED, allowed)
    lists = (("related", found.index), ("related_pearson", found.pearson), ("related_cosine", found.cosine))
    result: dict[str, Any] = {name: _pruned(found, values) for name, values in lists}
    neurons: Strongest | None = None
    if f.coordinates is not None:
        x = f.coordinates.sums
        some = np.repeat((block.square > 0)[:, None], len(x.total), axis=1)
        neurons = strongest(f.coordinates.fx[begin:end], f.counted, block, x, RELATED, some)
    none: list[list[float]] = [[] for _ in range(end - begin)]
    for name, attribute in (("neuron", "index"), ("neuron_pearson", "pearson"), ("neuron_cosine", "cosine")):
        result[name] = none if neurons is None else _pruned(neurons, getattr(neurons, attribute))
    return result


def _pruned(found: Strongest, values: NDArray[Any]) -> list[NDArray[Any]]:
    """Each row without the places that nothing filled."""
    return [v[i >= 0] for i, v in zip(found.index, values, strict=True)]


# -- examples.arrow ----------------------------------------------------------------------------------------------------


def _examples_schema(*, half: bool, context: int) -> pa.Schema:
    """The columns of examples.arrow; a compact build keeps the strips' values in float16, if none is too large."""
    place = pa.uint8() if context <= 256 else pa.uint32()
    value = pa.float16() if half else pa.float32()
    return pa.schema([
        ("group_kind", pa.list_(pa.uint8())), ("group_low", _LF), ("group_high", _LF),
        ("group_share", pa.list_(pa.float64())), ("group_size", pa.list_(pa.uint8())),
        ("prompt", _L32), ("position", pa.list_(place)), ("value", _LF), ("repeats", _L32),
        ("member_count", pa.list_(pa.uint8())), ("member_prompt", _L32), ("member_position", pa.list_(place)),
        ("member_value", _LF),
        ("shown", _L32), ("shown_size", _L32), ("shown_position", pa.list_(place)), ("shown_value", pa.list_(value)),
    ])  # fmt: skip


def _example_batches(f: Finished, schema: pa.Schema, tell: Callable[[float, float], None]) -> Iterator[pa.RecordBatch]:
    half = pa.types.is_float16(schema.field("shown_value").type.value_type)
    for begin in range(0, f.grouped.width, layout.BATCH):
        end = min(begin + layout.BATCH, f.grouped.width)
        rows = [_examples(f, i) for i in range(begin, end)]
        if half:
            rows = [r | {"shown_value": _half(r["shown_value"])} for r in rows]
        yield pa.record_batch([pa.array([r[c.name] for r in rows], c.type) for c in schema], schema=schema)
        tell((f.grouped.width + end) / 2, f.grouped.width)


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """In float16; a value that would vanish becomes the least that does not, so that what is active stays active."""
    least = np.finfo(np.float16).smallest_subnormal
    return np.where(np.abs(values) < least, np.copysign(least, values), values).astype(np.float16)


def _examples(f: Finished, feature: int) -> dict[str, Any]:
    """The groups of one feature, and its values on every prompt that any of them shows."""
    positions, values = f.grouped.of(feature)
    where = positions.astype(np.int64)
    groups = examples.choose(feature, positions, values, f.texts, f.counted, _edges(f, feature, values))
    prompt = f.texts.prompt[where]
    place = (where - f.texts.starts[prompt]).astype(np.uint32)
    rows = np.concatenate([g.rows for g in groups]) if groups else np.empty(0, np.int64)
    members = [m for g in groups for m in (g.members or [np.empty(0, np.int64)] * len(g.rows))]
    folded = np.concatenate(members) if members else np.empty(0, np.int64)
    shown = np.unique(prompt[rows])
    begins = np.searchsorted(where, f.texts.starts[shown])
    ends = np.searchsorted(where, f.texts.starts[shown + 1])
    inside = np.concatenate([np.arange(b, e) for b, e in zip(begins, ends, strict=True)]) if len(shown) else rows
    return {
        "group_kind": [g.kind for g in groups], "group_low": [g.low for g in groups],
        "group_high": [g.high for g in groups], "group_share": [g.share for g in groups],
        "group_size": [len(g.rows) for g in groups],
        "prompt": prompt[rows], "position": place[rows], "value": values[rows],
        "repeats": np.concatenate([g.repeats for g in groups]) if groups else [],
        "member_count": [len(m) for m in members], "member_prompt": prompt[folded], "member_position": place[folded],
        "member_value": values[folded],
        "shown": shown, "shown_size": ends - begins, "shown_position": place[inside], "shown_value": values[inside],
    }  # fmt: skip


def _edges(f: Finished, feature: int, values: NDArray[np.float32]) -> list[tuple[float, float]]:
    if f.tails is None or f.dense is None:
        return examples.steps(float(values.max())) if len(values) else []
    return examples.tail_steps(
        float(f.dense.low[feature]),
        float(f.tails[0][feature]),
        float(f.tails[1][feature]),
        float(f.dense.high[feature]),
    )
