"""An iterator that works ahead in a thread of its own, so that who reads slowly, or stops reading, holds nothing up.

Closing it, or letting it go, ends the work at its next item, or sooner if the work asks. Cost: a thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
Gone = Callable[[], bool]
"""Whether nobody reads any more."""
_END = object()


class _Work(Generic[T]):
    def __init__(self, begin: Callable[[Gone], Iterator[T]]) -> None:
        self.items: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self._begin = begin
        threading.Thread(target=self._run, daemon=True, name="detached").start()

    def _run(self) -> None:
        try:
            iterator = self._begin(self.stopped.is_set)
            try:
                for item in iterator:
                    if self.stopped.is_set():
                        return
                    self.items.put(item)
            finally:
                if isinstance(iterator, Generator):
                    iterator.close()
            self.items.put(_END)
        except BaseException as error:  # handed to whoever reads
            self.items.put(_Raised(error))


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def detached(begin: Callable[[Gone], Iterator[T]]) -> Generator[T]:
    """The items of `begin`, whose work goes on between them; raises what it raises."""
    work = _Work(begin)
    try:
        while True:
            item = work.items.get()
            if item is _END:
                return
            if isinstance(item, _Raised):
                raise item.error
            yield item  # type: ignore[misc]  # what `begin` gave
    finally:
        work.stopped.set()
