"""The page of attribution graphs without a browser: ways in, what it says of a bad link, a graph that is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.techniques.graphs.kept import Kept
from core.techniques.graphs.records import GraphAsk
from tests.pages.test_pages import _bench, html, notes, visit  # noqa: F401  # the fixture of every page


def test_before_a_prompt_there_are_ways_in():
    shown = html(visit("graph.py"))
    for word in ("Or begin with one of these", "res · activation × gradient", "Draw", "/graph?"):
        assert word in shown, word


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"model": "none"}, "No graph can be made of a model “none”"), ({"set": "mlp"}, "no set “mlp”"),
        ({"nodes": "much"}, "“nodes” of the link is a share"), ({"slug": "<b>"}, "is no name of a graph"),
        ({"model": "tiny", "slug": "none"}, "There is no graph “none”"),
    ],
)  # fmt: skip
def test_a_bad_link_says_what_was_wrong(query, said):
    assert said in notes(visit("graph.py", **query)), query


def test_a_kept_graph_is_listed_and_drawn(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench.graphs, "_files", Kept(tmp_path))
    record = bench.graph(GraphAsk(model_id="tiny", text="The capital of France"))
    bench.graphs.save(replace(record, slug="kept-one"))
    assert "kept-one" in html(visit("graph.py"))
    shown = html(visit("graph.py", model="tiny", slug="kept-one"))
    assert "completeness score" in shown and "add up to activation × gradient" in shown
