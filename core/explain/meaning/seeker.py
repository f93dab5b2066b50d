"""Search among all explanations: keeps what is needed ready, renews what changed, and answers.

A source's explanations are read again when `Provider.mark` says that they changed (asked every `FRESH` seconds at most)
or when the source was built anew. Texts without a vector are embedded in batches, in a thread of its own; who waits for
that is told how far it is, and is sent away when their patience is over: the work goes on. One piece of it runs at a
time, since all share the thread that computes. Where one provider does not answer (people's explanations, with Supabase
away), the others' are searched, and the record says what is lacking.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadInput, Busy, NotAvailable, WorkbenchError
from core.explain.meaning import vectors
from core.explain.meaning.embedder import Embedder, Vectors, embedder
from core.explain.meaning.ranking import Wanted, page
from core.explain.meaning.shelf import Shelf, shelve
from core.explain.records import Brief, MeaningRecord, Provider
from core.records import SourceKey, Step, Tell

if TYPE_CHECKING:
    from core.workbench import Workbench

SHORTEST = 3
"""Characters of a query at least."""
FRESH = 2.0
"""Seconds for which the providers' marks are taken to be still so."""
EVERY = 1024
"""Texts after which what was embedded is written down."""
QUERIES = 1024
"""Vectors of queries that are remembered."""
POLL = 0.1


