"""Delphi's caches of activations, in and out: everything that a source gives on some texts, by token.

    <hook point>/config.json                      delphi's own, not needed here
    <hook point>/{first}_{last}.safetensors       features `first` to `last`: locations [n, 3] of (row, position,
                                                  feature from `first` on), activations [n] float16, tokens [rows, t]

A cache has every non-zero, so an import has an activation store, and figures, examples and annotations as a build makes
them. Its tokens are numbers: the model must be here, with its vocabulary. Values of special tokens are left out of the
store, as a build leaves them out. Going out, prompts that are shorter than the longest are filled up with the model's
first special token, and values are float16, as delphi has them. Memory: one split, and the tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.catalog.catalog import Catalog
from core.catalog.manifest import SourceManifest, WeightsSpec, write_source
from core.errors import Conflict, NotAvailable, NotFound
from core.interchange.bulk.findings import Findings, refusal
from core.interchange.bulk.places import BLOCK, Place, natural
from core.interchange.bulk.records import Brought
from core.models.vocabulary import Vocabulary
from core.records import ReleaseRecord, SourceKey, SourceRecord
from core.store import layout
from core.store.columns import arrow, features_schema
from core.store.grouped import Grouped
from core.store.write import checksums, staged

if TYPE_CHECKING:
    from core.workbench import Workbench

Array = NDArray[Any]
SPLIT = re.compile(r"(?P<top>(?:.*/)?)(?P<first>\d+)_(?P<last>\d+)\.safetensors")
MOST = 1 << 24
"""Features of a source."""


def splits(place: Place) -> dict[str, list[str]]:
    """Of each hook point's folder its splits, by their first feature."""
    found: dict[str, list[str]] = {}
    for name in sorted(place.names, key=natural):
        if match := SPLIT.fullmatch(name):
            found.setdefault(match["top"], []).append(name)
    return found


def bring_in(
    catalog: Catalog, root: Path, place: Place, files: list[str], key: SourceKey, work: Path, *, again: bool,
    tell: Callable[[str, float, float], None],
) -> Brought:  # fmt: skip
    """Imports one hook point's cache.

    Raises:
        Refused: the files are damaged or do not fit together.
        NotAvailable: the model, or its vocabulary, is not here.
    """
    from core.build import examples
    from core.build.texts import Prompts
    from core.build.write import Finished
    from core.explain.annotation.source import annotate_folder

    began, found = time.monotonic(), Findings()
    stamp = hashlib.sha256(json.dumps([(n, place.item(n).size) for n in files]).encode()).hexdigest()[:16]
    try:
        entry = catalog.entry(key)
    except NotFound:
        pass
    else:
        if entry.manifest.build.get("delphi") == stamp:
            return _brought(entry.record, there=True, seconds=time.monotonic() - began, entries=0)
        if not (again and "delphi" in entry.manifest.build):
            raise Conflict(f"{key} is here already. Import it under another name with --as MODEL/SOURCE.")
    vocabulary, special = _vocabulary(catalog, key)
    ranges = _ranges(files, found)
    width = max((last for _, last in ranges), default=-1) + 1
    _stop(found, key, place)
    tokens = _tokens(place, files, work, len(vocabulary), found)
    _stop(found, key, place)
    with staged(root / key.model_id / key.source_id) as folder:
        target = folder / layout.STORE
        grouped, dropped = _store(place, files, ranges, tokens, special, width, target, work, found, tell)
        _stop(found, key, place)
        if dropped:
            found.add("", 0, f"{dropped:,} values of special tokens are left out, as a build leaves them out")
        texts = examples.Texts.of(list(tokens.astype(np.uint32)), vocabulary)
        counted = int((~np.isin(tokens, list(special))).sum())
        prompts = Prompts(
            tokens=list(tokens.astype(np.uint32)), documents=np.arange(len(tokens), dtype=np.uint32),
            parts=[""] * len(tokens), sha256=hashlib.sha256(tokens.astype(np.uint32).tobytes()).hexdigest(), dataset="",
        )  # fmt: skip
        import torch

        build: dict[str, Any] = {"delphi": stamp, "dataset_sha256": prompts.sha256, "hook": ""}
        date = json.loads((work / "state.json").read_text())["began"]
        record = SourceRecord(
            key=key, kind="sae", architecture="", hook="", layer=key.layer, width=width, d_in=0, signed=False,
            release=ReleaseRecord(name=key.set_name, description="", creator="", urls=()), dataset="",
            dataset_sha256=prompts.sha256, prompts=len(tokens), context=tokens.shape[1], tokens=counted,
            alive=int((np.diff(grouped.offsets) > 0).sum()), dtype="float16", has=("dashboards", "store"),
            active="its value is greater than zero, and than the threshold of the cache", built=str(date), origin="",
        )  # fmt: skip
        nothing: Any = _Unknown()
        finished = Finished(
            folder=folder, key=key, source=nothing, weights=WeightsSpec(kind="sae"), origin="", chunks=[],
            coordinates=None, dense=None, tails=None, texts=texts, prompts=prompts, counted=counted,
            vocabulary=vocabulary, W_U=torch.empty(0, 0), residual=None, related=Path("none"), store=True,
            compact=False, annotate=True, release=record.release, build=build, context=record.context,
            dtype=record.dtype,
        )  # fmt: skip
        _files(finished, grouped, folder)
        annotate_folder(folder, grouped, vocabulary, build, active=record.active, compact=False)
        write_source(
            folder / "source.json",
            SourceManifest(record=record, weights=finished.weights, build=build, checksums=checksums(folder)),
        )
    return _brought(
        record, there=False, seconds=time.monotonic() - began, entries=len(grouped.values), found=found
    )


