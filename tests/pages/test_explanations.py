"""“What it means” on a feature's page, and the table of a source: what is there, what is not, and text as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from components import explanation_panels as panels
from components import resources
from core.explain.records import Explanation, Score, Verdict
from core.records import FeatureKey, Token
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

EVIL = "<script>alert(1)</script> & “words”"
ID = f"{tiny.SAE}/3"


def said(n=3, text="capitals of countries", **more):
    key = FeatureKey("tiny", "1-res", n)
    return Explanation(
        id=f"m-{n}-{len(text)}", feature=key, text=text, origin="model", method="np_max-act", model="some-model",
        prompt="1", made="2026-11-22T00:00:00+00:00", **more,
    )  # fmt: skip


def scored(value=0.8, scorer="detection", **more):
    some = [tuple(Token(10 * m + n, text) for n, text in enumerate((" Paris", " is", EVIL))) for m in range(3)]
    verdicts = (
        Verdict(tokens=some[0], values=(5.0, 0.0, 0.0), drawn="positive", fires=True, said=True, score=0.9),
        Verdict(tokens=some[1], values=(0.0, 0.0, 0.0), drawn="hard", fires=False, said=True, score=0.7),
        Verdict(tokens=some[2], values=(0.0, 0.0, 0.0), drawn="near", fires=False, said=None),
    )
    return Score(
        id=f"s-{scorer}", scorer=scorer, judge="a-judge", value=value, low=value - 0.1, high=value + 0.1,
        measures={"f1": 0.7}, control=0.52, control_of=FeatureKey("tiny", "1-res", 4), examples=2, failed=1,
        verdicts=verdicts, prompt="1", made="2026-11-22",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def kept(tiny_root, tmp_path, monkeypatch):
    bench = Workbench(Settings(data=tmp_path / "data", demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    return bench.words._models.kept(FeatureKey.parse(ID).source)


def test_the_best_is_the_headline_and_a_score_says_how_far_to_trust_it(kept):
    for one, score in ((said(text="less good"), scored(0.6)), (said(), scored(0.9))):
        kept.add(one)
        kept.add_score(one, replace(score, id=one.id + "s"))
    shown = html(visit("feature.py", id=ID))
    first = shown.split("fs-means-first")[1].split("fs-means-more")[0]
    assert "capitals of countries" in first and "<b>0.90</b>" in first and "other 0.52" in first
    assert "95 % interval 0.80 to 1.00" in first and "judged by a-judge" in first and "some-model" in first


def test_verdicts_open_on_click(kept):
    kept.add(said())
    kept.add_score(said(), scored())
    app = visit("feature.py", id=ID)
    assert "said to be active" not in html(app)
    (look,) = [button for button in app.button if "detection: 3 examples" in button.label]
    look.click().run()
    assert not app.exception
    shown = html(app)
    assert "said to be active (active with 90%)" in shown and "no answer that can be read" in shown
    assert 'aria-label="wrong"' in shown and "It holds tokens on which the feature is strong" in shown


def test_words_and_tokens_are_data(kept):
    kept.add(said(text=EVIL))
    kept.add_score(said(text=EVIL), scored())
    app = visit("feature.py", id=ID)
    next(b for b in app.button if "examples" in b.label).click().run()
    for shown in (html(app), html(visit("explanations.py", source=tiny.SAE))):
        assert "<script>alert" not in shown and "&lt;script&gt;alert" in shown


def test_two_side_by_side(kept):
    kept.add(said())
    kept.add(said(text="another"))
    app = visit("feature.py", id=ID)
    app.toggle(key=f"means-compare-{ID}").set_value(True).run()
    shown = html(app)
    assert not app.exception and "fs-compare" in shown and shown.count("another") >= 2


def test_without_any_it_says_so():
    key = next(k for k in map(str, range(64)) if not resources.workbench().feature(f"{tiny.SAE}/{k}").dead)
    app = visit("feature.py", id=f"{tiny.SAE}/{key}")
    assert "What it means" in html(app) and any(b.label == "Explain with a model" for b in app.button)


def test_the_table_has_the_worst_first(kept):
    for n, value in ((3, 0.9), (4, 0.55), (20, 0.7)):
        kept.add(said(n, f"words {n}"))
        kept.add_score(said(n, f"words {n}"), replace(scored(value, "fuzzing"), id=f"s-{n}"))
    kept.add(said(41, "no score"))
    view = {"source": tiny.SAE, "method": "np_max-act"}
    shown = html(visit("explanations.py", **view))
    places = [shown.index(text) for text in ("words 4", "words 20", "words 3<", "no score")]
    assert places == sorted(places)
    shown = html(visit("explanations.py", sort="-score", **view))
    places = [shown.index(text) for text in ("words 3<", "words 20", "words 4<", "no score")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"source": "tiny/9-none"}, "no source"),
        ({"source": "nonsense"}, "does not name a source"),
        ({"source": tiny.SAE, "sort": "taste"}, "is not a value of “sort”"),
        ({"source": tiny.SAE, "page": "-1"}, "whole numbers from 1 on"),
        ({"source": tiny.SAE, "page": "99"}, "There is no page 99"),
        ({"source": tiny.SAE, "method": "taste"}, "by the method “taste”"),
    ],
)
def test_bad_parameters_fall_back_with_a_message(query, word):
    assert word in notes(visit("explanations.py", **query))


def test_what_differs_between_two():
    a, b = said(scores=(scored(),)), said(text="b", scores=(scored(0.5),))
    flipped = tuple(
        Verdict(tokens=v.tokens, values=v.values, drawn=v.drawn, fires=v.fires, said=None if v.said is None else False)
        for v in scored().verdicts[:1]
    )
    b = said(text="b", scores=(Score(id="x", scorer="detection", judge="", value=0, low=0, high=0, verdicts=flipped),))
    shown = panels.compared(a, b)
    assert "1 example of which they say different things" in shown and "the first is right" in shown
