"""Checks the files of a built source: checksums first, then whether what they hold can be true.

- Every file that `source.json` names is there and has its SHA-256.
- features.arrow, examples.arrow and prompts.arrow have the rows that the manifest promises; every index in them leads
  somewhere, lists that belong together are of one length, numbers are finite, counts agree.
- In the store, offsets never fall, the tokens of a feature ascend, lie within the prompts and are counted ones, values
  are finite (and above zero, if the source is not signed), and each feature has as many entries, with the same largest
  value, as features.arrow says.
- The model's vocabulary has an entry for every token. Neither it nor the manifests have a checksum of their own: what
  they say is compared with the files, which leaves a changed name or description unseen.

The structure is checked also where a checksum is wrong, so that the report says what the damage means. Cost: one
reading of every byte; memory of the columns checked together and of `BLOCK` entries of the store. Imports no torch.
"""

from __future__ import annotations

import hashlib
import os
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.catalog.manifest import ModelManifest, SourceManifest, read_model, read_source
from core.errors import BadData, WorkbenchError
from core.models.vocabulary import Vocabulary
from core.store import layout

BLOCK = 1 << 22
"""Entries of the store that are looked at together, at least."""
_READ = 1 << 20
_UNREADABLE = (*layout.DAMAGED, WorkbenchError, OverflowError, TypeError, SyntaxError, MemoryError, tokenize.TokenError)
"""What reading a damaged file raises; NumPy's headers are parsed as Python and can fail in its ways."""

