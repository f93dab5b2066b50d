"""The pool: loaded once however many ask, within a budget, loaded anew when built anew, and never stuck."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadConfig, Busy, NotAvailable
from core.models.memory import ran_out
from core.models.pool import Pool, Slot

LONG = 30.0


@dataclass
class Value:
    name: str
    bytes: int = 1


def sized(name: str, size: int):
    return lambda: Value(name, size)


def names(pool: Pool) -> set[str]:
    return {r.name for r in pool.residents() if r.state == "ready"}


def until(holds) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_many_ask_and_one_loads():
    loads = []

    def load() -> Value:
        loads.append(threading.get_ident())
        time.sleep(0.05)
        return Value("a")

    pool = Pool(100)
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: pool.slot("a", 0, load).get(), range(32)))
    assert all(one is found[0] for one in found) and len(loads) == 1
    assert [(r.name, r.state) for r in pool.residents()] == [("a", "ready")]


def test_two_things_load_side_by_side():
    gate = threading.Barrier(2, timeout=LONG)
    pool = Pool(100)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda name: pool.slot(name, 0, gate.wait).get() is not None, "ab")) == [True, True]


def test_a_failure_is_remembered_and_tried_again():
    tries = []

    def load() -> Value:
        tries.append(1)
        if len(tries) == 1:
            raise NotAvailable("not yet")
        if len(tries) == 2:
            raise RuntimeError("/secret/path")
        if len(tries) == 3:
            raise KeyboardInterrupt
        return Value("a")

    pool = Pool(100)
    slot = pool.slot("a", 0, load)
    assert slot.state == "absent"
    with pytest.raises(NotAvailable):
        slot.get()
    assert (slot.state, slot.message) == ("failed", "not yet")
    with pytest.raises(RuntimeError):
        slot.get()
    assert (slot.state, slot.message) == ("failed", "It cannot be loaded.")
    with pytest.raises(KeyboardInterrupt):
        slot.get()
    assert slot.state == "failed", "not loading for ever"
    assert slot.get() == Value("a") and (slot.state, slot.message) == ("ready", "")


def test_many_ask_for_what_fails():
    def load() -> Value:
        raise NotAvailable("gone")

    slot = Pool(100).slot("a", 0, load)
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(slot.get) for _ in range(20)]
        assert all(isinstance(f.exception(LONG), NotAvailable) for f in futures)


def test_warming_does_not_wait_and_does_not_raise():
    begun, go, loads = threading.Event(), threading.Event(), []

    def load() -> Value:
        loads.append(1)
        begun.set()
        assert go.wait(LONG)
        raise NotAvailable("gone")

    pool = Pool(100)
    slot: Slot[Value] = pool.slot("a", 0, load)
    pool.warm(slot)
    pool.warm(slot)
    assert begun.wait(LONG) and slot.state == "loading" and len(loads) == 1
    go.set()
    until(lambda: slot.state == "failed")
    assert slot.message == "gone"


def test_warming_what_is_there_changes_nothing():
    pool = Pool(100)
    slot = pool.slot("a", 0, sized("a", 1))
    slot.get()
    pool.warm(slot)
    assert slot.state == "ready"
    slot.drop()
    pool.warm(slot)
    until(lambda: slot.state == "ready")


def test_what_is_built_anew_is_loaded_anew():
    pool = Pool(100)
    old = pool.slot("a", 1, sized("old", 10))
    assert pool.slot("a", 1, sized("other", 10)) is old and old.get().name == "old"
    gone = weakref.ref(old.value)
    assert pool.slot("a", 2, sized("new", 10)).get().name == "new"
    assert pool.slot("a", 2, sized("newer", 10)).get().name == "new"
    assert sum(r.megabytes for r in pool.residents()) * 2**20 == 10
    del old
    gc.collect()
    assert gone() is None, "never a second copy"


# -- the budget --------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=6, max_size=6),
    budget=st.integers(1, 120),
    asked=st.lists(st.integers(0, 5), max_size=30),
)
def test_the_longest_unused_goes_first_and_models_last(sizes, budget, asked):
    """Against a list in the order of use; 0 and 1 are models."""
    pool = Pool(budget)
    used: list[int] = []
    for n in asked:
        fresh = n not in used
        assert pool.slot(str(n), 0, sized(str(n), sizes[n]), stays=n < 2).get().name == str(n)
        used = [m for m in used if m != n] + [n]
        if fresh:
            for m in sorted(used, key=lambda m: m < 2):
                if sum(sizes[k] for k in used) > budget and m != n:
                    used.remove(m)
        assert names(pool) == set(map(str, used))
        assert sum(sizes[k] for k in used) <= max(budget, sizes[n]) or not fresh


def test_what_is_at_work_stays():
    pool = Pool(10)
    slot = pool.slot("a", 0, sized("a", 10))
    value = slot.get()
    with ThreadPoolExecutor(1) as other, slot.lock:
        other.submit(pool.slot("b", 0, sized("b", 10)).get).result(LONG)
        assert slot.value is value and names(pool) == {"a", "b"}
    pool.slot("c", 0, sized("c", 10)).get()
    assert names(pool) == {"c"}, "and goes at the next occasion"
    assert slot.get() is not value


def test_what_is_loaded_is_given_during_a_pass():
    """A search of what is cached asks only what the model is called: it must not wait for another's pass."""
    pool = Pool(100)
    slot = pool.slot("a", 0, sized("a", 10))
    slot.get()
    with ThreadPoolExecutor(1) as other, slot.lock:
        assert other.submit(slot.get).result(LONG).name == "a"


