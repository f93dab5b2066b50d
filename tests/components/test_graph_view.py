"""The page of attribution graphs: its view is its link, and what a browser says of a graph is read or refused."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import graph, graph_panels, graph_view
from components.graph_view import View
from core.errors import BadInput
from core.techniques.graphs.records import GraphFacts
from tests.core.interchange.test_graphs import record

SETS = {"tiny": ["mlp", "res"], "other": ["res"]}
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
SHARES = st.integers(1, 100).map(lambda n: n / 100)


def again(view):
    """The view of a view's link, and what was wrong with it."""
    query = dict(parse_qsl(urlsplit(view.to()).query, keep_blank_values=True))
    return graph_view.read(query, list(SETS), SETS)


@given(TEXT.filter(str.strip), st.lists(TEXT.filter(lambda t: t and "|" not in t and "␣" not in t), max_size=3), SHARES,
       SHARES, st.sampled_from(["", "mlp", "res"]))  # fmt: skip
def test_a_view_is_its_link(text, target, nodes, edges, name):
    view = View(model_id="tiny", text=text, set_name=name, target=tuple(target), nodes=nodes, edges=edges)
    assert again(view) == (view, [])
    kept = View(model_id="gemma-2-2b", slug="a-graph_1")
    assert again(kept) == (kept, []), "of a model that is not here"


@given(st.dictionaries(st.sampled_from(["model", "text", "slug", "set", "target", "nodes", "edges"]), TEXT))
def test_any_link_is_a_view_and_says_what_it_left_out(query):
    view, wrong = graph_view.read(query, list(SETS), SETS)
    assert view.slug or (view.model_id in SETS and 0 < view.nodes <= 1 and 0 < view.edges <= 1)
    assert all(message.endswith(".") for message in wrong)
    assert "<script" not in graph_panels.head(view).lower()


def test_what_a_person_made_of_a_graph_is_kept_with_it():
    one = record()
    said = {
        "slug": "mine", "pinned": ["E_9_1"], "supernodes": [["x <b>", "0_7_1", "gone"]], "clicked": "0_-1_1",
        "labels": [["0_7_1", "dogs"], ["3_12_1", "never a logit"], "junk", ["a", "b", "c"]],
    }  # fmt: skip
    made = graph.edited(one, said)
    assert (made.slug, made.pinned, made.clicked) == ("mine", ("E_9_1",), "0_-1_1")
    assert [(group.name, group.nodes) for group in made.supernodes] == [("x <b>", ("0_7_1",))]
    assert made.nodes == (replace(one.nodes[0], label="dogs"), *one.nodes[1:]) and made.links == one.links


@pytest.mark.parametrize("said", [{}, {"slug": "a b"}, {"slug": "ok", "pinned": 3}, {"slug": "ok", "supernodes": [[]]},
                                  {"slug": "ok", "supernodes": [[1, "0_7_1"]]}])  # fmt: skip
def test_what_is_no_edit_is_refused_or_left_out(said):
    try:
        assert graph.edited(record(), said).slug == "ok"
    except BadInput as error:
        assert str(error).endswith(".")


def test_a_prompt_is_text_on_the_page():
    odd = record(prompt="<script>alert(1)</script>", description="<i>", way="elsewhere")
    html = graph_panels.about(odd, slug=True) + graph_panels.failed(View(model_id="<b>"), "<u>")
    assert "<script>" not in html and "<i>" not in html and "<u>" not in html


def test_a_link_where_no_graph_can_be_made_is_a_view_too():
    view, wrong = graph_view.read({"model": "x", "slug": "a b", "set": "mlp"}, ["x"], {})
    assert view == View(model_id="x") and len(wrong) == 2


def test_the_page_says_what_adds_up():
    """A row of residual SAEs adds up to activation × gradient, and not to the feature's value."""
    facts = GraphFacts(9, 2, 5, 0.5, 0.5, 1e-6)
    said = {way: graph_panels.about(record(way=way, facts=facts), slug=False) for way in ("transcoders", "residual")}
    assert "add up to each node within 1e-06" in said["transcoders"]
    assert "add up to activation × gradient" in said["residual"] and "add up to each node" not in said["residual"]
