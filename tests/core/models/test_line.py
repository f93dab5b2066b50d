"""The line: so many at work, the others in their order, and nothing left behind by who goes away."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Busy
from core.models.line import Line

LONG = 30.0


def until(holds) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


class Guest(threading.Thread):
    """Asks for a place, and keeps it until it is told to go."""

    def __init__(self, line, *, patience=LONG, tell=None, error=None) -> None:
        super().__init__(daemon=True)
        self.line, self.patience, self.tell, self.error = line, patience, tell, error
        self.entered, self.go, self.raised = threading.Event(), threading.Event(), None
        self.start()

    def run(self):
        try:
            with self.line.place(self.patience, self.tell):
                self.entered.set()
                assert self.go.wait(LONG)
                if self.error is not None:
                    raise self.error
        except BaseException as raised:
            self.raised = raised

    def leave(self):
        self.go.set()
        self.join(LONG)
        assert not self.is_alive()


def free(line) -> None:
    assert (line.waiting(), line.at_work()) == (0, 0)


@pytest.mark.parametrize("places", [1, 2, 5])
def test_so_many_have_a_place_and_the_others_wait(places):
    line = Line(places)
    guests = [Guest(line) for _ in range(places)]
    for guest in guests:
        assert guest.entered.wait(LONG)
    late = Guest(line)
    until(lambda: line.waiting() == 1)
    assert line.at_work() == places and not late.entered.is_set()
    guests[0].leave()
    assert late.entered.wait(LONG)
    assert (line.waiting(), line.at_work()) == (0, places)
    for guest in (*guests[1:], late):
        guest.leave()
    free(line)


def test_a_free_place_is_given_at_once_and_nobody_is_told():
    line, told = Line(1), []
    for _ in range(3):
        with line.place(0.0, told.append):
            assert line.at_work() == 1
    assert not told
    free(line)


def test_who_comes_first_is_served_first():
    """Also though the others look again at moments of their own."""
    line, order = Line(1), []
    first = Guest(line)
    assert first.entered.wait(LONG)
    guests = []
    for n in range(8):
        guests.append(Guest(line))
        until(lambda n=n: line.waiting() == n + 1)
    first.leave()
    for n, guest in enumerate(guests):
        assert guest.entered.wait(LONG)
        assert not any(other.entered.is_set() for other in guests[n + 1 :])
        order.append(n)
        guest.leave()
    assert order == list(range(8))
    free(line)


def test_the_number_before_one_only_falls():
    line = Line(1)
    first = Guest(line)
    assert first.entered.wait(LONG)
    told = {n: [] for n in range(4)}
    guests = []
    for n in told:
        guests.append(Guest(line, tell=told[n].append))
        until(lambda n=n: told[n])
    for guest in (first, *guests):
        guest.leave()
    for n, steps in told.items():
        places = [step.before for step in steps]
        assert all(step.doing == "waiting" for step in steps)
        assert places == sorted(places, reverse=True) and places[0] == n
    free(line)


@pytest.mark.parametrize("patience", [0.0, 0.05])
def test_who_has_waited_too_long_goes(patience):
    line = Line(1)
    first = Guest(line)
    assert first.entered.wait(LONG)
    with pytest.raises(Busy, match=r"The server is busy: 1 wait\. Try again"), line.place(patience):
        raise AssertionError
    assert (line.waiting(), line.at_work()) == (0, 1)
    behind = Guest(line)
    first.leave()
    assert behind.entered.wait(LONG)
    behind.leave()
    free(line)


def test_who_waits_behind_one_who_goes_moves_up():
    line, told = Line(1), []
    first = Guest(line)
    assert first.entered.wait(LONG)
    hasty = Guest(line, patience=0.3)
    until(lambda: line.waiting() == 1)
    last = Guest(line, tell=told.append)
    until(lambda: line.waiting() == 2)
    hasty.join(LONG)
    assert isinstance(hasty.raised, Busy)
    until(lambda: told and told[-1].before == 0)
    assert told[0].before == 1
    first.leave()
    assert last.entered.wait(LONG)
    last.leave()
    free(line)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_goes_away_while_waiting_leaves_nothing_behind(error):
    """A listener that raises, as one does whose page is gone."""
    line = Line(1)
    first = Guest(line)
    assert first.entered.wait(LONG)

    def gone(step):
        raise error

    with pytest.raises(error), line.place(LONG, gone):
        raise AssertionError
    assert (line.waiting(), line.at_work()) == (0, 1)
    first.leave()
    with line.place(0.0):
        pass
    free(line)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit()])
def test_whatever_happens_at_work_the_place_is_free_again(error):
    line = Line(1)
    guest = Guest(line, error=error)
    assert guest.entered.wait(LONG)
    guest.leave()
    assert guest.raised is error
    free(line)
    with line.place(0.0):
        pass


def test_who_is_told_slowly_holds_up_nobody():
    line = Line(1)
    first = Guest(line)
    assert first.entered.wait(LONG)
    stuck, go = threading.Event(), threading.Event()

    def slow(step):
        stuck.set()
        assert go.wait(LONG)

    second = Guest(line, tell=slow)
    assert stuck.wait(LONG)
    third = Guest(line)
    until(lambda: line.waiting() == 2)
    first.leave()
    assert line.at_work() == 0 and not third.entered.is_set(), "it is the second's turn"
    go.set()
    assert second.entered.wait(LONG)
    second.leave()
    assert third.entered.wait(LONG)
    third.leave()
    free(line)


@settings(max_examples=12, deadline=None)
@given(places=st.integers(1, 4), bad=st.sets(st.integers(0, 39)), hasty=st.sets(st.integers(0, 39)))
def test_never_more_than_the_places(places, bad, hasty):
    """Forty come; some fail at work, some have no patience: all others are served, and never too many at once."""
    line, guard, now, most = Line(places), threading.Lock(), [0], [0]

    def work(n):
        try:
            with line.place(0.0 if n in hasty else LONG):
                with guard:
                    now[0] += 1
                    most[0] = max(most[0], now[0])
                time.sleep(0.0003)
                with guard:
                    now[0] -= 1
                if n in bad:
                    raise ValueError
        except (ValueError, Busy) as error:
            return type(error)
        return None

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(work, range(40)))
    assert 1 <= most[0] <= places
    for n, one in enumerate(found):
        expected = {ValueError} if n in bad else {None}
        assert one in (expected | {Busy} if n in hasty else expected)
    free(line)
