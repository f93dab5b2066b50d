"""The test box: the page stands first, each step is shown while a test is at work, and what fails is begun once."""

from __future__ import annotations

import threading

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import resources, testing
from core.errors import Busy, NotAvailable
from core.records import Step
from tests import tiny
from tests.pages.test_pages import visit

KEY = f"{tiny.SAE}/3"


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    st.cache_data.clear()
    resources._tests.clear()
    resources._tests_of_each.clear()


@pytest.fixture
def told(monkeypatch):
    """What the component was given at each run."""
    told = []
    monkeypatch.setattr("components.token_strip._tester", lambda **given: told.append(given["data"]))
    return told


@pytest.fixture
def held(bench, monkeypatch):
    """A test that waits; it tells steps first, if it is given some."""
    real, go, calls, steps = type(bench).test, threading.Event(), [], []

    def test(self, key, texts, *, tell=None):
        calls.append(texts)
        for step in steps:
            tell(step)
        assert go.wait(30)
        return real(self, key, texts)

    monkeypatch.setattr(type(bench), "test", test)
    yield go, calls, steps
    go.set()


def fragment():
    """The fragment alone, as it runs again after the page."""
    from components import resources, testing
    from tests import tiny

    record = resources.workbench().feature(f"{tiny.SAE}/3")
    testing._box(record, ("It’s a fine day 🙂", "Paris"), 0, True, [])


def run(app: AppTest) -> AppTest:
    app.run(timeout=60)
    assert not app.exception, app.exception
    return app


def test_the_page_does_not_wait_for_a_test_at_work(held, told, monkeypatch):
    monkeypatch.setattr(testing, "AT_ONCE", 0.05)
    visit("feature.py", id=KEY, defaulttesttext=["It’s a fine day 🙂", "Paris"])
    assert told[-1]["pending"]
    assert told[-1]["wanted"] == ["It’s a fine day 🙂", "Paris"]
    assert not told[-1]["tests"]
    assert not told[-1]["stage"], "the component is to ask, and is answered then"


def test_each_step_is_shown_and_then_what_came_of_it(bench, held, told, monkeypatch):
    go, calls, steps = held
    again = []
    monkeypatch.setattr(testing, "AT_ONCE", 0.05)
    monkeypatch.setattr(testing, "EVERY", 0.01)
    monkeypatch.setattr(testing.st, "rerun", lambda **given: again.append(given))
    steps.append(Step(doing="waiting", before=3))
    app = run(AppTest.from_function(fragment))
    assert again == [{"scope": "fragment"}]
    assert "3 requests are before" in told[-1]["stage"]
    assert not told[-1]["pending"]
    assert told[-1]["part"] is None
    job = app.session_state[f"tester-{KEY}-job"]
    job[2].step = Step(doing="reading", tokens=12, sources=1, of=4, done=1)
    run(app)
    assert "Reading 12 tokens" in told[-1]["stage"]
    assert told[-1]["part"] == 0.25
    assert len(again) == 2
    go.set()
    assert job[2].wait(30)
    run(app)
    assert len(again) == 2, "it is done"
    assert not told[-1]["stage"]
    assert [row["text"] for row in told[-1]["tests"]] == ["It’s a fine day 🙂", "Paris"]
    assert len(calls) == 1


def test_what_fails_is_begun_once_and_at_the_next_test_again(bench, told, monkeypatch):
    calls, go = [], threading.Event()

    def busy(self, key, texts, *, tell=None):
        calls.append(texts)
        assert go.wait(30)
        raise Busy("The server is busy: 3 wait. Try again in a moment.")

    monkeypatch.setattr(type(bench), "test", busy)
    monkeypatch.setattr(testing, "AT_ONCE", 0.05)
    monkeypatch.setattr(testing, "EVERY", 0.01)
    monkeypatch.setattr(testing.st, "rerun", lambda **given: None)
    app = run(AppTest.from_function(fragment))
    assert told[-1]["stage"]
    go.set()
    monkeypatch.setattr(testing, "AT_ONCE", 30)
    run(app)
    assert "The server is busy" in told[-1]["message"]
    assert not told[-1]["stage"]
    assert len(calls) == 1, "not each text alone: the server is as busy for each"
    run(app)
    assert len(calls) == 2


@pytest.mark.parametrize("fault", [ZeroDivisionError("secret"), NotAvailable("The weights are gone.")])
def test_a_fault_is_a_message(bench, told, monkeypatch, fault):
    def fails(self, key, texts, *, tell=None):
        raise fault

    monkeypatch.setattr(type(bench), "test", fails)
    monkeypatch.setattr(testing, "AT_ONCE", 30)
    run(AppTest.from_function(fragment))
    assert told[-1]["message"]
    assert "secret" not in told[-1]["message"]
    assert isinstance(fault, ZeroDivisionError) or told[-1]["message"] == "The weights are gone."


def test_two_tabs_wait_for_one_test(held, told, monkeypatch):
    go, calls, _ = held
    monkeypatch.setattr(testing, "AT_ONCE", 0.05)
    monkeypatch.setattr(testing, "EVERY", 0.01)
    monkeypatch.setattr(testing.st, "rerun", lambda **given: None)
    tabs = [run(AppTest.from_function(fragment)) for _ in range(2)]
    assert len(calls) == 1
    go.set()
    monkeypatch.setattr(testing, "AT_ONCE", 30)
    for tab in tabs:
        run(tab)
        assert len(told[-1]["tests"]) == 2
    assert len(calls) == 1
