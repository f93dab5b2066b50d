"""Stars, lists and comments on their pages: what each reader finds and may do, and what a page says where it cannot."""

from __future__ import annotations

import re
import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import controls, list_edit, list_new, list_panels, resources
from core.community import people as jobs
from core.community.alone import ME
from core.community.deeds import Deed, perform
from core.community.lists import ListJobs
from core.community.people import People
from core.community.protocol import PATIENCE
from core.community.records import Item, Person
from core.errors import NotSignedIn, Unreachable
from core.interchange import lists as files
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

KEYS = tuple(FeatureKey.parse(f"{tiny.SAE}/{n}") for n in (3, 5, 7))
GONE = FeatureKey.parse("elsewhere/1-res/9")


@pytest.fixture
def bench(tiny_root, tmp_path):
    """The tiny sources, read only, with a data root for people's things of its own."""
    return Workbench(Settings(data=tmp_path / "data", demo=tiny_root, person="ada"))


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def ada(bench):
    return bench.community.people()


@pytest.fixture
def made(ada):
    """A list with three features and one that is not here."""
    items = [Item(KEYS[0], "the *first*", 2.0), Item(KEYS[1]), Item(KEYS[2], "", -1.0), Item(GONE, "far away")]
    return ada.lists.new("Odd & <b>ends</b>", "About **them**.", items=items)


class Nobody:
    """Somebody who is not signed in, before the same store."""

    me = None

    def __init__(self, visit):
        self._visit = visit

    def given(self, link):
        return self

    def __getattr__(self, name):
        return getattr(self._visit, name)


class Other(Nobody):
    """Somebody else, before the same store."""

    me = Person("00000000-0000-4000-8000-000000000002", "bert")


@pytest.fixture
def as_(bench, monkeypatch):
    """Makes the page's reader nobody, or somebody else."""
    door = bench.community
    whole = People(door.community, door.community.visit())

    def be(who, moderates=False):
        visit = who(whole._visit)
        if moderates:
            visit.me = Person(Other.me.id, "bert", moderates=True)
        monkeypatch.setattr(type(door), "people", lambda self, cookie="": People(door.community, visit))

    return be


def press(app, label):
    """Presses the first button that is called so."""
    (button, *_) = [one for one in app.button if label in one.label]
    return button.click().run()


def dialog(module, name, *given):
    """What a dialog asks, as a page of its own: AppTest runs no fragments, and a dialog is one."""
    return AppTest.from_function(_dialog, args=(module, name, given), default_timeout=60).run()


def _dialog(module, name, given):
    import importlib

    getattr(importlib.import_module(f"components.{module}"), name).__wrapped__(*given)


def labels(app):
    return [one.label for one in app.button]


# -- the feature page --------------------------------------------------------------------------------------------------


def test_a_feature_is_starred_and_the_star_taken_back(ada):
    app = visit("feature.py", id=str(KEYS[0]))
    press(app, "Star")
    assert ada.stars.of(KEYS[0]).mine
    assert any("Starred · 1" in one for one in labels(app))
    press(app, "Starred · 1")
    assert ada.stars.of(KEYS[0]).count == 0


def test_a_feature_says_in_which_lists_it_stands(made):
    page = html(visit("feature.py", id=str(KEYS[0])))
    assert f'href="/list?id={made}"' in page
    assert "Odd &amp; &lt;b&gt;ends&lt;/b&gt;" in page and "<em>first</em>" in page
    assert "In lists" not in html(visit("feature.py", id=f"{tiny.SAE}/9"))


def test_a_feature_is_added_to_a_new_list_with_a_note(ada):
    assert any("Add to a list" in one for one in labels(visit("feature.py", id=str(KEYS[0]))))
    app = dialog("lists", "add", [KEYS[0]], "/")
    app.text_input(key="add-name").set_value("Mine")
    app.text_area(key="add-note").set_value("why")
    press(app, "Add")
    (one,) = ada.lists.mine()
    assert ada.lists.get(one.id).items == (Item(KEYS[0], "why"),)


def test_a_feature_is_added_to_a_list_of_ones_own(ada, made):
    other = f"{tiny.SAE}/11"
    app = dialog("lists", "add", [FeatureKey.parse(other)], "/")
    app.text_area(key="add-note").set_value("why")
    press(app, "Add")
    assert ada.lists.get(made).items[-1] == Item(FeatureKey.parse(other), "why")


