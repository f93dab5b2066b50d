"""The page of pairs: its parts and their checks, examples, bad links, links whole, texts as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from components import pair_panels, pair_view, resources
from components.pair_view import View
from core.records import FeatureKey, SourceKey, Token
from core.techniques.pairs.records import PairAsk
from tests import xss
from tests.pages.test_pages import html, notes, visit

CLEAN = "The capital of France is Paris, and the capital of"
CORRUPTED = "The capital is France is Paris, and the capital of"
ASK = PairAsk(model_id="tiny", clean=CLEAN, corrupted=CORRUPTED, target=(" the",), against=(" is",))


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_resource.clear()


def test_the_parts_and_their_checks():
    drawn = html(visit("pair.py", clean=CLEAN, corrupted=CORRUPTED, target=" the", against=" is"))
    assert drawn.count("1.00 ✓") == 2 and "✗" not in drawn, "all tokens of a layer together give the other run"
    for said in ("Both prompts, aligned", "residual stream patched", "Each source adds up", "How few features do"):
        assert said in drawn, said
    assert drawn.count('data-said="measured"') >= 2 and "random ones, 10 draws" in drawn


def test_before_two_prompts_there_are_examples_and_a_bad_link_says_what_was_wrong():
    app = visit("pair.py", clean=CLEAN, by="taste", curve="9-none")
    for said in ("write the other", "“taste”", "“9-none”"):
        assert said in notes(app), said
    assert "Or begin with one of these" in html(app)
    assert "could not be compared" in html(visit("pair.py", clean=CLEAN, corrupted=CLEAN, target=" capital of"))
    assert "no difference to explain" in html(visit("pair.py", clean=CLEAN, corrupted=CLEAN, target=" the"))


def test_a_view_is_its_link(bench):
    records = bench.searchable("tiny")
    view = View(
        model_id="tiny", clean="a | b", corrupted="c", target=(" the", "#17"), against=(" of",),
        sources=(SourceKey("tiny", "1-res"),), curve=SourceKey("tiny", "1-res"), by="difference", direction="noising",
        more=True,
    )  # fmt: skip
    again, wrong = pair_view.read({k: v for k, v in view.parameters().items() if v}, ["tiny"], lambda _: records)
    assert again == view and not wrong
    made: dict[str, object] = {}
    code = replace(view, clean=CLEAN, corrupted=CORRUPTED, target=(" the",), against=(" is",)).python()
    exec(code.replace("Workbench()", "bench").replace("; record", "\nrecord"), {"bench": bench}, made)
    assert made["record"].by == "difference"  # type: ignore[attr-defined]


def test_texts_are_data(bench):
    """No text that was ever run as a script makes another tag or attribute; signs for spaces are spans of their own."""
    room, view = bench.pairs, View(model_id="tiny", clean=CLEAN, corrupted=CORRUPTED, target=(" the",))
    features, residual = room.features(ASK, top=2), room.residual(ASK)
    curve = room.curve(ASK, SourceKey("tiny", "1-res"), draws=1)

    def drawings(text: str) -> list[str]:
        def side(target):
            tokens = tuple(Token(item.id, text, special=item.special) for item in target.tokens)
            own = tuple(replace(one, token=Token(one.token.id, text)) for one in target.target)
            return replace(target, tokens=tokens, target=own)

        pair = replace(features.pair, clean=side(features.pair.clean), corrupted=side(features.pair.corrupted))
        nodes = tuple(replace(one, label=text) for one in features.nodes)
        own = replace(view, clean=text, corrupted=text)
        example = {"name": text, "clean": text, "corrupted": text, "target": text, "against": text}
        return [
            pair_panels.form(own, [bench.model("tiny")]), pair_panels.pair(own, pair), pair_panels.failed(own, text),
            pair_panels.features(own, replace(features, pair=pair), nodes), pair_panels.examples(own, [example]),
            pair_panels.residual(own, replace(residual, pair=pair)), pair_panels.curve(own, curve, [curve.key]),
            pair_panels.curve_failed(own, curve.key, [curve.key], text), pair_panels.head(own),
        ]  # fmt: skip

    def tags(text: str) -> list[list[tuple[str, list[str]]]]:
        drawn = drawings(text)
        return [[(tag, sorted(names)) for tag, names in xss.Reader(one).tags if tag != "span"] for one in drawn]

    plain = tags("plain")
    for text in xss.ALL[:12]:
        assert tags(text) == plain, text


def test_a_feature_is_a_target_too(bench):
    node = bench.pairs.features(ASK).nodes[0]
    drawn = html(visit("pair.py", clean=CLEAN, corrupted=CORRUPTED, feature=f"0-neurons/{node.key.index}"))
    assert "the pre-activation" in drawn and FeatureKey("tiny", "0-neurons", node.key.index)
