"""The pages of attention heads: the table, a head with its sums, bad links, texts as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from components import head_panels, head_view, resources
from components.head_view import View
from core.errors import BadData, BadInput
from core.records import Token
from core.settings import Settings
from core.techniques.heads.records import HeadKey
from core.workbench import Workbench
from tests import xss
from tests.pages.test_pages import html, notes, visit

TEXT = "The capital of France is Paris, and the capital of"
KEY = HeadKey("tiny", 1, 1)


@pytest.fixture(scope="module")
def bench(tiny_root, tmp_path_factory):
    """The tiny model in a root that is only read, with another to write to."""
    return Workbench(Settings(data=tmp_path_factory.mktemp("heads"), demo=tiny_root))


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_resource.clear()


def test_all_heads_as_a_table_that_leads_to_each(bench):
    drawn = html(visit("heads.py", id="tiny", sort="induction"))
    ranked = sorted(bench.heads.scores("tiny").heads, key=lambda one: -one.induction.value)
    places = [drawn.index(f"/head?id={one.key}") for one in ranked]
    assert len(places) == 4 and places == sorted(places)
    app = visit("heads.py", id="none", sort="taste")
    assert "“none”" in notes(app) and "“taste”" in notes(app) and "/head?id=tiny/0/0" in html(app)


def test_a_head_on_a_prompt_with_its_sums():
    drawn = html(visit("head.py", id=str(KEY), text=TEXT, position="5"))
    assert drawn.count("data-check") == 3 and "✗" not in drawn
    for said in ("Where it looks", "Write what it copies", "Over the corpus", "What it attends to most"):
        assert said in drawn, said
    assert 'aria-pressed="true"' in drawn and "/circuit?model=tiny" in drawn
    drawn = html(visit("head.py", id=str(KEY)))
    assert "fs-head-example" in drawn and "data-check" not in drawn


def test_bad_links_say_what_was_wrong():
    app = visit("head.py", id=str(KEY), text=TEXT, position="99", attended="x", show="taste")
    for said in ("there is no 99", "“x”", "“taste”"):
        assert said in notes(app), said
    assert "there is no L9H0" in notes(visit("head.py", id="tiny/9/0"))
    assert "is no head" in notes(visit("head.py", id="tiny"))


def test_a_view_is_its_link():
    view = View(key=KEY, text="a b", position=2, attended=1, show="moved")
    assert head_view.read(view.parameters(), KEY) == (view, [])
    assert "position=2" not in view.to(text="c") and "attended" not in view.to(position=3)
    with pytest.raises(BadInput, match="is no head"):
        HeadKey.parse("tiny/1/x")


def test_texts_are_data(bench):
    """No text that was ever run as a script makes another tag or attribute."""
    room = bench.heads
    short = "The capital of"
    records = room.pattern(KEY, short), room.active(KEY, short, top=1), room.features(KEY, top=1), room.of(KEY)
    records = (*records[:3], replace(records[3], pairs=records[3].pairs[:1]))

    def drawings(text: str) -> list[str]:
        pattern, active, features, one = records
        view, token = View(key=KEY, text=text), Token(1, text)
        tokens = (*pattern.tokens[:1], *(token for _ in pattern.tokens[1:]))
        sides = tuple(replace(s, nodes=tuple(replace(n, label=text) for n in s.nodes)) for s in active.sides)
        weights = tuple(replace(s, features=tuple(replace(f, label=text) for f in s.features)) for s in features.sides)
        pairs = tuple(replace(p, query=token, key=token, tokens=(token,) * len(p.tokens)) for p in one.pairs)
        return [
            head_panels.form(view, [{"name": text, "text": text}]), head_panels.failed("of", text),
            head_panels.pattern(view, replace(pattern, tokens=tokens, text=text), 2, 1),
            head_panels.active(view, replace(active, tokens=tokens, text=text, sides=sides, notes=(text,))),
            head_panels.features(replace(features, sides=weights)), head_panels.corpus(replace(one, pairs=pairs)),
            head_panels.head(view, bench.model("tiny")),
        ]  # fmt: skip

    def tags(text: str) -> list[list[tuple[str, list[str]]]]:
        drawn = drawings(text)
        return [[(tag, sorted(names)) for tag, names in xss.Reader(one).tags if tag != "span"] for one in drawn]

    plain = tags("plain")
    for text in xss.ALL:
        assert tags(text) == plain, text


def test_a_damaged_source_takes_no_head_along(bench, monkeypatch):
    def damaged(key):
        raise BadData("It is damaged.")

    monkeypatch.setattr(bench, "build_of", damaged)
    assert "Over the corpus" in html(visit("head.py", id=str(KEY)))
