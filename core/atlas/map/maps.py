"""Maps: finds the one of some sources, or makes it. What `core.atlas.door` asks.

Points are features that fire, one each: by their decoder directions, or by the vector of what is said of them (of
several explanations the one with the best score, by the scorer that stands first). Several sources lie on one map where
their directions are in one space, which is the residual stream of one model; explanations of any sources do.

Two never make the same map at once: whoever comes second waits, and finds it made.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.atlas.map import files
from core.atlas.map.records import Cluster, MapRecord, Of
from core.errors import BadInput, NotAvailable, NotFound, WorkbenchError
from core.explain.records import ORDER, Brief
from core.records import SourceKey, SourceRecord, Step, Tell
from core.store import derived

if TYPE_CHECKING:
    from core.workbench import Workbench

OPEN = 16
"""Maps that are kept in memory."""
USUAL = 0.88
"""Share of the points that lie as near to the middle as UMAP put them."""
WORTH = 1000
"""Features that fire, from which on a build makes a source's map; smaller ones are made at once when asked for."""
LEXICON = 600
"""Prompts whose words tell words from pieces of words."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """What is laid out."""

    source: NDArray[np.uint8]
    index: NDArray[np.uint32]
    vectors: NDArray[np.float32]
    lines: tuple[str, ...]
    """What is said of each; empty where nothing is."""
    dead: int
    unsaid: int


class Maps:
    """The maps of a workbench. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._open: OrderedDict[Path, tuple[int, tuple[MapRecord, NDArray[np.uint16]]]] = OrderedDict()
        self._lock = threading.Lock()  # guards _open
        self._making = threading.Lock()  # one map is made at a time: it takes a core and a gigabyte

    def found(self, keys: Sequence[SourceKey], of: Of, *, seed: int = 0) -> MapRecord | None:
        """The map of some sources, if it was made.

        Raises:
            NotFound: there is no such source.
            BadData: its files are damaged.
        """
        sources = self._sources(keys, of)
        folder = self._folder(sources, of, seed)
        if folder is None:
            return None
        record, texts = self._read(folder, of, [source.key for source in sources])
        return replace(record, changed=self._changed(record, texts)) if len(texts) else record

    def made(
        self, keys: Sequence[SourceKey], of: Of, *, seed: int = 0, anew: bool = False, tell: Tell | None = None
    ) -> MapRecord:
        """The map of some sources; makes it where it was not made, or `anew`.

        Raises:
            BadInput: directions of several models are asked for.
            NotFound: there is no such source.
            NotAvailable: weights, explanations or the embedder are not here, or nothing can be written.
        """
        sources = self._sources(keys, of)
        begun = time.time()
        if not anew and (record := self.found(keys, of, seed=seed)):
            return record
        with self._making, self._alone(sources[0].key):
            folder = self._folder(sources, of, seed)
            if folder and (not anew or (folder / derived.MADE).stat().st_mtime > begun):
                found = self.found(keys, of, seed=seed)  # somebody else made it meanwhile
                if found:
                    return found
            self._make(sources, of, seed, tell or (lambda step: None))
        found = self.found(keys, of, seed=seed)
        if found is None:
            raise NotAvailable("The map was made, and is not here any more.")
        return found

    def after_build(
        self, keys: Sequence[SourceKey], *, both: bool, tell: Callable[[str, float, float], None] | None = None
    ) -> None:
        """The maps of sources that were just built, each and together, where they are `WORTH` it.

        `both`: of explanations too. One that cannot be made is left out: the build stands without it.
        """
        large = [key for key in keys if self._bench.source(key).alive >= WORTH]
        groups = [[key] for key in large] + ([large] if len(large) > 1 else [])
        kinds: tuple[Of, ...] = ("decoder", "explanation") if both else ("decoder",)
        for some in groups:
            for of in kinds:
                name = some[0].source_id if len(some) == 1 else f"{len(some)} sources"

                def said(step: Step, name: str = name) -> None:
                    if tell is not None:
                        tell(f"map of {name}: {step.what}", step.done, step.of)

                with suppress(WorkbenchError):
                    self.made(some, of, tell=said)

    def _sources(self, keys: Sequence[SourceKey], of: Of) -> list[SourceRecord]:
        if of not in ("decoder", "explanation"):
            raise BadInput(f"A map is of decoder or explanation; there is no “{str(of)[:40]}”.")
        if not keys:
            raise BadInput("A map is of at least one source: name some.")
        sources = [self._bench.source(key) for key in sorted(set(keys))]
        if len(sources) > self._bench.settings.max_sources:
            raise BadInput(
                f"{len(sources)} sources are too many for one map: at most {self._bench.settings.max_sources}."
            )
        if of == "decoder" and len(models := {source.key.model_id for source in sources}) > 1:
            raise BadInput(
                f"Decoder directions of {' and '.join(sorted(models))} are in no common space, and make no one map. "
                "Map their explanations, or one model."
            )
        return sources

    def _folder(self, sources: Sequence[SourceRecord], of: Of, seed: int) -> Path | None:
        return derived.find(self._bench.catalog.roots, sources[0].key, "map", self._made_from(sources, of, seed))

    def _made_from(self, sources: Sequence[SourceRecord], of: Of, seed: int) -> dict[str, object]:
        stamps = {s.key: derived.stamp(self._bench.catalog.entry(s.key).manifest.build) for s in sources}
        embedder = self._bench.words._seeker.embedder.name if of == "explanation" else ""
        return files.made_from(of, stamps, embedder, seed)

    def _read(self, folder: Path, of: Of, keys: Sequence[SourceKey]) -> tuple[MapRecord, NDArray[np.uint16]]:
        mark = (folder / derived.MADE).stat().st_mtime_ns
        with self._lock:
            held = self._open.get(folder)
        if held is None or held[0] != mark:
            held = (mark, files.read(folder, of, keys))
            with self._lock:
                self._open[folder] = held
                if len(self._open) > OPEN:
                    self._open.popitem(last=False)
        return held[1]

    def _changed(self, record: MapRecord, texts: NDArray[np.uint16]) -> int:
        """Points about which something else is said now than when the map was made."""
        changed = 0
        for number, key in enumerate(record.sources):
            here = record.source == number
            lines = {one.index: one.text for one in leading(self._bench.words.briefs(key)).values()}
            now = _ends([lines.get(int(index), "") for index in record.index[here]])
            changed += int((now != texts[here]).sum())
        return changed

    # -- making --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, key: SourceKey) -> Iterator[None]:
        """While another process makes a map in the same place, this one waits."""
        folder = self._bench.settings.data / key.model_id
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f".{key.source_id}.map.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise NotAvailable(
                f"{folder} cannot be written: {error.strerror or error}. Set FEATURESCOPE_DATA."
            ) from error

    def _make(self, sources: Sequence[SourceRecord], of: Of, seed: int, tell: Tell) -> None:
        from core.atlas.map import clusters, layout

        began = time.monotonic()

        def said(what: str, done: int, of_: int) -> None:
            tell(Step(doing="mapping", what=what, done=done, of=of_))

        said("reading what is to be mapped", 0, 0)
        points = self._points(sources, of, tell)
        if not len(points.index):
            names = ", ".join(str(source.key) for source in sources)
            raise NotAvailable(f"Nothing of {names} can be mapped: no feature that fires has been explained.")
        laid = layout.place(points.vectors, seed=seed, tell=said)
        said("finding clusters", 0, 0)
        xy = framed(laid.xy)
        found, each = clusters.find(xy, laid.fitted)
        words = clusters.labels(found, points.lines, self._words(sources))
        named = tuple(
            Cluster(
                id=n, level=one.level, words=words[n], x=float(np.median(xy[one.members, 0])),
                y=float(np.median(xy[one.members, 1])), size=len(one.members),
                parent=None if one.parent < 0 else one.parent,
            )
            for n, one in enumerate(found)
        )  # fmt: skip
        record = MapRecord(
            of=of, sources=tuple(source.key for source in sources), name="", source=points.source, index=points.index,
            x=xy[:, 0], y=xy[:, 1], cluster=each, clusters=named, fitted=len(laid.fitted), dead=points.dead,
            unsaid=points.unsaid, seed=seed, made="", seconds=time.monotonic() - began,
        )  # fmt: skip
        texts = _hashes(points.lines) if of == "explanation" else np.zeros(0, np.uint64)
        facts: dict[str, object] = {}
        made_from = self._made_from(sources, of, seed)
        with derived.making(self._bench.settings.data, sources[0].key, "map", made_from, facts) as folder:
            facts.update(files.write(folder, record, texts))

    def _points(self, sources: Sequence[SourceRecord], of: Of, tell: Tell) -> Points:
        parts = [self._of(n, source, of, several=len(sources) > 1, tell=tell) for n, source in enumerate(sources)]
        return Points(
            source=np.concatenate([part.source for part in parts]),
            index=np.concatenate([part.index for part in parts]),
            vectors=np.concatenate([part.vectors for part in parts if len(part.index)] or [parts[0].vectors]),
            lines=tuple(line for part in parts for line in part.lines),
            dead=sum(part.dead for part in parts),
            unsaid=sum(part.unsaid for part in parts),
        )

    def _of(self, number: int, source: SourceRecord, of: Of, *, several: bool, tell: Tell) -> Points:
        """The points of one source."""
        living = np.array([key.index for key in self._bench.living(source.key)], np.int64)
        if of == "decoder":
            from core.atlas import vectors

            best = leading(self._bench.words.briefs(source.key))
            rows = (vectors.written if several else vectors.decoder)(self._bench, source.key)[living]
            lines = tuple(best[i].text if i in best else "" for i in living.tolist())
        else:
            living, lines, rows = self._said(source.key, living, tell)
        return Points(
            source=np.full(len(living), number, np.uint8), index=living.astype(np.uint32), vectors=rows, lines=lines,
            dead=source.width - source.alive, unsaid=source.alive - len(living),
        )  # fmt: skip

    def _said(
        self, key: SourceKey, living: NDArray[np.int64], tell: Tell
    ) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.float32]]:
        """(the features of which something is said, what, its vectors)."""
        from core.explain.meaning.vectors import _rows, text_hash

        (shelf,) = self._bench.words._seeker.ready([key], patience=float("inf"), tell=tell)
        best = leading(shelf.briefs)
        kept = [index for index in living.tolist() if index in best]
        if not kept or shelf.kept is None:
            return np.zeros(0, np.int64), (), np.zeros((0, 1), np.float32)
        lines = tuple(best[index].text for index in kept)
        rows = np.array([shelf.kept.row(text_hash(line)) for line in lines], np.int64)
        return np.array(kept, np.int64), lines, _rows(shelf.kept, rows)

    def _words(self, sources: Sequence[SourceRecord]) -> frozenset[str] | None:
        """The words of the texts that the sources were built on, so that a token which is a piece of one is known."""
        from core.atlas.map.clusters import WORD

        seen: Counter[str] = Counter()
        try:
            for source in {(s.key.model_id, s.dataset_sha256): s for s in sources}.values():
                step = max(1, source.prompts // LEXICON)
                for number in range(0, source.prompts, step):
                    text = "".join(t.text for t in self._bench.prompt(source.key, number) if not t.special)
                    seen.update(map(str.lower, WORD.findall(text)[1:-1]))  # a prompt may begin and end inside of one
        except NotFound:
            return None
        return frozenset(word for word, count in seen.items() if count > 1) or None


def leading(briefs: Sequence[Brief]) -> dict[int, Brief]:
    """Of each feature the explanation that stands for it: the best by the scorer that stands first, then the first."""
    best: dict[int, Brief] = {}
    for one in briefs:
        held = best.get(one.index)
        if held is None or _rank(one) < _rank(held):
            best[one.index] = one
    return best


def _rank(one: Brief) -> tuple[int, float]:
    if one.score != one.score or one.scorer not in ORDER:
        return len(ORDER), 0.0
    return ORDER.index(one.scorer), -one.score


def _hashes(lines: Sequence[str]) -> NDArray[np.uint64]:
    from core.explain.meaning.vectors import text_hash

    return np.array([int.from_bytes(text_hash(line)[:8], "little") for line in lines], np.uint64)


def _ends(lines: Sequence[str]) -> NDArray[np.uint16]:
    return (_hashes(lines) & np.uint64(0xFFFF)).astype(np.uint16)


def framed(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points between -1 and 1, on one scale, their frame's middle at 0, for a screen that is wide.

    UMAP's own axes mean nothing, nor does how far away an island lies: far ones are drawn closer, in their order, so
    that the rest has room, and all is turned so that it lies along the x axis.
    """
    middle = xy - np.median(xy, axis=0)
    far = np.linalg.norm(middle, axis=1, keepdims=True)
    usual = max(float(np.quantile(far, USUAL)), 1e-6)
    times = np.maximum(far / usual, 1)
    closer = middle * (1 + 0.45 * np.log(times)) / times
    _, vectors = np.linalg.eigh(closer.T @ closer)
    along = vectors[:, 1] if vectors[np.abs(vectors[:, 1]).argmax(), 1] > 0 else -vectors[:, 1]
    turned = closer @ np.array([[along[0], -along[1]], [along[1], along[0]]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-6)
    return np.asarray((turned - (low + high) / 2) / half, np.float32)
