"""A steering run that a page begins and then looks after: its record as it grows, its place in the line, its end.

The work goes on in threads of its own; whoever looks gets what there is. Stopping shows at once and takes effect at the
next token. Knows nothing of Streamlit.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterator
from typing import Generic, Literal, TypeVar

from components.jobs import FAULT
from core.errors import WorkbenchError
from core.records import SteerRecord, Step, Tell

_log = logging.getLogger(__name__)
State = Literal["waiting", "writing", "done", "stopped", "failed"]
T = TypeVar("T")


class _Left(Exception):
    """Nobody waits for the run any more."""


class Run:
    """One run, begun at once. `begin` gives the records of a run, the last one whole."""

    def __init__(self, begin: Callable[[Tell], Iterator[SteerRecord]], done: SteerRecord | None = None) -> None:
        self.record = done
        """What there is so far."""
        self.step: Step | None = None
        """What it waits for."""
        self.message = ""
        """Why it failed."""
        self._begin = begin
        self._stopped = threading.Event()
        self._ended = threading.Event()
        if done is not None:
            self._ended.set()
            return
        threading.Thread(target=self._run, daemon=True, name="steer-run").start()

    @property
    def state(self) -> State:
        """How far it is."""
        if self.message:
            return "failed"
        if self.record is not None and self.record.done:
            return "done"
        if self._stopped.is_set():
            return "stopped"
        return "waiting" if self.record is None else "writing"

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in ("done", "stopped", "failed")

    def wait(self, seconds: float) -> bool:
        """Waits at most so long; whether it ended."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """Leaves it at what there is. A run that ended stays as it is."""
        if not self.ended:
            self._stopped.set()
            self._ended.set()

    def _run(self) -> None:
        try:
            records = self._begin(self._tell)
            try:
                for record in records:
                    if self._stopped.is_set():
                        return
                    self.record = record
            finally:
                if isinstance(records, Generator):
                    records.close()
        except _Left:
            pass
        except WorkbenchError as error:
            self.message = str(error)
        except Exception:
            _log.exception("a steering run failed")
            self.message = FAULT
        finally:
            self._ended.set()

    def _tell(self, step: Step) -> None:
        if self._stopped.is_set():
            raise _Left  # through the line, which then counts it no more
        self.step = step


class Lately(Generic[T]):
    """The last few of something, by key. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()  # guards _held

    def get(self, key: Hashable) -> T | None:
        """What is held under a key."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, value: T) -> None:
        """Holds it; the one that was asked for longest ago goes."""
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
