"""The search page opens on good links and bad ones, shows what the workbench finds, and every state of a search."""

from __future__ import annotations

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import resources, searching
from core.errors import Busy
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

TEXT = "The capital of France is Paris, and “it’s” fine 🙂."


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    resources._search.clear()


def search(**query: str) -> AppTest:
    return visit("search.py", **{"text": TEXT, **query})


def names(app: AppTest) -> list[str]:
    drawn = html(app).split('<a class="fs-hit-name" href="')[1:]
    return [one.split("id=", 1)[1].split("&", 1)[0] for one in drawn]


def test_before_the_first_search_there_are_examples_and_no_model(bench, monkeypatch):
    monkeypatch.setattr(type(bench), "search", lambda *_, **__: pytest.fail("nothing was asked"))
    app = visit("search.py")
    assert "Or begin with one of these" in html(app)
    assert not notes(app)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, {}),
        ({"sort": "value", "density": "0.2"}, {"measure": "value", "densest": 0.2}),
        ({"tokens": "3,2"}, {"positions": (2, 3)}),
        ({"tokens": "2,3", "combine": "sum", "sort": "fraction"},
         {"positions": (2, 3), "combine": "sum", "measure": "fraction"}),
        ({"sources": "1-res"}, {"sources": [tiny.SAE]}),
        ({"bos": "1", "page": "2"}, {"bos": True, "offset": 25}),
    ],
)  # fmt: skip
def test_a_link_shows_what_the_workbench_finds(bench, query, asked):
    app = search(**query)
    expected = bench.search("tiny", TEXT, top=25, **asked)
    assert not notes(app)
    assert names(app) == [str(hit.key) for hit in expected.hits]
    assert f"of {expected.total:,} active" in html(app)


def test_grouping_by_token_shows_the_same_hits():
    assert sorted(names(search(group="token"))) == sorted(names(search()))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "nobody"}, "There is: tiny"),
        ({"sources": "9-res"}, "no source “9-res” of tiny"),
        ({"sources": "<script>"}, "&lt;script&gt;"),
        ({"tokens": "999"}, "999 left out"),
        ({"tokens": "0"}, "left out"),
        ({"sort": "bogus"}, "surprise, percentile, fraction, value"),
        ({"density": "2"}, "at most 1"),
        ({"page": "x"}, "whole numbers"),
    ],
)
def test_a_bad_link_says_what_would_do_and_shows_the_rest(query, says):
    app = search(**query)
    assert says in notes(app)
    assert names(app) == names(search())


@pytest.mark.parametrize(("text", "says"), [("a " * 400, "reads at most"), ("x" * 20_000, "too long")])
def test_a_text_that_is_too_long_gets_its_count_and_the_limit(text, says, monkeypatch, bench):
    monkeypatch.setattr(type(bench), "search", lambda *_, **__: pytest.fail("no model is needed to say so"))
    app = search(text=text)
    assert says in notes(app)
    assert any(n in notes(app) for n in ("tokens with BOS", "20,000"))
    assert not names(app)


def test_an_empty_text_is_the_beginning():
    assert "Or begin with one of these" in html(search(text="  \n "))


def test_a_page_beyond_the_last_is_the_last(bench):
    total = bench.search("tiny", TEXT).total
    app = search(page="9000")
    assert f"page {-(-total // 25)} of {-(-total // 25)}" in html(app)
    assert len(names(app)) == (total % 25 or 25)


def test_no_hit_is_a_state_of_its_own():
    drawn = html(search(density="1e-9"))
    assert "No feature is active here" in drawn
    assert "Features of any density" in drawn


def test_waiting_is_said_before_the_answer_comes(monkeypatch):
    """The page is drawn at once: what it says meanwhile comes from the model's state and the place in the queue."""
    monkeypatch.setattr(resources, "ready", lambda model_id: False)
    assert "Loading the model" in searching._stage("tiny", 0)
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    assert "Reading" in searching._stage("tiny", 0)
    assert "2 searches are before" in searching._stage("tiny", 2)
    drawn = []
    monkeypatch.setattr(searching, "AT_ONCE", 0)
    monkeypatch.setattr(searching.search_panels, "waiting", lambda said: drawn.append(said) or "<p></p>")
    app = search()
    assert names(app)


def test_a_busy_server_says_so_and_the_next_visit_tries_again(bench, monkeypatch):
    calls = []

    def busy(self, *_, **__):
        calls.append(1)
        raise Busy("The server is busy: 3 wait. Try again in a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(type(bench), "search", busy)
        drawn = html(search())
    assert calls
    assert "The server is busy" in drawn
    assert "Try again</a>" in drawn
    assert names(search())


def test_no_trace_of_a_fault_reaches_a_reader(bench, monkeypatch):
    def fault(self, *_, **__):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(bench), "search", fault)
    drawn = html(search())
    assert "Something went wrong on this server" in drawn
    assert "secret" not in drawn


def test_the_same_search_is_begun_once(bench, monkeypatch):
    real, calls = type(bench).search, []

    def counted(self, *args, **options):
        calls.append(args)
        return real(self, *args, **options)

    monkeypatch.setattr(type(bench), "search", counted)
    search()
    begun = len(calls)
    search()
    assert len(calls) == begun


def test_typing_warms_the_model_and_nothing_else_does(bench, monkeypatch):
    warmed = []
    monkeypatch.setattr(type(bench), "warm", lambda self, model_id: warmed.append(model_id))
    visit("search.py")
    assert not warmed
    searching.warm("nobody")
    searching.warm("tiny")
    assert warmed == ["tiny"]


def test_an_empty_workbench_says_how_to_begin(tmp_path, monkeypatch):
    empty = Workbench(Settings(data=tmp_path, demo=None))
    monkeypatch.setattr(resources, "workbench", lambda: empty)
    assert "core build" in html(visit("search.py"))


def test_the_home_page_leads_a_sentence_to_the_search_and_keeps_the_test():
    drawn = html(visit("home.py"))
    assert '<form data-go="/search"' in drawn
    assert 'data-go="/feature" data-text="defaulttesttext"' in drawn
