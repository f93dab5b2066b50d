"""The search page's view: a link is read, changed and written again; sources are chosen by kind, set and layer."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qs, urlsplit

import pytest

from components import search_view
from components.search_view import View
from core.records import FeatureKey, SourceKey, Token

TEXT = "a & b? “c”\n#é +1 "


@pytest.fixture
def sources(bench):
    """Six sources of one model: two sets of SAEs and the neurons, in layers 1 and 2."""
    like = {s.kind: s for s in bench.sources()}
    return [
        dataclasses.replace(like[kind], key=SourceKey("tiny", f"{layer}-{name}"), layer=layer)
        for kind, name in (("sae", "res"), ("sae", "mid"), ("neurons", "neurons"))
        for layer in (1, 2)
    ]


def keys(*names):
    return tuple(SourceKey("tiny", name) for name in names)


def query(address):
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def test_a_view_is_its_address(sources):
    view = View(
        model_id="tiny",
        text=TEXT,
        sources=keys("1-res", "2-neurons"),
        tokens=(2, 11),
        sort="fraction",
        combine="sum",
        densest=0.05,
        bos=True,
        group="token",
        page=3,
        picked=(FeatureKey("tiny", "2-res", 7), FeatureKey("tiny", "1-neurons", 0)),
    )
    assert search_view.read(query(view.to(page=3)), ["tiny"], lambda _: sources) == (view, [])
    assert query(View(model_id="tiny", text="x").to()) == {"model": "tiny", "text": "x"}


def test_a_change_leads_to_the_first_page():
    view = View(model_id="tiny", text="x", page=4)
    assert "page" not in query(view.to(sort="value"))
    assert query(view.to(page=5))["page"] == "5"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("model", "nobody", "There is: tiny"),
        ("sources", "1-res,9-res", "no source “9-res” of tiny"),
        ("tokens", "1,two", "whole numbers"),
        ("tokens", "²", "whole numbers"),
        ("sort", "bogus", "surprise, percentile, fraction, value"),
        ("density", "7", "at most 1"),
        ("density", "nan", "at most 1"),
        ("density", "little", "at most 1"),
        ("combine", "mean", "max, sum"),
        ("group", "layer", "list, token"),
        ("bos", "yes", "0, 1"),
        ("page", "-2", "whole numbers"),
        ("page", "0", "whole numbers"),
        ("page", "1,2", "whole numbers"),
        ("page", "9" * 400, "whole numbers"),
    ],
)
def test_what_a_link_names_wrongly_is_said_and_falls_back(sources, name, value, says):
    view, (said,) = search_view.read({"text": "x", name: value}, ["tiny"], lambda _: sources)
    assert says in said
    kept = {"sources": keys("1-res")} if name == "sources" else {"tokens": (1,)} if value == "1,two" else {}
    assert view == View(model_id="tiny", text="x", **kept)


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        ("", ""), ("2-res/7", "2-res/7"), ("2-res:7,tiny/1-res/3", "2-res/7,1-res/3"),
        ("1-res/3, 1-res/3 ,,1-res:003", "1-res/3"), ("1-res/63", "1-res/63"),
    ],
)  # fmt: skip
def test_what_a_link_picks(sources, text, picked):
    view, wrong = search_view.read({"text": "x", "picked": text}, ["tiny"], lambda _: sources)
    assert not wrong
    assert ",".join(map(search_view.short, view.picked)) == picked


@pytest.mark.parametrize(
    "text", ["1-res/64", "9-res/1", "1-res", "1-res/-1", "1-res/²", "other/1-res/3", "/3", "1-res/" + "9" * 30, "<b>/1"]
)
def test_what_a_link_cannot_pick_is_said_and_left_out(sources, text):
    view, (said,) = search_view.read({"text": "x", "picked": f"1-res/1,{text}"}, ["tiny"], lambda _: sources)
    assert view.picked == (FeatureKey("tiny", "1-res", 1),)
    assert text[:60] in said
    assert "left out" in said


def test_a_link_that_picks_too_much_is_cut_and_said(sources):
    many = ",".join(f"1-res/{n}" for n in range(search_view.PICKS + 3))
    view, (said,) = search_view.read({"text": "x", "picked": many}, ["tiny"], lambda _: sources)
    assert len(view.picked) == search_view.PICKS
    assert f"{search_view.PICKS + 3} features" in said
    bad = ",".join(f"9-res/{n}" for n in range(500))
    _, (said,) = search_view.read({"text": "x", "picked": bad}, ["tiny"], lambda _: sources)
    assert "496 more" in said
    assert len(said) < 300


def test_all_sources_are_no_choice(sources):
    every = ",".join(s.key.source_id for s in sources)
    assert search_view.read({"sources": every}, ["tiny"], lambda _: sources)[0].sources == ()


def test_tokens_that_the_text_lacks_are_left_out():
    tokens = (Token(0, "<s>", special=True), Token(1, "a"), Token(2, "b"))
    view = View(model_id="tiny", text="ab", tokens=(0, 2, 9))
    kept, (said,) = search_view.within(view, tokens)
    assert kept.tokens == (2,)
    assert "tokens 1 to 2" in said
    assert "0, 9" in said
    assert search_view.within(dataclasses.replace(view, bos=True), tokens)[0].tokens == (0, 2)


def chosen(sources, held, facet, value):
    options = {f.name: {o.name: o for o in f.options} for f in search_view.facets(sources, held)}
    return options[facet][value]


def test_nothing_chosen_is_everything(sources):
    for facet in search_view.facets(sources, ()):
        assert not any(option.on for option in facet.options)
    assert [f.name for f in search_view.facets(sources, ())] == ["kind", "set", "layer"]


def test_choices_of_one_way_add_up_and_those_of_several_narrow(sources):
    first = chosen(sources, (), "layer", "2").there
    assert first == keys("2-res", "2-mid", "2-neurons")
    second = chosen(sources, first, "set", "res")
    assert not second.on
    assert second.there == keys("2-res")
    assert chosen(sources, second.there, "set", "mid").there == keys("2-res", "2-mid")
    assert chosen(sources, second.there, "layer", "1").there == keys("1-res", "2-res")


def test_a_choice_is_taken_back(sources):
    assert chosen(sources, keys("1-neurons", "2-neurons"), "kind", "MLP neurons").there == ()
    assert chosen(sources, keys("2-res"), "layer", "2").on
    assert chosen(sources, keys("2-res"), "layer", "2").there == keys("1-res", "2-res")


def test_a_choice_that_leaves_nothing_is_no_link(sources):
    few = [s for s in sources if str(s.key) != "tiny/1-neurons"]
    assert chosen(few, keys("2-neurons"), "kind", "MLP neurons").on
    assert not chosen(few, keys("2-neurons"), "layer", "2").on  # the neurons alone say it
    assert chosen(few, keys("2-neurons"), "layer", "1").there is None


def test_sources_picked_one_by_one_are_no_choice_by_kind_or_layer(sources):
    for facet in search_view.facets(sources, keys("1-res", "2-neurons")):
        assert not any(option.on for option in facet.options)


def test_one_source_leaves_nothing_to_choose(sources):
    assert search_view.facets(sources[:1], ()) == ()
