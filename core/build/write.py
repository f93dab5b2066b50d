"""Writes one source's folder from what the pass gathered: store, statistics, tables, examples, annotations, manifest.

The chunks' entries are merged into the store first, and everything else is read from it in blocks of `layout.BATCH`
features, so that memory is that of one block, however many tokens there were.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from core.build import examples, weights
from core.build.describe import Figures, describe
from core.build.moments import CoordinateMoments, DenseMoments, Strongest, Sums, strongest
from core.build.nonzeros import merge
from core.build.ranks import ranked
from core.build.texts import Prompts
from core.build.together import Together
from core.catalog.manifest import SourceManifest, WeightsSpec, write_source
from core.explain.annotation.source import annotate_folder
from core.kernel import F32, F64, I64, U32
from core.models.vocabulary import Vocabulary
from core.records import ReleaseRecord, SourceKey, SourceRecord
from core.sources.dictionary import Dictionary
from core.store import layout
from core.store.columns import Lists, arrow, examples_schema, features_schema
from core.store.grouped import Grouped
from core.store.write import checksums, staged

RELATED, LABEL = 10, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One source after the pass."""

    folder: Path
    key: SourceKey
    source: Dictionary
    weights: WeightsSpec
    origin: str
    chunks: list[Path]
    """The finished chunks of the pass."""
    coordinates: CoordinateMoments | None
    dense: DenseMoments | None
    tails: tuple[F32, F32] | None
    texts: examples.Texts
    prompts: Prompts
    counted: int
    vocabulary: Vocabulary
    W_U: torch.Tensor
    residual: torch.Tensor | None
    """The decoder's rows in the residual stream, where they write to it."""
    related: Path
    """What was derived from its non-zeros already, if that is there."""
    store: bool
    compact: bool
    annotate: bool
    release: ReleaseRecord
    build: dict[str, Any]
    context: int
    dtype: str
    few: bool = False
    """Fewer examples of each feature."""
    attributed: Callable[..., None] | None = None
    """Writes where the examples' values came from into a folder, for a source on attention heads."""


def write_source_folder(f: Finished, tell: Callable[[float, float], None]) -> SourceRecord:
    """Writes the folder beside and renames it; returns the record that its manifest holds."""
    with staged(f.folder) as folder:
        grouped = merge(f.chunks, f.source.width, folder / layout.STORE, layout.BATCH)
        _write_prompts(folder / layout.PROMPTS, f)
        schema = features_schema(f.compact)
        batches = _feature_batches(f, grouped, schema, tell)
        layout.write_batches(folder / layout.FEATURES, schema, batches, compact=f.compact)
        schema = examples_schema(half=f.compact and _fits_half(grouped), context=f.context)
        batches = _example_batches(f, grouped, schema, tell)
        layout.write_batches(folder / layout.EXAMPLES, schema, batches, compact=f.compact)
        if f.attributed is not None:
            f.attributed(folder, tell=tell)
        record = _record(f, int((np.diff(grouped.offsets) > 0).sum()))
        if f.annotate:
            annotate_folder(folder, grouped, f.vocabulary, f.build, active=record.active, compact=f.compact)
        if f.related.is_dir():
            shutil.copytree(f.related, folder / "derived", dirs_exist_ok=True)
        if not f.store:
            shutil.rmtree(folder / layout.STORE)
        write_source(
            folder / "source.json",
            SourceManifest(record=record, weights=f.weights, build=f.build, checksums=checksums(folder)),
        )
    return record


def _fits_half(grouped: Grouped) -> bool:
    """Whether every value is one that float16 can hold."""
    part = 2**24
    most = (np.abs(grouped.values[i : i + part]).max() for i in range(0, len(grouped.values), part))
    return all(m <= np.finfo(np.float16).max for m in most)


