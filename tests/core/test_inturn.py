"""A lock in turn: one at a time, to whoever came first, taken again by whoever has it, and never lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.models.inturn import InTurn

LONG = 30.0


def until(holds) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def free(lock: InTurn) -> None:
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lock.acquire, False).result(LONG)
    assert not lock._waiting


def test_one_at_a_time():
    lock, inside, most = InTurn(), [0], [0]

    def work(_):
        for _ in range(200):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] and inside == [0]
    free(lock)


def test_they_get_it_in_the_order_in_which_they_came():
    lock, order = InTurn(), []

    def take(n):
        with lock:
            order.append(n)

    with ThreadPoolExecutor(10) as pool:
        with lock:
            for n in range(10):
                pool.submit(take, n)
                until(lambda n=n: len(lock._waiting) == n + 1)
    assert order == list(range(10))
    free(lock)


def test_who_takes_it_again_and_again_keeps_nobody_out():
    """As an evaluation does, a batch at a time: whoever waits comes before its next batch."""
    lock, order = InTurn(), []

    def other():
        with lock:
            order.append("other")

    with ThreadPoolExecutor(1) as pool:
        for n in range(20):
            with lock:
                order.append(n)
                asked = pool.submit(other)
                until(lambda: len(lock._waiting) == 1)
        assert asked.result(LONG) is None
    assert order == [one for n in range(20) for one in (n, "other")]


def test_whoever_has_it_may_take_it_again_and_lets_go_as_often():
    lock = InTurn()
    with ThreadPoolExecutor(1) as pool:
        with lock:
            with lock:
                assert lock.acquire(blocking=False)
                lock.release()
            assert not pool.submit(lock.acquire, False).result(LONG), "still this thread's"
            with pytest.raises(RuntimeError):
                pool.submit(lock.release).result(LONG)
    free(lock)


def test_who_only_tries_does_not_push_in():
    lock, go = InTurn(), threading.Event()

    def hold():
        with lock:
            assert go.wait(LONG)

    with ThreadPoolExecutor(2) as pool:
        with lock:
            waiting = pool.submit(hold)
            until(lambda: len(lock._waiting) == 1)
        assert not lock.acquire(blocking=False), "it went to who waited"
        go.set()
        assert waiting.result(LONG) is None
    free(lock)


@pytest.mark.parametrize("handed", [False, True], ids=["while it waits", "in the moment in which it gets it"])
def test_who_is_interrupted_leaves_nothing_behind(monkeypatch, handed):
    lock = InTurn()

    class Gate:
        """A lock whose second taking, which is the waiting, is interrupted."""

        def __init__(self):
            self.taken = 0

        def acquire(self):
            self.taken += 1
            if self.taken == 2:
                if handed:
                    until(lambda: not lock._waiting)
                raise KeyboardInterrupt

        def release(self):
            pass

    def take():
        try:
            lock.acquire()
        except KeyboardInterrupt:
            return "interrupted"

    with ThreadPoolExecutor(2) as pool:
        with lock:
            with monkeypatch.context() as patch:
                patch.setattr("core.models.inturn.Lock", Gate)
                asked = pool.submit(take)
                if handed:
                    until(lambda: len(lock._waiting) == 1)
                else:
                    assert asked.result(LONG) == "interrupted"
                    assert not lock._waiting
        assert asked.result(LONG) == "interrupted"
    free(lock)
