"""A source's own folder as Parquet, which other programs read, and back: the same records, and store and all.

    <DIR>/<model>/model.json, vocabulary.parquet
    <DIR>/<model>/<source>/source.json, features.parquet, examples.parquet, prompts.parquet, …
    <DIR>/<model>/<source>/store/entries.parquet     feature, position, value of every non-zero, in the store's order
    <DIR>/<model>/<source>/vectors.parquet           decoder vectors of an import, one a row
    <DIR>/<model>/<source>/derived/…                 what was made from it later, as it is

Every Arrow file becomes a Parquet file with the same columns. Coming back, all is checked as `python -m core check`
does before it is visible. Paths of somebody's machine stay behind. Cost: a copy; memory is that of a row group.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.catalog.catalog import Catalog, Entry
from core.catalog.manifest import SourceManifest, read_model, read_source, write_model, write_source
from core.errors import BadData, Conflict, NotFound
from core.interchange.bulk.findings import Findings, Refused, refusal
from core.interchange.bulk.places import BLOCK, Place
from core.interchange.bulk.records import Brought
from core.models.vocabulary import Vocabulary
from core.records import SourceKey
from core.store import layout
from core.store.check import check_source
from core.store.write import checksums, staged

if TYPE_CHECKING:
    from core.workbench import Workbench

Tell = Callable[[float, float], None]
GROUP = 1 << 20
"""Entries of the store in one row group; of other files a group is `BLOCKS` blocks."""
BLOCKS = 16
SOURCE = re.compile(r"(?P<top>(?:.*/)?)source\.json")
_DAMAGED = (*layout.DAMAGED, MemoryError)
_META = b"featurescope"
SAID = "explanations-said.parquet"
"""In a published folder: what is said of features, as a table. Not read back: it is in the other files."""


# -- out ---------------------------------------------------------------------------------------------------------------


def write(bench: Workbench, key: SourceKey, folder: Path, tell: Tell) -> Iterator[Path]:
    """Writes a source's folder; each file's path as soon as it is whole. The model's files: `write_model_files`."""
    entry = bench.catalog.entry(key)
    names = sorted(entry.manifest.checksums)
    for n, name in enumerate(names):
        path = entry.folder / name
        if name.endswith(".arrow"):
            target = folder / Path(name).with_suffix(".parquet")
            _to_parquet(path, target)
            yield target
        elif not name.startswith("store/") and not name.endswith(".npy"):
            _copied(path, folder / name)
            yield folder / name
        tell(n + 1, len(names))
    if (entry.folder / layout.STORE).is_dir():
        _store_out(entry.folder, folder)
        yield folder / layout.STORE / "entries.parquet"
    if (entry.folder / "vectors.npy").is_file():
        _vectors_out(entry.folder / "vectors.npy", folder / "vectors.parquet")
        yield folder / "vectors.parquet"
    for root in bench.catalog.roots:
        yield from _derived(root / key.model_id / key.source_id / "derived", folder / "derived")
    weights = entry.manifest.weights
    manifest = replace(
        entry.manifest, weights=replace(weights, path=None),
        record=replace(entry.manifest.record, origin=_bare(entry.record.origin), dataset=_bare(entry.record.dataset)),
    )  # fmt: skip
    write_source(folder / "source.json", manifest)
    yield folder / "source.json"


def counts(bench: Workbench, key: SourceKey) -> dict[str, int]:
    """What a source holds."""
    entry = bench.catalog.entry(key)
    shown = bench._open.get(entry.folder).examples.column("prompt")
    return {
        "features": entry.record.width, "activations": int(pa.compute.list_value_length(shown).to_numpy().sum()),
        "explanations": len(bench.words.briefs(key)),
    }  # fmt: skip


def write_model_files(bench: Workbench, model_id: str, folder: Path) -> list[Path]:
    """`model.json` and the vocabulary."""
    manifest, place = bench.catalog.model(model_id)
    folder.mkdir(parents=True, exist_ok=True)
    _to_parquet(place / "vocabulary.arrow", folder / "vocabulary.parquet")
    record = replace(manifest.record, origin=_bare(manifest.record.origin))
    write_model(folder / "model.json", replace(manifest, record=record, spec=replace(manifest.spec, path=None)))
    return [folder / "model.json", folder / "vocabulary.parquet"]


