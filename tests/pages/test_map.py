"""The page of maps: one that was not made is made when somebody asks for it, and says how far that is."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import streamlit as st

from components import map_part, resources
from core.atlas.map import layout as map_layout
from core.atlas.map.layout import Layout
from core.errors import NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit


@pytest.fixture
def bench(tiny_root, tmp_path, monkeypatch):
    """A workbench that may write maps, with the map itself drawn as a line of text."""
    made = Workbench(Settings(data=tmp_path, demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: made)
    monkeypatch.setattr(map_part, "part", lambda bench, data, **_: st.html(f"<p>the map at {data['points']}</p>"))
    st.cache_resource.clear()
    return made


def drawn(app) -> str:
    app.run()
    return html(app)


def test_a_map_is_made_on_demand_and_says_how_far_it_is(bench, monkeypatch):
    going, begun = threading.Event(), threading.Event()

    def place(vectors, *, seed=0, fit=0, tell=None):
        tell("laying out", 30, 120)
        begun.set()
        assert going.wait(60)
        xy = np.random.default_rng(seed).normal(size=(len(vectors), 2))
        return Layout(xy.astype(np.float32), np.arange(len(vectors)))

    monkeypatch.setattr(map_layout, "place", place)
    app = visit("map.py", sources="1-res", of="decoder")
    alive = bench.source(tiny.SAE).alive
    assert "This map was not made yet" in html(app) and f"{alive:,} features" in html(app)
    assert bench.atlas.map_here(tiny.SAE) is None, "nobody asked"
    app.button(key="map-make").click().run()
    assert begun.wait(60)
    assert "laying out" in drawn(app) and "25" in html(app)
    other = visit("map.py", sources="1-res", of="decoder")  # who comes meanwhile sees the same
    assert "laying out" in html(other) and not [one for one in other.button if one.key == "map-make"]
    going.set()
    assert resources.mapping((tiny.SAE,), "decoder", begin=False).wait(60)
    assert "the map at /api/umap/points.bin?sources=tiny" in drawn(app)
    assert len(bench.atlas.map_here(tiny.SAE)) == alive


def test_a_map_that_cannot_be_made_says_why_and_can_be_tried_again(bench, monkeypatch):
    def place(vectors, **_):
        raise NotAvailable("There is <b>no</b> room.")

    monkeypatch.setattr(map_layout, "place", place)
    app = visit("map.py", sources="1-res", of="decoder")
    app.button(key="map-make").click().run()
    assert resources.mapping((tiny.SAE,), "decoder", begin=False).wait(60)
    app.run()
    assert "There is &lt;b&gt;no&lt;/b&gt; room." in notes(app) and app.button(key="map-make")
