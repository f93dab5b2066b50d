"""A person's page, activity, moderation, saved views, and explicit text: every state, with scripts in every word."""

from __future__ import annotations

import dataclasses

import pytest
import streamlit as st

from components import charts, explicit, resources, testing
from core.community.records import Case, Item
from core.errors import Unreachable
from core.records import FeatureKey, Token
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

FEATURE = FeatureKey.parse(f"{tiny.SAE}/3")
XSS = '<script>alert(1)</script><img src=x onerror="alert(1)">'
PAGES = ("person.py", "activity.py", "home.py")


@pytest.fixture
def own(tiny_root, tmp_path, monkeypatch):
    """A workbench over the tiny sources with people's things of its own."""
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    return bench


@pytest.fixture
def busy(own):
    """Somebody who did one of everything."""
    people = own.community.people()
    people.stars.add(FEATURE)
    people.describe(about=f"about me {XSS}")
    people.lists.new(f"list {XSS}", items=[Item(FEATURE)])
    people.comments.post(FEATURE, f"comment {XSS}")
    people.suites.new(FEATURE, f"suite {XSS}", [Case("Paris", True)])
    people.saved.keep("/search?text=abc", f"saved {XSS}")
    return people


def press(app, start: str):
    next(button for button in app.button if button.key.startswith(start)).click().run()
    assert not app.exception, app.exception
    return app


@pytest.mark.parametrize("page", PAGES)
def test_nobody_did_anything_yet(own, page):
    drawn = html(visit(page))
    assert {"person.py": "will stand here", "activity.py": "Nothing has happened", "home.py": "Features to begin"}[
        page
    ] in drawn
    assert "Recent activity" not in drawn


@pytest.mark.parametrize("page", PAGES)
def test_what_people_wrote_is_shown_and_never_run(busy, page):
    drawn = html(visit(page))
    assert "<script>alert" not in drawn and 'onerror="' not in drawn
    for word in ("list", "comment", "suite"):
        assert f"{word} &lt;script&gt;" in drawn or word == "comment", word
    assert str(FEATURE) in drawn


def test_a_person_by_name_and_nobody_of_it(busy):
    me = busy.me.name
    drawn = html(visit("person.py", name=me.upper()))
    assert "this is you" in drawn and "about me" in drawn
    assert "nobody called" in notes(visit("person.py", name="stranger"))
    assert "&lt;b&gt;" in notes(visit("person.py", name="<b>"))


def test_what_was_saved_can_be_shown_hidden_and_forgotten(busy):
    app = visit("person.py")
    assert "/search?text=abc" in html(app) and "only you" in html(app)
    press(app, "show-")
    assert busy.saved.by(busy.me.id)[0].visibility == "public" and "only you" not in html(app)
    press(app, "drop-")
    assert not busy.saved.by(busy.me.id) and "/search?text=abc" not in html(app)


def test_activity_has_pages(own):
    people = own.community.people()
    for n in range(64):
        people.suites.new(FEATURE, f"number {n:02}.", [Case("Paris", True)])
    first, last = html(visit("activity.py")), html(visit("activity.py", page="3"))
    assert "number 63." in first and "number 33." not in first and "Older" in first and "Newer" not in first
    assert "number 00." in last and "number 04." not in last and "Older" not in last and "Newer" in last
    assert "nothing older" in html(visit("activity.py", page="9"))
    assert "whole numbers" in notes(visit("activity.py", page="x"))
    home = html(visit("home.py"))
    assert home.count("made the test suite") == 5