class Seeker:
    """One for a workbench. Safe to share between threads."""

    def __init__(
        self,
        bench: Workbench,
        providers: Callable[[], Sequence[Provider]],
        *,
        made: Embedder | None = None,
    ) -> None:
        self._bench, self._providers = bench, providers
        self.embedder = made or embedder(bench.settings)
        self._shelves: dict[SourceKey, Shelf] = {}
        self._marks: dict[SourceKey, tuple[float, str]] = {}
        self._queries: OrderedDict[str, tuple[Vectors, bool]] = OrderedDict()
        self._work: _Work | None = None
        self._warmed = False
        self._lock = threading.Lock()  # guards what is kept above
        self._shelving = threading.Lock()  # held while shelves are made

    def find(
        self, keys: Sequence[SourceKey], wanted: Wanted, *, patience: float, tell: Tell | None = None
    ) -> MeaningRecord:
        """The explanations of some sources that answer a query; see `core.explain.door.Words.find`."""
        query = wanted.query.strip()
        if len(query) < SHORTEST:
            raise BadInput(f"“{query}” is too short to search for: write at least {SHORTEST} characters.")
        most = self._bench.settings.max_characters
        if len(query) > most:
            raise BadInput(f"The query has {len(query):,} characters: at most {most:,}. Shorten it.")
        meaning = wanted.rank != "words"
        shelves = self.ready(keys, meaning=meaning, patience=patience, tell=tell)
        full = [shelf for shelf in shelves if len(shelf)]
        vector, cut = self._vector(query, tell) if meaning and full else (None, False)
        found = page(full, replace(wanted, query=query), vector)
        return MeaningRecord(
            query=query,
            rank=wanted.rank,
            embedder=self.embedder.name if meaning else "",
            cut=cut,
            hits=found.hits,
            total=found.total,
            offset=wanted.offset,
            looked=sum(map(len, full)),
            sources=tuple(shelf.key for shelf in shelves),
            methods=found.methods,
            lacking=tuple(dict.fromkeys(why for shelf in shelves for why in shelf.lacking)),
        )

    def warm(self) -> None:
        """Begins to load the embedder, for somebody who is about to ask; who asks meanwhile waits for the same."""
        with self._lock:
            if self._warmed or self.embedder.ready:
                return
            self._warmed = True
        threading.Thread(target=self._load, daemon=True, name="warming").start()

    def _load(self) -> None:
        with suppress(WorkbenchError):  # who asks is told
            self.embedder([" "])

    def ready(
        self,
        keys: Sequence[SourceKey],
        *,
        meaning: bool = True,
        compact: bool = False,
        patience: float,
        tell: Tell | None = None,
    ) -> list[Shelf]:
        """The shelves of some sources, in the order of their keys, as new as `FRESH` says; with vectors if `meaning`.

        Raises:
            Busy: vectors are still being made when the patience is over; the work goes on.
        """
        keys, until = sorted(set(keys)), time.monotonic() + patience
        shelves = self._shelved(keys, tell)
        while meaning and any(shelf.kept is None for shelf in shelves):
            work = self._begin([shelf for shelf in shelves if shelf.kept is None], compact)
            while not work.done.wait(POLL):
                if tell is not None and work.step is not None:
                    tell(work.step)
                if time.monotonic() > until:
                    raise Busy(work.so_far())
            if work.error is not None:
                raise work.error
            shelves = self._shelved(keys, tell)
        return shelves

    def _shelved(self, keys: Sequence[SourceKey], tell: Tell | None) -> list[Shelf]:
        """The shelves of some sources; those whose explanations changed are made anew, without vectors."""
        marks = self._marked(keys)
        with self._shelving:
            stale = [key for key in keys if key not in self._shelves or self._shelves[key].mark != marks[key]]
            away: dict[int, str] = {}
            for n, key in enumerate(stale):
                if tell is not None:
                    tell(Step(doing="embedding", what=str(key), done=n, of=len(stale)))
                made = self._shelf(key, marks[key], away)
                with self._lock:
                    self._shelves[key] = made
            with self._lock:
                return [self._shelves[key] for key in keys]

    def _marked(self, keys: Sequence[SourceKey]) -> dict[SourceKey, str]:
        """Of each source what tells its explanations and its build from others."""
        now, away, made = time.monotonic(), set[int](), {}
        for key in keys:
            with self._lock:
                held = self._marks.get(key)
            if held is None or now - held[0] > FRESH:
                held = (now, self._mark(key, away))
                with self._lock:
                    self._marks[key] = held
            made[key] = held[1]
        return made

    def _mark(self, key: SourceKey, away: set[int]) -> str:
        """`away` gets the numbers of providers that do not answer, which are not asked again for the next source."""
        parts = [self._bench.build_of(key)]
        for n, provider in enumerate(self._providers()):
            try:
                parts.append("away" if n in away else f"={provider.mark(key)}")
            except Busy:
                away.add(n)
                parts.append("away")
        return "/".join(parts)

    def _shelf(self, key: SourceKey, mark: str, away: dict[int, str]) -> Shelf:
        """A source's explanations, without those of providers that do not answer: `away` says why."""
        briefs: list[Brief] = []
        for n, provider in enumerate(self._providers()):
            try:
                if n not in away:
                    briefs += provider.briefs(key)
            except Busy as error:
                away[n] = str(error)
        try:
            density = self._bench.features(key)["density"].to_numpy(np.float32)
        except WorkbenchError as error:  # one damaged source does not keep the others from being searched
            return shelve(key, mark, (), np.zeros(0, np.float32), lacking=[str(error)])
        return shelve(key, mark, briefs, density, lacking=list(away.values()))

    def _begin(self, shelves: Sequence[Shelf], compact: bool) -> _Work:
        """The work that is being done, or that of giving vectors to some shelves."""
        with self._lock:
            if self._work is None or self._work.done.is_set():
                self._work = _Work(lambda work: self._embed(shelves, work, compact))
            return self._work

    def _embed(self, shelves: Sequence[Shelf], work: _Work, compact: bool) -> None:
        """Vectors for every text that has none, a source at a time; what is done is written down in between."""
        name = self.embedder.name
        kept = {shelf.key: vectors.open_kept(self._folders(shelf.key), name) for shelf in shelves}
        lacking = {shelf.key: _lacking(shelf, kept[shelf.key]) for shelf in shelves}
        of, done = sum(map(len, lacking.values())), 0
        for shelf in shelves:
            texts, unwritten = list(lacking[shelf.key].items()), []
            for at in range(0, len(texts), EVERY):
                some, made = texts[at : at + EVERY], []
                for batch in _batches([text for _, text in some], self.embedder.batch):
                    work.step = _step(self.embedder, done, of)
                    made.append(self.embedder(batch))
                    done += len(batch)
                unwritten += self._write(shelf.key, [one for one, _ in some], np.concatenate(made), compact)
            now = kept[shelf.key]
            if texts:
                with suppress(OSError):  # several files do as well as one
                    vectors.put_together(self._home(shelf.key), name, shelf.hashes, compact=compact)
                now = vectors.open_kept(self._folders(shelf.key), name, unwritten)
            self._embedded(shelf, now)

    def _embedded(self, shelf: Shelf, kept: vectors.Kept) -> None:
        """Puts a shelf with its vectors in the place of the one without, unless that was made anew meanwhile."""
        rows = [kept.row(one) for one in shelf.hashes]
        if None in rows:
            raise NotAvailable(f"The vectors of {shelf.key} were written, and cannot be read again.")
        made = replace(shelf, kept=kept, rows=np.array(rows, np.int64))
        with self._lock:
            if self._shelves.get(shelf.key) is shelf:
                self._shelves[shelf.key] = made

    def _write(self, key: SourceKey, hashes: Sequence[bytes], made: Vectors, compact: bool) -> list[vectors.Part]:
        """Writes vectors down; those that cannot be written, since the data root is read-only or full, come back."""
        try:
            vectors.write_part(self._home(key), self.embedder.name, hashes, made, compact=compact)
        except OSError:
            return [vectors.Part(self._home(key), tuple(hashes), made)]
        return []

    def _home(self, key: SourceKey) -> Path:
        """Of what is made later from a source."""
        return self._bench.settings.data / key.model_id / key.source_id

    def _folders(self, key: SourceKey) -> list[Path]:
        """Of a source in every data root."""
        return [root / key.model_id / key.source_id for root in self._bench.settings.roots()]

    def _vector(self, query: str, tell: Tell | None) -> tuple[Vectors, bool]:
        """(the query's vector, whether it is of its beginning only)."""
        with self._lock:
            held = self._queries.get(query)
        if held is None:
            if tell is not None and not self.embedder.ready:
                tell(Step(doing="loading", what=self.embedder.name))
            held = (self.embedder([query])[0], self.embedder.cut(query))
            with self._lock:
                self._queries[query] = held
                if len(self._queries) > QUERIES:
                    self._queries.popitem(last=False)
        return held


