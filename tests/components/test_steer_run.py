"""A run that a page looks after: it grows, ends, is stopped, fails; and the last few records are held."""

from __future__ import annotations

import threading

import pytest

from components.jobs import FAULT
from components.steer_run import Lately, Run
from core.errors import Busy
from core.records import FeatureKey, Push, SteerAsk, SteeredText, SteerRecord, Step

ASK = SteerAsk(model_id="m", prompt="The", pushes=(Push(FeatureKey("m", "1-res", 0), 1.0),))


def record(text: str, *, done: bool = False) -> SteerRecord:
    own = SteeredText(text=text, tokens=(), ended=False)
    return SteerRecord(
        ask=ASK, prompt=(), steered_prompt=(), pushes=(), default=own, steered=own, effect=None, done=done
    )


class Gate:
    """Records that come when they are let through; says whether it was closed."""

    def __init__(self, *records: SteerRecord) -> None:
        self.records, self.step = records, threading.Semaphore(0)
        self.told, self.closed = threading.Event(), threading.Event()

    def __call__(self, tell):
        try:
            tell(Step(doing="waiting", before=2))
            self.told.set()
            for one in self.records:
                assert self.step.acquire(timeout=10)
                yield one
        finally:
            self.closed.set()


def until(holds) -> None:
    for _ in range(1000):
        if holds():
            return
        threading.Event().wait(0.01)
    pytest.fail("it never came")


def test_it_grows_and_ends():
    gate = Gate(record("a"), record("ab"), record("abc", done=True))
    run = Run(gate)
    assert gate.told.wait(10)
    assert (run.state, run.record, run.ended) == ("waiting", None, False)
    assert run.step is not None
    assert run.step.before == 2
    for text in ("a", "ab"):
        gate.step.release()
        until(lambda text=text: run.record is not None and run.record.steered.text == text)
        assert (run.state, run.ended) == ("writing", False)
    gate.step.release()
    assert run.wait(10)
    assert (run.state, run.ended, run.message) == ("done", True, "")
    assert run.record.steered.text == "abc"
    assert gate.closed.wait(10)
    run.stop()
    assert run.state == "done", "what is whole stays so"


def test_stopping_shows_at_once_and_ends_the_work_at_its_next_record():
    gate = Gate(record("a"), record("ab"), record("abc", done=True))
    run = Run(gate)
    gate.step.release()
    until(lambda: run.record is not None)
    run.stop()
    assert run.wait(0)
    assert (run.state, run.ended) == ("stopped", True)
    assert not gate.closed.is_set()
    gate.step.release()
    assert gate.closed.wait(10)
    assert (run.state, run.record.steered.text) == ("stopped", "a")


def test_stopping_while_it_waits():
    gate = Gate(record("a", done=True))
    run = Run(gate)
    run.stop()
    gate.step.release()
    assert gate.closed.wait(10)
    assert (run.state, run.record) == ("stopped", None)


@pytest.mark.parametrize(("error", "says"), [(Busy("Try again."), "Try again."), (ZeroDivisionError("secret"), FAULT)])
def test_a_failure_has_a_message_and_no_secret(error, says):
    def begin(tell):
        raise error

    run = Run(begin)
    assert run.wait(10)
    assert (run.state, run.message, run.ended) == ("failed", says, True)


def test_what_was_written_before_needs_no_work():
    done = record("abc", done=True)
    run = Run(lambda tell: pytest.fail("it is there"), done)
    assert run.wait(0)
    assert (run.state, run.record) == ("done", done)


def test_the_one_asked_for_longest_ago_goes():
    held = Lately(2)
    held.put("a", 1)
    held.put("b", 2)
    assert held.get("a") == 1
    held.put("c", 3)
    assert [held.get(key) for key in "abc"] == [1, None, 3]
