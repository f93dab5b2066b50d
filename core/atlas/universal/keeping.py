"""Universality of sources that are here: what was found is kept in `derived/universal-<hash>/` of each, and read back.

    matches.arrow    one row a feature: its best match in each source of the other model, and chance (SCHEMA)
    made.json        what it was made from, the text, and what shifted texts gave

The hash is that of both sides' stamps, so that what was made from an earlier build is never shown for this one's. Two
models are compared in one go, and each source of either gets its own folder. Reading needs no torch and no numba.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.atlas.universal.records import By, Match, MatchesRecord, PairRecord, UniversalRecord
from core.errors import BadData, BadInput, NotAvailable, NotFound
from core.records import FeatureKey, Records, SourceKey
from core.store import derived
from core.store.layout import DAMAGED, write_batches

if TYPE_CHECKING:
    from core.atlas.universal.matching import Compared, Model, Table
    from core.catalog.catalog import Entry
    from core.workbench import Workbench

KIND, FILE = "universal", "matches.arrow"
FORMAT = 1
"""Of the method and of the files; another one is made anew."""
DRAWS, MOST_DRAWS = 10, 1000
"""Shifted texts, usually and at most."""
_HALVES = pa.list_(pa.float16())
SCHEMA = pa.schema([
    ("compared", pa.bool_()), ("index", pa.list_(pa.int32())), ("value", pa.list_(pa.float32())), ("bound", _HALVES),
    ("p", pa.list_(pa.float32())), ("mutual", pa.list_(pa.bool_())), ("any_bound", pa.float16()),
    ("any_p", pa.float32()), ("token", pa.int32()), ("token_value", pa.float32()),
])  # fmt: skip
Tell = Callable[[float, float], None]
Side = str | SourceKey | Sequence[SourceKey | str]
"""A model by its id, which is all its sparse sources that have a store; or sources of one model."""


class Universals:
    """What the features of every source have in common with those of other models."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._open: dict[Path, tuple[int, Kept]] = {}
        self._lock = threading.Lock()  # guards _open

    # -- reading -------------------------------------------------------------------------------------------------------

    def of(self, key: FeatureKey) -> Records[Match]:
        """A feature's best match in each source of other models, the best first; empty where none was looked for.

        Raises:
            NotFound: there is no such feature.
            BadData: a file is damaged.
        """
        entry = self._bench.catalog.entry(key.source)
        if key.index >= entry.record.width:
            raise NotFound(f"{key.source} has features 0 to {entry.record.width - 1}; there is no {key.index}.")
        at = np.array([key.index])
        found = [m for kept, others in self._kept(entry) for other in others for m in self._drawn(kept, other, at)]
        return Records(sorted(found, key=lambda m: (-m.value, m.feature)))

    def records(self, key: SourceKey) -> Records[UniversalRecord]:
        """All features of a source together, a record for each other model; raises what `of` does."""
        return Records(kept.record(others) for kept, others in self._kept(self._bench.catalog.entry(key)))

    def matches(
        self, key: SourceKey, other: SourceKey, *, by: By = "value", mutual: bool = False, beyond: bool = True,
        top: int = 25, offset: int = 0,
    ) -> MatchesRecord:  # fmt: skip
        """The best matches of a source's features in another model's source, in the order of `by`.

        `value`, its `margin` over the bound, what it is better by than the best single token (`words`), or the
        feature's own `index`. `mutual`: only those that are each other's best; `beyond`: only those above the bound.

        Raises:
            BadInput: there is no such order, or both are of one model.
            NotFound: there is no such source.
            NotAvailable: nobody has compared the two yet.
        """
        self._bench._bounds(top, offset)
        if by not in get_args(By):
            raise BadInput(f"There is no order “{by}”. There is: {', '.join(get_args(By))}.")
        if key.model_id == other.model_id:
            raise BadInput(f"{key} and {other} are of one model: universality is between models.")
        self._bench.source(other)
        kept = next((k for k, others in self._kept(self._bench.catalog.entry(key)) if other in others), None)
        if kept is None:
            raise NotAvailable(
                f"{key} and {other} were not compared yet: `python -m core universal {key.model_id} {other.model_id}` "
                "does it where their activation stores were kept."
            )
        order = kept.order(other, by, mutual=mutual, beyond=beyond)
        return MatchesRecord(
            pair=kept.pair(other), by=by, offset=offset, total=len(order),
            matches=tuple(self._drawn(kept, other, order[offset : offset + top])),
        )  # fmt: skip

    def _drawn(self, kept: Kept, other: SourceKey, indices: NDArray[np.int64]) -> list[Match]:
        """The matches of some features in one source; of those that have one."""
        vocabulary, at = self._bench._vocabulary(other.model_id), kept.others.index(other)
        return [
            Match(
                of=FeatureKey(kept.key.model_id, kept.key.source_id, i),
                feature=FeatureKey(other.model_id, other.source_id, int(kept.index[i, at])),
                value=float(kept.value[i, at]), bound=float(kept.bound[i, at]), p=float(kept.p[i, at]),
                mutual=bool(kept.mutual[i, at]), token=vocabulary.alone(int(kept.token[i])),
                token_value=float(kept.token_value[i]),
            )
            for i in indices.tolist()
            if kept.index[i, at] >= 0
        ]  # fmt: skip

    def _kept(self, entry: Entry) -> list[tuple[Kept, tuple[SourceKey, ...]]]:
        """What was found for a source, one for each other model, with its sources that are here and as they were."""
        found: dict[str, tuple[Kept, tuple[SourceKey, ...]]] = {}
        for folder, time in self._folders(entry.record.key):
            with self._lock:
                held = self._open.get(folder)
            if held is None or held[0] != time:
                made = derived.read_made(folder)
                if made.get("from", {}).get("format") != FORMAT:
                    continue
                held = (time, Kept(entry.record.key, entry.record.width, folder, made))
                with self._lock:
                    self._open[folder] = held
            kept = held[1]
            others = tuple(other for other, stamp in kept.stamps.items() if self._as_it_was(other, stamp))
            if others and kept.stamp == derived.stamp(entry.manifest.build):
                found.setdefault(others[0].model_id, (kept, others))
        return [found[name] for name in sorted(found)]

    def _folders(self, key: SourceKey) -> list[tuple[Path, int]]:
        """Every such folder of a source and when it was made, the newest first."""
        found = []
        for root in self._bench.catalog.roots:
            for made in (root / key.model_id / key.source_id / "derived").glob(f"{KIND}-*/{derived.MADE}"):
                try:
                    found.append((made.parent, made.stat().st_mtime_ns))
                except OSError:  # taken away just now
                    continue
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def _as_it_was(self, key: SourceKey, stamp: dict[str, Any]) -> bool:
        try:
            return derived.stamp(self._bench.catalog.entry(key).manifest.build) == stamp
        except NotFound:
            return False

    # -- making --------------------------------------------------------------------------------------------------------

    def make(
        self, first: Side, second: Side, *, draws: int = DRAWS, seed: int = 0, tell: Tell | None = None
    ) -> dict[SourceKey, Path]:  # fmt: skip
        """Compares two models from their stores; gives the folder of each source. See `Atlas.make_universal`.

        Raises:
            BadInput: it is one model, sources of one model were built on different texts, or `draws` will not do.
            NotFound: there is no such model or source.
            NotAvailable: one was kept without its store, there is no common text, or nothing can be written.
            BadData: the files of a source are damaged.
        """
        if not 2 <= draws <= MOST_DRAWS:
            raise BadInput(f"draws: {draws:,} is not between 2 and {MOST_DRAWS:,}.")
        sides = [self._sources(one) for one in (first, second)]
        names = [keys[0].model_id for keys in sides]
        if names[0] == names[1]:
            raise BadInput(
                f"Both are {names[0]}: universality is between two models. Sources of one model are compared token by "
                "token, by `Workbench.atlas.compare`."
            )
        from core.atlas.universal.matching import compare

        models = [self._model(keys) for keys in sides]
        stamps = {key: derived.stamp(self._bench.catalog.entry(key).manifest.build) for keys in sides for key in keys}
        found = compare(models[0], models[1], draws=draws, seed=seed, tell=tell)
        places = {}
        for table in found.tables:
            made_from = {
                "format": FORMAT, "source": stamps[table.key], "draws": draws, "seed": seed,
                "others": {str(other): stamps[other] for other in table.others},
            }  # fmt: skip
            facts = _facts(table, found, draws)
            with derived.making(self._bench.settings.data, table.key, KIND, made_from, facts) as folder:
                write_batches(folder / FILE, SCHEMA, [_batch(table)], compact=True)
            places[table.key] = (
                self._bench.settings.data / table.key.model_id / table.key.source_id / "derived"
                / derived.folder_name(KIND, made_from)
            )  # fmt: skip
        return places

    def _sources(self, named: Side) -> list[SourceKey]:
        """The sources of one side; of a model's id those that can be compared."""
        if isinstance(named, str) and "/" not in named:
            self._bench.model(named)
            each = self._bench.sources(model_id=named)
            found = [s.key for s in each if not s.signed and "store" in s.has]
            if not found:
                raise NotAvailable(
                    f"No sparse source of {named} was kept with its activation store: build one with `store: true`."
                )
            return found
        found = [
            one if isinstance(one, SourceKey) else SourceKey.parse(one)
            for one in ([named] if isinstance(named, str | SourceKey) else named)
        ]
        if not found:
            raise BadInput("Name a model or a source on either side.")
        return found

    def _model(self, keys: Sequence[SourceKey]) -> Model:
        """What is compared of one model."""
        from core.atlas.universal.characters import Reading
        from core.atlas.universal.matching import Model

        entries = [self._bench.catalog.entry(key) for key in keys]
        texts = {e.manifest.build.get("dataset_sha256") for e in entries}
        if len(texts) > 1 or len({e.record.key.model_id for e in entries}) > 1:
            raise BadInput(f"{', '.join(map(str, keys))}: these were not built on the same texts of one model.")
        data, vocabulary = self._bench._open.get(entries[0].folder), self._bench._vocabulary(keys[0].model_id)
        reading = Reading.of(data, vocabulary, packed=entries[0].manifest.build.get("cut") == "packed")
        ids = max(len(vocabulary), int(reading.tokens.max(initial=0)) + 1)
        stores = {e.record.key: self._bench._open.get(e.folder).fitting_store(e.record.width) for e in entries}
        return Model(reading, ids, stores)


