"""The pages of quality and the leaderboard, before and after something was measured, and while it is."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import streamlit as st

from components import resources
from core.errors import NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import measured, tiny
from tests.pages.test_pages import html, notes, visit


@pytest.fixture
def own(tiny_root, tmp_path, monkeypatch) -> Workbench:
    """A workbench that reads the tiny sources and keeps what is measured elsewhere."""
    made = Workbench(Settings(data=tmp_path / "data", demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: made)
    st.cache_data.clear()
    st.cache_resource.clear()
    return made


def test_nothing_was_measured_yet(own):
    app = visit("quality.py", source=tiny.SAE)
    assert "has not been measured yet" in html(app) and f"python -m core eval {tiny.SAE}" in html(app)
    assert [one.label for one in app.button if one.key == "quality-measure"] == ["Measure it"]
    board = visit("leaderboard.py")
    assert "Nothing has been measured yet" in html(board) and "1-res" in html(board)
    assert not notes(app) and not notes(board)


def test_what_was_measured_is_shown(own):
    measured.keep(own, tiny.SAE)
    app = visit("quality.py", source=tiny.SAE)
    shown = html(app)
    assert "0.9200" in shown and "Sparse probing" in shown and "control, embeddings kept" in shown and not notes(app)
    assert not [one for one in app.button if one.key == "quality-measure"], "all is there"
    board = html(visit("leaderboard.py", sort="-explained_variance"))
    assert "0.9200" in board and "fs-xy-dot" in board and 'fs-mk control"' in board


def test_who_may_not_is_told(own, monkeypatch):
    monkeypatch.setattr(own.bring, "may", lambda them: "Only administrators add sources.")
    app = visit("quality.py", source=tiny.SAE)
    assert "whoever may" in html(app) or "who may add sources" in html(app)
    assert not [one for one in app.button if one.key == "quality-measure"]


def test_measuring_goes_on_without_the_page_and_its_end_is_seen(own, monkeypatch):
    going, begun = threading.Event(), threading.Event()

    def measure(key, progress=None, **_):
        progress("reconstruction", 3, 10)
        begun.set()
        assert going.wait(60)
        return measured.keep(own, str(key))

    monkeypatch.setattr(own.quality, "measure", measure)
    app = visit("quality.py", source=tiny.SAE)
    app.button(key="quality-measure").click().run()
    assert begun.wait(60)
    again = visit("quality.py", source=tiny.SAE)
    assert "Measuring: reconstruction, 3 of 10" in html(again), "another visitor sees how far it is"
    going.set()
    resources.measuring(tiny.SAE, begin=False).wait(60)
    assert "0.9200" in html(visit("quality.py", source=tiny.SAE))


def test_what_cannot_be_measured_is_said_and_not_offered_again(own, monkeypatch):
    def measure(key, **_):
        kept = measured.keep(own, str(key))
        bare = replace(kept.own, tpp=None)
        monkeypatch.setattr(own.quality, "of", lambda key: replace(kept, own=bare))
        return replace(kept, own=bare, lacking=(("tpp", "The texts are of one kind."),))

    monkeypatch.setattr(own.quality, "measure", measure)
    resources.measuring(tiny.SAE, begin=True).wait(60)
    app = visit("quality.py", source=tiny.SAE)
    assert "The texts are of one kind." in html(app)
    assert not [one for one in app.button if one.key == "quality-measure"]


def test_what_goes_wrong_is_said(own, monkeypatch):
    def measure(key, **_):
        raise NotAvailable("The weights are gone.")

    monkeypatch.setattr(own.quality, "measure", measure)
    resources.measuring(tiny.SAE, begin=True).wait(60)
    assert "The weights are gone." in notes(visit("quality.py", source=tiny.SAE))


@pytest.mark.parametrize(
    ("page", "query", "says"),
    [
        ("quality.py", {"source": "no/1-where"}, "Shown instead"),
        ("quality.py", {"source": tiny.SAE, "wide": "none"}, "no source of another width"),
        ("quality.py", {"source": tiny.SAE, "threshold": "7"}, "a cosine"),
        ("leaderboard.py", {"sort": "beauty"}, "“sort”"),
        ("leaderboard.py", {"x": "<script>"}, "&lt;script&gt;"),
    ],
)
def test_a_bad_link_says_what_would_do(own, page, query, says):
    assert says in notes(visit(page, **query))
