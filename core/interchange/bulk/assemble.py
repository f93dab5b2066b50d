"""Puts the parts of an import together into a source's folder: the same bytes, whatever order or pauses they came in.

Beside the files of any source (`core.store.layout`) it has
    vocabulary.arrow    its own tokens, since an export has texts where a model has numbers
    rows.arrow          one row a feature: its row and, of each example shown, what else came with it, to go out again
    explanations.arrow  one row an explanation, with its scores
    vectors.npy         [width, d] float32: decoder vectors, if any came along
    import.json         where it came from, counts, and what was missing or strange

Everything is written in blocks of `BLOCK` features; memory is that of a block and of the numbers that were sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from core.interchange.bulk.figures import Bars, Said, active_of
from core.interchange.bulk.findings import Findings
from core.interchange.bulk.lines import value
from core.interchange.bulk.rows import Json, numbers, texts
from core.interchange.bulk.sorting import Prompts, Sorted, activations, prompts
from core.interchange.bulk.spill import Part
from core.interchange.bulk.tokens import Tokens
from core.kernel import I64
from core.models.vocabulary import Vocabulary
from core.store import layout
from core.store.columns import FEATURES, Lists, arrow, examples_schema

VECTORS, ROWS, EXPLANATIONS = "vectors.npy", "rows.arrow", "explanations.arrow"
BLOCK = 256
"""Features, or prompts times four, that are worked on at once."""
LABEL = 3
RAW, INTERVAL, RANDOM = 1, 2, 3
"""Kinds of groups, as examples.arrow numbers them."""
_WIDE = {"histogram_low", "histogram_high", "logits_low", "logits_high"}
FEATURES_SCHEMA = pa.schema(
    [pa.field(c.name, pa.float64()) if c.name in _WIDE else c for c in FEATURES] + [("density", pa.float64())]
)
"""Ends of histograms in full, so that the middles of bins come out as they went in; and the density as it was said."""
_ROWS = pa.schema([("row", pa.binary()), ("examples", pa.list_(pa.binary()))])


@dataclass(slots=True)
class Made:
    """What came of it."""

    width: int = 0
    alive: int = 0
    prompts: int = 0
    longest: int = 0
    activations: int = 0
    signed: bool = False
    vectors: int = 0
    """Length of a decoder vector; 0 where none came along."""
    missing: list[int] = field(default_factory=list)
    """Features below `width` that were not in the export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is known of the source before its rows are looked at."""

    width: int
    """0 leaves it to the rows."""
    tokens: int
    """Counted in the statistics; 0 if nothing says."""
    signed: bool | None
    said: dict[int, Said]


class Assembly:
    """One import, from its parts. `features` and `acts` hold the rows of each kind."""

    def __init__(
        self, features: Sequence[Part], acts: Sequence[Part], source: Source, found: Findings,
        tell: Callable[[str, float, float], None],
    ) -> None:  # fmt: skip
        self._features, self._acts, self._source, self._found, self._tell = features, acts, source, found, tell
        self._where = self._placed()
        self.made = Made(width=max(source.width, max(self._where, default=-1) + 1))
        self.made.missing = [n for n in range(self.made.width) if n not in self._where]
        self._texts: Prompts = prompts(acts)
        self._sorted: Sorted = activations(acts, self._texts, found)
        self._known()
        self._tokens = Tokens(acts)
        self.made.prompts, self.made.activations = len(self._texts.row), len(self._sorted.row)
        self.made.longest = int(self._texts.lengths.max(initial=0))

    def _placed(self) -> dict[int, tuple[int, int]]:
        """Of each feature (part, row); two different rows of one feature are a grave finding."""
        where: dict[int, tuple[int, int]] = {}
        for n, part in enumerate(self._features):
            for row, index in enumerate(part.column("rows", "index").tolist()):
                if index not in where:
                    where[index] = (n, row)
                    continue
                before, at = where[index]
                same = part.value("rows", "row", row) == self._features[before].value("rows", "row", at)
                line = int(part.value("rows", "line", row))
                self._found.add(part.name, line, f"feature {index} stands twice", grave=not same)
        return where

    def _known(self) -> None:
        """Activations of features that are not there are grave: something is missing."""
        here = np.zeros(max(self.made.width, int(self._sorted.index.max(initial=0)) + 1), bool)
        here[list(self._where)] = True
        for index in np.unique(self._sorted.index[~here[self._sorted.index]]).tolist():
            name = self._acts[int(self._sorted.part[np.searchsorted(self._sorted.index, index)])].name
            self._found.add(name, 0, f"activations of feature {index}, which features/ does not have", grave=True)

    def write(self, folder: Path) -> Made:
        """Writes all files but the manifest, the explanations and the report."""
        self._prompts(folder / layout.PROMPTS)
        signed = self._source.signed
        self.made.signed = bool(signed) if signed is not None else False
        examples = pa.ipc.IpcWriteOptions()
        packed = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=3))
        context = max(257, self.made.longest)
        schema = examples_schema(half=False, context=context, many=True)
        with (
            _sink(folder / layout.FEATURES, FEATURES_SCHEMA, examples) as one,
            _sink(folder / layout.EXAMPLES, schema, examples) as two,
            _sink(folder / ROWS, _ROWS, packed) as three,
        ):
            for begin in range(0, self.made.width, BLOCK):
                end = min(begin + BLOCK, self.made.width)
                rows = [self._row(n) for n in range(begin, end)]
                shown = [self._shown(n) for n in range(begin, end)]
                self._vectors(folder / VECTORS, begin, rows)
                columns = self._figures(begin, rows, shown)
                one.write_table(_table(columns, FEATURES_SCHEMA), max_chunksize=layout.ROWS)
                two.write_table(_table(_examples(shown), schema), max_chunksize=layout.ROWS)
                three.write_table(self._kept(rows, shown), max_chunksize=layout.ROWS)
                self._tell("putting together", end, self.made.width)
        self._vocabulary.write(folder / "vocabulary.arrow")
        return self.made

    @property
    def _vocabulary(self) -> Vocabulary:
        return self._tokens.vocabulary(self._found)

    # -- prompts ---------------------------------------------------------------------------------------------------

    def _prompts(self, path: Path) -> None:
        schema = pa.schema([("tokens", pa.list_(pa.uint32())), ("document", pa.uint32()), ("part", pa.string())])
        with _sink(path, schema, pa.ipc.IpcWriteOptions()) as sink:
            for begin in range(0, max(1, self.made.prompts), 4 * BLOCK):
                places = list(zip(self._texts.part[begin : begin + 4 * BLOCK].tolist(),
                                  self._texts.row[begin : begin + 4 * BLOCK].tolist(), strict=True))  # fmt: skip
                tokens = [
                    self._tokens.of(self._acts[p])[self._acts[p].numbers("prompts", "tokens", r)] for p, r in places
                ]
                parts = [self._acts[p].value("prompts", "part", r) for p, r in places]
                columns = {
                    "tokens": _lists(tokens), "document": np.arange(begin, begin + len(places)), "part": parts,
                }  # fmt: skip
                sink.write_table(_table(columns, schema), max_chunksize=layout.ROWS)

    # -- a block of features ---------------------------------------------------------------------------------------

    def _row(self, index: int) -> Json | None:
        """A feature's row as it came; None where it was not in the export."""
        if index not in self._where:
            return None
        part, row = self._where[index]
        found: Json = value(self._features[part].value("rows", "row", row))
        return found

    def _shown(self, index: int) -> _Shown:
        """A feature's examples."""
        begin, end = self._sorted.of(index, index + 1)
        s = self._sorted
        shown = _Shown()
        for n in range(begin, end):
            part, row = self._acts[s.part[n]], int(s.row[n])
            at, values = (part.numbers("activations", name, row) for name in ("at", "value"))
            shown.add(
                int(s.prompt[n]), int(s.place[n]), at, values, float(s.low[n]), float(s.high[n]), float(s.share[n]),
                part.value("activations", "rest", row),
            )  # fmt: skip
        if shown.differing:
            self._found.add("", 0, f"feature {index} has two different sets of values on one prompt; the first counts")
        return shown

    def _figures(self, begin: int, rows: Sequence[Json | None], shown: Sequence[_Shown]) -> dict[str, Any]:
        """The columns of features.arrow."""
        columns: dict[str, list[Any]] = {name: [] for name in FEATURES_SCHEMA.names}
        for n, (row, own) in enumerate(zip(rows, shown, strict=True)):
            for name, one in self._feature(begin + n, row or {}, own).items():
                columns[name].append(one)
        lists = {field.name for field in FEATURES_SCHEMA if pa.types.is_list(field.type)}
        return {name: _lists(values) if name in lists else values for name, values in columns.items()}

    def _feature(self, index: int, row: Json, own: _Shown) -> Json:
        bars, logits = Bars.of(row, "freq_hist"), Bars.of(row, "logits_hist")
        said = self._source.said.get(index)
        maximum = np.float32(max([float(row.get("maxActApprox") or 0.0), *own.peaks]))
        active = active_of(row, bars, self._source.tokens, self.made.signed)
        if said and said.active >= 0:
            active = said.active
        elif not active and max(own.peaks, default=0.0) > 0:
            active = len(own.prompts)
        mean, deviation = (said.mean, said.deviation) if said else bars.moments()
        least = float(bars.low) if len(bars.counts) else float(maximum)
        minimum = said.minimum if said else min(least, float(maximum))
        if active and not self.made.signed:
            minimum = min(max(minimum, 1e-9), float(maximum))
        density = row.get("frac_nonzero")
        self.made.alive += active > 0
        ranked = bars.ranked(float(maximum), active) if not self.made.signed else np.empty(0, np.float32)
        names = self._names(row, own)
        return {
            "active": active, "maximum": maximum, "minimum": minimum, "mean": mean, "deviation": deviation,
            "label": said.label if said and said.active >= 0 else names, "promotes": _words(texts(row, "pos_str")),
            "histogram_low": bars.low, "histogram_high": bars.high, "histogram": bars.counts,
            "ranked": ranked, "ranked_low": np.empty(0),
            "logits_low": logits.low, "logits_high": logits.high, "logits": logits.counts,
            "top_ids": self._tokens.ids(texts(row, "pos_str")), "top_values": numbers(row, "pos_values"),
            "bottom_ids": self._tokens.ids(texts(row, "neg_str")), "bottom_values": numbers(row, "neg_values"),
            **_related(row, "coordinate", "neuron_alignment", ("values", "l1"), ("value", "share")),
            **_related(row, "neuron", "correlated_neurons", ("pearson", "l1"), ("pearson", "cosine")),
            **self._inside(_related(row, "related", "correlated_features", ("pearson", "l1"), ("pearson", "cosine"))),
            **self._inside({
                "near": numbers(row, "topkCosSimIndices"), "near_cosine": numbers(row, "topkCosSimValues"),
            }),
            "density": float(density) if density is not None else active / max(1, self._source.tokens),
        }  # fmt: skip

    def _inside(self, lists: dict[str, Any]) -> dict[str, Any]:
        """Only features that are here: an export may name others of a wider source."""
        first = next(iter(lists.values()))
        here = first < self.made.width
        return {name: one[here] if len(one) == len(here) else one for name, one in lists.items()}

    def _names(self, row: Json, own: _Shown) -> str:
        """The tokens at the strongest examples' peaks, by what they add up to."""
        sums: dict[int, float] = {}
        for number, peak, place in own.tops:
            part = self._acts[self._texts.part[number]]
            tokens = part.numbers("prompts", "tokens", int(self._texts.row[number]))
            token = int(self._tokens.of(part)[tokens[place]])
            sums[token] = sums.get(token, 0.0) + peak
        best = sorted(sums, key=lambda token: (-sums[token], token))
        return _words([self._drawn(token) for token in best])

    def _drawn(self, token: int) -> str:
        if not hasattr(self, "_whole"):
            self._whole = self._tokens.vocabulary(Findings())
        return self._whole.alone(token).text

    def _vectors(self, path: Path, begin: int, rows: Sequence[Json | None]) -> None:
        """Writes decoder vectors, all of one length; a feature without one gets zeros."""
        for n, row in enumerate(rows):
            vector = numbers(row or {}, "vector")
            if not len(vector):
                continue
            if not self.made.vectors:
                self.made.vectors = len(vector)
                np.lib.format.open_memmap(path, "w+", np.float32, (self.made.width, len(vector))).flush()
            if len(vector) != self.made.vectors:
                self._found.add(
                    "", 0, f"the vector of feature {begin + n} has {len(vector)} numbers, and others have "
                    f"{self.made.vectors}", grave=True,
                )  # fmt: skip
                continue
            np.lib.format.open_memmap(path, "r+")[begin + n] = vector

    def _kept(self, rows: Sequence[Json | None], shown: Sequence[_Shown]) -> pa.Table:
        """What goes out again as it came."""
        kept = [None if row is None else orjson.dumps({k: v for k, v in row.items() if k != "vector"}) for row in rows]
        return pa.table([pa.array(kept, pa.binary()), pa.array([one.rests for one in shown], _ROWS.field(1).type)],
                        schema=_ROWS)  # fmt: skip


