"""Jobs in turns: everybody gets their own result, whoever fails, leaves or interrupts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Busy
from core.models.turns import Turns

LONG = 30.0


class Gated:
    """Doubles numbers; a batch waits until the gate is opened."""

    def __init__(self, **options) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.gate = threading.Event(), threading.Event()
        self.turns: Turns[int, int] = Turns(self.run, **options)

    def run(self, jobs):
        self.batches.append(list(jobs))
        self.begun.set()
        assert self.gate.wait(LONG)
        return [2 * job for job in jobs]


def until(holds) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def free(turns) -> None:
    """Nobody waits, nobody works, and the next job is done."""
    assert turns.waiting() == 0
    assert turns._worker is None


def test_a_lone_job_runs_at_once_and_alone():
    batches = []
    turns = Turns(lambda jobs: batches.append(list(jobs)) or [2 * job for job in jobs])
    assert [turns(n, patience=0.0) for n in range(3)] == [0, 2, 4]
    assert batches == [[0], [1], [2]]
    free(turns)


def test_what_arrives_meanwhile_goes_together():
    made = Gated()
    with ThreadPoolExecutor(17) as pool:
        first = pool.submit(made.turns, 0, patience=LONG)
        assert made.begun.wait(LONG)
        rest = [pool.submit(made.turns, n, patience=LONG) for n in range(1, 17)]
        until(lambda: made.turns.waiting() == 16)
        made.gate.set()
        assert [f.result(LONG) for f in (first, *rest)] == [2 * n for n in range(17)]
    assert made.batches[0] == [0] and sorted(made.batches[1]) == list(range(1, 17)) and len(made.batches) == 2
    free(made.turns)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_batch_is_larger_than_it_may_be(most):
    made = Gated(most=most)
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(made.turns, n, patience=LONG) for n in range(12)]
        until(lambda: made.turns.waiting() >= 11)
        made.gate.set()
        assert [f.result(LONG) for f in futures] == [2 * n for n in range(12)]
    assert max(map(len, made.batches)) <= most
    assert sorted(job for batch in made.batches for job in batch) == list(range(12)), "each once"
    free(made.turns)


@settings(max_examples=15, deadline=None)
@given(bad=st.sets(st.integers(0, 39)), most=st.integers(1, 16), threads=st.integers(1, 12))
def test_results_go_to_whom_they_belong_and_faults_too(bad, most, threads):
    def run(jobs):
        time.sleep(0.0005)
        if wrong := [job for job in jobs if job in bad]:
            raise ValueError(wrong[0])
        return [(job, job * job) for job in jobs]

    turns = Turns(run, most=most)

    def one(job):
        try:
            return turns(job, patience=LONG)
        except ValueError as error:
            return error.args[0]

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(one, range(40)))
    assert found == [job if job in bad else (job, job * job) for job in range(40)]
    free(turns)


def test_too_few_results_are_a_fault():
    turns = Turns(lambda jobs: [])
    with pytest.raises(ValueError):
        turns(1, patience=1.0)
    free(turns)


def test_the_impatient_leave_nothing_behind():
    made = Gated()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made.turns, 1, patience=LONG)
        assert made.begun.wait(LONG)
        with pytest.raises(Busy, match="busy"):
            made.turns(2, patience=0.0)
        assert made.turns.waiting() == 0
        made.gate.set()
        assert first.result(LONG) == 2
    assert made.batches == [[1]], "what was given up is not run"
    assert made.turns(3, patience=0.0) == 6
    free(made.turns)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_goes_away_while_waiting_leaves_nothing_behind(error):
    made = Gated()

    def gone(place):
        raise error

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made.turns, 1, patience=LONG)
        assert made.begun.wait(LONG)
        with pytest.raises(error):
            made.turns(2, patience=LONG, tell=gone)
        assert made.turns.waiting() == 0
        made.gate.set()
        assert first.result(LONG) == 2
    free(made.turns)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("when", ["together", "alone"])
def test_an_interrupted_worker_fails_all_and_leaves_the_way_free(error, when):
    """Whoever works is interrupted: the others are told so, and the next one is served."""
    begun, gate = threading.Event(), threading.Event()

    def run(jobs):
        begun.set()
        assert gate.wait(LONG)
        if jobs in ([0], [9]):
            return jobs
        raise ValueError if len(jobs) > 1 and when == "alone" else error

    turns = Turns(run)
    found = {}

    def one(job):
        try:
            found[job] = turns(job, patience=LONG)
        except BaseException as raised:
            found[job] = raised

    first = threading.Thread(target=one, args=(0,))
    first.start()
    assert begun.wait(LONG)
    rest = [threading.Thread(target=one, args=(n,)) for n in (1, 2, 3)]
    for thread in rest:
        thread.start()
    until(lambda: turns.waiting() == 3)
    gate.set()
    for thread in (first, *rest):
        thread.join(LONG)
        assert not thread.is_alive()
    assert found[0] == 0
    kinds = sorted(type(found[n]).__name__ for n in (1, 2, 3))
    assert kinds == sorted(["Busy", "Busy", error.__name__]), "one is interrupted, none gets a result that is none"
    assert turns(9, patience=0.0) == 9
    free(turns)


def test_the_place_that_is_told_only_falls():
    made = Gated(most=1)
    told: dict[int, list[int]] = {n: [] for n in range(1, 6)}
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(made.turns, 0, patience=LONG)]
        assert made.begun.wait(LONG)
        for n in told:
            futures.append(pool.submit(made.turns, n, patience=LONG, tell=told[n].append))
            until(lambda n=n: told[n] == [n - 1] or (told[n] and set(told[n]) == {n - 1}))
        made.gate.set()
        assert [f.result(LONG) for f in futures] == [0, 2, 4, 6, 8, 10]
    for n, places in told.items():
        assert places == sorted(places, reverse=True) and places[0] == n - 1


def test_who_is_told_slowly_holds_up_nobody():
    made = Gated()
    stuck, go = threading.Event(), threading.Event()

    def slow(place):
        stuck.set()
        assert go.wait(LONG)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(made.turns, 1, patience=LONG)
        assert made.begun.wait(LONG)
        second = pool.submit(made.turns, 2, patience=LONG, tell=slow)
        assert stuck.wait(LONG)
        made.gate.set()
        assert first.result(LONG) == 2
        assert made.turns(3, patience=LONG) == 6
        go.set()
        assert second.result(LONG) == 4
    free(made.turns)


def test_who_was_interrupted_while_leaving_is_served_again():
    """An interrupt may come at the worst moment, when the batch is done and the way not yet free."""
    turns = Turns(lambda jobs: [2 * job for job in jobs])
    leave = turns._leave

    def interrupted(*_):
        raise KeyboardInterrupt

    turns._leave = interrupted
    with pytest.raises(KeyboardInterrupt):
        turns(1, patience=0.0)
    turns._leave = leave
    assert turns._worker is not None
    assert turns(2, patience=0.0) == 4
    free(turns)