def test_comments_are_said_answered_edited_and_taken_back(ada):
    app = visit("feature.py", id=str(KEYS[0]))
    app.text_area[-1].set_value("**first**")
    press(app, "Post")
    assert "<strong>first</strong>" in html(app)
    assert app.text_area[-1].value == "", "what was posted is gone from its field"
    press(app, "Reply")
    app.text_area[1].set_value("an answer")
    press(app, "Post the answer")
    first, answer = ada.comments.on(KEYS[0])
    assert answer.parent == first.id and answer.body == "an answer"
    press(app, "Edit")
    app.text_area[1].set_value("better")
    press(app, "Save")
    assert ada.comments.on(KEYS[0])[0].body == "better" and "edited" in html(app)
    press(app, "Delete")
    press(app, "Delete it")
    assert ada.comments.on(KEYS[0])[0].state == "deleted"
    assert "Taken back by who wrote it" in html(app) and "an answer" in html(app)


def test_an_empty_comment_is_refused_in_words(ada):
    app = visit("feature.py", id=str(KEYS[0]))
    press(app, "Post")
    assert "The comment is empty" in notes(app) and not ada.comments.on(KEYS[0])


def test_what_nobody_says_waits_until_they_sign_in(bench, as_, ada):
    as_(Nobody)
    app = visit("feature.py", id=str(KEYS[0]))
    app.text_area[-1].set_value("said before signing in")
    press(app, "Post")
    page = notes(app)
    assert "sign in to post this comment" in page
    draft = page.split("draft=")[1].split('"')[0].split("&")[0]
    deed = bench.community.drafts.get(draft)
    assert deed.kind == "comment" and deed.values["body"] == "said before signing in"
    assert app.text_area[-1].value == "said before signing in", "and stays in its field"
    for _ in range(2):
        perform(ada, deed)
    assert [one.body for one in ada.comments.on(KEYS[0])] == ["said before signing in"], "once, however often"


def test_the_same_words_sent_twice_are_kept_once(ada, monkeypatch):
    """A first try that was kept although the store did not say so is not kept again."""
    from components import people

    really = people.perform

    def lost(them, deed):
        really(them, deed)
        raise Unreachable("It does not answer.")

    monkeypatch.setattr(people, "perform", lost)
    app = visit("feature.py", id=str(KEYS[0]))
    app.text_area[-1].set_value("once")
    press(app, "Post")
    assert "does not answer" in notes(app) and app.text_area[-1].value == "once"
    monkeypatch.setattr(people, "perform", really)
    press(app, "Post")
    assert [one.body for one in ada.comments.on(KEYS[0])] == ["once"]


def test_somebody_elses_comment_is_reported_not_changed(ada, as_):
    ada.comments.post(KEYS[0], "hm")
    as_(Other)
    found = labels(visit("feature.py", id=str(KEYS[0])))
    assert "Report" in found and "Reply" in found
    assert not {"Edit", "Delete", "Hide"} & set(found)


def test_a_moderator_hides_with_a_reason_and_shows_again(ada, as_):
    ada.comments.post(KEYS[0], "rude words")
    as_(Other, moderates=True)
    app = visit("feature.py", id=str(KEYS[0]))
    press(app, "Hide")
    app.text_input[-1].set_value("<b>rude</b>")
    press(app, "Hide it")
    assert "Hidden by a moderator: &lt;b&gt;rude&lt;/b&gt;" in html(app) and "rude words" not in html(app)
    press(app, "Show again")
    press(app, "Show it")
    assert "rude words" in html(app)


def test_where_nothing_is_kept_nothing_is_offered(tiny_root, tmp_path, monkeypatch):
    off = Workbench(Settings(data=tmp_path, demo=tiny_root, people="none"))
    monkeypatch.setattr(resources, "workbench", lambda: off)
    app = visit("feature.py", id=str(KEYS[0]))
    assert "Comments" not in html(app) and not any("Star" in one or "list" in one for one in labels(app))
    assert "Promotes" in html(app)
    assert "switched off" in notes(visit("lists.py")) and "switched off" in notes(visit("list.py", id=ME))
    quick = visit("quick_list.py", features=str(KEYS[0]))
    assert "fs-item" in html(quick) and not any("Keep" in one for one in labels(quick))


def test_an_embed_has_none_of_it(monkeypatch, ada):
    ada.comments.post(KEYS[0], "not here")
    monkeypatch.setattr(controls, "embedded", lambda: True)
    app = visit("feature.py", id=str(KEYS[0]))
    assert "not here" not in html(app) and not any("Star" in one for one in labels(app))


def test_a_store_that_is_away_costs_a_page_two_seconds_at_most(bench, monkeypatch):
    """The feature is drawn whole; each part of people's says for itself that it is away."""
    waits = []

    def slow(self, *_, **__):
        waits.append(1)
        time.sleep(4 * PATIENCE)

    for name in ("of", "holding", "on"):
        for kind in (jobs.StarJobs, jobs.ListJobs, jobs.CommentJobs):
            if name in kind.__dict__:
                monkeypatch.setattr(kind, name, slow)
    app = visit("feature.py", id=str(KEYS[0]))
    page = html(app)
    assert "Promotes" in page
    assert notes(app).count("slow or away") == len(waits) == 3