def _bare(origin: str) -> str:
    """An origin without the folders of somebody's machine."""
    return Path(origin).name if origin.startswith(("/", "~", "..")) else origin


def _copied(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _to_parquet(path: Path, target: Path) -> None:
    """The columns of an Arrow file, and how its blocks were made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        rows = max(1, file.get_batch(0).num_rows) if file.num_record_batches else 1
        schema = file.schema.with_metadata({_META: json.dumps({"rows": rows, "packed": _packed(path)}).encode()})
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for begin in range(0, file.num_record_batches, BLOCKS):
                some = [file.get_batch(n) for n in range(begin, min(begin + BLOCKS, file.num_record_batches))]
                writer.write_table(pa.Table.from_batches(some, file.schema).cast(schema), row_group_size=BLOCKS * rows)


def _packed(path: Path) -> bool:
    """Whether an Arrow file is compressed: zstd's frames begin so."""
    with path.open("rb") as file:
        return b"\x28\xb5\x2f\xfd" in file.read(1 << 16)


def _store_out(source: Path, folder: Path) -> None:
    offsets, positions, values = (np.load(source / layout.STORE / f"{n}.npy", mmap_mode="r")
                                  for n in ("offsets", "positions", "values"))  # fmt: skip
    schema = pa.schema([("feature", pa.uint32()), ("position", pa.uint32()), ("value", pa.float32())])
    (folder / layout.STORE).mkdir(exist_ok=True)
    with pq.ParquetWriter(folder / layout.STORE / "entries.parquet", schema, compression="zstd") as writer:
        for begin in range(0, len(values), GROUP):
            end = min(begin + GROUP, len(values))
            owner = np.searchsorted(offsets, np.arange(begin, end), side="right") - 1
            columns = [owner.astype(np.uint32), np.asarray(positions[begin:end]), np.asarray(values[begin:end])]
            writer.write_table(pa.table([pa.array(one) for one in columns], schema=schema))


def _vectors_out(path: Path, target: Path) -> None:
    rows = np.load(path, mmap_mode="r")
    kind = pa.list_(pa.float32(), rows.shape[1])
    schema = pa.schema([("vector", kind)])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for begin in range(0, len(rows), 4096):
            part = np.ascontiguousarray(rows[begin : begin + 4096]).ravel()
            writer.write_table(pa.table([pa.FixedSizeListArray.from_arrays(pa.array(part), type=kind)], schema=schema))


def _derived(source: Path, target: Path) -> Iterator[Path]:
    """What was made later; of two roots the first one's."""
    for path in sorted(source.rglob("*")) if source.is_dir() else []:
        name = path.relative_to(source)
        if path.is_file() and not any(part.startswith(".") for part in name.parts) and not (target / name).exists():
            _copied(path, target / name)
            yield target / name


# -- in ----------------------------------------------------------------------------------------------------------------


def sources(place: Place) -> list[str]:
    """The folders of sources in a place, each with a `/` at its end."""
    names = set(place.names)
    tops = [m["top"] for name in place.names if (m := SOURCE.fullmatch(name))]
    return [top for top in tops if f"{top}features.parquet" in names]


def key_of(place: Place, top: str, work: Path) -> SourceKey:
    """Whose a folder is."""
    return _manifest(place, top, work).record.key


def _manifest(place: Place, top: str, work: Path) -> SourceManifest:
    beside = work / "source.json"
    _taken(place, f"{top}source.json", beside)
    try:
        return read_source(beside)
    except BadData as error:
        raise Refused(f"{top}source.json: {error}") from error


def _taken(place: Place, name: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with place.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, BLOCK)
    except (KeyError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise Refused(f"{name} of {place.origin} cannot be read: {error}.") from error
    return target


def bring_in(
    catalog: Catalog, root: Path, place: Place, top: str, key: SourceKey, work: Path, *, again: bool,
    tell: Callable[[str, float, float], None],
) -> Brought:  # fmt: skip
    """Imports one source's folder; what does not check out is refused as a whole."""
    manifest = _manifest(place, top, work)
    stamp = _stamp(place, top)
    target = root / key.model_id / key.source_id
    began = time.monotonic()
    if (there := _there(catalog, key, stamp, again)) is not None:
        return _brought(key, there.record, there.folder, there=True, began=began)
    _model(catalog, root, place, top, key, work)
    names = [name for name in place.names if name.startswith(top)]
    with staged(target) as folder:
        for n, name in enumerate(names):
            own = name.removeprefix(top)
            try:
                _one(place, name, own, folder, work)
            except _DAMAGED as error:
                raise Refused(f"{name}: {error}") from error
            tell(f"reading {key}", n + 1, len(names))
        has = _has(manifest, folder)
        record = replace(manifest.record, key=key, has=has)
        sums = checksums(folder)
        build = manifest.build | {"parquet": stamp}
        write_source(folder / "source.json", replace(manifest, record=record, build=build, checksums=sums))
        _check(folder, root, key, place)
        _renamed(folder, _build(manifest.record.built, manifest.checksums), _build(record.built, sums))
    return _brought(key, record, target, there=False, began=began)


def _build(built: str, sums: dict[str, str]) -> str:
    """What `Workbench.build_of` says of a manifest."""
    return hashlib.sha256(repr((built, sorted(sums.items()))).encode()).hexdigest()[:12]


def _renamed(folder: Path, before: str, now: str) -> None:
    """Words that models gave are kept under the build's hash, which follows from its files: Arrow's may differ."""
    for path in list((folder / "derived").glob(f"*-{before}")) if before != now else []:
        path.rename(path.with_name(path.name.removesuffix(before) + now))


def _stamp(place: Place, top: str) -> str:
    files = [(name, place.item(name).size) for name in place.names if name.startswith(top)]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]


def _there(catalog: Catalog, key: SourceKey, stamp: str, again: bool) -> Entry | None:
    try:
        entry = catalog.entry(key)
    except NotFound:
        return None
    if entry.manifest.build.get("parquet") == stamp:
        return entry
    if again and "parquet" in entry.manifest.build:
        return None
    raise Conflict(f"{key} is here already. Import it under another name with --as MODEL/SOURCE.")


def _brought(key: SourceKey, record: Any, folder: Path, *, there: bool, began: float) -> Brought:
    shown = layout.Rows(folder / layout.EXAMPLES).column("prompt")
    return Brought(
        key=key, format="parquet", features=record.width, width=record.width, alive=record.alive,
        activations=int(pa.compute.list_value_length(shown).to_numpy().sum()), prompts=record.prompts, explanations=0,
        vectors="vectors" in record.has, there=there, left_out=0, findings=(), seconds=time.monotonic() - began,
        weights="weights" in record.has,
    )  # fmt: skip


def _has(manifest: SourceManifest, folder: Path) -> tuple[str, ...]:
    """What is at hand now: weights only where they can be fetched."""
    spec = manifest.weights
    has = [one for one in manifest.record.has if one not in ("weights", "store")]
    if "weights" in manifest.record.has and (spec.hub or spec.release):
        has.append("weights")
    if (folder / layout.STORE).is_dir():
        has.append("store")
    return tuple(has)


def _one(place: Place, name: str, own: str, folder: Path, work: Path) -> None:
    """One file of the folder."""
    if own == "source.json":
        return
    if own.startswith("derived/") or not own.endswith(".parquet"):
        if own.startswith("derived/") or own == "import.json":
            _taken(place, name, folder / own)
        return
    local = _taken(place, name, work / "one.parquet")
    if own == "store/entries.parquet":
        return _store_in(local, folder)
    if own == "vectors.parquet":
        return _vectors_in(local, folder)
    if "/" in own or own == SAID:
        return
    _to_arrow(local, folder / Path(own).with_suffix(".arrow"))


def _to_arrow(path: Path, target: Path) -> None:
    """A Parquet file back as an Arrow file in the blocks that it was in."""
    file = pq.ParquetFile(path)
    schema: pa.Schema = file.schema_arrow
    facts = json.loads((schema.metadata or {}).get(_META, b"{}"))
    rows = min(max(1, int(facts.get("rows", layout.ROWS))), 1 << 24)
    schema = schema.remove_metadata()
    whole = {f.name: file.read([f.name])[f.name].combine_chunks() for f in schema if pa.types.is_dictionary(f.type)}
    options = pa.ipc.IpcWriteOptions(
        compression=pa.Codec("zstd", compression_level=layout.LEVEL) if facts.get("packed") else None
    )
    begin = 0
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group).replace_schema_metadata(None).combine_chunks()
            for n, one in enumerate(schema):
                if one.name in whole:  # one dictionary for the whole file
                    table = table.set_column(n, one, whole[one.name].slice(begin, len(table)))
            begin += len(table)
            writer.write_table(table, max_chunksize=rows)


