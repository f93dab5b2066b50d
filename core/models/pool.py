"""What the process holds: models and dictionaries, each loaded once, on first need.

A model is used by one thread at a time: hooks belong to a pass, so a pass holds the model's lock. Loading happens under
the pool's lock of that one entry, so that two visitors who arrive together load it once, and both wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from core.errors import WorkbenchError
from core.records import Resident

T = TypeVar("T")
State = Literal["absent", "loading", "ready", "failed"]


@dataclass(slots=True)
class Slot(Generic[T]):
    """One thing that is loaded once."""

    load: Callable[[], T]
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while loading and during a pass."""
    value: T | None = None
    state: State = "absent"
    message: str = ""

    def get(self) -> T:
        """Loads on first use; a failure is remembered as a state, but tried again at the next use."""
        with self.lock:
            if self.value is None:
                self.state, self.message = "loading", ""
                try:
                    self.value = self.load()
                except Exception as error:
                    self.state = "failed"
                    self.message = str(error) if isinstance(error, WorkbenchError) else "It cannot be loaded."
                    raise
                self.state = "ready"
            return self.value


class Pool:
    """Slots by name. Safe to share between threads."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot[object]] = {}
        self._lock = threading.Lock()  # guards _slots

    def slot(self, name: str, load: Callable[[], T]) -> Slot[T]:
        """The slot called `name`; `load` is used if it is new."""
        with self._lock:
            if name not in self._slots:
                self._slots[name] = Slot(load)
            return self._slots[name]  # type: ignore[return-value]  # a name is always used with one type

    def warm(self, slot: Slot[T]) -> None:
        """Begins to load in the background, unless that has begun."""
        if slot.state in ("absent", "failed"):
            slot.state = "loading"
            threading.Thread(target=_quietly, args=(slot,), daemon=True, name="warm").start()

    def residents(self) -> tuple[Resident, ...]:
        """Every slot's name, state and size."""
        with self._lock:
            slots = list(self._slots.items())
        return tuple(
            Resident(name=name, state=s.state, megabytes=getattr(s.value, "bytes", 0) / 2**20, message=s.message)
            for name, s in slots
        )


def _quietly(slot: Slot[T]) -> None:
    """The failure stays in the slot's state; whoever needs the value will see it raised."""
    try:
        slot.get()
    except Exception:
        return