# -- a list ------------------------------------------------------------------------------------------------------------


def test_a_list_shows_what_is_in_it(made):
    page = html(visit("list.py", id=made))
    assert "Odd &amp; &lt;b&gt;ends&lt;/b&gt;" in page and "About <strong>them</strong>" in page
    assert page.count('class="fs-card fs-item"') == 4
    assert "<em>first</em>" in page and "× 2" in page and "× −1" in page
    assert "elsewhere/1-res/9" in page and "far away" in page, "what is not here keeps its place and note"
    assert 'href="/steer?model=tiny&amp;features=1-res/3' in page


def test_a_text_is_run_over_all_of_it(bench, made):
    app = visit("list.py", id=made, text="It’s Paris 🙂")
    page = html(app)
    tests = bench.test_each([str(key) for key in KEYS], "It’s Paris 🙂")
    assert page.count('class="fs-gain') == 4 and "All together" in page
    best = max(tests, key=lambda test: test.maximum)
    ordered = html(visit("list.py", id=made, text="It’s Paris 🙂", order="value"))
    first = ordered.split('class="fs-card fs-item"')[2]
    assert f"{best.key.source_id} · {best.key.index}<" in first, "the first after all together"


def test_a_lists_own_text_is_run_unless_the_link_says_otherwise(ada, made):
    ada.lists.change(made, test_text="Paris is")
    assert 'class="fs-gain' in html(visit("list.py", id=made))
    assert 'class="fs-gain' not in html(visit("list.py", id=made, text=""))


def test_features_are_moved_noted_weighed_taken_and_put_back(ada, made):
    app = visit("list.py", id=made)
    app.button(key=f"down-{KEYS[0]}").click().run()
    assert [one.feature for one in ada.lists.get(made).items][:2] == [KEYS[1], KEYS[0]]
    found = ada.lists.get(made)
    app = dialog("list_edit", "item", found, list_panels.Row(found.items[1], None), 2, "/")
    app.text_area(key=f"item-note-{KEYS[0]}").set_value("other words")
    app.number_input(key=f"item-weight-{KEYS[0]}").set_value(0.5)
    app.number_input(key=f"item-place-{KEYS[0]}").set_value(1)
    press(app, "Save")
    assert ada.lists.get(made).items[0] == Item(KEYS[0], "other words", 0.5)
    app = visit("list.py", id=made)
    app.button(key=f"take-{KEYS[0]}").click().run()
    assert KEYS[0] not in {one.feature for one in ada.lists.get(made).items}
    press(app, "Put it back")
    assert ada.lists.get(made).items[0] == Item(KEYS[0], "other words", 0.5), "with all that belonged to it"


def test_pasted_ids_are_added_and_each_wrong_one_named(ada, made):
    app = visit("list.py", id=made)
    app.text_area(key=f"more-{made}-0").set_value(f"1-res/9, nonsense\n{tiny.SAE}/99999\n\n1-res:10,1-res/9")
    press(app, "Add")
    assert [one.feature.index for one in ada.lists.get(made).items][-2:] == [9, 10]
    assert "“nonsense”" in html(app) and "0 to 63" in html(app)


def test_a_list_is_edited_and_deleted(ada, made, monkeypatch):
    assert any("Edit" in one for one in labels(visit("list.py", id=made)))
    app = dialog("list_edit", "about", ada.lists.get(made), "/")
    app.text_input(key="edit-name").set_value("Other name")
    press(app, "Save")
    assert ada.lists.get(made).card.name == "Other name"
    monkeypatch.setattr(list_edit.st, "switch_page", lambda page: None)
    app = dialog("list_edit", "about", ada.lists.get(made), "/")
    app.button(key="list-delete").click().run()
    assert ada.lists.mine() == ()


def test_somebody_else_reads_and_changes_nothing(made, as_):
    as_(Other)
    found = labels(visit("list.py", id=made))
    assert not {"Remove", "↑ Up", "Add"} & set(found) and any("Report" in one for one in found)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "The link names no list"),
        ({"id": "nonsense"}, "is not the id of a list"),
        ({"id": "<script>alert(1)</script>"}, "&lt;script&gt;"),
        ({"id": "00000000-0000-4000-8000-00000000abcd"}, "There is no such list here"),
    ],
)
def test_a_bad_id_says_what_would_do(query, says):
    app = visit("list.py", **query)
    assert says in notes(app) and 'href="/lists"' in notes(app)


def test_a_hidden_list_says_so_to_its_owner(ada, made):
    ada.lists.hide(made, "spam")
    assert "A moderator hid this list" in notes(visit("list.py", id=made))


def test_a_list_whose_store_is_away_says_so(made, monkeypatch):
    def away(self, id):
        raise Unreachable("It does not answer.")

    monkeypatch.setattr(ListJobs, "get", away)
    assert "It does not answer." in notes(visit("list.py", id=made))