@pytest.mark.parametrize("page", [*PAGES, "moderation.py", "suites.py"])
def test_switched_off_and_away(own, tiny_root, tmp_path, monkeypatch, page):
    def away(*_, **__):
        raise Unreachable("The service that keeps people's things does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("core.community.alone.AloneVisit.rows", away)
        assert "does not answer" in html(visit(page))
    off = Workbench(Settings(data=tmp_path, demo=tiny_root, people="none"))
    monkeypatch.setattr(resources, "workbench", lambda: off)
    drawn = html(visit(page))
    assert "Features to begin with" in drawn if page == "home.py" else "switched off" in drawn


# -- moderation --------------------------------------------------------------------------------------------------------


def test_a_report_is_looked_at_hidden_and_closed(busy):
    (comment,) = busy.comments.on(FEATURE)
    busy.comments.report(f"rude {XSS}", comment=comment.id)
    app = visit("moderation.py")
    assert "rude &lt;script&gt;" in html(app) and "<script>alert" not in html(app)
    app.text_input[0].set_value("not kind")
    press(app, "hide-")
    (hidden,) = busy.comments.on(FEATURE)
    assert hidden.state == "hidden" and hidden.why == "not kind"
    assert not busy.moderation.reports() and len(busy.moderation.reports(closed=True)) == 1
    drawn = html(app)
    assert "Nothing is reported" in drawn and "not kind" in drawn and "hid</span> a comment" in drawn
    assert [step.what for step in busy.moderation.trail()] == ["hide"]


def test_a_list_is_hidden_and_shown_again(busy):
    (card,) = busy.lists.mine()
    busy.comments.report("spam", list=card.id)
    app = visit("moderation.py")
    press(app, "hide-")
    assert busy.lists.get(card.id).card.hidden
    busy.lists.show(card.id)
    assert [step.what for step in busy.moderation.trail()] == ["show", "hide"]


def test_a_report_can_be_closed_without_more(busy):
    (comment,) = busy.comments.on(FEATURE)
    busy.comments.report("boring", comment=comment.id)
    app = press(visit("moderation.py"), "close-")
    assert "Nothing is reported" in html(app)
    assert busy.comments.on(FEATURE)[0].state == "shown" and not busy.moderation.trail()


def test_only_moderators_see_it(busy, monkeypatch):
    person = dataclasses.replace(busy.me, moderates=False)
    monkeypatch.setattr("core.community.alone.AloneVisit.me", property(lambda self: person))
    app = visit("moderation.py")
    assert "Only a moderator" in notes(app) and not app.button


# -- saving ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "query", "kind"),
    [
        ("search.py", {"model": "tiny", "text": "Paris is"}, "search"),
        ("scan.py", {"id": str(FEATURE), "sentence": "The {} day", "words": "fine,Paris"}, "scan"),
        ("feature.py", {"id": str(FEATURE), "defaulttesttext": ["Paris is"]}, "test"),
        ("steer.py", {"model": "tiny", "features": "1-res/3:5", "prompt": "Paris", "length": "4"}, "steer"),
    ],
)
def test_a_view_is_saved_under_a_name_and_opens_again(own, monkeypatch, page, query, kind):
    monkeypatch.setattr(testing, "AT_ONCE", 60)
    monkeypatch.setattr("components.steering.AT_ONCE", 60)
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    app = visit(page, **query)
    field = next(one for one in app.text_input if one.label == "Keep this view as")
    field.set_value(f"mine {XSS}")
    press(app, "FormSubmitter:save-form")
    people = own.community.people()
    (saved,) = people.saved.by(people.me.id)
    assert (saved.kind, saved.visibility, saved.name) == (kind, "private", f"mine {XSS}")
    path, _, rest = saved.link.partition("?")
    assert path == f"/{page.removesuffix('.py')}"
    if kind == "steer":
        own.steered(rest.removeprefix("run="))  # the run itself, as it was written
    else:
        assert "Paris" in rest
    press(app, "FormSubmitter:save-form")
    assert len(people.saved.by(people.me.id)) == 2, "what was saved once may be saved again under another name"


# -- explicit text -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rude(own, monkeypatch):
    """A feature of which one example has an explicit word, and what the component was told."""
    told, feature = [], type(own).feature

    def with_one(self, key):
        record = feature(self, key)
        group = record.groups[0]
        one = group.examples[0]
        tokens = tuple(Token(1, " fuck ") if n == one.position else t for n, t in enumerate(one.tokens))
        examples = (dataclasses.replace(one, tokens=tokens), *group.examples[1:])
        return dataclasses.replace(record, groups=(dataclasses.replace(group, examples=examples),))

    monkeypatch.setattr(type(own), "feature", with_one)
    monkeypatch.setattr("components.token_strip._examples", lambda **given: told.append(given["data"]))
    return told


def test_on_one_s_own_machine_nothing_is_covered_unless_one_says_so(own, rude):
    app = visit("feature.py", id=str(FEATURE))
    assert not rude[-1]["cover"] and charts.COVER not in html(app)
    own.community.people().hide_explicit(True)
    app = visit("feature.py", id=str(FEATURE))
    assert rude[-1]["cover"] and charts.COVER in html(app)
    assert "are covered" not in html(app), "who chose is not asked"
    marked = [text for text in rude[-1]["texts"] if "e" in text]
    assert 0 < len(marked) < len(rude[-1]["texts"]), "the examples concerned and no others"


def test_on_a_shared_workbench_it_is_covered_and_asked_once(own, rude, monkeypatch):
    monkeypatch.setattr(type(own.community), "shared", property(lambda self: True))
    cookies: dict[str, str] = {}
    monkeypatch.setattr(st.context.__class__, "cookies", property(lambda self: cookies))
    monkeypatch.setattr("core.community.door.Door.people", lambda self, cookie="": _nobody(self))
    app = visit("feature.py", id=str(FEATURE))
    assert rude[-1]["cover"] and f'data-choose="{explicit.COOKIE}=show"' in html(app)
    cookies[explicit.COOKIE] = "show"
    app = visit("feature.py", id=str(FEATURE))
    assert not rude[-1]["cover"] and "data-choose" not in html(app)
    cookies[explicit.COOKIE] = "hide"
    app = visit("feature.py", id=str(FEATURE))
    assert rude[-1]["cover"] and "data-choose" not in html(app)


def _nobody(door):
    from core.community.closed import OffVisit
    from core.community.people import People

    return People(door.community, OffVisit())


def test_a_strip_with_an_explicit_word_is_marked_and_others_are_as_they_were(record):
    one = record.groups[0].examples[0]
    plain = charts.example(one, 1.0)
    assert "fs-explicit" not in plain
    tokens = tuple(Token(1, " FUCKING ") if n == one.position else t for n, t in enumerate(one.tokens))
    assert "fs-explicit" in charts.example(dataclasses.replace(one, tokens=tokens), 1.0)