def _store_in(path: Path, folder: Path) -> None:
    file = pq.ParquetFile(path)
    count = file.metadata.num_rows
    store = folder / layout.STORE
    store.mkdir()
    width = len(layout.Rows(folder / layout.FEATURES).column("active")) if (folder / layout.FEATURES).is_file() else 0
    counts = np.zeros(width + 1, np.int64)
    positions, values = (
        np.lib.format.open_memmap(store / f"{name}.npy", "w+", kind, (count,))
        for name, kind in (("positions", np.uint32), ("values", np.float32))
    )
    begin, last = 0, 0
    for batch in file.iter_batches(GROUP):
        feature = batch.column("feature").to_numpy()
        falling = len(feature) and (feature[0] < last or (np.diff(feature.astype(np.int64)) < 0).any())
        if falling or (len(feature) and feature[-1] >= width):
            raise ValueError("its features are not in order, or beyond those of features.parquet")
        last = int(feature[-1]) if len(feature) else last
        counts[1:] += np.bincount(feature, minlength=width)
        positions[begin : begin + len(batch)] = batch.column("position").to_numpy()
        values[begin : begin + len(batch)] = batch.column("value").to_numpy()
        begin += len(batch)
    positions.flush()
    values.flush()
    np.save(store / "offsets.npy", np.cumsum(counts))


