"""Jobs that are cheaper together: one batch is at work, and what arrives meanwhile waits and goes with the next one.

There is no thread: whoever finds nobody at work takes everything that waits, runs it, and hands out the results. So a
lone job begins at once, and sixteen that arrive together take two turns. Who has waited too long, or goes away, leaves
nothing behind; if whoever works is interrupted, the next one goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from core.errors import Busy

Job = TypeVar("Job")
Result = TypeVar("Result")
LOOK = 0.2
"""Seconds after which who waits looks again, and is told its place."""


class _Ticket(Generic[Job, Result]):
    __slots__ = ("done", "error", "job", "result", "thread")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.thread = threading.get_ident()
        self.done = False
        self.result: Result | None = None
        self.error: BaseException | None = Busy("The work was interrupted. Try again.")  # until there is a result


class Turns(Generic[Job, Result]):
    """Runs jobs in batches of at most `most`. Safe to share between threads."""

    def __init__(self, run: Callable[[Sequence[Job]], Sequence[Result]], *, most: int = 64) -> None:
        self._run, self._most = run, most
        self._waiting: list[_Ticket[Job, Result]] = []
        self._worker: _Ticket[Job, Result] | None = None
        """Of whoever is at work."""
        self._working = 0
        """Jobs that it does."""
        self._lock = threading.RLock()  # guards all of the above
        self._changed = threading.Condition(self._lock)

    def __call__(self, job: Job, *, patience: float, tell: Callable[[int], None] | None = None) -> Result:
        """The job's result; until it has begun, `tell` gets the number of jobs that wait before it.

        Raises:
            Busy: it did not begin within `patience` seconds.
        """
        ticket: _Ticket[Job, Result] = _Ticket(job)
        batch: list[_Ticket[Job, Result]] = []
        try:
            with self._lock:
                self._waiting.append(ticket)
            self._wait(ticket, batch, time.monotonic() + patience, tell)
            if batch:
                self._work(batch)
        finally:
            self._leave(ticket, batch)
        error, ticket.error = ticket.error, None  # or the error's traceback would lead back to the error
        if error is not None:
            raise error
        return ticket.result  # type: ignore[return-value]  # done without an error

    def waiting(self) -> int:
        """Jobs that have not begun."""
        with self._lock:
            return len(self._waiting)

    def at_work(self) -> int:
        """Jobs that have begun and are not done."""
        with self._lock:
            return self._working

    def _wait(
        self,
        ticket: _Ticket[Job, Result],
        batch: list[_Ticket[Job, Result]],
        until: float,
        tell: Callable[[int], None] | None,
    ) -> None:
        """Returns when `ticket` is done or, with everything that waits in `batch`, to be done by this thread."""
        while True:
            with self._lock:
                if self._worker is not None and self._worker.thread == ticket.thread:
                    self._worker = None  # it waits here, so an earlier call was interrupted while it left
                if not ticket.done and self._worker is None:
                    self._worker = ticket
                    self._take(ticket, batch)
                if ticket.done or batch:
                    return
                waits, many = ticket in self._waiting, len(self._waiting)
                place = self._waiting.index(ticket) if waits else 0
            if waits and time.monotonic() > until:
                raise Busy(f"The server is busy: {many} wait. Try again in a moment.")
            if waits and tell is not None:  # not under the lock: who listens may be slow
                tell(place)
            with self._lock:
                if not ticket.done and self._worker is not None:
                    self._changed.wait(LOOK)

    def _take(self, ticket: _Ticket[Job, Result], batch: list[_Ticket[Job, Result]]) -> None:
        """Puts into `batch` the first who wait, and `ticket` among them."""
        batch += self._waiting[: self._most]
        if ticket not in batch:
            batch[-1:] = [ticket]
        self._waiting = [one for one in self._waiting if one not in batch]
        self._working = len(batch)

    def _work(self, batch: list[_Ticket[Job, Result]]) -> None:
        try:
            for one, result in zip(batch, self._run([one.job for one in batch]), strict=True):
                one.result, one.error = result, None
            return
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
        for one in batch:  # one job's fault is not the others': each alone
            self._work([one])

    def _leave(self, ticket: _Ticket[Job, Result], batch: list[_Ticket[Job, Result]]) -> None:
        """Whatever happened: who is not waiting any more, and what was done."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            for one in batch:
                one.done = True
            if self._worker is ticket:
                self._worker, self._working = None, 0
                self._changed.notify_all()
