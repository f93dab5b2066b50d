"""The page of search by meaning: what the workbench finds, links good and bad, and every state of a search."""

from __future__ import annotations

import threading

import pytest

from components import meaning_panels, meaning_view, resources
from components.meaning_view import View
from core.errors import NotAvailable
from core.explain.meaning import seeker as seekers
from core.explain.meaning.seeker import Seeker
from core.records import FeatureKey, SourceKey
from core.settings import Settings
from core.workbench import Workbench
from tests.core.explain.meaning.worlds import NEURONS, SAE, Counting, Said
from tests.pages.test_pages import html, notes, visit

EVIL = "<script>alert(1)</script> colours & “quotes”"


@pytest.fixture
def count():
    return Counting()


@pytest.fixture(autouse=True)
def bench(tiny_root, tmp_path, monkeypatch, count):
    monkeypatch.setattr(seekers, "FRESH", 0.0)
    made = Workbench(Settings(data=tmp_path, demo=tiny_root))
    said, living = Said(), {key: made.living(key) for key in (SAE, NEURONS)}
    for n in range(25):
        key = NEURONS if n % 5 == 0 else SAE
        said.say(living[key][n].index, f"colour {n}", key, score=n / 25, scorer="detection")
    said.say(living[SAE][30].index, EVIL, origin="person", method="person", author="p1")
    made.words.__dict__["providers"] = (said,)
    made.words.__dict__["_seeker"] = Seeker(made, lambda: (said,), made=count)
    monkeypatch.setattr(resources, "workbench", lambda: made)
    made.said = said
    return made


def names(app) -> list[str]:
    drawn = html(app).split('<a class="fs-hit-name" href="')[1:]
    return [one.split("id=", 1)[1].split('"', 1)[0] for one in drawn]


def test_before_the_first_query_there_are_examples_and_nothing_is_embedded(count):
    app = visit("meaning.py")
    assert "Or begin with one of these" in html(app) and "/meaning?q=colours" in html(app)
    assert not notes(app) and not count.asked


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, {}),
        ({"rank": "words"}, {"rank": "words"}),
        ({"rank": "meaning", "score": "0.6"}, {"rank": "meaning", "trusted": 0.6}),
        ({"sources": "1-res"}, {"sources": [SAE]}),
        ({"set": "neurons"}, {"sources": [NEURONS]}),
        ({"model": "tiny", "density": "0.9", "from": "0.001"}, {"densest": 0.9, "sparsest": 0.001}),
        ({"origin": "person"}, {"origins": ["person"]}),
        ({"method": "np_max-act"}, {"methods": ["np_max-act"]}),
        ({"author": "p1"}, {"authors": ["p1"]}),
        ({"page": "2"}, {"offset": 20}),
    ],
)
def test_a_link_shows_what_the_workbench_finds(bench, query, asked):
    app = visit("meaning.py", q="colours", **query)
    expected = bench.words.find("colours", top=20, **asked)
    assert expected.hits and not notes(app)
    assert names(app) == [str(hit.key) for hit in expected.hits]
    assert f"of {expected.total:,} explanations" in html(app)


def test_why_it_was_found_stands_beside_it():
    shown = html(visit("meaning.py", q="colours", origin="model"))
    assert "<mark>colour</mark>" in shown and "has “colour”" in shown and "similarity" in shown
    assert "by its meaning" in html(visit("meaning.py", q="painting"))


def test_texts_of_people_are_data():
    shown = html(visit("meaning.py", q="colours", origin="person"))
    assert "<script>alert" not in shown and "&lt;script&gt;" in shown and "<mark>colours</mark>" in shown
    assert "<script>" not in html(visit("meaning.py", q="<script>x</script>", author="<script>", method="<script>"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "nobody"}, "There is: tiny"),
        ({"sources": "9-res"}, "no source “9-res” of tiny"),
        ({"set": "none"}, "no source set “none”"),
        ({"rank": "best"}, "both, meaning, words"),
        ({"origin": "me"}, "data, model, person, import"),
        ({"density": "2"}, "0 to 1"),
        ({"density": "x"}, "0 to 1"),
        ({"score": "7"}, "least score"),
        ({"page": "0"}, "page 1"),
        ({"page": "99"}, "no page 99"),
    ],
)
def test_bad_links_fall_back_with_a_message(query, says):
    app = visit("meaning.py", q="colours", **query)
    assert says in html(app) and names(app)


