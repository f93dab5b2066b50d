"""The other views of the search page and the scan: texts stay data, every feature is a link, every choice a view."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from components import contrast_panels, links, scan_panels, search_panels, search_view, token_panels
from components.scan_panels import Scan
from components.search_view import View, facets
from core.records import FeatureKey, Token
from tests import tiny

NASTY = "<img src=x onerror=alert(1)>\"'&`$_*"
A, B = "The capital of France is Paris 🙂.", "My fellow citizens, the day is fine."


@pytest.fixture
def sources(bench):
    return bench.searchable("tiny")


@pytest.fixture
def by_token(bench):
    return bench.by_token(tiny.SAE, A, top=6, densest=None)


@pytest.fixture
def contrast(bench):
    return bench.contrast("tiny", A, B)


@pytest.fixture
def scan(bench):
    return bench.substitute(f"{tiny.SAE}/3", "The {} of France", ["capital", "day", "🙂"])


@pytest.fixture
def token_view(sources):
    return View(model_id="tiny", text=A, shown="token", source=sources[0].key)


@pytest.fixture
def contrast_view():
    return View(model_id="tiny", text=A, against=B, shown="contrast")


def query(address):
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def nasty(tokens):
    return tuple(Token(t.id, NASTY) for t in tokens)


def drawn_by_token(view, record, sources, bench):
    source = bench.source(record.key)
    return [
        search_panels.head(view), search_panels.form(view, bench.models(), {NASTY: [NASTY]}),
        token_panels.asked(view, record.tokens, sources), search_panels.toolbar(view),
        token_panels.table(view, record, source), token_panels.counted(view, record, source),
    ]  # fmt: skip


def drawn_contrast(view, record, sources, bench):
    pair = {"name": NASTY, "text": NASTY, "against": NASTY}
    return [
        search_panels.head(view), search_panels.form(view, bench.models(), {NASTY: [NASTY]}),
        contrast_panels.examples(view, [pair]), search_panels.toolbar(view),
        contrast_panels.asked(view, *record.tokens, sources, facets(sources, view.sources)),
        contrast_panels.lists(view, record, {s.key: s for s in sources}),
    ]  # fmt: skip


def drawn_scan(view, record, feature):
    example = {"name": NASTY, "sentence": NASTY, "words": NASTY}
    return [
        scan_panels.head(feature), scan_panels.form(view, NASTY, [example]), scan_panels.heat(view, record, feature),
        scan_panels.way_in(feature), scan_panels.empty(),
    ]  # fmt: skip


def test_text_is_data_everywhere(token_view, by_token, contrast_view, contrast, scan, sources, bench):
    hits = tuple(
        dataclasses.replace(row, hits=tuple(dataclasses.replace(h, label=NASTY) for h in row.hits))
        for row in by_token.rows
    )
    counted = tuple(dataclasses.replace(one, label=NASTY) for one in by_token.features)
    token = dataclasses.replace(by_token, tokens=nasty(by_token.tokens), rows=hits, features=counted)
    its = [
        tuple(dataclasses.replace(o, label=NASTY, promotes=NASTY) for o in s) for s in (contrast.first, contrast.second)
    ]
    two = dataclasses.replace(
        contrast, texts=(NASTY, NASTY), tokens=tuple(map(nasty, contrast.tokens)), first=its[0], second=its[1]
    )
    fillings = tuple(dataclasses.replace(f, word=NASTY, text=NASTY, tokens=nasty(f.tokens)) for f in scan.fillings)
    feature = dataclasses.replace(bench.feature(scan.key), label=NASTY)
    view = Scan(key=scan.key, sentence=NASTY, words=(NASTY,))
    pages = [
        *drawn_by_token(dataclasses.replace(token_view, text=NASTY), token, sources, bench),
        *drawn_contrast(dataclasses.replace(contrast_view, text=NASTY, against=NASTY), two, sources, bench),
        *drawn_scan(view, dataclasses.replace(scan, sentence=NASTY, fillings=fillings), feature),
    ]
    for html in pages:
        assert "<img" not in html
        assert 'alert(1)>"' not in html


def test_every_term_is_in_the_glossary(token_view, by_token, contrast_view, contrast, scan, sources, bench):
    pages = [
        *drawn_by_token(token_view, by_token, sources, bench), *drawn_contrast(contrast_view, contrast, sources, bench),
        *drawn_scan(Scan(key=scan.key), scan, bench.feature(scan.key)),
    ]  # fmt: skip
    plain = {name for html in pages for name in re.findall(r'<span class="fs-soft">([^<]+)</span>', html)}
    assert plain <= {"Sort by", "Show", "Examples", "Order", "kind", "layer", "set", "none is active"}


def test_a_view_is_its_address(sources, token_view, contrast_view):
    def again(view):
        return search_view.read(query(view.to(page=view.page)), ["tiny"], lambda _: sources)

    for view in (
        dataclasses.replace(token_view, order="density", densest=0.1, tokens=(2,)),
        dataclasses.replace(contrast_view, sort="value", page=3),
        dataclasses.replace(contrast_view, against=""),
    ):
        assert again(view) == (view, [])
    assert "view" not in query(contrast_view.to())
    assert "against" not in query(contrast_view.to(shown="features"))
    found, wrong = search_view.read({"text": "x", "view": "token", "source": "9-none"}, ["tiny"], lambda _: sources)
    assert found.source is None
    assert "no source “9-none”" in wrong[0]


def test_each_token_has_its_features_and_each_is_a_link(token_view, by_token, bench):
    html = unescape(token_panels.table(token_view, by_token, bench.source(by_token.key)))
    assert html.count("<tr>") == len(by_token.rows)
    for row in by_token.rows:
        for hit in row.hits:
            assert f'href="{links.feature(hit.key, A)}"' in html
    some = dataclasses.replace(token_view, tokens=(2, 3))
    assert token_panels.table(some, by_token, bench.source(by_token.key)).count("<tr>") == 2


@pytest.mark.parametrize(
    ("order", "key"),
    [("frequency", lambda f: -f.frequency), ("strength", lambda f: -abs(f.strength)), ("density", lambda f: f.density)],
)
def test_counted_features_can_be_sorted(token_view, by_token, bench, order, key):
    html = token_panels.counted(dataclasses.replace(token_view, order=order), by_token, bench.source(by_token.key))
    shown = [int(n) for n in re.findall(rf"{tiny.SAE}/(\d+)&", unescape(html))]
    ordered = sorted(by_token.features, key=key)[: token_panels.COUNTED]
    assert shown == [one.key.index for one in ordered]
    assert html.count("aria-sort") == 1


def test_both_strips_have_the_scale_of_the_feature(contrast_view, contrast, sources, bench):
    for one in contrast.first[:5]:
        own = bench.feature(one.key)
        reach = max(own.maximum, -own.minimum) if own.source.signed else own.maximum
        assert contrast_panels.scale(one) == pytest.approx(reach, rel=1e-4)
    html = unescape(contrast_panels.lists(contrast_view, contrast, {s.key: s for s in sources}))
    assert html.count("<article") == len(contrast.first) + len(contrast.second)
    assert html.count('<div class="fs-strip') == 2 * html.count("<article")
    for one in (*contrast.first, *contrast.second):
        assert f'href="{links.feature(one.key, A, B)}"' in html


def test_texts_that_do_not_differ_say_so(bench, contrast_view, sources):
    same = bench.contrast("tiny", A, A)
    assert "No feature tells them apart" in contrast_panels.lists(contrast_view, same, {s.key: s for s in sources})


def test_a_scan_is_a_row_a_word_in_the_order_that_is_chosen(bench, scan):
    feature = bench.feature(scan.key)

    def words(order):
        html = scan_panels.heat(Scan(key=scan.key, order=order), scan, feature)
        rows = html.split("<tbody>")[1].split("<tr>")[1:]
        return [re.sub("<[^>]+>", "", re.search(r'<td class="slot[^>]*>(.*?)</td>', row)[1]) for row in rows]

    assert words("written") == ["capital", "day", "🙂"]
    for order, size in (("slot", lambda f: f.at_slot), ("sentence", lambda f: f.maximum)):
        assert words(order) == [f.word for f in sorted(scan.fillings, key=lambda f: -abs(size(f)))]


def test_every_row_of_a_scan_is_as_wide(bench, scan):
    html = scan_panels.heat(Scan(key=scan.key), scan, bench.feature(scan.key))
    rows = [len(re.findall(r"<t[hd][ >]", row)) for row in html.split("<tr>")[1:]]
    assert len(set(rows)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("red,blue", ("red", "blue")), (" red , ,\nblue, red ", ("red", "blue")), ("", ()), ("a b\nc", ("a b", "c"))],
)
def test_words_of_a_list(text, words):
    assert scan_panels.words_of(text) == words


def test_a_hit_leads_to_a_scan_of_the_word_it_is_strongest_on(bench):
    record = bench.search("tiny", A, sources=[tiny.SAE])
    view = View(model_id="tiny", text=A)
    html = unescape(search_panels.hits(view, record, {}))
    leads = [query(href) for href in re.findall(r'href="(/scan[^"]+)"', html)]
    assert len(leads) == len(record.hits)
    for lead in leads:
        FeatureKey.parse(lead["id"])
        if "sentence" in lead:
            assert lead["sentence"].replace("{}", lead["words"]) == A
    assert any("sentence" in lead for lead in leads)