class _Unknown:
    """A dictionary of which there are only values: what `core.build.write` asks of one, and no weights."""

    kind, architecture, hook, hook_out, signed, d_in, sha256 = "sae", "", "", "", False, 0, ""
    width = bytes = 0
    W_dec = None

    def encode(self, *_: object) -> Any:
        """Nothing can be encoded without weights."""
        raise NotAvailable("A delphi cache comes without weights.")

    values = written = encode


def _stop(found: Findings, key: SourceKey, place: Place) -> None:
    if found.grave:
        raise refusal(f"{key} of {place.origin}", found)


def _brought(
    record: SourceRecord, *, there: bool, seconds: float, entries: int, found: Findings | None = None
) -> Brought:
    return Brought(
        key=record.key, format="delphi", features=record.width, width=record.width, alive=record.alive,
        activations=entries, prompts=record.prompts, explanations=0, vectors=False, there=there, left_out=0,
        findings=tuple(found.kept) if found else (), seconds=seconds,
    )  # fmt: skip


def _vocabulary(catalog: Catalog, key: SourceKey) -> tuple[Vocabulary, frozenset[int]]:
    """The model's, which must be here."""
    try:
        manifest, folder = catalog.model(key.model_id)
    except NotFound as error:
        raise NotAvailable(
            f"A delphi cache holds numbers of tokens, and the model {key.model_id} is not here to say what they are. "
            "Build one of its sources first, or import under the id of a model that is here."
        ) from error
    vocabulary = Vocabulary.read(folder / "vocabulary.arrow", manifest.special)
    if not len(vocabulary):
        raise NotAvailable(f"{key.model_id} was imported without its vocabulary, which a delphi cache needs.")
    return vocabulary, frozenset(manifest.special)


def _ranges(files: list[str], found: Findings) -> list[tuple[int, int]]:
    """(first, last) of each split; gaps and overlaps are grave."""
    ranges, last = [], -1
    for name in files:
        match = SPLIT.fullmatch(name)
        assert match is not None  # `splits` chose them
        first, end = int(match["first"]), int(match["last"])
        if end < first or end >= MOST:
            found.add(name, 0, f"its name says features {first} to {end}", grave=True)
        if first != last + 1:
            found.add(name, 0, f"it begins at feature {first}, and the one before ends at {last}", grave=True)
        last = end
        ranges.append((first, end))
    return ranges


