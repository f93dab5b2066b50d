"""Work that a page begins and then looks after, in a thread of its own.

The page draws how far it is and stays free: a visitor who goes elsewhere meanwhile is not held up, and what was begun
serves whoever asks for the same next. Knows nothing of Streamlit, nor of what the work is but that it tells its steps.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from core.errors import NotAvailable, WorkbenchError
from core.records import Step, Tell

T = TypeVar("T")
FAULT = "Something went wrong on this server."
_log = logging.getLogger(__name__)
_places = threading.BoundedSemaphore(32)  # threads at work; the others wait their turn in threads that cost little


class Job(Generic[T]):
    """One piece of work, begun at once. `step` is how far it is, once it has said so."""

    def __init__(self, work: Callable[[Tell], T]) -> None:
        self.step: Step | None = None
        self._stopped = False
        self._work = work
        self._done = threading.Event()
        self._result: T | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, daemon=True, name="page-job").start()

    def wait(self, seconds: float) -> bool:
        """Waits at most so long; whether it is done, well or badly."""
        return self._done.wait(seconds)

    def stop(self) -> None:
        """Ends it at its next step, for those that end there (`core.records.Tell`)."""
        self._stopped = True

    @property
    def failed(self) -> bool:
        """Whether it is done and came to nothing."""
        return self._done.is_set() and self._error is not None

    def result(self) -> T:
        """What came of it, once it is done; raises what went wrong."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # done without an error

    def outcome(self) -> T | str:
        """What came of it, once it is done, or in words why nothing did; what is no message was logged."""
        try:
            return self.result()
        except Exception as error:
            return str(error) if isinstance(error, WorkbenchError) else FAULT

    def _run(self) -> None:
        try:
            with _places:
                self._result = self._work(self._tell)
        except WorkbenchError as error:
            self._error = error
        except Exception as error:
            _log.exception("a page's work failed")
            self._error = error
        finally:
            self._done.set()

    def _tell(self, step: Step) -> None:
        self.step = step
        if self._stopped:
            raise NotAvailable("It was stopped.")
