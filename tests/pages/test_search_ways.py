"""Features by token, two texts side by side and the scan of a slot: pages on good links and bad ones."""

from __future__ import annotations

import pytest
import streamlit as st

from components import resources, token_panels
from core.errors import Busy
from tests import tiny
from tests.pages.test_pages import html, notes, visit

A, B = "The capital of France is Paris, and fine 🙂.", "My fellow citizens, the day is fine."
KEY = f"{tiny.SAE}/3"


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    for cached in (resources._search, resources._by_token, resources._contrast, resources._substitution):
        cached.clear()


def test_each_token_has_its_features(bench):
    app = visit("search.py", text=A, view="token", source="1-res")
    record = bench.by_token(tiny.SAE, A, top=token_panels.TOP, densest=None)
    drawn = html(app)
    assert not notes(app)
    assert drawn.split('fs-bytoken">')[1].split("</table>")[0].count("<tr>") == len(record.rows)
    assert f"id={tiny.SAE}/{record.features[0].key.index}" in drawn


def test_without_a_source_one_is_chosen():
    app = visit("search.py", text=A, view="token")
    assert not notes(app)
    assert "Strongest features of each token" in html(app)


def test_what_differs_is_shown_on_both_sides(bench):
    app = visit("search.py", text=A, against=B)
    record = bench.contrast("tiny", A, B)
    drawn = html(app)
    assert not notes(app)
    assert drawn.count("<article") == len(record.first) + len(record.second)
    assert f"{record.totals[0]:,} features" in drawn


def test_a_page_beyond_the_last_is_the_last_and_said():
    app = visit("search.py", text=A, against=B, page="9000")
    drawn = html(app)
    assert "There is no page 9,000" in notes(app)
    (last,) = {line.split(" of ")[1].split("<")[0] for line in drawn.split("<span>page ")[1:]}
    assert f"page {last} of {last}" in drawn


@pytest.mark.parametrize("query", [{"view": "contrast"}, {"view": "contrast", "text": A}])
def test_before_there_are_two_texts_there_are_pairs(bench, monkeypatch, query):
    monkeypatch.setattr(type(bench), "contrast", lambda *_, **__: pytest.fail("nothing was asked"))
    app = visit("search.py", **query)
    assert "pair" in html(app)
    assert 'data-name="against"' in html(app)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"text": A, "view": "bogus"}, "features, token, contrast"),
        ({"text": A, "view": "token", "source": "<script>"}, "&lt;script&gt;"),
        ({"text": A, "view": "token", "order": "bogus"}, "frequency, strength, density"),
        ({"text": A, "against": "a " * 400}, "The second text is too long"),
        ({"text": "a " * 400, "against": B}, "The first text is too long"),
    ],
)
def test_a_bad_link_says_what_would_do(query, says):
    assert says in notes(visit("search.py", **query))


def test_a_scan_is_what_the_workbench_finds(bench):
    app = visit("scan.py", id=KEY, sentence="The {} of France", words="capital, day")
    record = bench.substitute(KEY, "The {} of France", ["capital", "day"])
    drawn = html(app)
    assert not notes(app)
    assert drawn.split("<tbody>")[1].count("<tr>") == len(record.fillings)


def test_before_a_scan_there_are_examples(bench, monkeypatch):
    monkeypatch.setattr(type(bench), "substitute", lambda *_, **__: pytest.fail("nothing was asked"))
    app = visit("scan.py", id=KEY)
    assert not notes(app)
    assert "Which word is it for?" in html(app)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"id": KEY, "sentence": "The house", "words": "red"}, "no slot"),
        ({"id": KEY, "sentence": "{} and {}", "words": "red"}, "2 slots"),
        ({"id": KEY, "sentence": "The {} house"}, "no word"),
        ({"id": KEY, "sentence": "The {} house", "words": ",".join(map(str, range(40)))}, "at most 32"),
        ({"id": KEY, "sentence": "The {} house" + " x" * 300, "words": "red"}, "too long"),
        ({"id": KEY, "sentence": "The {} house", "words": "red", "order": "bogus"}, "written, slot, sentence"),
        ({"id": "tiny/9-none/3"}, "no source"),
    ],
)
def test_what_cannot_be_scanned_says_what_would_do(query, says):
    assert says in notes(visit("scan.py", **query))


@pytest.mark.parametrize(
    ("page", "query", "job"),
    [
        ("search.py", {"text": A, "view": "token"}, "by_token"),
        ("search.py", {"text": A, "against": B}, "contrast"),
        ("scan.py", {"id": KEY, "sentence": "The {} house", "words": "red"}, "substitute"),
    ],
)
def test_a_busy_server_says_so_and_the_next_visit_tries_again(bench, monkeypatch, page, query, job):
    def busy(self, *_, **__):
        raise Busy("The server is busy: 3 wait. Try again in a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(type(bench), job, busy)
        assert "The server is busy" in html(visit(page, **query))
    assert "The server is busy" not in html(visit(page, **query))


def test_the_feature_page_leads_to_a_scan():
    assert f'href="/scan?id={KEY}"' in html(visit("feature.py", id=KEY))
