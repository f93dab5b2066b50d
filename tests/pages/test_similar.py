"""The page of what is like a feature: every view of it, bad links, and its card on the feature's page."""

from __future__ import annotations

import pytest
import streamlit as st

from components import resources, similar_chain, similar_panels, similar_view
from core.atlas.near.records import (
    ChainLink,
    ChainMember,
    ChainRecord,
    Chance,
    GlanceRecord,
    SimilarHit,
    SimilarPlace,
    SimilarRecord,
)
from core.records import FeatureKey, LeftOut
from tests import tiny, xss
from tests.pages.test_pages import html, notes, visit

KEY = FeatureKey.parse(f"{tiny.SAE}/3")


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_resource.clear()


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("similar", "Is there a neuron for it?"), ("layers", "Twins through the layers"),
        ("family", "Near-duplicates in its own source"), ("wiring", "What writes into what it reads"),
        ("models", "No other model was compared"),
    ],
)  # fmt: skip
def test_every_view(view, said):
    drawn = html(visit("similar.py", id=str(KEY), view=view))
    assert said in drawn and "Like <a" in drawn
    if view != "models":
        assert f"/api/similar/{KEY}" in drawn and "atlas." in drawn


def test_a_bad_link_says_what_was_wrong_and_shows_the_rest():
    app = visit("similar.py", id=str(KEY), view="nope", by="taste", least="7", **{"in": "9-none"})
    for said in ("“nope”", "“taste”", "“least”", "9-none"):
        assert said in notes(app)
    assert "Is there a neuron for it?" in html(app)
    assert "There is no such page here" in html(visit("similar.py", id=f"{tiny.MODEL}/9-none/3"))
    assert "row of zeros" not in html(visit("similar.py", id=f"{tiny.SAE}/999"))


def test_a_view_is_its_link():
    records = resources.workbench().sources(model_id="tiny")
    view = similar_view.View(
        key=KEY, shown="family", sources=(records[0].key,), threshold=0.9, picked=(FeatureKey("tiny", "1-res", 5),)
    )
    again, wrong = similar_view.read({k: v for k, v in view.parameters().items() if v}, KEY, records)
    assert again == view and not wrong
    assert view.address("csv") == f"/api/similar/{KEY}?view=family&in=0-neurons&threshold=0.9&format=csv"
    made: dict[str, object] = {}
    exec(view.python().replace("Workbench()", "bench"), {"bench": resources.workbench()}, made)
    assert made["record"] == resources.workbench().atlas.family(KEY, threshold=0.9, sources=["0-neurons"])


def test_by_explanation_stands_beside_others_and_any_pair():
    hit = SimilarHit(feature=FeatureKey("tiny", "0-neurons", 5), value=0.5, label="its like")

    def drawn(chance):
        place = SimilarPlace(key=hit.feature.source, kind="neurons", best=hit, chance=chance)
        record = SimilarRecord(key=KEY, by="explanation", hits=(hit,), places=(place,))
        return similar_panels.similar(similar_view.View(key=KEY, by="explanation"), record)

    said = drawn(Chance(median=0.6, high=0.8, sample=64, pair=0.55))
    assert "▎others" in said and "▎any pair" in said and "▎random" not in said
    assert "of pairs of any two features 95 % less than 0.55" in said and 'class="r" style="left:55.0%"' in said
    said = drawn(Chance(median=0.6, high=0.8, sample=64))  # by correlation there is neither
    assert "▎others" in said and "▎any pair" not in said and "▎random" not in said and 'class="r"' not in said


def test_the_card_on_the_features_page(monkeypatch):
    drawn = html(visit("feature.py", id=str(KEY)))
    assert f"/similar?id={KEY}" in drawn and "decoder .npy" in drawn
    hit = SimilarHit(feature=FeatureKey("tiny", "0-neurons", 5), value=0.5, label="its like")
    glance = GlanceRecord(key=KEY, hits=(hit,))
    monkeypatch.setattr(type(resources.workbench().atlas), "glance", lambda self, key, top=12: glance)
    drawn = html(visit("feature.py", id=str(KEY)))
    assert "its like" in drawn and "/feature?id=tiny/0-neurons/5" in drawn


def drawings(text: str) -> list[str]:
    """Everything that is drawn of a label."""
    hit = SimilarHit(feature=KEY, value=0.5, label=text)
    place = SimilarPlace(key=KEY.source, kind="sae", best=hit, chance=None, note=text)
    record = SimilarRecord(key=KEY, by="decoder", hits=(hit,), places=(place,))
    step = ChainLink(source=KEY.source, best=hit, back=hit, held=False)
    chain = ChainRecord(
        key=KEY, by="decoder", threshold=0.5, members=(ChainMember(hit=hit, layer=1),), down=(step,), up=(step,),
        sources=(KEY.source,), random=0.1, left_out=(LeftOut(key=KEY.source, why=text),),
    )  # fmt: skip
    view = similar_view.View(key=KEY)
    return [
        similar_panels.similar(view, record), similar_panels.glance(KEY, GlanceRecord(key=KEY, hits=(hit,))),
        similar_panels.head(view, text), similar_panels.failed(view, text), similar_chain.chain(view, chain),
    ]  # fmt: skip


def test_labels_are_data():
    """No text that was ever run as a script makes another tag or attribute than a plain word."""
    plain = [[(tag, sorted(names)) for tag, names in xss.Reader(one).tags] for one in drawings("plain")]
    for text in xss.ALL:
        assert [[(tag, sorted(names)) for tag, names in xss.Reader(one).tags] for one in drawings(text)] == plain, text
