"""What is said of a request at work: its place, what is loaded, how much is read; never more than is done."""

from __future__ import annotations

import pytest

from components import steps
from core.records import Step


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Step(doing="waiting", before=0), "this one is read next"),
        (Step(doing="waiting", before=1), "1 request is before"),
        (Step(doing="waiting", before=1200), "1,200 requests are before"),
        (Step(doing="loading", what="scribe-4l"), "Loading the model scribe-4l"),
        (Step(doing="loading", what="scribe-4l/2-res", done=2, of=7), "Loading 2-res, 3 of 7 sources"),
        (Step(doing="loading", what="scribe-4l/2-res", done=0, of=1), "Loading 2-res…"),
        (Step(doing="loading", what="scribe-4l/2-res"), "Loading 2-res…"),
        (Step(doing="reading", tokens=1024, sources=15, of=15), "Reading 1,024 tokens through 15 sources…"),
        (Step(doing="reading", tokens=9, sources=1, of=1), "through 1 source…"),
        (Step(doing="reading", tokens=9, sources=3, of=3, done=1, what="2-res"), "2-res is done"),
    ],
)
def test_words(step, says):
    assert says in steps.words(step)
    assert says in steps.words(step, ready=False), "who tells a step knows better than the model's state"


def test_before_there_is_a_step():
    assert "Loading the model" in steps.words(None, ready=False)
    assert steps.words(None) == "Reading the text…"
    assert steps.part(None) is None


@pytest.mark.parametrize(
    ("step", "part"),
    [
        (Step(doing="waiting", before=3), None), (Step(doing="loading", what="m"), None),
        (Step(doing="loading", what="m/1-x", done=1, of=4), 0.25), (Step(doing="reading", of=8), 0.0),
        (Step(doing="reading", of=8, done=8), 1.0),
    ],
)  # fmt: skip
def test_how_much_is_done(step, part):
    assert steps.part(step) == part
