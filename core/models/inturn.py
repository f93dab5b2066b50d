"""A lock that those who wait are given in the order in which they came.

Python's own locks go to whoever is quickest, and that is the thread that has just let go: work that takes a lock again
and again, a batch at a time, would keep everybody else out. Here it is handed to the first who waits. Cost: some
microseconds more than a plain lock.
"""

from __future__ import annotations

from collections import deque
from threading import Lock, get_ident
from types import TracebackType


class InTurn:
    """Whoever has it may take it again, and lets go as often."""

    def __init__(self) -> None:
        self._guard = Lock()  # guards all below; nobody waits while holding it
        self._owner: int | None = None
        self._depth = 0
        self._waiting: deque[tuple[int, Lock]] = deque()
        """Threads, each with a gate that opens when the lock is theirs."""

    def acquire(self, blocking: bool = True) -> bool:
        """Whether it is this thread's now; waits for it, unless `blocking` is false."""
        me = get_ident()
        with self._guard:
            if self._owner in (None, me):
                self._owner, self._depth = me, self._depth + 1
                return True
            if not blocking:
                return False
            gate = Lock()
            gate.acquire()
            self._waiting.append((me, gate))
        try:
            gate.acquire()
        except BaseException:  # interrupted: it is nobody's wish any more, or was handed over in this moment
            with self._guard:
                if (me, gate) in self._waiting:
                    self._waiting.remove((me, gate))
                else:
                    self._hand_over()
            raise
        return True

    def release(self) -> None:
        """Lets go; raises `RuntimeError` if it is not this thread's."""
        with self._guard:
            if self._owner != get_ident():
                raise RuntimeError("It is let go by a thread that does not have it.")
            self._depth -= 1
            if not self._depth:
                self._hand_over()

    def _hand_over(self) -> None:
        """To the first who waits, so that nobody comes between."""
        self._owner, self._depth = None, 0
        if self._waiting:
            self._owner, gate = self._waiting.popleft()
            self._depth = 1
            gate.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