class Kept:
    """The table of one source, read."""

    def __init__(self, key: SourceKey, width: int, folder: Path, made: dict[str, Any]) -> None:
        self.key, self.made = key, made
        try:
            self.stamp: dict[str, Any] = made["from"]["source"]
            self.stamps: dict[SourceKey, dict[str, Any]] = {
                SourceKey.parse(name): stamp for name, stamp in made["from"]["others"].items()
            }
            self.others = tuple(self.stamps)
            columns = _read(folder / FILE, width, len(self.others))
            self._facts = [
                (float(made["expected"][n]), float(made["chance"][n]), tuple(map(float, made["chance_counts"][n])))
                for n in range(len(self.others))
            ]
        except (*DAMAGED, BadInput, TypeError, AttributeError) as error:
            name = f"{folder.name} of {folder.parent.parent.name}"
            raise BadData(f"{name} cannot be read: {error}. Make it again: `python -m core universal`.") from error
        self.compared, self.mutual, self.index, self.value, self.bound, self.p, self.token, self.token_value = (
            columns[n] for n in ("compared", "mutual", "index", "value", "bound", "p", "token", "token_value")
        )
        self._any = columns["any_bound"], columns["any_p"]

    def pair(self, other: SourceKey) -> PairRecord:
        """All features together, in one other source."""
        at = self.others.index(other)
        value, bound = self.value[self.compared, at], self.bound[self.compared, at]
        above, words = value > bound, self.token_value[self.compared]
        expected, chance, counts = self._facts[at]
        bins = np.histogram(np.clip(value, 0, 1), len(counts), (0, 1))[0]
        return PairRecord(
            key=self.key, other=other, compared=int(self.compared.sum()), width=len(self.compared),
            universal=int(above.sum()), expected=expected, better_than_token=int((above & (value > words)).sum()),
            mutual=int((above & self.mutual[self.compared, at]).sum()),
            median=float(np.median(value)) if len(value) else 0.0, chance=chance, counts=tuple(bins.tolist()),
            chance_counts=counts,
        )  # fmt: skip

    def record(self, others: Sequence[SourceKey]) -> UniversalRecord:
        """The same in every source of the other model."""
        best = self.value[self.compared].max(axis=1, initial=0.0)
        return UniversalRecord(
            key=self.key, model_id=others[0].model_id, bytes=int(self.made.get("bytes", 0)),
            documents=int(self.made.get("documents", 0)), draws=int(self.made.get("draws", 0)),
            made=str(self.made.get("made", "")), pairs=tuple(self.pair(other) for other in others),
            compared=int(self.compared.sum()), universal=int((best > self._any[0][self.compared]).sum()),
            expected=float(self.made["expected"][-1]),
        )  # fmt: skip

    def order(self, other: SourceKey, by: By, *, mutual: bool, beyond: bool) -> NDArray[np.int64]:
        """The features that have a match, in an order."""
        at = self.others.index(other)
        value, bound = self.value[:, at], self.bound[:, at]
        some = self.index[:, at] >= 0
        if mutual:
            some = some & self.mutual[:, at]
        if beyond:
            some = some & (value > bound)
        found = np.flatnonzero(some)
        rank = {"value": value, "margin": value - bound, "words": value - self.token_value}
        return found if by == "index" else found[np.argsort(-rank[by][found], kind="stable")]