def _vectors_in(path: Path, folder: Path) -> None:
    file = pq.ParquetFile(path)
    made, begin = None, 0
    for batch in file.iter_batches(4096):
        column = batch.column("vector")
        rows = column.flatten().to_numpy().reshape(len(column), -1)
        if made is None:
            shape = (file.metadata.num_rows, rows.shape[1])
            made = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, shape)
        made[begin : begin + len(rows)] = rows
        begin += len(rows)
    if made is not None:
        made.flush()


def _check(folder: Path, root: Path, key: SourceKey, place: Place) -> None:
    """As `python -m core check` does, before the source is visible."""
    try:
        model = read_model(root / key.model_id / "model.json")
    except BadData:
        model = None
    problems = check_source(folder, model).problems
    found = Findings()
    for problem in problems:
        if not problem.startswith("source.json says that it is"):  # it has not got its name yet
            found.add("", 0, problem, grave=True)
    if found.grave:
        raise refusal(f"{key} of {place.origin}", found)


def _model(catalog: Catalog, root: Path, place: Place, top: str, key: SourceKey, work: Path) -> None:
    """The model's manifest and vocabulary, if it is not here; if it is, its tokens must be the same."""
    above = top.rstrip("/").rpartition("/")[0]
    above = above + "/" if above else ""
    names = [f"{above}model.json", f"{above}vocabulary.parquet"]
    if not set(names) <= set(place.names):
        catalog.model(key.model_id)  # raises with what there is
        return
    _taken(place, names[0], work / "model.json")
    try:
        manifest = read_model(work / "model.json")
        _to_arrow(_taken(place, names[1], work / "one.parquet"), work / "vocabulary.arrow")
        vocabulary = Vocabulary.read(work / "vocabulary.arrow", manifest.special)
    except _DAMAGED as error:
        raise Refused(f"{names[1]}: {error}") from error
    try:
        here, folder = catalog.model(key.model_id)
    except NotFound:
        target = root / key.model_id
        target.mkdir(parents=True, exist_ok=True)
        vocabulary.write(target / "vocabulary.arrow")
        spec = replace(manifest.spec, id=key.model_id, path=None)
        record = replace(manifest.record, model_id=key.model_id)
        write_model(target / "model.json", replace(manifest, record=record, spec=spec))
        return
    if Vocabulary.read(folder / "vocabulary.arrow", here.special).pieces != vocabulary.pieces:
        raise Conflict(f"{key.model_id} is here with other tokens than the import's. Use --as with another model id.")


def chosen(place: Place, tops: Sequence[str], only: Sequence[str], work: Path) -> Iterator[tuple[str, SourceKey]]:
    """(folder, key) of each source that was asked for."""
    for top in tops:
        key = key_of(place, top, work)
        if not only or {key.source_id, str(key)} & set(only):
            yield top, key
