"""What the process holds: models and dictionaries, each loaded once, on first need.

A model is used by one thread at a time: hooks belong to a pass, so a pass holds the model's lock, and those who wait
for it get it in turn. Loading happens under the lock of that one entry, so that two visitors who arrive together load
it once, and both wait. What is loaded stays until the whole is larger than its budget: then what was used longest ago
goes, models last, since their sources cannot be run without them. What is a part of a model, as its own neurons are,
goes with it. Whoever works with what goes keeps it until they are done; who needs it over many passes has it held.
Where memory runs out all the same, everything goes that nobody works with, so that the next who asks finds room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Literal, TypeVar

from core.errors import WorkbenchError
from core.models.inturn import InTurn
from core.models.memory import no_room, ran_out
from core.models.thread import apart
from core.records import Resident

T = TypeVar("T")
State = Literal["absent", "loading", "ready", "failed"]


@dataclass(slots=True)
class Slot(Generic[T]):
    """One thing that is loaded once."""

    load: Callable[[], T]
    lock: InTurn = field(default_factory=InTurn)
    """Held while loading and during a pass."""
    value: T | None = None
    state: State = "absent"
    message: str = ""
    stays: bool = False
    """Whether it is the last to go."""
    whole: Callable[[], object] | None = None
    """What is held now of that which the value may be a part of: if it says so, by a weak reference `part_of`."""
    used: float = 0.0
    """When it was last asked for."""
    loaded: Callable[[], None] = lambda: None
    """Called after it was loaded."""
    starved: Callable[[], None] = lambda: None
    """To be called where memory ran out."""
    _keepers: int = 0
    _count: threading.Lock = field(default_factory=threading.Lock)  # guards _keepers

    @property
    def bytes(self) -> int:
        """Memory of the value."""
        return int(getattr(self.value, "bytes", 0))

    @property
    def left_over(self) -> bool:
        """Whether the value is a part of what has gone, or was loaded anew since."""
        return self._left_over(self.value)

    def _left_over(self, value: T | None) -> bool:
        part_of = getattr(value, "part_of", None)
        if part_of is None or self.whole is None:
            return False
        whole = part_of()
        return whole is None or whole is not self.whole()

    def get(self) -> T:
        """Loads on first use; a failure is remembered as a state, but tried again at the next use.

        What is loaded is given at once, also during a pass.

        Raises:
            Busy: memory ran out.
        """
        self.used = time.monotonic()
        value = self.value
        if value is not None and not self._left_over(value):
            return value
        with self.lock:
            value = self.value
            if value is not None and not self._left_over(value):  # loaded by another thread meanwhile
                return value
            self.value = None
            value = self.value = self._load()
            self.state = "ready"
        self.loaded()
        return value

    @contextmanager
    def held(self) -> Iterator[T]:
        """The value, which does not go until this ends; others may use it between passes."""
        with self.lock:  # nobody drops it between being loaded and being held
            value = self.get()
            with self._count:
                self._keepers += 1
        try:
            yield value
        finally:
            with self._count:
                self._keepers -= 1

    def _load(self) -> T:
        self.state, self.message = "loading", ""
        try:
            return apart(self.load)
        except BaseException as error:
            hungry = ran_out(error)
            told = no_room() if hungry else error
            self.state = "failed"
            self.message = str(told) if isinstance(told, WorkbenchError) else "It cannot be loaded."
            if not hungry:
                raise
        self.starved()  # when the error and what its frames hold are gone
        raise no_room()

    def begins(self) -> bool:
        """Whether it is still to be loaded; it then says that it is loading, and the caller is to `get` it."""
        if self.state not in ("absent", "failed") or not self.lock.acquire(blocking=False):
            return False
        try:
            if absent := self.value is None:
                self.state = "loading"
            return absent
        finally:
            self.lock.release()

    def drop(self) -> bool:
        """Lets the value go, unless a pass is at work with it or it is held; the next use loads it again."""
        if self.value is None or not self.lock.acquire(blocking=False):
            return False
        try:
            if self._keepers:
                return False
            self.value, self.state = None, "absent"
        finally:
            self.lock.release()
        return True


class Pool:
    """Slots by name. Safe to share between threads."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        """Bytes that all values together may take; one alone may take more."""
        self._slots: dict[str, tuple[object, Slot[object]]] = {}
        self._lock = threading.Lock()  # guards _slots

    def slot(
        self, name: str, mark: object, load: Callable[[], T], *, stays: bool = False, part_of: str = ""
    ) -> Slot[T]:
        """The slot called `name`; `load` is used if it is new or was made for another `mark`, such as a file's time.

        `part_of`: the slot of which its value may be a part.
        """
        with self._lock:
            held = self._slots.get(name)
            if held is not None and held[0] == mark:
                return held[1]  # type: ignore[return-value]  # a name is always used with one type
            slot: Slot[T] = Slot(load, stays=stays, whole=partial(self._value, part_of) if part_of else None)
            slot.loaded, slot.starved = partial(self.trim, slot), self.clear
            self._slots[name] = (mark, slot)  # type: ignore[assignment]  # as above
        if held is not None and held[1].drop():  # whoever still knows the old slot must not keep what it held
            self._drop_parts()
        return slot

    def _value(self, name: str) -> object:
        held = self._slots.get(name)  # one look: needs no lock
        return None if held is None else held[1].value

    def _drop_parts(self) -> None:
        """Lets go what was a part of a value that has gone."""
        with self._lock:
            slots = [slot for _, slot in self._slots.values()]
        for slot in slots:
            if slot.left_over:
                slot.drop()

    def trim(self, newest: Slot[T]) -> None:
        """Lets values go until the rest fits, those used longest ago first and `newest` never."""
        with self._lock:
            slots = [slot for _, slot in self._slots.values() if slot.bytes]
        held = sum(slot.bytes for slot in slots)
        for slot in sorted(slots, key=lambda s: (s.stays, s.used)):
            if held <= self.budget:
                break
            size = slot.bytes
            if slot is not newest and slot.drop():
                held -= size
        self._drop_parts()  # also the newest, if its whole went while it was loaded

    def clear(self) -> None:
        """Lets everything go that nobody works with: memory ran out."""
        with self._lock:
            slots = [slot for _, slot in self._slots.values()]
        for slot in slots:
            slot.drop()
        self._drop_parts()

    def warm(self, slot: Slot[T]) -> None:
        """Begins to load in the background, unless that has begun."""
        if slot.begins():
            threading.Thread(target=_quietly, args=(slot,), daemon=True, name="warm").start()

    def residents(self) -> tuple[Resident, ...]:
        """Every slot's name, state and size."""
        with self._lock:
            slots = [(name, slot) for name, (_, slot) in self._slots.items()]
        return tuple(
            Resident(name=name, state=s.state, megabytes=s.bytes / 2**20, message=s.message) for name, s in slots
        )


def _quietly(slot: Slot[T]) -> None:
    """The failure stays in the slot's state; whoever needs the value will see it raised."""
    try:
        slot.get()
    except Exception:
        return
