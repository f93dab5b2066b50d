"""What is drawn of a search: texts stay data, each hit has its own scale, every number its definition."""

from __future__ import annotations

import dataclasses
import re
from html import unescape

import pytest

from components import links, search_panels
from components.search_view import View, facets
from core.records import LeftOut, Token

NASTY = "<img src=x onerror=alert(1)>\"'&`$_*"
TEXT = "The capital of France is Paris 🙂."


@pytest.fixture
def sources(bench):
    return bench.searchable("tiny")


@pytest.fixture
def known(sources):
    return {s.key: s for s in sources}


@pytest.fixture
def record(bench):
    return bench.search("tiny", TEXT, top=25)


@pytest.fixture
def view():
    return View(model_id="tiny", text=TEXT)


def everything(view, record, sources, bench):
    known = {s.key: s for s in sources}
    record = dataclasses.replace(record, left_out=(LeftOut(key=sources[0].key, why=NASTY),))
    return [
        search_panels.head(view),
        search_panels.form(view, bench.models(), {NASTY: [NASTY]}),
        search_panels.examples(view, {NASTY: [NASTY]}),
        search_panels.asked(view, record.tokens, sources, facets(sources, view.sources)),
        search_panels.toolbar(view),
        search_panels.hits(view, record, known),
        search_panels.hits(dataclasses.replace(view, group="token"), record, known),
        search_panels.side(view, sources, record),
        search_panels.side(view, sources, None),
        search_panels.waiting(NASTY, 0.5),
        search_panels.failed(NASTY, view),
    ]


def test_text_is_data_everywhere(view, record, sources, bench):
    tokens = tuple(Token(t.id, NASTY) for t in record.tokens)
    hits = tuple(dataclasses.replace(h, label=NASTY, promotes=NASTY) for h in record.hits)
    nasty = dataclasses.replace(record, text=NASTY, tokens=tokens, hits=hits)
    for html in everything(dataclasses.replace(view, text=NASTY), nasty, sources, bench):
        assert "<img" not in html
        assert 'alert(1)>"' not in html


def test_every_term_is_in_the_glossary(view, record, sources, bench):
    summed = dataclasses.replace(view, tokens=(1, 2), combine="sum", bos=True)
    drawn = everything(view, record, sources, bench) + everything(summed, record, sources, bench)
    for html in drawn:
        # `word` draws a term without a definition as plain text: these are what is plain on purpose
        plain = set(re.findall(r'<span class="fs-soft">([^<]+)</span>', html))
        assert plain <= {"Sort by", "Show", "Examples", "kind", "layer", "set"}


def test_a_text_survives_the_box(bench):
    view = View(model_id="tiny", text="\n first\n<b>")
    inside = re.search(r"<textarea[^>]*>(.*?)</textarea>", search_panels.form(view, bench.models(), {}), re.S)[1]
    assert unescape(inside.removeprefix("\n")) == view.text  # the parser drops one line break after the tag


def test_a_new_text_keeps_the_order_and_the_sources_but_not_the_tokens(bench, sources):
    view = View(
        model_id="tiny", text="x", sources=(sources[0].key,), tokens=(1, 2), sort="value", combine="sum", page=3
    )
    form = search_panels.form(view, bench.models(), {})
    kept = dict(re.findall(r'type="hidden" data-name="([^"]+)" value="([^"]+)"', form))
    assert kept == {"model": "tiny", "sources": sources[0].key.source_id, "sort": "value"}


def test_tokens_are_links_that_choose_and_unchoose(view, record, sources):
    def strip(view):
        html = search_panels.asked(view, record.tokens, sources, ())
        return {
            int(n): (pressed, unescape(href))
            for n, pressed, href in re.findall(r'id="token-(\d+)".*?aria-pressed="(\w+)".*?href="([^"]+)"', html)
        }

    assert list(strip(view)) == [n for n, t in enumerate(record.tokens) if not t.special]
    assert strip(view)[2] == ("false", view.to(tokens=(2,)))
    chosen = dataclasses.replace(view, tokens=(2, 4))
    assert strip(chosen)[2] == ("true", view.to(tokens=(4,)))
    assert strip(chosen)[3] == ("false", view.to(tokens=(2, 3, 4)))
    assert 0 in strip(dataclasses.replace(view, bos=True))


def test_several_tokens_can_be_summed(view, record, sources):
    assert "Sum" not in search_panels.asked(dataclasses.replace(view, tokens=(2,)), record.tokens, sources, ())
    assert "combine=sum" in search_panels.asked(dataclasses.replace(view, tokens=(2, 4)), record.tokens, sources, ())


def test_a_sum_can_be_over_all_tokens(view, record, sources, known):
    assert "combine=sum" in search_panels.asked(view, record.tokens, sources, ())
    html = search_panels.hits(dataclasses.replace(view, combine="sum"), record, known)
    assert "Of surprise, over all tokens" in html
    one = search_panels.hits(dataclasses.replace(view, combine="sum", tokens=(2,)), record, known)
    assert "Of surprise, over" not in one, "of one token it is the value"


def test_what_failed_can_be_tried_again_and_elsewhere(view, sources):
    html = unescape(search_panels.failed("Gone.", dataclasses.replace(view, page=3)))
    assert re.findall('href="([^"]+)"', html) == [view.to(page=3)]
    some = dataclasses.replace(view, sources=(sources[0].key,))
    assert re.findall('href="([^"]+)"', unescape(search_panels.failed("Gone.", some))) == [some.to(), view.to()]