def test_a_query_that_is_too_short_says_so():
    app = visit("meaning.py", q="ab")
    assert "at least 3 characters" in html(app) and not names(app)


def test_nothing_found_leads_on():
    app = visit("meaning.py", q="colours", author="nobody")
    assert "No explanation passes the filters" in html(app) and "Without filters" in html(app)
    app = visit("meaning.py", q="painting", rank="words")
    assert "No explanation has one of these words" in html(app) and "By meaning too" in html(app)


def test_nothing_to_search_says_how_there_could_be(bench):
    bench.said.its = {SAE: [], NEURONS: []}
    bench.said.marks += 1
    assert "No feature here has been explained yet" in html(visit("meaning.py", q="colours"))


def test_an_embedder_that_is_not_there_leaves_the_words(bench, monkeypatch):
    def absent(*_):
        raise NotAvailable("The sentence model is not installed.")

    monkeypatch.setattr(Counting, "__call__", absent)
    shown = html(visit("meaning.py", q="colours"))
    assert "could not be done" in shown and "not installed" in shown and "rank=words" in shown
    assert names(visit("meaning.py", q="colours", rank="words"))


def test_while_explanations_are_embedded_the_page_says_how_far_that_is(bench, count):
    count.gate.clear()
    threading.Timer(2.0, count.gate.set).start()
    drawn = []
    real = meaning_panels.busy

    def seen(said, part):
        drawn.append((said, part))
        return real(said, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meaning_panels, "busy", seen)
        assert names(visit("meaning.py", q="colours"))
    assert any("Embedding 26 explanations, once: 0 are done" in said and part == 0 for said, part in drawn)


def test_the_file_of_all_explanations_is_one_click_away():
    shown = html(visit("meaning.py", q="colours"))
    assert "/api/explanation/export?modelId=tiny&amp;format=jsonl" in shown and "download" in shown
    one = html(visit("meaning.py", q="colours", sources="1-res"))
    assert "modelId=tiny&amp;sourceId=1-res&amp;format=jsonl" in one


def test_a_view_is_its_address(bench):
    view = View(
        query="a & b", sources=(SourceKey("tiny", "1-res"),), rank="words", origin="person", method="m", author="a",
        densest=0.01, sparsest=0.001, trusted=0.5, page=3, picked=(FeatureKey("tiny", "1-res", 3),),
    )  # fmt: skip
    from urllib.parse import parse_qsl, urlsplit

    query = dict(parse_qsl(urlsplit(view.to(page=3)).query))
    back, wrong = meaning_view.read(query, ["tiny"], lambda model: bench.sources(model_id=model))
    assert not wrong and back == View(**{name: getattr(view, name) for name in View.__slots__} | {"model_id": "tiny"})
    assert View().to() == "/meaning" and view.filtered and not View(query="x").filtered


def test_what_is_ticked_stays_over_other_queries_and_makes_a_list(bench):
    shown = html(visit("meaning.py", q="colours"))
    assert shown.count('class="fs-tick"') == 20 and 'data-toggle="picked:' in shown and "Make a list" not in shown
    some = "1-res/3,0-neurons/5"
    picked = html(visit("meaning.py", q="colour 3", picked=some))
    assert "<b>2</b> selected" in picked and "/quick-list?" in picked and "tiny/1-res/3%2Ctiny/0-neurons/5" in picked
    assert f'data-name="picked" value="{some}"' in picked, "the next query keeps them"
    query = {"q": "colours", "picked": "9-none/3"}
    back, wrong = meaning_view.read(query, ["tiny"], lambda model: bench.sources(model_id=model))
    assert not back.picked and any("cannot be found" in message for message in wrong)


def test_the_home_page_has_its_box():
    shown = html(visit("home.py"))
    assert 'data-go="/meaning"' in shown and "Find features by meaning" in shown