class _Work:
    """Something long in a thread of its own, which goes on when nobody waits for it any more."""

    def __init__(self, job: Callable[[_Work], None]) -> None:
        self.done = threading.Event()
        self.step: Step | None = None
        self.error: Exception | None = None
        self._job = job
        threading.Thread(target=self._run, daemon=True, name="embedding").start()

    def so_far(self) -> str:
        """What is told to who does not wait any longer."""
        step = self.step
        far = f": {step.done:,} of {step.of:,} are done" if step is not None and step.of else ""
        return f"The explanations are still being made ready for searching{far}. Try again in a moment."

    def _run(self) -> None:
        try:
            self._job(self)
        except Exception as error:  # raised where it is waited for
            self.error = error
        finally:
            self.done.set()


def _lacking(shelf: Shelf, kept: vectors.Kept) -> dict[bytes, str]:
    """The texts without a vector, each once."""
    return {one: brief.text for one, brief in zip(shelf.hashes, shelf.briefs, strict=True) if kept.row(one) is None}


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    yield from (texts[at : at + size] for at in range(0, len(texts), size))


def _step(made: Embedder, done: int, of: int) -> Step:
    if not made.ready:
        return Step(doing="loading", what=made.name)
    return Step(doing="embedding", what=made.name, done=done, of=of)
