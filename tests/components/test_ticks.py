"""Picking features: a tick is a link to the view with it, the bar holds what is picked, the table tells it."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from components import picked_panels, search_panels, search_view, ticks
from components.search_view import PICKS, View
from core.records import FeatureKey, Token
from tests import tiny

NASTY = "<img src=x onerror=alert(1)>\"'&`$_*"
KEYS = tuple(FeatureKey("tiny", "1-res", n) for n in (3, 5, 7))
TEXT = "The capital of France is Paris 🙂."
VIEW = View(model_id="tiny", text=TEXT, tokens=(2,), page=3, picked=KEYS)


def query(address):
    return {name: values[0] for name, values in parse_qs(urlsplit(unescape(address)).query).items()}


def test_a_tick_picks_and_unpicks_on_the_same_page():
    other = FeatureKey("tiny", "0-neurons", 9)
    less, more = "1-res/3,1-res/7", "1-res/3,1-res/5,1-res/7,0-neurons/9"
    for key, on, there in ((KEYS[1], "true", less), (other, "false", more)):
        html = ticks.tick(VIEW, key, "name")
        assert 'role="checkbox"' in html
        assert f'aria-checked="{on}"' in html
        assert f'aria-label="Select {key.source_id} {key.index}, name"' in html
        view = query(re.search(r'href="([^"]+)"', html)[1])
        assert view["picked"] == there
        assert (view["page"], view["tokens"], view["text"]) == ("3", "2", TEXT)
        assert f'data-toggle="picked:{search_view.short(key)}"' in html
    first = ticks.tick(dataclasses.replace(VIEW, picked=KEYS[:1]), KEYS[0], "name")
    assert "picked" not in query(re.search(r'href="([^"]+)"', first)[1])


def test_every_tick_has_a_name_of_its_own():
    names = [re.search(r'id="([^"]+)"', ticks.tick(VIEW, key, ""))[1] for key in KEYS]
    assert len(set(names)) == 3


def test_more_than_fit_into_a_link_cannot_be_picked():
    full = dataclasses.replace(VIEW, picked=tuple(FeatureKey("tiny", "1-res", n) for n in range(PICKS)))
    beyond = ticks.tick(full, FeatureKey("tiny", "0-neurons", 1), "x")
    assert "href" not in beyond
    assert 'aria-disabled="true"' in beyond
    assert "href" in ticks.tick(full, FeatureKey("tiny", "1-res", 1), "x"), "but taken back"


def test_the_bar_is_there_when_something_is_picked():
    assert ticks.bar(dataclasses.replace(VIEW, picked=())) == ""
    html = ticks.bar(VIEW)
    assert "<b>3</b> selected" in html
    assert unescape(re.search(r'data-copy="([^"]+)"', html)[1]) == "\n".join(map(str, KEYS))
    table, listed, clear = (query(href) for href in re.findall(r'href="([^"]+)"', html))
    assert (table["view"], table["picked"], table["text"]) == ("picked", "1-res/3,1-res/5,1-res/7", TEXT)
    assert listed == {"text": TEXT, "features": ",".join(map(str, KEYS))}
    assert "picked" not in clear
    assert (clear["page"], clear["tokens"]) == ("3", "2")


def test_every_way_of_a_view_keeps_what_is_picked(bench):
    """Another order, page, token, source, text or kind of view: what is picked goes along, but for its own ways."""
    sources = bench.searchable("tiny")
    record = bench.search("tiny", TEXT, top=25, offset=25)
    known = {s.key: s for s in sources}
    view = dataclasses.replace(VIEW, tokens=(), page=2)
    parts = [
        search_panels.head(view), search_panels.form(view, bench.models(), {"One": ["a text"]}),
        search_panels.asked(view, record.tokens, sources, search_view.facets(sources, ())), search_panels.toolbar(view),
        search_panels.hits(view, record, known), search_panels.side(view, sources, record),
    ]  # fmt: skip
    for html in parts:
        for tag, said in re.findall(r'<a ([^>]*href="/search[^>]*)>([^<]*)', html):
            if 'data-toggle="picked:' not in tag and said != "Clear":
                assert query(re.search(r'href="([^"]+)"', tag)[1])["picked"] == "1-res/3,1-res/5,1-res/7", said
    assert 'data-name="picked" value="1-res/3,1-res/5,1-res/7"' in parts[1]


def test_the_table_has_the_text_on_each(bench):
    records = [bench.feature(key) for key in KEYS]
    tests = {test.key: test for test in bench.test_each(KEYS, TEXT)}
    html = picked_panels.table(VIEW, records, tests)
    assert html.count('role="checkbox"') == html.count('aria-checked="true"') == 3
    assert html.count('class="fs-strip"') == 3
    for key in KEYS:
        assert f"{key.source_id} · {key.index}" in html
    assert f"w.test_each({[str(key) for key in KEYS]!r}, {TEXT!r})" in unescape(html)
    bare = picked_panels.table(dataclasses.replace(VIEW, text=""), records, {})
    assert "fs-strip" not in bare
    assert "test_each" not in bare


def test_a_dead_feature_and_a_text_that_does_nothing(bench):
    key = FeatureKey("tiny", "1-res", 7)  # of which the tiny model's tokens activate none
    (test,) = bench.test_each([key], TEXT)
    assert test.position is None
    html = picked_panels.table(VIEW, [bench.feature(key)], {key: test})
    assert "No token of the text activates it" in html


def test_a_long_text_is_cut_around_the_strongest_token(bench):
    (test,) = bench.test_each([tiny.NEURONS + "/3"], "and " * 20)
    long = dataclasses.replace(test, tokens=test.tokens * 5, values=test.values * 5)
    html = picked_panels.table(VIEW, [bench.feature(long.key)], {long.key: long})
    assert html.count('class="t') <= search_panels.BEFORE + search_panels.AFTER + 1
    assert '<span class="cut">…</span>' in html


def test_text_is_data_everywhere(bench):
    record = dataclasses.replace(bench.feature(KEYS[0]), label=NASTY)
    (test,) = bench.test_each(KEYS[:1], TEXT)
    test = dataclasses.replace(test, tokens=tuple(Token(t.id, NASTY) for t in test.tokens))
    view = dataclasses.replace(VIEW, text=NASTY)
    for html in (
        ticks.tick(view, KEYS[0], NASTY), ticks.bar(view), picked_panels.empty(view),
        picked_panels.table(view, [record], {test.key: test}),
    ):  # fmt: skip
        assert "<img" not in html
        assert 'alert(1)>"' not in html


def test_every_term_is_in_the_glossary(bench):
    tests = {test.key: test for test in bench.test_each(KEYS[:1], TEXT)}
    html = picked_panels.table(VIEW, [bench.feature(KEYS[0])], tests)
    assert not re.findall(r'<span class="fs-soft">([^<]+)</span>', html)


@pytest.mark.parametrize("text", ["", TEXT])
def test_nothing_picked_says_how(text):
    html = picked_panels.empty(View(model_id="tiny", text=text, shown="picked"))
    assert "Nothing is selected" in html
    assert ("href" in html) == bool(text)
