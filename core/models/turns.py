"""Jobs that are cheaper together: one batch is at work, and what arrives meanwhile waits and goes with the next one.

There is no thread: whoever finds nobody at work takes everything that waits, runs it, and hands out the results. So a
lone job begins at once, and sixteen that arrive together take two turns. Who has waited too long, or goes away, leaves
nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from core.errors import Busy

Job = TypeVar("Job")
Result = TypeVar("Result")


class _Ticket(Generic[Job, Result]):
    __slots__ = ("done", "error", "job", "result")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = False
        self.result: Result | None = None
        self.error: BaseException | None = None


class Turns(Generic[Job, Result]):
    """Runs jobs in batches of at most `most`. Safe to share between threads."""

    def __init__(self, run: Callable[[Sequence[Job]], Sequence[Result]], *, most: int = 64) -> None:
        self._run, self._most = run, most
        self._waiting: list[_Ticket[Job, Result]] = []
        self._working = False
        self._changed = threading.Condition()  # guards all of the above

    def __call__(self, job: Job, *, patience: float, tell: Callable[[int], None] | None = None) -> Result:
        """The job's result; `tell` gets the number of jobs before it while it waits.

        Raises:
            Busy: it did not begin within `patience` seconds.
        """
        ticket: _Ticket[Job, Result] = _Ticket(job)
        until = time.monotonic() + patience
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not ticket.done and self._working:
                    if ticket in self._waiting:
                        if tell is not None:
                            tell(self._waiting.index(ticket))
                        if time.monotonic() > until:
                            raise Busy(f"The server is busy: {len(self._waiting)} wait. Try again in a moment.")
                    self._changed.wait(0.2)
                if not ticket.done:  # nobody is at work: everything that waits is ours
                    self._working = True
                    batch = self._taken(ticket)
            except BaseException:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                raise
        if not ticket.done:
            self._work(batch)
        if ticket.error is not None:
            raise ticket.error
        return ticket.result  # type: ignore[return-value]  # done without an error

    def waiting(self) -> int:
        """Jobs that have not begun."""
        with self._changed:
            return len(self._waiting)

    def _taken(self, ticket: _Ticket[Job, Result]) -> list[_Ticket[Job, Result]]:
        """The first who wait, and `ticket` among them."""
        batch = self._waiting[: self._most]
        if ticket not in batch:
            batch[-1] = ticket
        for one in batch:
            self._waiting.remove(one)
        return batch

    def _work(self, batch: list[_Ticket[Job, Result]]) -> None:
        try:
            try:
                for one, result in zip(batch, self._run([one.job for one in batch]), strict=True):
                    one.result = result
            except BaseException as error:
                if len(batch) == 1:
                    batch[0].error = error
                elif isinstance(error, Exception):  # one job's fault is not the others': each alone
                    self._alone(batch)
                else:
                    for one in batch:
                        one.error = Busy("The work was interrupted. Try again.")
                    raise
        finally:
            with self._changed:
                for one in batch:
                    one.done = True
                self._working = False
                self._changed.notify_all()

    def _alone(self, batch: list[_Ticket[Job, Result]]) -> None:
        for one in batch:
            try:
                (one.result,) = self._run([one.job])
            except Exception as error:
                one.error = error
