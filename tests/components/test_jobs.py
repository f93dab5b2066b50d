"""Work that a page looks after: begun at once, done elsewhere, its failure kept until somebody asks."""

from __future__ import annotations

import threading

import pytest

from components.jobs import FAULT, Job
from core.errors import Busy
from core.records import Step


def test_a_job_tells_how_far_it_is_and_then_what_came_of_it():
    told, go = threading.Event(), threading.Event()

    def work(tell):
        tell(Step(doing="waiting", before=3))
        told.set()
        assert go.wait(10)
        return "done"

    job = Job(work)
    assert told.wait(10)
    assert job.step == Step(doing="waiting", before=3)
    assert not job.wait(0)
    assert not job.failed
    go.set()
    assert job.wait(10)
    assert not job.failed
    assert job.result() == "done"


@pytest.mark.parametrize("error", [Busy("Try again."), ZeroDivisionError()])
def test_a_failure_is_the_result(error):
    def work(tell):
        raise error

    job = Job(work)
    assert job.wait(10)
    assert job.failed
    with pytest.raises(type(error)):
        job.result()
    assert job.outcome() == ("Try again." if isinstance(error, Busy) else FAULT)


def test_an_outcome_is_the_result():
    job = Job(lambda tell: 3)
    assert job.wait(10)
    assert job.outcome() == 3
    assert job.step is None
