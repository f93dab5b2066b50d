"""Scores of what people wrote, made later: one thread of a server, by scorers that cost nothing or that may be paid.

What lacks a score is never written down as a task: it is found by asking the store of people's things which words there
are, and the files of scores which of these have one. So nothing is lost where a server is killed, and nothing is done
twice. Scores lie in the server's own files beside each source (`core.explain.kept`), which no person can write to: in a
shared database a person's policy would have to be told from the server's, and scores could be forged. They count for
the words as they were, so an edit leaves them behind, and the new words are scored in their turn.

The embedding scorer works where nothing is paid. Detection, fuzzing and simulation need the server's own model: on a
shared server within half of each person's day of it (`llm_a_day`; the other half is theirs to ask with), and on a
workbench of one person only where it costs nothing or `llm_for_all` is set. `FREE_A_DAY` bounds what is scored of one
person by scorers that cost nothing. Over one data root one process does this at a time.

Cost: a question to the store every `EVERY` seconds; a score by embedding takes a tenth of a second, and where the
source has no activation store some passes of its model.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from core.errors import NotAvailable, NotFound, Unreachable, WorkbenchError
from core.explain.people import explanation
from core.explain.records import Explanation, Scorer
from core.records import SourceKey

if TYPE_CHECKING:
    from core.community.people import People
    from core.explain.door import Words
    from core.explain.machine.client import Endpoint
    from core.explain.scoring.score import Means
    from core.workbench import Workbench

EVERY, EVERY_SHARED = 10.0, 30.0
"""Seconds after which the store is asked whether there is something new: a file here, or one over the network."""
QUEUE, PAGE = 256, 1000
"""Explanations that wait in memory at most, and that are read at once."""
REST = 300.0
"""Seconds for which a scorer is left alone whose model or endpoint does not answer."""
FREE_A_DAY = 500
"""Scores of one person's words by scorers that cost nothing."""
GAP = 0.05
"""Seconds between two scores, for others who wait for the same processors."""
MARGIN = timedelta(minutes=2)
"""A row may appear so much later than the time that it bears."""
_log = logging.getLogger(__name__)


class Way(NamedTuple):
    """A scorer with who judges."""

    scorer: Scorer
    judge: str
    endpoint: Endpoint | None
    paid: bool


class Task(NamedTuple):
    """A score that is to be made."""

    id: str
    one: Explanation
    way: Way


