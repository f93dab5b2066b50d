"""Work in a thread of its own: all its items and its error arrive, and nobody is needed to read them."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from core.detached import detached

LONG = 30.0


def until(holds) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


class Work:
    """Counts to `count`; each step from `free` on waits for `go`."""

    def __init__(self, count=100, *, free=None, error=None) -> None:
        self.count, self.free, self.error = count, count if free is None else free, error
        self.made, self.ended = 0, threading.Event()
        self.go, self.threads = threading.Semaphore(0), set()

    def __call__(self, gone):
        self.gone = gone
        self.threads.add(threading.get_ident())
        try:
            for n in range(self.count):
                if n >= self.free:
                    assert self.go.acquire(timeout=LONG)
                self.made += 1
                yield n
            if self.error is not None:
                raise self.error
        finally:
            self.ended.set()


def test_all_items_in_their_order():
    work = Work(1000)
    assert list(detached(work)) == list(range(1000))
    assert work.ended.is_set() and threading.get_ident() not in work.threads
    assert list(detached(lambda gone: iter(()))) == []
    assert list(detached(lambda gone: iter([None, None]))) == [None, None], "nothing is an item too"


def test_nothing_begins_before_somebody_reads():
    work = Work()
    detached(work)
    gc.collect()
    assert not work.threads and not work.made


def test_a_slow_reader_holds_nothing_up():
    work = Work(50)
    items = detached(work)
    assert next(items) == 0
    assert work.ended.wait(LONG), "it is done though nobody reads"
    assert list(items) == list(range(1, 50))


@pytest.mark.parametrize("error", [ValueError("as asked"), KeyboardInterrupt("x"), SystemExit(3), MemoryError()])
def test_the_error_arrives_after_the_items(error):
    items = detached(Work(3, error=error))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(type(error)) as raised:
        next(items)
    assert raised.value is error
    assert list(items) == []


def test_an_error_before_the_first_item():
    def begin(gone):
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        next(detached(begin))


def test_closing_ends_the_work_at_its_next_item():
    work = Work(free=3)
    items = detached(work)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert work.gone()
    work.go.release()
    assert work.ended.wait(LONG) and work.made == 4
    items.close()
    with pytest.raises(StopIteration):
        next(items)


@pytest.mark.parametrize("way", ["let go", "break", "error"])
def test_who_stops_reading_ends_the_work(way):
    """Without a word: the iterator is collected, and the thread goes."""
    work = Work(free=2)
    before = threading.active_count()
    if way == "let go":
        items = detached(work)
        next(items)
        del items
    elif way == "break":
        for _ in detached(work):
            break
    else:
        with pytest.raises(RuntimeError):
            for _ in detached(work):
                raise RuntimeError
    gc.collect()
    until(lambda: work.gone())
    work.go.release(5)
    assert work.ended.wait(LONG) and work.made <= 3
    until(lambda: threading.active_count() <= before)


def test_work_that_asks_whether_anybody_reads_ends_sooner():
    """As one that waits in a line does."""
    asked, ended = threading.Event(), threading.Event()

    def begin(gone):
        yield 1
        while not gone():
            asked.set()
            time.sleep(0.002)
        ended.set()

    items = detached(begin)
    assert next(items) == 1 and asked.wait(LONG) and not ended.is_set()
    items.close()
    assert ended.wait(LONG)


def test_the_works_own_end_is_reached_in_its_own_thread():
    """What it holds, a lock for one, is let go where it was taken."""
    lock, place = threading.RLock(), []

    def begin(gone):
        with lock:
            place.append(threading.get_ident())
            yield 1
            yield 2
        place.append(threading.get_ident())

    items = detached(begin)
    next(items)
    items.close()
    until(lambda: lock.acquire(blocking=False))
    lock.release()
    assert place[0] != threading.get_ident()
    assert list(detached(begin)) == [1, 2] and place[-1] == place[-2]


def test_many_side_by_side():
    many = [detached(Work(200)) for _ in range(30)]
    for n in range(200):
        assert [next(one) for one in many] == [n] * 30
    assert all(next(one, None) is None for one in many)