def test_what_was_left_out_is_marked_in_the_table(view, record, sources):
    left = dataclasses.replace(
        record, sources=record.sources[1:], left_out=(LeftOut(key=record.sources[0].key, why="It went."),)
    )
    html = search_panels.side(view, sources, left)
    assert html.count("✕</span>") == 1
    assert f"{left.left_out[0].key.source_id} cannot be read. It went." in html
    assert "is not looked into" not in html


def test_what_was_left_out_is_said_with_its_reason(view, record, sources, known):
    assert "left out" not in search_panels.hits(view, record, known)
    left = (LeftOut(key=sources[0].key, why="It is not at /there any more."),)
    html = search_panels.hits(view, dataclasses.replace(record, left_out=left), known)
    assert f"{sources[0].key.source_id} is left out" in html
    assert "It is not at /there any more." in html
    two = search_panels.left_out((*left, LeftOut(key=sources[1].key, why="x")))
    assert f"{sources[0].key.source_id}, {sources[1].key.source_id} are left out" in two


@pytest.mark.parametrize(("part", "shown"), [(None, None), (0.0, "0"), (0.294, "29"), (1.0, "100")])
def test_how_much_is_done_is_a_bar(part, shown):
    html = search_panels.waiting("…", part)
    found = re.findall(r'role="progressbar"[^>]*aria-valuenow="(\d+)" style="width:(\d+)%"', html)
    assert found == ([] if shown is None else [(shown, shown)])


def test_each_hit_has_a_box_to_tick(view, record, known):
    picked = (record.hits[0].key, record.hits[3].key)
    html = search_panels.hits(dataclasses.replace(view, picked=picked), record, known)
    assert html.count('role="checkbox"') == len(record.hits)
    assert html.count('aria-checked="true"') == 2
    assert "<b>2</b> selected" in html


def test_each_hit_has_the_scale_of_its_own_maximum(record, bench):
    for hit in record.hits[:5]:
        own = bench.feature(hit.key)
        reach = max(abs(own.maximum), abs(own.minimum)) if own.source.signed else own.maximum
        assert search_panels.scale(hit) == pytest.approx(reach, rel=1e-4)
    never = dataclasses.replace(record.hits[0], fraction=0.0)
    assert search_panels.scale(never) == max(map(abs, never.values))


def test_a_hit_leads_to_its_feature_with_the_text(view, record, known):
    html = unescape(search_panels.hits(view, record, known))
    for hit in record.hits:
        assert f'href="{links.feature(hit.key, TEXT)}"' in html
    assert html.count('target="_blank"') == len(record.hits)


def test_a_long_text_is_drawn_around_the_strongest_token(view, record, known):
    hits = tuple(dataclasses.replace(h, values=h.values * 9) for h in record.hits)
    long = dataclasses.replace(record, tokens=record.tokens * 9, hits=hits)
    assert len(long.tokens) > search_panels.LONG
    html = search_panels.hits(view, long, known)
    longest = max(s.count('class="t') for s in html.split('<div class="fs-strip')[1:])
    assert longest <= search_panels.BEFORE + search_panels.AFTER + 1
    assert '<span class="cut">…</span>' in html


def test_hits_by_token_are_all_there_in_the_order_of_the_text(view, record, known):
    html = search_panels.hits(dataclasses.replace(view, group="token"), record, known)
    assert html.count("<article") == len(record.hits)
    heads = [int(n) for n in re.findall(r"tokens=(\d+)", html)]
    assert heads == sorted({h.position for h in record.hits})


def test_no_hit_says_where_else_to_look(record, known):
    none = dataclasses.replace(record, hits=(), total=0)
    view = View(model_id="tiny", text="x", tokens=(2,), densest=0.01)
    html = search_panels.hits(view, none, known)
    assert "No feature is active" in html
    assert "Features of any density" in html
    assert "All tokens" in html
    assert "All sources" not in html


def test_the_table_leads_to_the_hits_it_counts(view, record, sources):
    html = unescape(search_panels.side(view, sources, record))
    for count in record.sources:
        assert f'href="{view.to(sources=(count.key,))}"' in html
        assert f">{count.own}</a>" in html
    assert str(sum(c.among for c in record.sources)) in html


def test_a_source_that_was_left_out_can_be_looked_into(view, sources, record):
    one = dataclasses.replace(record, sources=record.sources[:1])
    html = search_panels.side(view, sources, one)
    assert html.count("is not looked into. Click to look there") == len(sources) - 1


@pytest.mark.parametrize(("surprise", "one"), [(0.0, "1"), (2.0, "100"), (4.93, "85,000"), (12.0, "1,000,000,000,000")])
def test_a_surprise_in_tokens(surprise, one):
    assert search_panels.rarity(surprise) == f"As strong on about 1 in {one} of the build’s tokens"


def test_pages_are_links(view, record, known):
    many = dataclasses.replace(record, total=26, offset=25, hits=record.hits[:1])
    html = search_panels.hits(dataclasses.replace(view, page=2), many, known)
    assert "26 to 26" in html
    assert "page 2 of 2" in html
    assert html.count('aria-disabled="true"') == 1
