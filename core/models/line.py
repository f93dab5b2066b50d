"""A line for work that takes long: so many at a time, the others in the order in which they came.

Who waits is told the number before it; who has waited too long, or goes away, leaves nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Busy
from core.records import Step, Tell

LOOK = 0.2
"""Seconds after which who waits looks again, and is told its place."""


class Line:
    """Safe to share between threads."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: list[object] = []
        self._at_work = 0
        self._changed = threading.Condition()  # guards the above

    @contextmanager
    def place(self, patience: float, tell: Tell | None = None) -> Iterator[None]:
        """Within it, one of the places is the caller's.

        Raises:
            Busy: none was free within `patience` seconds.
        """
        self._enter(time.monotonic() + patience, tell)
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def waiting(self) -> int:
        """Callers that have no place yet."""
        with self._changed:
            return len(self._waiting)

    def at_work(self) -> int:
        """Callers that have one."""
        with self._changed:
            return self._at_work

    def _enter(self, until: float, tell: Tell | None) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            while True:
                with self._changed:
                    before = self._waiting.index(ticket)
                    if before == 0 and self._at_work < self._places:
                        self._at_work += 1
                        return
                    if time.monotonic() > until:
                        raise Busy(f"The server is busy: {len(self._waiting)} wait. Try again in a moment.")
                if tell is not None:  # not under the lock: who listens may be slow
                    tell(Step(doing="waiting", before=before))
                with self._changed:
                    if self._waiting[0] is not ticket or self._at_work >= self._places:
                        self._changed.wait(LOOK)
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()