class _Shown:
    """The examples of one feature, as examples.arrow has them."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, float, float, float]] = []
        self.sizes: list[int] = []
        self.prompts: list[int] = []
        self.places: list[int] = []
        self.peaks: list[float] = []
        self.values: list[float] = []
        self.rests: list[bytes] = []
        self.strips: dict[int, tuple[Any, Any]] = {}
        self.tops: list[tuple[int, float, int]] = []
        self.differing = False

    def add(
        self, prompt: int, place: int, at: Any, values: Any, low: float, high: float, share: float, rest: bytes
    ) -> None:
        top = np.isnan(low)
        group = (RAW, 0.0, 0.0, 0.0) if top else (INTERVAL, low, high, 0.0 if np.isnan(share) else share)
        group = (RANDOM, 0.0, 0.0, 0.0) if np.isinf(low) else group
        if not self.groups or self.groups[-1] != group:
            self.groups.append(group)
            self.sizes.append(0)
        self.sizes[-1] += 1
        before = self.strips.setdefault(prompt, (at, values))
        self.differing |= before[1] is not values and not np.array_equal(before[1], values)
        where = np.searchsorted(at, place)
        here = float(values[where]) if where < len(at) and at[where] == place else 0.0
        self.prompts.append(prompt)
        self.places.append(place)
        self.values.append(here)
        self.peaks.append(float(values.max(initial=0.0)))
        self.rests.append(rest)
        if top:
            self.tops.append((prompt, here, place))


def _examples(shown: Sequence[_Shown]) -> dict[str, Any]:
    """The columns of examples.arrow."""
    columns: dict[str, list[Any]] = {
        name: [] for name in (
            "group_kind", "group_low", "group_high", "group_share", "group_size", "prompt", "position", "value",
            "repeats", "member_count", "member_prompt", "member_position", "member_value", "shown", "shown_size",
            "shown_position", "shown_value",
        )
    }  # fmt: skip
    none = np.empty(0)
    for one in shown:
        most = max(one.peaks, default=0.0)
        groups = np.array(one.groups, np.float64).reshape(-1, 4)
        high = np.where(groups[:, 0] != INTERVAL, most, np.nan_to_num(groups[:, 2], nan=most))
        strips = sorted(one.strips.items())
        own = {
            "group_kind": groups[:, 0], "group_low": groups[:, 1], "group_high": high, "group_share": groups[:, 3],
            "group_size": one.sizes, "prompt": one.prompts, "position": one.places, "value": one.values,
            "repeats": np.ones(len(one.prompts)), "member_count": np.zeros(len(one.prompts)), "member_prompt": none,
            "member_position": none, "member_value": none, "shown": [prompt for prompt, _ in strips],
            "shown_size": [len(at) for _, (at, _) in strips],
            "shown_position": np.concatenate([none, *(at for _, (at, _) in strips)]),
            "shown_value": np.concatenate([none, *(values for _, (_, values) in strips)]),
        }  # fmt: skip
        for name, values in own.items():
            columns[name].append(np.asarray(values))
    return {name: _lists(values) for name, values in columns.items()}


def _related(row: Json, ours: str, theirs: str, names: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, Any]:
    """A list of related things, of which a column may be missing."""
    index = numbers(row, f"{theirs}_indices")
    made = {ours: index}
    for name, column in zip(names, columns, strict=True):
        found = numbers(row, f"{theirs}_{name}")
        made[f"{ours}_{column}"] = found if len(found) == len(index) else np.zeros(len(index))
    return made


def _words(found: Sequence[str]) -> str:
    """Up to `LABEL` tokens as words, each way of writing one once."""
    words: list[str] = []
    for text in found:
        plain = text.strip() or text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")
        word = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)
        if word and word not in words:
            words.append(word)
        if len(words) == LABEL:
            break
    return " · ".join(words)


def _lists(values: Sequence[Any]) -> Lists:
    sizes: I64 = np.fromiter(map(len, values), np.int64, len(values))
    return Lists(np.concatenate([np.empty(0), *values]) if sizes.sum() else np.empty(0), sizes)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table([arrow(columns[c.name], c.type) for c in schema], schema=schema)


def _sink(path: Path, schema: pa.Schema, options: pa.ipc.IpcWriteOptions) -> _Sink:
    return _Sink(path, schema, options)


class _Sink:
    """An Arrow file, closed in the right order."""

    def __init__(self, path: Path, schema: pa.Schema, options: pa.ipc.IpcWriteOptions) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, schema, options=options)

    def __enter__(self) -> Any:
        return self._writer

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()


@dataclass(frozen=True, slots=True)
class Explained:
    """How many explanations were written, and of how many features."""

    count: int
    features: int


def explanations(
    path: Path, parts: Sequence[Part], scores: Sequence[Part], width: int, found: Findings, *,
    known: Collection[str] = (), unnamed: str = "",
) -> Explained:  # fmt: skip
    """Writes explanations.arrow, by feature and then as they came.

    Those whose id is `known` are left out; `unnamed` stands before the ids of those that came without one.
    """
    scored = _scores(scores, found)
    columns = [part.column("rows", "index") for part in parts]
    index = np.concatenate([np.empty(0, np.uint32), *columns])
    owner = np.repeat(np.arange(len(parts)), [len(one) for one in columns])
    row = np.concatenate([np.empty(0, np.int64), *(np.arange(len(one)) for one in columns)])
    schema = pa.schema([("index", pa.uint32()), ("row", pa.binary())])
    seen: set[str] = set()
    features: set[int] = set()
    here = 0
    with _sink(path, schema, pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=3))) as sink:
        kept: list[tuple[int, bytes]] = []
        for n in np.lexsort((row, owner, index)).tolist():
            part, feature = parts[owner[n]], int(index[n])
            one = value(part.value("rows", "row", int(row[n])))
            line = int(part.value("rows", "line", int(row[n])))
            if feature >= width:
                found.add(part.name, line, f"explains feature {feature}, which the source does not have", grave=True)
                continue
            id = str(one.get("id") or f"{unnamed and unnamed + ':'}{part.name}:{line}")
            if id in seen:
                found.add(part.name, line, f"the explanation {id[:60]} stands twice: it counts once")
                continue
            seen.add(id)
            more = scored.pop(id, [])
            if id in known:
                here += 1
                continue
            features.add(feature)
            kept.append((feature, orjson.dumps(one | {"id": id, "scores": [*(one.get("scores") or []), *more]})))
            if len(kept) == layout.ROWS:
                sink.write_table(_pairs(kept, schema))
                kept = []
        if kept or len(seen) == here:
            sink.write_table(_pairs(kept, schema))
    if here:
        found.add("", 0, f"{here:,} explanations are here already, by their ids: they count once")
    for id in list(scored)[:20]:
        found.add("", 0, f"scores of an explanation {id[:60]}, which is not in the export")
    return Explained(len(seen) - here, len(features))


def _scores(parts: Sequence[Part], found: Findings) -> dict[str, list[Json]]:
    """Scores that lie in files of their own, by the explanation's id."""
    made: dict[str, list[Json]] = {}
    for part in parts:
        for row in range(part.meta["rows"]):
            one = value(part.value("rows", "row", row))
            made.setdefault(str(one.get("explanationId") or ""), []).append(one)
    return made


def _pairs(kept: Sequence[tuple[int, bytes]], schema: pa.Schema) -> pa.Table:
    return pa.table([pa.array([i for i, _ in kept], pa.uint32()), pa.array([row for _, row in kept], pa.binary())],
                    schema=schema)  # fmt: skip


def rows_of(folder: Path) -> Iterator[tuple[Json | None, list[Json]]]:
    """Of each feature of an imported source what came in: its row, and of each example what else it had."""
    rows = layout.Rows(folder / ROWS)
    for n in range(len(rows.column("row"))):
        one = rows.row(n)
        yield (None if one["row"] is None else orjson.loads(one["row"]), [orjson.loads(e) for e in one["examples"]])


def said_of(path: Path) -> Iterator[tuple[int, Json]]:
    """(feature, row) of each explanation of such a file, as it came."""
    rows = layout.Rows(path)
    for n, index in enumerate(rows.column("index").to_numpy().tolist()):
        found = orjson.loads(rows.row(n)["row"])
        yield index, found if isinstance(found, dict) else {}