def test_clear_lets_everything_go_that_nobody_works_with():
    pool = Pool(100)
    slots = [pool.slot(n, 0, sized(n, 10)) for n in "abc"]
    for slot in slots:
        slot.get()
    with ThreadPoolExecutor(1) as other, slots[1].lock:
        other.submit(pool.clear).result(LONG)
    assert names(pool) == {"b"}


def test_what_is_held_stays_between_passes_and_others_may_use_it():
    pool = Pool(10)
    slot = pool.slot("a", 0, sized("a", 10))
    with ThreadPoolExecutor(1) as other:
        with slot.held() as value, slot.held() as again:
            assert value is again
            with slot.lock:
                pass
            assert other.submit(slot.lock.acquire, False).result(LONG), "between passes it is anybody's"
            other.submit(slot.lock.release).result(LONG)
            other.submit(pool.slot("b", 0, sized("b", 10)).get).result(LONG)
            other.submit(pool.clear).result(LONG)
            assert slot.get() is value and names(pool) == {"a"}
        pool.clear()
    assert names(pool) == set(), "and goes at the next occasion"


def test_what_is_held_is_let_go_also_after_a_fault():
    pool = Pool(10)
    slot = pool.slot("a", 0, sized("a", 10))
    with pytest.raises(ZeroDivisionError), slot.held():
        raise ZeroDivisionError
    assert slot.drop()


# -- parts -------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Whole:
    bytes: int = 10


class Part:
    """Takes no memory of its own, and keeps what it is a part of: as a view of another's weights does."""

    bytes = 0

    def __init__(self, whole: Whole) -> None:
        self.whole, self.part_of = whole, weakref.ref(whole)


def parted(budget: int) -> tuple[Pool, Slot[Whole], Slot[Part]]:
    pool = Pool(budget)
    whole = pool.slot("whole", 0, Whole, stays=True)
    return pool, whole, pool.slot("part", 0, lambda: Part(pool.slot("whole", 0, Whole).get()), part_of="whole")


