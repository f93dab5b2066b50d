"""The search page opens on good links and bad ones, shows what the workbench finds, and every state of a search."""

from __future__ import annotations

import shutil
import threading

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import resources, searching
from components.markup import number
from core.errors import Busy
from core.records import Step
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
        ({"page": "0"}, "whole numbers"),
        ({"picked": "9-res/1"}, "9-res/1"),
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


def test_a_page_beyond_the_last_is_the_last_and_said(bench):
    total = bench.search("tiny", TEXT).total
    last = -(-total // 25)
    app = search(page="9000")
    assert f"page {last} of {last}" in html(app)
    assert len(names(app)) == (total % 25 or 25)
    assert f"There is no page 9,000: the last is page {last}, and this is it." in notes(app)
    assert not notes(search(page=str(last)))


def test_where_there_is_nothing_there_is_one_page():
    app = search(density="1e-9", page="2")
    assert "there is only one page" in notes(app)
    assert "No feature is active here" in html(app)


def test_no_hit_is_a_state_of_its_own():
    drawn = html(search(density="1e-9"))
    assert "No feature is active here" in drawn
    assert "Features of any density" in drawn


@pytest.mark.parametrize(
    ("page", "query", "job"),
    [
        ("search.py", {"text": TEXT}, "search"), ("search.py", {"text": TEXT, "view": "token"}, "by_token"),
        ("search.py", {"text": TEXT, "against": "another"}, "contrast"),
        ("search.py", {"text": TEXT, "view": "picked", "picked": "1-res/3"}, "test_each"),
        ("scan.py", {"id": f"{tiny.SAE}/3", "sentence": "The {} house", "words": "red"}, "substitute"),
    ],
)  # fmt: skip
def test_every_step_is_said_before_the_answer_comes(bench, monkeypatch, page, query, job):
    """The page is drawn at once, and says the place in the queue, what is loaded and what is read, each once."""
    steps = [
        Step(doing="waiting", before=2), Step(doing="loading", what=tiny.SAE, done=1, of=4),
        Step(doing="reading", tokens=8, sources=2, of=2, done=1, what="1-res"),
    ]  # fmt: skip
    drawn, seen, real = [], threading.Event(), getattr(type(bench), job)
    panel = searching.search_panels.waiting

    def waiting(said, part=None):
        drawn.append((said, part))
        seen.set()
        return panel(said, part)

    def slow(self, *given, tell, **more):
        assert seen.wait(30)
        for step in steps:
            seen.clear()
            tell(step)
            assert seen.wait(30)
        return real(self, *given, **more)

    for cached in (resources._by_token, resources._contrast, resources._substitution, resources._tests_of_each):
        cached.clear()
    monkeypatch.setattr(searching, "AT_ONCE", 0)
    monkeypatch.setattr(searching, "EVERY", 0.01)
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    monkeypatch.setattr(searching.search_panels, "waiting", waiting)
    monkeypatch.setattr(type(bench), job, slow)
    app = visit(page, **query)
    assert not notes(app)
    assert 'class="fs-wait"' not in html(app), "what came of it is in its place"
    said = list(dict.fromkeys(drawn))
    assert [part for _, part in said] == [None, None, 0.25, 0.5]
    expected = ("Reading the text", "2 requests are before", "2 of 4", "1-res is done")
    for (words, _), says in zip(said, expected, strict=True):
        assert says in words


def test_a_source_that_is_gone_is_left_out_and_said_and_alone_it_is_an_error(tiny_root, tmp_path, monkeypatch):
    (tmp_path / "model").symlink_to(tiny_root.parent / "model")
    shutil.copytree(tiny_root, tmp_path / "data")  # without the SAE's weights beside it
    own = Workbench(Settings(data=tmp_path / "data", demo=None))
    monkeypatch.setattr(resources, "workbench", lambda: own)
    for app in (search(), search(sources="1-res,0-neurons"), search(against="another")):
        drawn = html(app)
        assert "1-res is left out" in drawn
        assert "not at" in drawn
        assert "<article" in drawn
    drawn = html(search(sources="1-res"))
    assert "The search could not be done" in drawn
    assert "not at" in drawn


def test_what_is_picked_is_ticked_on_every_page_and_listed(bench):
    keys = [hit.key for hit in bench.search("tiny", TEXT, top=25, offset=25).hits[:2]]
    picked = ",".join(f"{key.source_id}/{key.index}" for key in keys)
    first, second = (html(search(picked=picked, page=page)) for page in ("1", "2"))
    assert first.count('aria-checked="true"') == 0
    assert second.count('aria-checked="true"') == 2
    for drawn in (first, second, html(search(picked=picked, view="token")), html(search(picked=picked, against="x"))):
        assert "<b>2</b> selected" in drawn
    app = search(picked=picked, view="picked")
    assert not notes(app)
    tests = bench.test_each(keys, TEXT)
    drawn = html(app)
    for key, test in zip(keys, tests, strict=True):
        assert f"{key.source_id} · {key.index}" in drawn
        assert f">{number(test.maximum)}</b>" in drawn


@pytest.mark.parametrize(
    ("query", "shows", "says"),
    [
        ({"picked": ""}, "Nothing is selected", ""), ({"picked": "1-res/3", "text": ""}, "1-res · 3", ""),
        ({"picked": "1-res/3,1-res/9999"}, "1-res · 3", "1-res/9999"),
        ({"picked": "1-res/3", "text": "a " * 400}, "1-res · 3", "reads at most"),
        ({"picked": "<script>"}, "Nothing is selected", "&lt;script&gt;"),
    ],
)  # fmt: skip
def test_the_table_on_good_links_and_bad_ones(query, shows, says):
    app = search(**{"view": "picked", **query})
    assert shows in html(app)
    assert says in notes(app)
    assert bool(notes(app)) == bool(says)


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
