"""Who fires with whom, as it is asked: from the stores where they are here, else from what was kept of them.

Live answers are exact for any window and any length of a list; kept ones (`keeping.py`) hold each feature's
best few for the same token. Opened stores keep the moments of their features, 24 bytes each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.atlas.together import keeping, pairs
from core.atlas.together.coactivation import Found, avoiding, likely, mate
from core.atlas.together.correlation import Stored, counted, drawn, pearson, row, same_tokens
from core.atlas.together.records import Mate, Mates, Near, Together
from core.catalog.catalog import Entry
from core.errors import BadInput, NotAvailable, NotFound, WorkbenchError
from core.kernel import F64, I64
from core.records import FeatureKey, LeftOut, Records, SourceKey
from core.store.layout import SourceData

if TYPE_CHECKING:
    from core.workbench import Workbench

SAMPLE = 64
"""Features that stand for their source where nothing was kept of it."""
WINDOW = 64
"""Tokens on either side at most."""


class Company:
    """Correlations and co-activations of every source that has a store or kept lists."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._stores: dict[Path, tuple[SourceData, Stored]] = {}
        self._open: dict[Path, tuple[int, keeping.Kept]] = {}
        self._drawn: dict[tuple[Path, Path], tuple[Stored, Stored, F64]] = {}
        self._lock = threading.Lock()  # guards what is kept above
        self._making = threading.Lock()  # one at a time: each takes all cores

    def correlated(self, key: FeatureKey, sources: Sequence[SourceKey], top: int) -> Records[Near]:
        """The features of some sources whose activations correlate most with this one's, over all of them.

        Raises:
            NotFound: there is no such feature or source.
            BadInput: a source is of another model or of other texts.
            NotAvailable: a source has neither a store nor kept lists.
        """
        found = [
            one
            for source in sources
            for one in self._mates(self._entry(key), key, source, 0, top).correlated
            if one.correlation is not None
        ]
        found.sort(key=lambda one: (-(one.correlation or 0.0), one.feature))
        return Records(Near(one.feature, one.correlation or 0.0) for one in found[:top])

    def of(
        self, key: FeatureKey, sources: Sequence[SourceKey], window: int, top: int, *, strict: bool, kept: bool = False
    ) -> Together:
        """What fires with a feature in each of some sources; `strict`: whether one that cannot be had is an error.

        `kept`: only from what was kept.

        Raises:
            BadInput: the window is out of bounds; and as `correlated`, if `strict`.
        """
        if not 0 <= window <= WINDOW:
            raise BadInput(f"window is 0 (the same token) to {WINDOW} tokens.")
        mine = self._entry(key)
        made: list[Mates] = []
        lost: list[LeftOut] = []
        for source in sources:
            try:
                made.append(self._mates(mine, key, source, window, top, kept=kept))
            except WorkbenchError as error:
                if strict:
                    raise
                lost.append(LeftOut(key=source, why=str(error)))
        features = self._data(mine).features
        return Together(
            feature=key, label=_label(self._data(mine), key.index), tokens=mine.record.tokens, window=window,
            active=int(features.column("active")[key.index].as_py()), sources=tuple(made), left_out=tuple(lost),
        )  # fmt: skip

    def best(self, a: SourceKey, b: SourceKey) -> keeping.Best:
        """Each feature's most correlated one in another source, as it was kept.

        Raises:
            BadInput: the sources are of other models or texts.
            NotAvailable: it was not made.
        """
        mine, its = self._bench.catalog.entry(a), self._bench.catalog.entry(b)
        same_tokens(mine, its)
        kept = self._kept(mine, its)
        if kept is None:
            raise NotAvailable(_lacking(a, b))
        return kept.best(mine.record.width, its.record.width)

    def strongest(self, a: SourceKey, b: SourceKey) -> F64:
        """The largest correlation that living features of `a` have in `b`, 0 for one without any.

        Of all of them where their best were kept, else of `SAMPLE` that are drawn evenly, from the stores.

        Raises:
            BadInput: the sources are of other models or texts.
            NotAvailable: there are neither stores nor what was kept of them.
        """
        mine, its = self._bench.catalog.entry(a), self._bench.catalog.entry(b)
        same_tokens(mine, its)
        kept = self._kept(mine, its)
        if kept is not None:
            best = kept.best(mine.record.width, its.record.width)
            living = self._data(mine).features.column("active").to_numpy() > 0
            return np.where(best.index >= 0, best.pearson, 0.0)[living]
        one, other = self._stored(mine), self._stored(its)
        if one is None or other is None:
            raise NotAvailable(_lacking(a, b))
        with self._lock:
            held = self._drawn.get((mine.folder, its.folder))
        if held is None or held[0] is not one or held[1] is not other:
            held = (one, other, drawn(one, other, SAMPLE))
            with self._lock:
                self._drawn[mine.folder, its.folder] = held
        return held[2]

    def kept(self, a: FeatureKey, b: FeatureKey) -> Found | None:
        """What the kept lists of a feature say of another; None if it is in none of them.

        Raises:
            NotAvailable: there are no such lists.
            BadData: they are damaged.
        """
        mine, its = self._entry(a), self._entry(b)
        lists = self._kept(mine, its)
        if lists is None:
            raise NotAvailable(_lacking(a.source, b.source))
        active: I64 = self._data(its).features.column("active").to_numpy().astype(np.int64)
        partners, never = lists.row(a.index, active)
        return next((one for one in (*partners, *never) if one.index == b.index), None)

    def make(self, keys: Sequence[SourceKey], tell: keeping.Tell) -> int:
        """Makes and keeps the lists of all pairs of some sources of one model; how many pairs there were to do.

        Raises:
            BadInput: they are of different models or texts.
            NotAvailable: a source has no store, or nothing can be written.
        """
        entries = [self._bench.catalog.entry(key) for key in dict.fromkeys(keys)]
        for one in entries[1:]:
            same_tokens(entries[0], one)
        root = self._bench.settings.data
        with self._making, keeping.parts_folder(root, entries[0].record.key.model_id) as folder:
            members = [self._member(entry, folder) for entry in entries]
            compact = all(entry.manifest.build.get("compact") for entry in entries)
            return keeping.make(root, members, lambda a, b: True, compact=compact, tell=tell)

    def possible(self, keys: Sequence[SourceKey]) -> bool:
        """Whether `make` could: every source has its store."""
        return all("store" in self._bench.source(key).has for key in keys)

    def stored(self, key: SourceKey) -> Stored | None:
        """A source's store; None where it was kept without."""
        return self._stored(self._bench.catalog.entry(key))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _mates(
        self, mine: Entry, key: FeatureKey, source: SourceKey, window: int, top: int, *, kept: bool = False
    ) -> Mates:
        its = self._bench.catalog.entry(source)
        same_tokens(mine, its)
        one, other = (None, None) if kept else (self._stored(mine), self._stored(its))
        if one is not None and other is not None:
            lists = self._live(one, key, other, source, window, top)
            living, a = int((other.active > 0).sum()), int(one.active[key.index])
        else:
            held = self._kept(mine, its)
            if held is None:
                raise NotAvailable(_lacking(key.source, source))
            if window:
                raise NotAvailable(
                    f"A window needs the stores of {key.source} and {source}; what was kept is of the same token."
                )
            active: I64 = self._data(its).features.column("active").to_numpy().astype(np.int64)
            partners, never = held.row(key.index, active)
            lists = (partners[: keeping.PARTNERS], partners, never)
            top = min(top, keeping.PARTNERS)  # of what is beyond these, others may be better
            living = int((active > 0).sum())
            a = int(self._data(mine).features.column("active")[key.index].as_py())
        tests = max(1, living - (key.source == source))
        data, n = self._data(its), mine.record.tokens
        labels = data.features.column("label")
        known: dict[int, Mate] = {}

        def named(found: Sequence[Found]) -> list[Mate]:
            return [known.setdefault(id(f), mate(source, f, str(labels[f.index].as_py()), a, n, tests)) for f in found]

        mates = [named(found) for found in lists]
        return Mates(
            source=source, correlated=tuple(mates[0][:top]), together=likely(mates[1], top),
            never=avoiding(mates[2], top), live=one is not None and other is not None,
            tails=mine.record.signed or its.record.signed,
        )  # fmt: skip

    def _live(
        self, one: Stored, key: FeatureKey, other: Stored, source: SourceKey, window: int, top: int
    ) -> tuple[list[Found], list[Found], list[Found]]:
        found = row(one, key.index, other, self._counted(key.source) if window else np.zeros(1, np.int64), window)
        r = pearson(one, key.index, other, found.products)
        own = key.index if key.source == source else -1
        logs = pairs.logarithms(one.n)
        mine = (int(one.active[key.index]), float(one.mean[key.index]), float(one.spread[key.index]))

        def listed(both: I64, active: I64, most: tuple[int, int, int]) -> pairs.Lists:
            lists = pairs.Lists.empty(1, max(most))
            pairs.listed(
                own, found.products, both, one.n, logs, *mine, active, other.mean, other.spread,
                np.array(most, np.int64), lists.index, lists.pearson, lists.both, lists.score,
            )  # fmt: skip
            return lists

        if window:
            parts = (
                listed(found.both, other.active, (top, 0, 0)),
                listed(found.near, found.near_active, (0, top, top)),
            )
            return (
                _found(parts[0], pairs.CORRELATED, found.both, other.active, r),
                _found(parts[1], pairs.LIKELY, found.near, found.near_active, r),
                _found(parts[1], pairs.NEVER, found.near, found.near_active, r),
            )
        whole = listed(found.both, other.active, (top, top, top))
        kinds = (pairs.CORRELATED, pairs.LIKELY, pairs.NEVER)
        made = [_found(whole, kind, found.both, other.active, r) for kind in kinds]
        return made[0], made[1], made[2]

    def _entry(self, key: FeatureKey) -> Entry:
        entry = self._bench.catalog.entry(key.source)
        if key.index >= entry.record.width:
            raise NotFound(f"{key.source} has features 0 to {entry.record.width - 1}; there is no {key.index}.")
        return entry

    def _data(self, entry: Entry) -> SourceData:
        return self._bench._open.get(entry.folder)

    def _counted(self, key: SourceKey) -> I64:
        entry = self._bench.catalog.entry(key)
        column = self._data(entry).prompts.column("tokens")
        tokens = np.concatenate([chunk.values.to_numpy() for chunk in column.chunks])
        return counted(tokens, self._bench.catalog.model(key.model_id)[0].special)

    def _stored(self, entry: Entry) -> Stored | None:
        if "store" not in entry.record.has:
            return None
        data = self._data(entry)
        with self._lock:
            held = self._stores.get(entry.folder)
        if held is None or held[0] is not data:
            held = (data, Stored.read(data, entry.record.width, entry.record.tokens))
            with self._lock:
                self._stores[entry.folder] = held
        return held[1]

    def _kept(self, a: Entry, b: Entry) -> keeping.Kept | None:
        folder = keeping.find(self._bench.catalog.roots, a.record.key, a.manifest.build, b.manifest.build)
        if folder is None:
            return None
        mark = (folder / keeping.FILE).stat().st_mtime_ns
        with self._lock:
            held = self._open.get(folder)
            if held is None or held[0] != mark:
                held = (mark, keeping.Kept(folder))
                self._open[folder] = held
            return held[1]

    def _member(self, entry: Entry, folder: Path) -> keeping.Member:
        key, n = entry.record.key, entry.record.tokens
        found = self._stored(entry)
        if found is None:
            raise NotAvailable(
                f"{key} was kept without its activation store, so it cannot be compared anew. A build with "
                "`together: true` does it while it has the activations."
            )

        def side() -> pairs.Side:
            spans = keeping.spans(int(found.starts[-1]))
            return keeping.of_store(found, n, spans, folder / key.source_id)

        return keeping.Member(key, entry.manifest.build, side)


def _lacking(a: SourceKey, b: SourceKey) -> str:
    return (
        f"Nobody has compared {a} with {b} yet: `python -m core relate {a.model_id}` does where their activation "
        "stores were kept, and a build does anyway."
    )


def _label(data: SourceData, index: int) -> str:
    return str(data.features.column("label")[index].as_py())


def _found(lists: pairs.Lists, kind: int, both: I64, active: I64, r: F64) -> list[Found]:
    return [
        Found(i, None if np.isnan(r[i]) else float(r[i]), int(both[i]), int(active[i]))
        for i in lists.index[kind, 0].tolist()
        if i >= 0
    ]