class Later:
    """The scoring of one server. `start` is for servers; without it `sweep` does what is to be done, once."""

    def __init__(self, bench: Workbench, words: Words) -> None:
        self._bench, self._words = bench, words
        self._thread: threading.Thread | None = None
        self._wake, self._stopping = threading.Event(), threading.Event()
        # what follows is the thread's own, but that others look whether an id is among the tried
        self._seen: tuple[str, str] | None = None
        self._since: datetime | None = None
        self._day: date | None = None
        self._tried: set[str] = set()
        self._made: Counter[str] = Counter()
        self._rests: dict[str, datetime] = {}
        self._means: dict[Way, Means] = {}

    # -- the thread ----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether this process scores what people write."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begins, where the settings want it and people's things are kept; once."""
        if self._bench.settings.score_people and self._bench.community.community.kind != "none" and not self.running:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, daemon=True, name="scoring")
            self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends it, and waits so long for what is at work."""
        self._stopping.set()
        self._wake.set()
        for means in list(self._means.values()):
            if means.asker is not None:
                means.asker.stop.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def saw(self, found: Iterable[Explanation]) -> None:
        """Somebody looked at explanations: if one of a person's has no score yet, the store is asked at once."""
        if self.running and any(one.origin == "person" and not one.scores for one in found):
            self._wake.set()

    def _run(self) -> None:
        every, said = EVERY_SHARED if self._bench.community.shared else EVERY, ""
        while not self._stopping.is_set():
            try:
                self.sweep()
            except Unreachable:
                pass  # the store is away: it is asked again
            except Exception as error:
                if str(error) != said:  # once, not at every turn
                    known = isinstance(error, WorkbenchError)
                    _log.warning("what people wrote is not scored: %s", error, exc_info=not known)
                said = str(error)
            self._wake.wait(every)
            self._wake.clear()

    # -- what is to be done --------------------------------------------------------------------------------------------

    def pending(self, one: Explanation) -> tuple[Scorer, ...]:
        """By which scorers a person's words are still to be scored here; none where nothing runs."""
        if not self.running or one.origin != "person":
            return ()
        return tuple(task.way.scorer for task in self._lacking([one], self._ways()))

    def why(self, one: Explanation) -> str:
        """Why words have no score, where a scorer said so."""
        return self._words.machines.kept(one.feature.source).refused(one)

    def sweep(self) -> int:
        """Scores what has no score, the newest words first; how many scores were made.

        Does nothing where nothing changed since the last time, or another process over this data root is about it.
        """
        mark = self._mark()
        if mark is None or (self._seen == mark and not self._rested()):
            return 0
        with self._alone() as mine:
            return self._all(mark) if mine else 0

    def _all(self, mark: tuple[str, str]) -> int:
        made = 0
        while not self._stopping.is_set():
            begun = datetime.now(UTC)
            tasks = list(self._find())
            for task in tasks:
                made += self._do(task)
                if self._stopping.wait(GAP):
                    return made
            if len(tasks) < QUEUE:
                self._seen = mark
                self._since = None if self._rests else begun - MARGIN
                break
        return made

    def _mark(self) -> tuple[str, str] | None:
        """Another one as soon as somebody wrote, a source was built, or the day changed; None where nobody wrote."""
        newest = self._people().explanations.newest(limit=1)
        if not newest:
            return None
        today = datetime.now(UTC).date()
        sources = ";".join(f"{key}:{self._bench.build_of(key)}" for key in self._sources())
        if today != self._day or (self._seen is not None and self._seen[1] != sources):
            self._day, self._since = today, None
            self._tried.clear()
            self._made.clear()
        return f"{today}/{newest[0].id}/{newest[0].changed}", sources

    def _rested(self) -> bool:
        """Whether a scorer that was left alone may be tried again."""
        now = datetime.now(UTC)
        over = [scorer for scorer, until in self._rests.items() if until < now]
        for scorer in over:
            del self._rests[scorer]
        return bool(over)

    def _find(self) -> Iterator[Task]:
        """What lacks a score, at most `QUEUE`."""
        ways, count, offset = [way for way in self._ways() if way.scorer not in self._rests], 0, 0
        here, people = set(self._sources()), self._people()
        while ways:
            page = people.explanations.newest(limit=PAGE, offset=offset)
            some = [explanation(one) for one in page if one.feature.source in here]
            for task in self._lacking(some, ways):
                if count == QUEUE:
                    return
                count += 1
                yield task
            offset += len(page)
            if len(page) < PAGE or (self._since and datetime.fromisoformat(page[-1].changed) < self._since):
                return

    def _lacking(self, some: Iterable[Explanation], ways: list[Way]) -> Iterator[Task]:
        from core.explain.scoring.score import identity

        tasks: dict[SourceKey, list[Task]] = {}
        for one in some:
            new = (Task(identity(one, way.scorer, way.judge), one, way) for way in ways)
            tasks.setdefault(one.feature.source, []).extend(task for task in new if task.id not in self._tried)
        for source, its in tasks.items():
            settled = self._words.machines.kept(source).settled([task.id for task in its])
            yield from (task for task in its if task.id not in settled)

    def _ways(self) -> list[Way]:
        """The scorers that may be used here without anybody's asking."""
        from core.explain.machine.client import Endpoint
        from core.explain.meaning.embedder import LOCAL
        from core.explain.scoring.score import JUDGED, check

        settings, found = self._bench.settings, list[Way]()
        if settings.embedder == LOCAL or Endpoint(settings.embedder, settings.embedder_url).here:
            judge = self._words.machines.means("embedding", None).embedder
            found.append(Way("embedding", judge, None, False))
        endpoint = self._endpoint()
        if endpoint is not None:
            paid = not (self._words.machines.alone and endpoint.here)
            found += [Way(check(name), endpoint.model, endpoint, paid) for name in JUDGED]
        return found

    def _endpoint(self) -> Endpoint | None:
        """The server's own model, where it may be asked without anybody's asking."""
        settings, machines = self._bench.settings, self._words.machines
        if not settings.llm:
            return None
        try:
            found = machines.endpoint()
        except WorkbenchError:  # no key, or no address
            return None
        if settings.llm_for_all:
            return found if self._bench.community.referee() is not None else None
        return found if machines.alone and found.here else None

    # -- doing it ------------------------------------------------------------------------------------------------------

    def _do(self, task: Task) -> int:
        """Makes one score; 1 if it did."""
        from core.explain.scoring.score import Unscorable

        one, scorer = task.one, task.way.scorer
        if scorer in self._rests or not self._still(one):
            return 0
        if not self._may(one.author, task.way):
            self._tried.add(task.id)
            return 0
        try:
            self._score(task)
        except Unscorable as error:
            self._words.machines.kept(one.feature.source).refuse(task.id, one, scorer, str(error))
            return 0
        except NotFound:  # its feature, or its source, is gone
            self._tried.add(task.id)
            return 0
        except WorkbenchError as error:
            if not self._stopping.is_set():
                _log.warning("%s is left alone for a while: %s", scorer, error)
            self._rests[scorer] = datetime.now(UTC) + timedelta(seconds=REST)
            return 0
        except Exception:
            _log.exception("%s of %s failed", scorer, one.id)
            self._tried.add(task.id)
            return 0
        self._count(one.author, task.way)
        return 1

    def _score(self, task: Task) -> None:
        from core.explain.scoring.score import control

        machines, way = self._words.machines, task.way
        if way not in self._means:
            self._means[way] = machines.means(way.scorer, way.endpoint)
        other = control(task.one, self._words.briefs(task.one.feature.source))
        machines.scored(task.one, way.scorer, self._means[way], other)

    def _still(self, one: Explanation) -> bool:
        """Whether somebody still says so, in these words."""
        try:
            found = self._people().explanations.get(one.id)
        except NotFound:
            return False
        return found.state == "shown" and found.text == one.text

    def _may(self, author: str, way: Way) -> bool:
        """Whether one more score of this person's words may be made today."""
        if not way.paid:
            return self._made[author] < FREE_A_DAY
        from core.community.keys import used_today
        from core.explain.machine.door import QUOTA

        visit = self._bench.community.referee()
        most = self._bench.settings.llm_a_day // 2
        return visit is not None and used_today(visit, author).get(QUOTA, 0.0) + 1 <= most

    def _count(self, author: str, way: Way) -> None:
        if not way.paid:
            self._made[author] += 1
            return
        from core.community.keys import count
        from core.explain.machine.door import QUOTA

        if (visit := self._bench.community.referee()) is not None:
            count(visit, author, QUOTA, 1)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _sources(self) -> list[SourceKey]:
        return [one.key for one in self._bench.sources()]

    def _people(self) -> People:
        from core.community.people import People

        store = self._bench.community.community
        return People(store, store.visit())

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process over this data root scores meanwhile; the lock ends with the process."""
        path = self._bench.settings.data / ".scoring.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("a")
        except OSError as error:
            raise NotAvailable(f"The data folder cannot be written ({error.strerror}).") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = True
            except OSError:
                mine = False
            yield mine
