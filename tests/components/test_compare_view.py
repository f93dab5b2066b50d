"""A link of the page of comparisons means what it says, what is wrong with one is said, and all text is data."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from components import compare_panels, compare_view, together_panels, versus_panels
from components.compare_view import View
from components.similar_view import View as SimilarView
from core.records import FeatureKey, SourceKey
from tests import tiny

SAE, NEURONS = SourceKey.parse(tiny.SAE), SourceKey.parse(tiny.NEURONS)
NASTY = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def records(bench):
    return bench.sources()


@pytest.mark.parametrize(
    "view",
    [
        View(model_id="tiny", sources=(SAE, NEURONS), threshold=0.7, text="a & b", page=3),
        View(model_id="tiny", sources=(SAE, NEURONS), pair=(NEURONS, SAE)),
        View(model_id="tiny", ids=(FeatureKey.parse(f"{tiny.SAE}/3"), FeatureKey.parse(f"{tiny.SAE}/9")), scaled=True),
    ],
)
def test_a_view_is_its_link(view, records):
    query = dict(parse_qsl(urlsplit(view.to(page=view.page)).query))
    assert compare_view.read(query, records) == (view, [])


def test_sources_need_no_model_where_only_one_has_them(records):
    found, wrong = compare_view.read({"sources": "1-res,0-neurons"}, records)
    assert found.sources == (SAE, NEURONS) and not wrong


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"sources": "1-res,7-none"}, "no source “7-none”"),
        ({"model": "none", "sources": "1-res"}, "no model “none”"),
        ({"sources": "1-res,0-neurons", "threshold": "2"}, "“threshold” of the link"),
        ({"sources": "1-res,0-neurons", "pair": "1-res"}, "“pair” of the link"),
        ({"sources": "1-res,0-neurons", "page": "0"}, "“page” of the link"),
        ({"ids": "nonsense"}, "does not name a feature"),
        ({"ids": ",".join(f"{tiny.SAE}/{n}" for n in range(3))}, "the first two of 3"),
        ({"ids": f"{tiny.SAE}/1,{tiny.SAE}/2", "scale": "log"}, "“scale”"),
    ],
)
def test_what_is_wrong_is_said(query, said, records):
    _, wrong = compare_view.read(query, records)
    assert any(said in message for message in wrong), wrong


def test_text_of_others_is_escaped(bench):
    pair = bench.atlas.matches(SAE, NEURONS, threshold=0.05)
    pair = replace(pair, pairs=tuple(replace(one, label_a=NASTY, label_b=NASTY) for one in pair.pairs))
    pair = replace(pair, lonely_a=tuple(replace(one, label=NASTY) for one in pair.lonely_a))
    found = bench.atlas.compare((SAE, NEURONS))
    a, b = found.sides
    found = replace(
        found, sides=(replace(a, concepts=replace(a.concepts, own=((NASTY, FeatureKey.parse(f"{SAE}/1"), 1.0),))), b)
    )
    view = View(model_id="tiny", sources=(SAE, NEURONS), text=NASTY)
    versus = bench.atlas.versus(f"{SAE}/3", f"{SAE}/9")
    versus = replace(versus, a=replace(versus.a, label=NASTY), why=NASTY)
    together = bench.atlas.together(f"{SAE}/3")
    first = together.sources[0]
    mates = tuple(replace(mate, label=NASTY) for mate in first.together)
    together = replace(together, sources=(replace(first, together=mates, correlated=mates),))
    drawn = "".join([
        compare_panels.pairs(view, pair), compare_panels.concepts(found), compare_panels.form(view),
        compare_panels.facts(found), compare_panels.matrix(view, found), compare_panels.densities(found),
        versus_panels.head(view, versus), versus_panels.numbers(versus), versus_panels.texts(versus),
        versus_panels.histograms(view, versus),
        together_panels.whole(SimilarView(key=FeatureKey.parse(f"{SAE}/3")), together),
        together_panels.glance(bench.feature(f"{SAE}/3"), together),
    ])  # fmt: skip
    assert NASTY not in drawn and drawn.count("&lt;img") >= 5