Told = Callable[[float, float], None]
"""Called with (bytes read, bytes in all)."""
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check of one source, or of a model's own files, found."""

    name: str
    """`<model>/<source>`, or `<model>`."""
    folder: Path
    files: int = 0
    """Files whose checksums were compared."""
    bytes: int = 0
    entries: int = 0
    """Entries of the store that were looked at."""
    problems: tuple[str, ...] = ()
    """In words, one a problem; empty if nothing is wrong."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Findings:
    problems: list[str] = field(default_factory=list)

    def need(self, holds: bool | np.bool_, problem: str) -> None:
        """Notes `problem` unless `holds`."""
        if not holds:
            self.problems.append(problem)

    def each(self, wrong: Array, problem: str, what: str = "features") -> None:
        """Notes `problem` if any place of `wrong` is set, with how many and the first."""
        places = np.flatnonzero(wrong)
        if len(places):
            self.problems.append(f"{problem} ({len(places):,} {what}, the first is {places[0]:,})")

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """What cannot be read is a problem like another."""
        try:
            yield
        except _UNREADABLE as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.problems.append(f"{what}: {first}")


def folders(roots: tuple[Path, ...]) -> list[Path]:
    """Folders of sources in the data roots: those that hold a manifest, or files that should have one."""
    marks = ("source.json", layout.FEATURES, layout.EXAMPLES, layout.PROMPTS, layout.STORE)
    found = {path.parent: None for root in roots for mark in marks for path in sorted(root.glob(f"*/*/{mark}"))}
    return sorted(folder for folder in found if not folder.name.startswith("."))


def check_model(folder: Path) -> CheckReport:
    """Checks `model.json` and `vocabulary.arrow` of one model."""
    found = _Findings()
    with found.reading("model.json"):
        manifest = read_model(folder / "model.json")
        found.need(manifest.record.model_id == folder.name, f"model.json says that it is {manifest.record.model_id}")
        with found.reading("vocabulary.arrow"):
            size, wanted = len(Vocabulary.read(folder / "vocabulary.arrow", manifest.special)), manifest.record.d_vocab
            found.need(size == wanted, f"vocabulary.arrow has {size:,} tokens, and the model {wanted:,}")
            named = (*manifest.special, *([] if manifest.bos is None else [manifest.bos]))
            beyond = [i for i in named if not 0 <= i < size]
            found.need(not beyond, f"model.json names the special tokens {beyond}, which the vocabulary lacks")
    return CheckReport(name=folder.name, folder=folder, problems=tuple(found.problems))


def check_source(folder: Path, model: ModelManifest | None, tell: Told = lambda done, of: None) -> CheckReport:
    """Checks everything in one source's folder.

    Args:
        folder: `<root>/<model_id>/<source_id>`.
        model: its model, or None if that cannot be read: then token ids are not checked.
        tell: told how far the reading is.
    """
    found = _Findings()
    name = f"{folder.parent.name}/{folder.name}"
    try:
        manifest = read_source(folder / "source.json")
    except WorkbenchError as error:
        return CheckReport(name=name, folder=folder, problems=(str(error),))
    found.need(str(manifest.record.key) == name, f"source.json says that it is {manifest.record.key}")
    size = _checksums(folder, manifest, found, tell)
    entries = 0
    optional = (layout.DFA,) if (folder / layout.DFA).is_file() else ()
    for file in (layout.FEATURES, layout.EXAMPLES, layout.PROMPTS, *optional):
        with found.reading(file):
            _batches(folder / file)
    if "imported" in manifest.build:
        with found.reading("vocabulary.arrow"):
            model = _own(folder, model)
    with found.reading("the files"):
        entries = _structure(layout.SourceData(folder), manifest, model, found)
    problems = tuple(dict.fromkeys(found.problems))
    return CheckReport(
        name=name, folder=folder, files=len(manifest.checksums), bytes=size, entries=entries, problems=problems
    )


def _own(folder: Path, model: ModelManifest | None) -> ModelManifest | None:
    """The model as an imported source's prompts see it: of the source's own vocabulary, without special tokens."""
    size = len(Vocabulary.read(folder / "vocabulary.arrow", ()))
    return model and replace(model, record=replace(model.record, d_vocab=size), bos=None, special=())


def _checksums(folder: Path, manifest: SourceManifest, found: _Findings, tell: Told) -> int:
    """Compares every file with its SHA-256; returns the bytes read."""
    wanted = {layout.FEATURES, layout.EXAMPLES, layout.PROMPTS}
    found.need(wanted <= set(manifest.checksums), "source.json lacks the checksum of a file that every source has")
    paths = {name: folder / name for name in sorted(manifest.checksums)}
    sizes = {name: path.stat().st_size if path.is_file() else 0 for name, path in paths.items()}
    done, total = 0, max(1, sum(sizes.values()))
    for name, path in paths.items():
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)) or not path.is_file():
            found.problems.append(f"{name} is missing")
            continue
        digest = hashlib.sha256()
        with found.reading(name), path.open("rb") as file:
            while piece := file.read(_READ):
                digest.update(piece)
                done += len(piece)
                tell(done, total)
            same = digest.hexdigest() == manifest.checksums[name]
            found.need(same, f"{name} is not what the build wrote: its checksum differs")
    if done < total:  # a file is missing
        tell(total, total)
    return done


# -- structure ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lists:
    """A column of lists: how long each row's is, and all values in a row."""

    lengths: Array
    values: Array

    @property
    def rows(self) -> Array:
        """The row that each value stands in."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def sums(self) -> Array:
        """The sum of each row's values, as integers."""
        ends = np.cumsum(self.lengths)
        running = np.concatenate([[0], np.cumsum(self.values.astype(np.int64))])
        return running[ends] - running[ends - self.lengths]


@dataclass(frozen=True, slots=True)
class _Texts:
    """The prompts: where each begins, and which tokens count."""

    starts: Array
    counted: NDArray[np.bool_] | None


def _flat(rows: Any, name: str) -> Array:
    """A column of numbers or texts as an array; raises `BadData` if it has holes."""
    column: pa.ChunkedArray = rows.column(name)
    if column.null_count:
        raise BadData(f"column {name} has holes")
    return column.to_numpy()


def _lists(rows: Any, name: str) -> _Lists:
    column: pa.ChunkedArray = rows.column(name)
    values = pc.list_flatten(column)
    if column.null_count or values.null_count:
        raise BadData(f"column {name} has holes")
    return _Lists(pc.list_value_length(column).to_numpy().astype(np.int64), values.to_numpy())


def _batches(path: Path) -> None:
    """Unpacks and validates every block of an Arrow file, also columns that nothing below looks at."""
    with pa.memory_map(str(layout.regular(path))) as source:
        file = pa.ipc.open_file(source)
        for n in range(file.num_record_batches):
            file.get_batch(n).validate(full=True)