def _read(place: Place, name: str, work: Path, found: Findings) -> dict[str, Array]:
    """The tensors of a split."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    local = work / "split.safetensors"
    try:
        with place.open(name) as source, local.open("wb") as file:
            while block := source.read(BLOCK):
                file.write(block)
        return load_file(local)
    except (SafetensorError, OSError, EOFError, ValueError, KeyError, RuntimeError) as error:
        found.add(name, 0, f"it cannot be read: {error}", grave=True)
        return {}


def _tokens(place: Place, files: list[str], work: Path, size: int, found: Findings) -> Array:
    """[rows, context]: the texts, the same in every split that has them."""
    tensors = _read(place, files[0], work, found)
    tokens = tensors.get("tokens")
    if tokens is None or tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not tokens.size:
        if not found.grave:
            found.add(files[0], 0, "it has no tokens: the cache was saved without them", grave=True)
        return np.zeros((0, 1), np.int64)
    if int(tokens.min()) < 0 or int(tokens.max()) >= size:
        found.add(files[0], 0, f"it has the token {int(tokens.max())}, and the model {size:,} tokens", grave=True)
    return np.asarray(tokens)


def _store(
    place: Place, files: list[str], ranges: list[tuple[int, int]], tokens: Array, special: frozenset[int], width: int,
    folder: Path, work: Path, found: Findings, tell: Callable[[str, float, float], None],
) -> tuple[Grouped, int]:  # fmt: skip
    """Writes the activation store; how many values of special tokens are not in it."""
    folder.mkdir()
    counts, dropped = np.zeros(width + 1, np.int64), 0
    silent = np.isin(tokens, list(special))
    with (folder / "positions").open("wb") as places, (folder / "values").open("wb") as numbers:
        for n, (name, (first, last)) in enumerate(zip(files, ranges, strict=True)):
            some = _split(place, name, work, tokens, last - first + 1, found)
            if some is not None:
                feature, at, values = some
                keep = ~silent.ravel()[at]
                dropped += int((~keep).sum())
                order = np.lexsort((at[keep], feature[keep]))
                feature, at, values = feature[keep][order], at[keep][order], values[keep][order]
                if ((np.diff(feature) == 0) & (np.diff(at) == 0)).any():
                    found.add(name, 0, "a feature has two values at one token", grave=True)
                counts[1 + first : 2 + last] += np.bincount(feature, minlength=last - first + 1)
                places.write(at.astype(np.uint32).tobytes())
                numbers.write(values.tobytes())
            tell("reading the cache", n + 1, len(files))
    for name, kind in (("positions", np.uint32), ("values", np.float32)):
        raw = folder / name
        np.save(folder / f"{name}.npy", np.memmap(raw, kind, "r") if raw.stat().st_size else np.empty(0, kind))
        raw.unlink()
    offsets = np.cumsum(counts)
    np.save(folder / "offsets.npy", offsets)
    positions, values = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("positions", "values"))
    return Grouped(offsets, np.asarray(positions), np.asarray(values)), dropped


def _split(
    place: Place, name: str, work: Path, tokens: Array, width: int, found: Findings
) -> tuple[Array, Array, NDArray[np.float32]] | None:
    """(feature from the split's first, token over all texts, value) of each entry; None if it cannot be used."""
    tensors = _read(place, name, work, found)
    where, values = tensors.get("locations"), tensors.get("activations")
    if where is None or values is None:
        if tensors:
            found.add(name, 0, f"it has {', '.join(sorted(tensors))}, and no locations and activations", grave=True)
        return None
    if where.ndim != 2 or where.shape[1] != 3 or where.dtype.kind not in "iu" or values.shape != (len(where),):
        shapes = f"locations are {where.shape} and activations {values.shape}"
        found.add(name, 0, f"{shapes}, and they should be [n, 3] and [n]", grave=True)
        return None
    own = tensors.get("tokens")
    if own is not None and not np.array_equal(own, tokens):
        found.add(name, 0, "its tokens are others than those of the first split", grave=True)
        return None
    values = values.astype(np.float32)
    if not np.isfinite(values).all() or (values <= 0).any():
        found.add(name, 0, "an activation is not a number above zero", grave=True)
        return None
    row, at, feature = where.astype(np.int64).T
    if len(where) and ((row >= len(tokens)) | (at >= tokens.shape[1]) | (feature >= width) | (where.min() < 0)).any():
        found.add(name, 0, "a location lies beyond the texts, or beyond the split's features", grave=True)
        return None
    return feature, row * tokens.shape[1] + at, values


def _files(f: Any, grouped: Grouped, folder: Path) -> None:
    """prompts.arrow, features.arrow and examples.arrow, as a build writes them."""
    import pyarrow as pa

    from core.build import write as building
    from core.build.describe import describe
    from core.build.weights import Product
    from core.store.columns import Lists, examples_schema

    building._write_prompts(folder / layout.PROMPTS, f)
    schema = features_schema(False)
    words = building._Words(f.vocabulary)

    def batches() -> Any:
        for begin in range(0, grouped.width, layout.BATCH):
            end = min(begin + layout.BATCH, grouped.width)
            some = grouped.block(begin, end)
            figures = describe(some, f.texts.tokens, f.texts.frequency)
            columns = building._statistics(f, grouped, figures, words, begin, end)
            columns |= building._ranks(f, some, begin, end)
            columns |= building._logits(None, Product(f.W_U), end - begin, words)
            none = Lists(np.empty(0), np.zeros(end - begin, np.int64))
            columns = {name: columns.get(name, none) for name in schema.names}
            yield pa.record_batch([arrow(columns[c.name], c.type) for c in schema], schema=schema)

    layout.write_batches(folder / layout.FEATURES, schema, batches(), compact=False)
    schema_ = examples_schema(half=False, context=f.context)
    made = building._example_batches(f, grouped, schema_, lambda done, of: None)
    layout.write_batches(folder / layout.EXAMPLES, schema_, made, compact=False)


# -- out ---------------------------------------------------------------------------------------------------------------


def write(bench: Workbench, key: SourceKey, folder: Path, tell: Callable[[float, float], None]) -> dict[str, int]:
    """Writes a source's store as a cache, in splits of 8,192 features.

    Raises:
        NotAvailable: it was kept without its store, or the model has no special token to fill up with.
    """
    from safetensors.numpy import save_file

    entry = bench.catalog.entry(key)
    data = bench._open.get(entry.folder)
    store = data.fitting_store(entry.record.width)
    special = bench.catalog.model(key.model_id)[0].special
    starts, context = data.starts, int(np.diff(data.starts).max())
    if not special and (np.diff(starts) != context).any():
        raise NotAvailable(f"{key.model_id} has no special token to fill short prompts up with, as a cache needs.")
    count = len(starts) - 1
    tokens = np.full((count, context), special[0] if special else 0, np.int64)
    for n in range(count):
        own = data.prompt(n)["tokens"]
        tokens[n, : len(own)] = own
    step = 8192
    for first in range(0, store.width, step):
        last = min(first + step, store.width) - 1
        part = store.block(first, last + 1)
        where = part.positions.astype(np.int64)
        row = np.searchsorted(starts, where, side="right") - 1
        feature = np.repeat(np.arange(part.width), np.diff(part.offsets))
        locations = np.stack([row, where - starts[row], feature], 1)
        small = max(count, context, part.width) <= 1 << 16
        tensors = {
            "locations": locations.astype(np.uint16 if small else np.uint32),
            "activations": part.values.astype(np.float16), "tokens": tokens,
        }  # fmt: skip
        save_file(tensors, folder / f"{first}_{last}.safetensors")
        tell(last + 1, store.width)
    config = {
        "dataset_repo": entry.record.dataset, "cache_ctx_len": context, "n_tokens": int(tokens.size),
        "model_name": bench.model(key.model_id).origin,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return {"features": store.width, "activations": len(store.values), "explanations": 0}