def _facts(table: Table, found: Compared, draws: int) -> dict[str, Any]:
    """What of a table goes into `made.json`."""
    return {
        "bytes": found.text.size,
        "documents": found.text.documents,
        "draws": draws,
        "expected": [round(float(x), 5) for x in table.expected],
        "chance": [round(float(x), 5) for x in table.chance],
        "chance_counts": [[round(float(x), 2) for x in row] for row in table.chance_counts],
    }


def _batch(table: Table) -> pa.RecordBatch:
    def rows(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(list(np.ascontiguousarray(values.T)), kind)

    columns = [
        pa.array(table.compared), rows(table.index, SCHEMA.field("index").type),
        rows(table.value, SCHEMA.field("value").type), rows(table.bound.astype(np.float16), _HALVES),
        rows(table.p, SCHEMA.field("p").type), rows(table.mutual, SCHEMA.field("mutual").type),
        pa.array(table.any_bound.astype(np.float16)), pa.array(table.any_p), pa.array(table.token),
        pa.array(table.token_value),
    ]  # fmt: skip
    return pa.record_batch(columns, schema=SCHEMA)


def _read(path: Path, width: int, others: int) -> dict[str, NDArray[Any]]:
    """Each column, [features] or [features, others]; raises `ValueError` if they do not fit the source."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    if not table.schema.equals(SCHEMA) or len(table) != width:
        raise ValueError("it does not fit the source")
    found: dict[str, NDArray[Any]] = {}
    for name in SCHEMA.names:
        column = table[name].combine_chunks()
        column.validate(full=True)
        if pa.types.is_list(column.type):
            found[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(width, others)
        else:
            found[name] = column.to_numpy(zero_copy_only=False)
    return found