def _structure(data: layout.SourceData, manifest: SourceManifest, model: ModelManifest | None, found: _Findings) -> int:
    """Checks all files against each other; returns how many entries the store has."""
    record = manifest.record
    texts, active, maximum = None, None, None
    with found.reading(layout.PROMPTS):
        texts = _prompts(data, manifest, model, found)
    with found.reading(layout.FEATURES):
        active, maximum = _features(data, manifest, model, found)
    with found.reading(layout.EXAMPLES):
        _examples(data, manifest, texts, active, found)
    has = (data.folder / layout.STORE).exists()
    found.need(has == ("store" in record.has), f"store/ is {'' if has else 'not '}here, but source.json says otherwise")
    entries = 0
    if has:
        with found.reading(layout.STORE):
            entries = _store(data.folder / layout.STORE, manifest, texts, active, maximum, found)
    return entries


def _prompts(
    data: layout.SourceData, manifest: SourceManifest, model: ModelManifest | None, found: _Findings
) -> _Texts:
    """Rows, lengths and tokens of the prompts, and how many tokens count."""
    record, name = manifest.record, layout.PROMPTS
    tokens = _lists(data.prompts, "tokens")
    for column in ("document", "part"):
        data.prompts.column(column)
    found.need(
        len(tokens.lengths) == record.prompts,
        f"{name} has {len(tokens.lengths):,} prompts, and source.json says {record.prompts:,}",
    )
    wrong = (tokens.lengths < 1) | (tokens.lengths > record.context)
    found.each(wrong, f"{name}: a prompt is empty or longer than {record.context} tokens", "prompts")
    starts = np.concatenate([[0], np.cumsum(tokens.lengths)])
    if model is None:
        return _Texts(starts, None)
    found.each(tokens.values >= model.record.d_vocab, f"{name}: a token is not in the vocabulary", "tokens")
    counted = ~np.isin(tokens.values, np.array(model.special, np.int64))
    found.need(  # an import has the texts that are shown, not all that were counted
        int(counted.sum()) == record.tokens or "imported" in manifest.build,
        f"{name} has {int(counted.sum()):,} tokens that count, and source.json says {record.tokens:,}",
    )
    return _Texts(starts, counted)


_NUMBERS = (
    "maximum", "minimum", "mean", "deviation", "histogram_low", "histogram_high", "logits_low", "logits_high",
)  # fmt: skip
"""Columns of features.arrow with a number for each feature."""
_TOGETHER = (
    ("top_ids", "top_values"), ("bottom_ids", "bottom_values"),
    ("coordinate", "coordinate_value", "coordinate_share"), ("neuron", "neuron_pearson", "neuron_cosine"),
    ("related", "related_pearson", "related_cosine"), ("near", "near_cosine"),
)  # fmt: skip
"""Columns of features.arrow whose lists belong together: indices first, then numbers."""


def _features(
    data: layout.SourceData, manifest: SourceManifest, model: ModelManifest | None, found: _Findings
) -> tuple[Array, Array]:
    """(active, maximum) of every feature, after the checks of features.arrow."""
    record, name, rows = manifest.record, layout.FEATURES, data.features
    active = _flat(rows, "active")
    found.need(
        len(active) == record.width, f"{name} has {len(active):,} rows, and source.json says {record.width:,} features"
    )
    alive = int((active > 0).sum())
    found.need(alive == record.alive, f"{name} has {alive:,} living features, and source.json says {record.alive:,}")
    if record.tokens or "imported" not in manifest.build:  # not every export says how many were counted
        found.each(active > record.tokens, f"{name}: a feature is active on more tokens than were counted")
    for column in ("label", "promotes"):
        _flat(rows, column)
    for column in _NUMBERS:
        found.each(~np.isfinite(_flat(rows, column)), f"{name}: {column} is not a finite number")
    maximum, minimum = _flat(rows, "maximum"), _flat(rows, "minimum")
    found.each(minimum > maximum, f"{name}: minimum is above maximum")
    if not record.signed:
        found.each((active > 0) & (minimum <= 0), f"{name}: minimum of an active feature is not above zero")
        counts = _lists(rows, "histogram").sums()
        if "imported" not in manifest.build:
            found.each(counts != active, f"{name}: the histogram does not add up to the active tokens")
    _ranks(rows, maximum, found)
    limits = {"related": record.width, "near": record.width}
    if model is not None:
        limits |= {"top_ids": model.record.d_vocab, "bottom_ids": model.record.d_vocab}
    for columns in _TOGETHER:
        _related(rows, columns, limits.get(columns[0]), found)
    return active, maximum