def test_a_list_in_a_frame_has_its_features_and_no_way_on(made, monkeypatch):
    monkeypatch.setattr(controls, "embedded", lambda: True)
    app = visit("list.py", id=made)
    page = re.sub(r"<style>.*?</style>", "", html(app), flags=re.DOTALL)
    assert page.count('class="fs-card fs-item"') == 4 and "Open ↗" in page
    assert not app.button and "fs-foot" not in page and "<form" not in page


def test_an_empty_list_says_how_to_fill_it(ada):
    assert "No features yet" in html(visit("list.py", id=ada.lists.new("Empty")))


def test_a_long_list_has_pages(ada):
    keys = [FeatureKey("tiny", "1-res", n) for n in range(40)]
    id = ada.lists.new("Long", items=[Item(key) for key in keys])
    assert "1 to 25 of 40 features" in html(visit("list.py", id=id))
    page = html(visit("list.py", id=id, page="2"))
    assert "26 to 40 of 40 features" in page and page.count('class="fs-card fs-item"') == 15


# -- all lists, and lists that are links -------------------------------------------------------------------------------


def test_lists_begin_empty_and_show_ones_own(ada):
    assert "You have no lists yet" in html(visit("lists.py"))
    ada.lists.new("Mine & yours", visibility="private")
    page = html(visit("lists.py"))
    assert "Mine &amp; yours" in page and "only me" in page


def test_nobody_is_asked_to_sign_in_for_their_own(as_, ada):
    ada.lists.new("Public one")
    as_(Nobody)
    page = html(visit("lists.py"))
    assert "Public one" in page and "/sign-in?next=" in page


def test_a_list_is_made_from_ids_and_nothing_of_half_of_them(ada):
    app = dialog("list_new", "make")
    app.text_input(key="new-name").set_value("From ids")
    app.text_area(key="new-ids").set_value("1-res/3, wrong")
    press(app, "Make it")
    assert "“wrong”" in html(app) and not ada.lists.mine()


def test_a_quick_list_shows_what_is_here_and_names_what_is_not():
    text = '[{"modelId":"tiny","layer":"1-res","index":"3"},{"modelId":"no","layer":"1-res","index":1},{"x":1}]'
    app = visit("quick_list.py", name="Quick <i>", features=text)
    page = html(app)
    assert "Quick &lt;i&gt;" in page
    assert "There is no model “no”" in page and "has to have modelId, layer and index" in page


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '"x"', "[" * 3000])
def test_a_quick_list_of_nothing_says_how_a_link_is_written(text):
    assert "The link names no feature" in html(visit("quick_list.py", features=text))


def test_more_than_fit_are_cut_and_said():
    rows = ",".join(f'{{"modelId":"tiny","layer":"1-res","index":{n % 64}}}' for n in range(200))
    assert "the first 150 are shown" in html(visit("quick_list.py", features=f"[{rows}]"))


def test_a_quick_list_is_kept_with_its_notes(ada, monkeypatch):
    went = []
    monkeypatch.setattr(list_new.st, "switch_page", lambda page, query_params: went.append(query_params["id"]))
    app = visit("quick_list.py", features=",".join(map(str, KEYS)), name="Kept", text="Paris is")
    app.text_input(key=f"quick-note-{KEYS[1]}").set_value("the second")
    press(app, "Keep as a list")
    found = ada.lists.get(went[0])
    assert found.card.name == "Kept" and found.card.test_text == "Paris is"
    assert found.items == (Item(KEYS[0]), Item(KEYS[1], "the second"), Item(KEYS[2]))


def test_rows_of_a_source_are_picked_for_a_list():
    page = html(visit("source.py", id=tiny.SAE, picked="1-res/3,1-res/5", sort="-density"))
    assert "<b>2</b> selected" in page
    assert 'href="/quick-list?features=tiny/1-res/3%2Ctiny/1-res/5"' in page
    assert "sort=-density&amp;picked=1-res" in page or "picked=1-res/3" in page
    assert "cannot be found" in notes(visit("source.py", id=tiny.SAE, picked="1-res/3,nonsense"))


def test_an_export_is_the_same_list_again(ada, made):
    found = ada.lists.get(made)
    draft = files.from_json(files.to_json(found, {}))
    deed = Deed("list", "", list_new.told(draft) | {"items": [list_new.list_edit.plain(one) for one in draft.items]})
    again = ada.lists.get(perform(ada, deed))
    assert again.items == found.items
    for name in ("name", "about", "visibility", "test_text"):
        assert getattr(again.card, name) == getattr(found.card, name)


def test_a_deed_of_nobody_asks_for_a_person(bench, as_):
    as_(Nobody)
    with pytest.raises(NotSignedIn):
        perform(bench.community.people(), Deed("list-add", ME, {"items": []}))
