"""The page of circuits: its parts and their checks, a node's tokens, another target, bad links, labels as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from components import circuit_panels, circuit_view, resources
from components.circuit_view import View
from core.records import FeatureKey, SourceKey, Token
from core.techniques.circuits.records import CircuitAsk
from tests import tiny, xss
from tests.pages.test_pages import html, notes, visit

TEXT = "The capital of France is Paris, and the capital of"


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_resource.clear()


@pytest.fixture
def node(bench):
    return bench.circuits.features(CircuitAsk(model_id="tiny", text=TEXT)).nodes[1]


def test_the_parts_and_their_checks(bench, node):
    app = visit("circuit.py", text=TEXT, target=" the", against=" is", node=f"1-res/{node.key.index}@{node.position}")
    drawn = html(app)
    record = bench.circuits.direct(CircuitAsk(model_id="tiny", text=TEXT, target=(" the",), against=(" is",)))
    value = f"{record.target.value:.4f}".replace("-", "−")
    assert f"All parts add up to <b>{value}</b> of <b>{value}</b> ✓" in drawn
    assert "✗" not in drawn, "every sum is what it should be"
    for said in ("Which tokens drive", "Where the heads look", "Each source adds up by itself", "Logit lens"):
        assert said in drawn
    assert "What drives" in drawn and drawn.count("fs-lens-cell") >= 3 * 8


def test_before_a_prompt_there_are_examples():
    drawn = html(visit("circuit.py"))
    assert "Or begin with one of these" in drawn and "This·" not in drawn
    assert all(esc in drawn for esc in ("Said before, said again", "target=%20proposes"))


def test_a_feature_as_the_target(node):
    drawn = html(visit("circuit.py", text=TEXT, feature=f"1-res/{node.key.index}", position=str(node.position)))
    assert "the pre-activation" in drawn and "Back to the next token" in drawn
    assert "1-res: after the target" in drawn


def test_a_bad_link_says_what_was_wrong_and_shows_the_rest():
    app = visit(
        "circuit.py", text=TEXT, model="none", sources="9-none", order="taste", position="99", node="7-none/3@1",
    )  # fmt: skip
    for said in ("“none”", "“9-none”", "“taste”", "there is no 99", "“node”"):
        assert said in notes(app), said
    assert "Logit lens" in html(app)
    drawn = html(visit("circuit.py", text=TEXT, target=" capital of"))
    assert "This could not be taken apart" in drawn and "tokens" in drawn


def test_a_node_without_a_place_is_where_it_is_strongest(bench, node):
    (test,) = bench.test(node.key, TEXT)
    drawn = html(visit("circuit.py", text=TEXT, node=f"1-res/{node.key.index}"))
    assert f"node=1-res/{node.key.index}%40{test.position}" in drawn
    assert "active on no token" in notes(visit("circuit.py", text=TEXT, node="1-res/7"))


def test_a_view_is_its_link():
    records = resources.workbench().searchable("tiny")
    key = FeatureKey("tiny", "1-res", 5)
    view = View(
        model_id="tiny", text="a | b", target=(" the", "#17"), against=(" of",), feature=key, position=2,
        sources=(SourceKey("tiny", "0-neurons"),), node=(key, 3), order="direct", bos=True, more=True,
    )  # fmt: skip
    again, wrong = circuit_view.read({k: v for k, v in view.parameters().items() if v}, ["tiny"], lambda _: records)
    assert again == view and not wrong
    assert view.ask().feature == key and not view.ask().target, "a feature is the target where both are named"
    made: dict[str, object] = {}
    exec(replace(view, text=TEXT).python().replace("Workbench()", "bench").replace("; record", "\nrecord"), {
        "bench": resources.workbench()}, made)  # fmt: skip
    assert made["record"].ask == replace(view, text=TEXT).ask()  # type: ignore[attr-defined]


def test_ways_in_from_a_feature_and_a_hit(bench):
    drawn = html(visit("feature.py", id=f"{tiny.SAE}/3"))
    assert "Take a prompt apart" in drawn and "/circuit?model=tiny" in drawn
    assert "/circuit?model=tiny" in html(visit("search.py", text=TEXT))


def test_a_token_is_named_so_that_it_is_found_again():
    assert circuit_view.said(Token(5, " the")) == " the"
    for token in (Token(5, "|"), Token(5, ""), Token(5, "#1"), Token(5, "<|endoftext|>", special=True)):
        assert circuit_view.said(token) == "#5"


def drawings(bench, records, text: str) -> list[str]:
    """Everything that is drawn of a token and of a label."""
    view, tokens = View(model_id="tiny", text=text), (Token(0, text), Token(1, text))

    def dirty(record):
        count = len(record.target.tokens)
        own = tuple(replace(one, token=Token(one.token.id, text)) for one in record.target.likeliest)
        target = replace(record.target, tokens=tokens * (count // 2) + tokens[: count % 2], label=text, target=own[:1],
                         against=own[1:2], likeliest=own)  # fmt: skip
        return replace(record, target=target)

    features, drivers, direct, lens = map(dirty, records)
    nodes = [replace(one, label=text) for one in features.nodes[:2]]
    return [
        circuit_panels.form(view, [bench.model("tiny")]), circuit_panels.failed(view, text),
        circuit_panels.target(view, drivers.target, drivers.target.tokens), circuit_panels.drivers(view, drivers),
        circuit_panels.node(drivers), circuit_panels.direct(view, direct),
        circuit_panels.features(view, features, nodes, {}, ""), circuit_panels.lens(view, lens),
        circuit_panels.examples(view, [{"name": text, "text": text, "target": text, "against": text}]),
    ]  # fmt: skip


def test_texts_are_data(bench):
    """No text that was ever run as a script makes another tag or attribute; signs for spaces are spans of their own."""
    room, ask = bench.circuits, CircuitAsk(model_id="tiny", text=TEXT)
    records = (room.features(ask, top=2), room.drivers(ask), room.direct(ask), room.lens(ask))

    def tags(text: str) -> list[list[tuple[str, list[str]]]]:
        drawn = drawings(bench, records, text)
        return [[(tag, sorted(names)) for tag, names in xss.Reader(one).tags if tag != "span"] for one in drawn]

    plain = tags("plain")
    for text in xss.ALL:
        assert tags(text) == plain, text