def _ranks(rows: Any, maximum: Array, found: _Findings) -> None:
    """The values at certain ranks: finite, the strongest first."""
    for column, sign in (("ranked", 1), ("ranked_low", -1)):
        lists = _lists(rows, column)
        falling = (sign * np.diff(lists.values) <= 0) | (np.diff(lists.rows) != 0)
        wrong = np.concatenate([lists.rows[~np.isfinite(lists.values)], lists.rows[1:][~falling]])
        found.each(np.bincount(wrong, minlength=1) > 0, f"{layout.FEATURES}: {column} is not in order")
        if sign == 1:
            first = lists.values[(np.cumsum(lists.lengths) - lists.lengths)[lists.lengths > 0]]
            found.each(first != maximum[lists.lengths > 0], f"{layout.FEATURES}: ranked does not begin at the maximum")


def _related(rows: Any, columns: tuple[str, ...], limit: int | None, found: _Findings) -> None:
    """Lists that belong together: one length, indices within their limit, finite numbers."""
    name = layout.FEATURES
    index, *numbers = (_lists(rows, column) for column in columns)
    wrong = (index.values < 0) | (index.values >= limit) if limit is not None else index.values < 0
    found.each(np.bincount(index.rows[wrong], minlength=1) > 0, f"{name}: {columns[0]} leads nowhere")
    for column, lists in zip(columns[1:], numbers, strict=True):
        found.each(index.lengths != lists.lengths, f"{name}: {columns[0]} and {column} are not of one length")
        bad = lists.rows[~np.isfinite(lists.values)]
        found.each(np.bincount(bad, minlength=1) > 0, f"{name}: {column} is not a finite number")


def _examples(
    data: layout.SourceData, manifest: SourceManifest, texts: _Texts | None, active: Array | None, found: _Findings
) -> None:
    """Sizes, and that every prompt and position is there."""
    record, name, rows = manifest.record, layout.EXAMPLES, data.examples
    column = {c: _lists(rows, c) for c in _COLUMNS}
    prompt, shown = column["prompt"], column["shown"]
    width = len(prompt.lengths)
    found.need(width == record.width, f"{name} has {width:,} rows, and source.json says {record.width:,} features")
    for first, others in _LENGTHS.items():
        for other in others:
            wrong = column[first].lengths != column[other].lengths
            found.each(wrong, f"{name}: {first} and {other} are not of one length")
    for size, of in _SIZES.items():
        for other in of:
            wrong = column[size].sums() != column[other].lengths
            found.each(wrong, f"{name}: {size} does not add up to {other}")
    found.need((column["group_kind"].values < 4).all(), f"{name}: a group is of no kind that is known")
    for numbers in ("group_low", "group_high", "group_share", "value", "member_value", "shown_value"):
        lists = column[numbers]
        bad = lists.rows[~np.isfinite(lists.values.astype(np.float64))]
        found.each(np.bincount(bad, minlength=1) > 0, f"{name}: {numbers} is not a finite number")
    if active is not None and len(active) == width and "imported" not in manifest.build:
        found.each(
            (active > 0) != (prompt.lengths > 0), f"{name}: a feature has examples and no activity, or none with it"
        )
    if texts is not None and not any(problem.startswith(name) for problem in found.problems):
        _places(column, texts, found)
        inside = np.isin(prompt.rows * len(texts.starts) + prompt.values, shown.rows * len(texts.starts) + shown.values)
        found.need(inside.all(), f"{name}: the prompt of an example is not among those shown")


_LENGTHS = {
    "group_kind": ("group_low", "group_high", "group_share", "group_size"),
    "prompt": ("position", "value", "repeats", "member_count"),
    "member_prompt": ("member_position", "member_value"),
    "shown": ("shown_size",),
    "shown_position": ("shown_value",),
}
"""Columns of examples.arrow whose lists are of one length."""
_SIZES = {"group_size": ("prompt",), "member_count": ("member_prompt",), "shown_size": ("shown_position",)}
"""Columns that say how the lists of others are divided."""
_COLUMNS = tuple(dict.fromkeys([*_LENGTHS, *(other for others in _LENGTHS.values() for other in others)]))


