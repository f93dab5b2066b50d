"""Every page opens, on good links and on bad ones, and says what it shows. Through the router, as visitors come."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import resources, testing
from core.errors import NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

ROUTER = Path(__file__).resolve().parents[2] / "pages" / "_router.py"


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()


def visit(page: str, /, **query: object) -> AppTest:
    app = AppTest.from_file(str(ROUTER), default_timeout=60)
    app.run()
    app.switch_page(page)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def html(app: AppTest) -> str:
    return "\n".join(str(element.proto.body) for element in app.get("html"))


def notes(app: AppTest) -> str:
    return "\n".join(str(e.proto.body) for e in app.get("html") if 'class="fs-note' in e.proto.body)


@pytest.mark.parametrize(
    ("page", "query", "shows"),
    [
        ("home.py", {}, "Features to begin with"),
        ("feature.py", {"id": f"{tiny.SAE}/3"}, "Promotes"),
        ("feature.py", {"id": f"{tiny.NEURONS}/3"}, "minimum"),
        ("feature.py", {"random": tiny.SAE}, "Promotes"),
        ("feature.py", {"jump": "4", "near": tiny.SAE}, "<b>4</b>"),
        ("model.py", {"id": "tiny"}, "1-res"),
        ("release.py", {"name": "tiny-release"}, "For tests."),
        ("source_set.py", {"model": "tiny", "set": "res"}, "res of tiny"),
        ("source.py", {"id": tiny.SAE}, "of 64 features"),
        ("source.py", {"id": tiny.SAE, "page": "2", "sort": "-density"}, "51 to 64 of 64 features"),
        ("source.py", {"id": tiny.SAE, "q": "zzzzzz"}, "No feature fits"),
        ("glossary.py", {}, "explained variance"),
        ("server.py", {}, "Activation cache"),
    ],
)
def test_a_page_opens(page, query, shows):
    app = visit(page, **query)
    assert shows in html(app)
    assert not notes(app)


@pytest.mark.parametrize(
    ("page", "query", "says"),
    [
        ("feature.py", {}, "names no feature"),
        ("feature.py", {"id": "nonsense"}, "no source"),
        ("feature.py", {"id": f"{tiny.SAE}/99999"}, "0 to 63"),
        ("feature.py", {"id": "<script>"}, "&lt;script&gt;"),
        ("feature.py", {"id": f"{tiny.SAE}/3", "show": "bogus"}, "diverse, raw, interval, random"),
        ("feature.py", {"id": f"{tiny.SAE}/3", "view": "bogus"}, "snippet, whole"),
        ("feature.py", {"jump": "99999", "near": f"{tiny.SAE}/3"}, "0 to 63"),
        ("feature.py", {"random": "x"}, "model"),
        ("source.py", {"id": "no/1-where"}, "Shown instead: tiny/1-res"),
        ("source.py", {"id": tiny.SAE, "sort": "bogus"}, "not a value of “sort”"),
        ("source.py", {"id": tiny.SAE, "page": "99"}, "There is no page 99: the last is page 2"),
        ("source.py", {"id": tiny.SAE, "page": "x"}, "whole numbers"),
        ("model.py", {"id": "nobody"}, "tiny"),
        ("release.py", {"name": "none"}, "tiny-release"),
        ("source_set.py", {"model": "tiny", "set": "none"}, "res of tiny"),
    ],
)
def test_a_bad_link_says_what_would_do(page, query, says):
    assert says in notes(visit(page, **query))


def test_other_forms_of_a_link_become_the_plain_one():
    for query in (
        {"id": "1-res:5"},
        {"jump": "https://www.neuronpedia.org/tiny/1-res/5"},
        {"jump": "5", "near": tiny.SAE},
    ):
        assert visit("feature.py", **query).query_params["id"] in (f"{tiny.SAE}/5", [f"{tiny.SAE}/5"])


@pytest.mark.parametrize("page", ["home.py", "feature.py", "server.py"])
def test_every_page_leads_to_what_the_server_holds(page):
    drawn = html(visit(page, id=f"{tiny.SAE}/3"))
    assert drawn.count('href="/server"') == 1


def test_a_link_to_a_source_leads_there():
    assert "Features of 1-res" in html(visit("feature.py", jump="1-res"))


def test_a_shared_link_is_tested_when_the_model_is_there(bench, monkeypatch):
    """And asked for by the box itself when it is not, so that the page stands first."""
    told = []
    monkeypatch.setattr("components.token_strip._tester", lambda **given: told.append(given["data"]))
    query = {"id": f"{tiny.SAE}/3", "defaulttesttext": ["It’s a fine day 🙂", "Paris"]}
    monkeypatch.setattr(resources, "ready", lambda model_id: False)
    visit("feature.py", **query)
    assert told[-1]["pending"]
    assert told[-1]["wanted"] == ["It’s a fine day 🙂", "Paris"]
    assert not told[-1]["tests"]
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    monkeypatch.setattr(testing, "AT_ONCE", 60)
    visit("feature.py", **query)
    assert not told[-1]["pending"]
    assert [row["text"] for row in told[-1]["tests"]] == ["It’s a fine day 🙂", "Paris"]
    expected = bench.test(f"{tiny.SAE}/3", ["It’s a fine day 🙂", "Paris"])
    assert [row["max"] for row in told[-1]["tests"]] == pytest.approx([t.maximum for t in expected], rel=1e-3)


@pytest.mark.parametrize(("texts", "says"), [(["  "], "empty"), (["good", "x" * 20_000], "too long")])
def test_a_bad_text_gets_a_message_and_the_good_one_its_result(monkeypatch, texts, says):
    told = []
    monkeypatch.setattr("components.token_strip._tester", lambda **given: told.append(given["data"]))
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    monkeypatch.setattr(testing, "AT_ONCE", 60)
    visit("feature.py", id=f"{tiny.SAE}/3", defaulttesttext=texts)
    assert says in told[-1]["message"]
    assert len(told[-1]["tests"]) == len(texts) - 1


def test_a_dead_feature_says_so(bench, monkeypatch, record):
    dead = dataclasses.replace(
        record, active=0, density=0.0, maximum=0.0, histogram=None, groups=(), label="", correlated_features=()
    )
    monkeypatch.setattr(type(bench), "feature", lambda self, key: dead)

    def unknown(self, key, **asked):
        raise NotAvailable("Nobody has looked what fires with it.")

    monkeypatch.setattr(type(bench.atlas), "together", unknown)
    drawn = html(visit("feature.py", id=f"{tiny.SAE}/3"))
    assert "Nothing activates this feature" in drawn
    assert "Feature 3" in drawn


def test_a_source_without_dashboards_says_so(bench, monkeypatch):
    def none(self, key):
        raise NotAvailable("tiny/1-res has weights but no dashboards: build it first.")

    monkeypatch.setattr(type(bench), "feature", none)
    assert "build it first" in notes(visit("feature.py", id=f"{tiny.SAE}/3"))


def test_an_empty_workbench_says_how_to_begin(tmp_path, monkeypatch):
    empty = Workbench(Settings(data=tmp_path, demo=None))
    monkeypatch.setattr(resources, "workbench", lambda: empty)
    for page in ("home.py", "source.py", "feature.py", "model.py", "release.py", "source_set.py", "glossary.py"):
        drawn = html(visit(page))
        assert page == "glossary.py" or "core build" in drawn, page