def _record(f: Finished, alive: int) -> SourceRecord:
    active = "its value is greater than zero"
    if f.tails is not None:
        active = (
            "its value lies beyond the 98th or below the 0.5th percentile of the first counted tokens; moments, "
            "extremes and histograms cover every token"
        )
    if f.tails is not None and f.source.kind == "sae":  # it fires with both signs
        active = "its value is not zero; moments, extremes and histograms cover every token"
    return SourceRecord(
        key=f.key, kind=f.source.kind, architecture=f.source.architecture, hook=f.source.hook,
        hook_out=f.source.hook_out if f.source.hook_out != f.source.hook else "", layer=f.key.layer,
        width=f.source.width, d_in=f.source.d_in, signed=f.source.signed, release=f.release, dataset=f.prompts.dataset,
        dataset_sha256=f.prompts.sha256, prompts=len(f.prompts.tokens), context=f.context, tokens=f.counted,
        alive=alive, dtype=f.dtype,
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


# -- features.arrow ----------------------------------------------------------------------------------------------------

def _feature_batches(
    f: Finished, grouped: Grouped, schema: pa.Schema, tell: Callable[[float, float], None]
) -> Iterator[pa.RecordBatch]:
    unembed = weights.Product(f.W_U)
    neighbours = weights.Neighbours(f.source.W_dec.float(), layout.BATCH)
    sums = _sums(f, grouped)
    together = Together(f.chunks, sums, f.counted, RELATED) if f.dense is None else None
    words = _Words(f.vocabulary)
    for begin in range(0, grouped.width, layout.BATCH):
        end = min(begin + layout.BATCH, grouped.width)
        rows = f.source.W_dec[begin:end].float()
        some = grouped.block(begin, end)
        figures = describe(some, f.texts.tokens, f.texts.frequency)
        columns = _statistics(f, grouped, figures, words, begin, end)
        columns |= _ranks(f, some, begin, end)
        columns |= _logits(None if f.residual is None else f.residual[begin:end], unembed, end - begin, words)
        index, value, share = weights.coordinates(rows)
        columns |= {"coordinate": index, "coordinate_value": value, "coordinate_share": share}
        columns |= _related(f, together, sums, begin, end)
        near, cosine = neighbours(begin)
        columns |= {"near": near, "near_cosine": cosine}
        yield pa.record_batch([arrow(columns[c.name], c.type) for c in schema], schema=schema)
        tell(end / 2, grouped.width)


def _statistics(f: Finished, grouped: Grouped, figures: Figures, words: _Words, begin: int, end: int) -> dict[str, Any]:
    """Counts, extremes, moments, histograms and labels of a block."""
    active = np.diff(grouped.offsets[begin : end + 1])
    bins = figures.counts.shape[1]
    result = {
        "active": active, "maximum": figures.maximum, "minimum": figures.minimum, "mean": figures.mean,
        "deviation": figures.deviation, "label": [words.joined(ids) for ids in figures.names.tolist()],
        "histogram": Lists(figures.counts[active > 0].ravel(), np.where(active > 0, bins, 0)),
        "histogram_low": figures.low, "histogram_high": figures.high,
    }  # fmt: skip
    return result if f.dense is None else result | _dense_statistics(f.dense, begin, end)


def _ranks(f: Finished, some: Grouped, begin: int, end: int) -> dict[str, Any]:
    """Values at certain ranks: from the largest on and, of a dense source, from the smallest on."""
    if f.tails is None:
        zeros = np.zeros(some.width, np.float32)
        none = Lists(np.empty(0), np.zeros(some.width, np.int64))
        return {"ranked": Lists(*ranked(some, zeros)), "ranked_low": none}
    low, high = (tail[begin:end] for tail in f.tails)
    upper = ranked(some, high, last=False)
    return {"ranked": Lists(*upper), "ranked_low": Lists(*ranked(some, low, sign=-1, last=False))}


class _Words:
    """The vocabulary's entries as a name shows them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[int, str] = {}

    def joined(self, ids: list[int]) -> str:
        """Up to `LABEL` tokens as words, each way of writing a word once; -1 is no token."""
        words: list[str] = []
        for i in ids:
            word = "" if i < 0 else self._word(i)
            if word and word not in words:
                words.append(word)
            if len(words) == LABEL:
                break
        return " · ".join(words)

    def _word(self, i: int) -> str:
        if i not in self._known:
            text = self._vocabulary.alone(i).text
            word = text.strip() or text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")
            self._known[i] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in word)
        return self._known[i]


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


def _logits(rows: torch.Tensor | None, unembed: weights.Product, n: int, words: _Words) -> dict[str, Any]:
    """Logit tables of a block; empty for a decoder that does not write to the residual stream."""
    if rows is None:
        empty, zeros = np.empty((n, 0)), np.zeros(n)
        return {
            "top_ids": empty, "top_values": empty, "bottom_ids": empty, "bottom_values": empty, "logits": empty,
            "logits_low": zeros, "logits_high": zeros, "promotes": [""] * n,
        }  # fmt: skip
    t = weights.logit_table(rows, unembed)
    return {
        "top_ids": t.top, "top_values": t.top_values, "bottom_ids": t.bottom, "bottom_values": t.bottom_values,
        "logits_low": t.low, "logits_high": t.high, "logits": t.counts,
        "promotes": [words.joined(ids) for ids in t.top.tolist()],
    }  # fmt: skip


# -- correlations ------------------------------------------------------------------------------------------------------


def _sums(f: Finished, grouped: Grouped) -> Sums:
    """Of every feature over the counted tokens."""
    if f.dense is not None:
        return f.dense.sums
    sums = Sums(*(np.zeros(grouped.width) for _ in range(3)))
    for begin in range(0, grouped.width, layout.BATCH):
        end = min(begin + layout.BATCH, grouped.width)
        some = grouped.block(begin, end)
        owner = np.repeat(np.arange(some.width), np.diff(some.offsets))
        values = some.values.astype(np.float64)
        sums.total[begin:end] = np.bincount(owner, values, some.width)
        sums.square[begin:end] = np.bincount(owner, values**2, some.width)
    return sums


def _related(f: Finished, together: Together | None, sums: Sums, begin: int, end: int) -> dict[str, Any]:
    """Correlated coordinates and features of a block."""
    block = sums.of(begin, end)
    if together is not None:
        found = together(begin, end)
    else:
        assert f.dense is not None
        allowed = np.ones((end - begin, len(sums.total)), bool)
        allowed[np.arange(end - begin), np.arange(begin, end)] = False
        found = strongest(f.dense.ff[begin:end].copy(), f.counted, block, sums, RELATED, allowed)
    result = _pruned("related", found)
    if f.coordinates is None:
        none = Lists(np.empty(0), np.zeros(end - begin, np.int64))
        return result | {"neuron": none, "neuron_pearson": none, "neuron_cosine": none}
    x = f.coordinates.sums
    some = np.repeat((block.square > 0)[:, None], len(x.total), axis=1)
    return result | _pruned("neuron", strongest(f.coordinates.fx[begin:end], f.counted, block, x, RELATED, some))


def _pruned(name: str, found: Strongest) -> dict[str, Any]:
    """The columns of a list of correlations, without the places that nothing filled."""
    there = found.index >= 0
    lists = {"": found.index, "_pearson": found.pearson, "_cosine": found.cosine}
    return {name + ending: Lists(values[there], there.sum(1)) for ending, values in lists.items()}


# -- examples.arrow ----------------------------------------------------------------------------------------------------


def _example_batches(
    f: Finished, grouped: Grouped, schema: pa.Schema, tell: Callable[[float, float], None]
) -> Iterator[pa.RecordBatch]:
    half = pa.types.is_float16(schema.field("shown_value").type.value_type)
    for begin in range(0, grouped.width, layout.BATCH):
        end = min(begin + layout.BATCH, grouped.width)
        columns = _examples(f, begin, grouped.block(begin, end))
        if half:
            shown = columns["shown_value"]
            columns["shown_value"] = Lists(_half(shown.flat), shown.sizes)
        yield pa.record_batch([arrow(columns[c.name], c.type) for c in schema], schema=schema)
        tell((grouped.width + end) / 2, grouped.width)


def _half(values: F32) -> NDArray[np.float16]:
    """In float16; a value that would vanish becomes the least that does not, so that what is active stays active."""
    least = np.finfo(np.float16).smallest_subnormal
    return np.where(np.abs(values) < least, np.copysign(least, values), values).astype(np.float16)


def _examples(f: Finished, begin: int, some: Grouped) -> dict[str, Any]:
    """The groups of a block of features, and each feature's values on every prompt that any of its groups shows."""
    chosen = examples.choose(begin, some, f.texts, f.counted, _edges(f, begin, some), few=f.few)
    per_feature = _sums_of(chosen.size, chosen.groups)
    folded = _sums_of(chosen.members, per_feature)
    where = some.positions.astype(np.int64)
    prompt = f.texts.prompt[where]
    place = where - f.texts.starts[prompt]
    shown, owner = _shown(prompt[chosen.rows], np.repeat(np.arange(some.width), per_feature), len(f.prompts.tokens))
    begins, ends = examples.places(shown, owner, some.offsets, some.positions, f.texts.starts)
    sizes = ends - begins
    inside = np.repeat(begins - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    prompts = np.bincount(owner, minlength=some.width)
    values = _sums_of(sizes, prompts)
    return {
        "group_kind": Lists(chosen.kind, chosen.groups), "group_low": Lists(chosen.low, chosen.groups),
        "group_high": Lists(chosen.high, chosen.groups), "group_share": Lists(chosen.share, chosen.groups),
        "group_size": Lists(chosen.size, chosen.groups),
        "prompt": Lists(prompt[chosen.rows], per_feature), "position": Lists(place[chosen.rows], per_feature),
        "value": Lists(some.values[chosen.rows], per_feature), "repeats": Lists(chosen.repeats, per_feature),
        "member_count": Lists(chosen.members, per_feature), "member_prompt": Lists(prompt[chosen.folded], folded),
        "member_position": Lists(place[chosen.folded], folded),
        "member_value": Lists(some.values[chosen.folded], folded),
        "shown": Lists(shown, prompts), "shown_size": Lists(sizes, prompts),
        "shown_position": Lists(place[inside], values), "shown_value": Lists(some.values[inside], values),
    }  # fmt: skip


def _shown(prompt: U32, owner: I64, count: int) -> tuple[NDArray[Any], I64]:
    """(prompt, feature), each pair once, by feature and then prompt."""
    pairs = np.unique(owner * count + prompt)
    return (pairs % count).astype(np.uint32), pairs // count


def _sums_of(values: I64, sizes: I64) -> I64:
    """The sum of each run of `values`, runs of `sizes`."""
    ends = np.cumsum(sizes)
    total = np.concatenate([[0], np.cumsum(values)])
    return total[ends] - total[ends - sizes]


def _edges(f: Finished, begin: int, some: Grouped) -> F64:
    """The intervals of a block of features."""
    part = slice(begin, begin + some.width)
    if f.tails is not None and f.dense is not None:
        return examples.tail_steps(f.dense.low[part], f.tails[0][part], f.tails[1][part], f.dense.high[part])
    highest = np.zeros(some.width, np.float32)
    active = np.diff(some.offsets) > 0
    if active.any():
        highest[active] = np.maximum.reduceat(some.values, some.offsets[:-1][active])
    return examples.steps(highest)