def _places(column: dict[str, _Lists], texts: _Texts, found: _Findings) -> None:
    """Every (prompt, position) of examples.arrow lies within the prompts."""
    lengths = np.diff(texts.starts)
    shown = np.repeat(column["shown"].values, column["shown_size"].values)
    pairs = (
        ("an example", column["prompt"].values, column["position"].values),
        ("a folded example", column["member_prompt"].values, column["member_position"].values),
        ("a value", shown, column["shown_position"].values),
    )
    for what, prompts, positions in pairs:
        known = prompts < len(lengths)
        found.need(known.all(), f"{layout.EXAMPLES}: {what} stands in a prompt that is not there")
        inside = positions[known] < lengths[prompts[known]]
        found.need(inside.all(), f"{layout.EXAMPLES}: {what} stands beyond the end of its prompt")


# -- the store ---------------------------------------------------------------------------------------------------------


def _store(
    folder: Path,
    manifest: SourceManifest,
    texts: _Texts | None,
    active: Array | None,
    maximum: Array | None,
    found: _Findings,
) -> int:
    """Offsets, then the entries in blocks of whole features; returns how many entries there are."""
    offsets, positions, values = (
        np.load(layout.regular(folder / f"{n}.npy"), mmap_mode="r") for n in ("offsets", "positions", "values")
    )
    kinds = (offsets.dtype.kind, positions.dtype.kind, values.dtype.kind)
    if kinds != ("i", "u", "f") or any(a.ndim != 1 for a in (offsets, positions, values)):
        raise BadData("its files hold other things than offsets, positions and values")
    width, entries = manifest.record.width, len(values)
    if len(offsets) != width + 1:
        raise BadData(f"its offsets are for {len(offsets) - 1:,} features, and source.json says {width:,}")
    if len(positions) != entries or int(offsets[0]) != 0 or int(offsets[-1]) != entries:
        raise BadData(f"its offsets end at {int(offsets[-1]):,}, with {len(positions):,} positions, {entries:,} values")
    counts = np.diff(offsets)
    if (counts < 0).any():
        raise BadData(f"its offsets fall at feature {int(np.flatnonzero(counts < 0)[0]):,}")
    if active is not None and len(active) == width:
        found.each(counts != active, "store: a feature has not as many entries as features.arrow says it is active")
    wrong: dict[str, NDArray[np.bool_]] = {}
    begin = 0
    while begin < width:
        end = max(begin + 1, int(np.searchsorted(offsets, int(offsets[begin]) + BLOCK, side="right")) - 1)
        part = slice(int(offsets[begin]), int(offsets[end]))
        owner = np.repeat(np.arange(begin, end), counts[begin:end])
        for problem, places in _entries(positions[part], values[part], owner, manifest, texts):
            wrong.setdefault(problem, np.zeros(width, bool))[owner[places]] = True
        if maximum is not None and len(maximum) == width and not manifest.record.signed:
            some = begin + np.flatnonzero(counts[begin:end])
            largest = np.maximum.reduceat(values[part], offsets[some] - part.start) if len(some) else values[:0]
            problem = "the largest value is not the maximum that features.arrow has"
            differs = largest.astype(np.float32) != maximum[some].astype(np.float32)
            wrong.setdefault(problem, np.zeros(width, bool))[some[differs]] = True
        begin = end
    for problem, features in wrong.items():
        found.each(features, f"store: {problem}")
    return entries


def _entries(
    positions: Array, values: Array, owner: Array, manifest: SourceManifest, texts: _Texts | None
) -> Iterator[tuple[str, Array]]:
    """(problem, entries that have it) among the entries of whole features; `owner` is the feature of each."""
    falling = (owner[1:] == owner[:-1]) & (positions[1:] <= positions[:-1])
    yield "the tokens do not ascend", np.flatnonzero(falling)
    yield "a value is not a finite number", np.flatnonzero(~np.isfinite(values))
    if not manifest.record.signed:
        yield "a value is not above zero", np.flatnonzero(values <= 0)
    if texts is None:
        return
    outside = positions >= texts.starts[-1]
    yield "a token lies beyond the prompts", np.flatnonzero(outside)
    if texts.counted is not None:
        counts = texts.counted[np.where(outside, 0, positions)]
        yield "a token is one that does not count", np.flatnonzero(~outside & ~counts)