@pytest.mark.parametrize("how", ["clear", "evict", "replace"])
def test_a_part_goes_with_its_whole(how):
    pool, whole, part = parted(15)
    kept = weakref.ref(part.get().whole)
    assert part.get().whole is whole.get() and names(pool) == {"whole", "part"}
    if how == "clear":
        pool.clear()
    elif how == "evict":
        pool.slot("other", 0, sized("other", 10)).get()
    else:
        pool.slot("whole", 1, Whole, stays=True)
    gc.collect()
    assert kept() is None and part.state == "absent"
    if how != "replace":
        assert part.get().whole is whole.get(), "loaded again, it is part of the new one"


def test_a_part_of_what_was_loaded_anew_is_not_given():
    """Its whole went and came back before anybody looked: two copies would be in memory."""
    _, whole, part = parted(100)
    old = part.get()
    whole.value = None  # as if the pool's own tidying had not come to it yet
    assert part.left_over
    assert part.get() is not old and part.get().whole is whole.get()


def test_a_part_whose_whole_goes_while_it_is_loaded_is_given_and_not_kept():
    _, whole, part = parted(5)
    value = part.get()
    assert isinstance(value, Part) and part.value is None and whole.value is None


# -- memory ------------------------------------------------------------------------------------------------------------


def wrapped() -> BadConfig:
    """As the loaders raise it."""
    try:
        try:
            raise MemoryError
        except Exception as error:
            raise BadConfig("it cannot be loaded") from error
    except BadConfig as error:
        return error


TORCH = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4"
)
HUNGRY = [MemoryError(), RuntimeError(TORCH), RuntimeError("CUDA out of memory. Tried"), OSError(12, "no"), wrapped()]


def test_what_says_that_memory_ran_out():
    import torch

    with pytest.raises(MemoryError) as numpys:
        np.zeros(2**55)
    with pytest.raises(RuntimeError) as torchs:
        torch.zeros(2**55)
    assert all(map(ran_out, [*HUNGRY, torch.OutOfMemoryError("CUDA out of memory."), numpys.value, torchs.value]))
    assert not any(map(ran_out, [None, RuntimeError("shapes"), OSError(28, "disk"), BadConfig("memory"), KeyError(1)]))


@pytest.mark.parametrize("error", HUNGRY, ids=lambda e: type(e).__name__)
def test_without_memory_it_is_busy_and_makes_room(error):
    pool = Pool(100)
    pool.slot("other", 0, sized("other", 50)).get()
    fails = [True]

    def load() -> Value:
        if fails[0]:
            raise error
        return Value("a")

    slot = pool.slot("a", 0, load)
    with pytest.raises(Busy, match="memory"):
        slot.get()
    assert slot.state == "failed" and "memory" in slot.message and names(pool) == set()
    fails[0] = False
    assert slot.get().name == "a" and names(pool) == {"a"}


# -- never stuck -------------------------------------------------------------------------------------------------------


def test_sources_that_need_their_model_load_from_many_threads():
    """As the workbench loads them: a source's load asks for its model, every load trims, passes hold the model's lock,
    what is built anew takes a name over, and some loads fail. All threads must come to their end."""
    pool = Pool(25)
    stop, faults = threading.Event(), []

    def model():
        return pool.slot("model", 0, sized("model", 10), stays=True)

    def load(n: int):
        def go() -> Value:
            assert model().get().name == "model"
            if n == 5:
                raise NotAvailable("gone")
            if n == 4:
                raise MemoryError
            return Value(str(n), 6)

        return go

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            n = int(rng.integers(0, 7))
            try:
                if n == 6:
                    with model().lock:
                        model().get()
                else:
                    assert pool.slot(str(n), int(rng.integers(0, 2)), load(n)).get().name == str(n)
            except (NotAvailable, Busy):
                pass
            except BaseException as error:
                faults.append(error)
                return

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads) and not faults
    for n in range(3):
        pool.slot(str(n), 9, load(n)).get()
    assert sum(r.megabytes for r in pool.residents()) * 2**20 <= 25
