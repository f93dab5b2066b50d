"""The sign-in page, the account and the corner of every page, in every state; what people wrote is text there."""

from __future__ import annotations

import re

import pytest
import streamlit as st

from components import person_menu, resources, sign_in
from core.community.closed import Away
from core.community.deeds import Deed
from core.community.notes import Note
from core.community.people import People
from core.community.records import Person
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny, xss
from tests.pages.test_pages import html, notes, visit
from tests.stack.stack import Stack, missing

FEATURE = f"{tiny.SAE}/3"
PASSWORD = "correct horse"
TAGS = {
    "div", "h1", "h2", "p", "section", "span", "a", "b", "form", "input", "button", "label", "blockquote", "nav",
    "details", "summary", "code", "footer", "small",
}  # fmt: skip
"""Of what these pages are made."""


@pytest.fixture
def own(tiny_root, tmp_path, monkeypatch):
    """A workbench of one over the tiny sources."""
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    return bench


@pytest.fixture(scope="module")
def stack():
    if why := missing():
        pytest.skip(why)
    with Stack() as found:
        for name in ("ada", "bela"):
            found.gw.auth.create(f"{name}@example.com", PASSWORD, {"user_name": name})
        yield found


@pytest.fixture
def shared(stack, tiny_root, tmp_path, monkeypatch):
    """A shared workbench; the browser that looks at it has the cookie that a test puts into `cookies`."""
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_KEY", stack.keys.publishable)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", stack.keys.secret_key)
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root, sign_in="password,link,github"))
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()
    bench.cookies = {}
    monkeypatch.setattr("components.people.cookie", lambda: bench.cookies.get("featurescope", ""))
    return bench


def enter(bench, name):
    bench.cookies["featurescope"] = bench.community.sign_in(f"{name}@example.com", PASSWORD)


def corner(app):
    return next(e.proto.body for e in app.get("html") if 'class="fs-corner"' in e.proto.body)


def button(app, label):
    return next(one for one in app.button if one.label == label)


# -- the sign-in page --------------------------------------------------------------------------------------------------


def test_a_workbench_of_one_says_that_nobody_signs_in(own):
    app = visit("sign_in.py", next="/glossary")
    assert "Nobody signs in here" in html(app) and "<b>you</b>" in html(app) and "<form" not in html(app)
    assert "/person?name=you" in corner(app) and "sign-out" not in corner(app)


def test_so_does_one_where_peoples_things_are_off(own, tiny_root, tmp_path, monkeypatch):
    off = Workbench(Settings(data=tmp_path, demo=tiny_root, people="none"))
    monkeypatch.setattr(resources, "workbench", lambda: off)
    for page in ("sign_in.py", "account.py"):
        app = visit(page)
        assert "switched off" in html(app) and 'class="fs-corner"' not in html(app) and "<form" not in html(app)


def test_it_offers_the_ways_of_the_settings_and_keeps_where_one_came_from(shared):
    app = visit("sign_in.py", next=f"/feature?id={FEATURE}")
    page = html(app)
    for way in (
        'action="/auth/sign-in" method="post"',
        'action="/auth/link" method="post"',
        'action="/auth/go/github"',
    ):
        assert way in page
    assert "google" not in page and "Name</label>" not in page
    assert page.count(f'<input type="hidden" name="next" value="/feature?id={FEATURE}">') == 3
    new = html(visit("sign_in.py", way="new"))
    assert 'action="/auth/sign-up"' in new and "Name</label>" in new and "new-password" in new


def test_names_of_fields_survive_the_sanitiser(shared):
    """It takes a name away that would hide a property of the document or of a form, such as “name” itself."""
    properties = {
        "name",
        "action",
        "method",
        "target",
        "id",
        "title",
        "length",
        "submit",
        "reset",
        "elements",
        "hidden",
    }
    for query in ({}, {"way": "new"}):
        fields = set(re.findall(r'<input[^>]* name="(\w+)"', html(visit("sign_in.py", next="/x", draft="y", **query))))
        assert "email" in fields and not fields & properties


@pytest.mark.parametrize("there", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_a_link_to_it_leads_nobody_elsewhere(shared, there):
    page = html(visit("sign_in.py", next=there))
    assert not re.search(r'(value|href)="(https?:)?[/\\]*evil|(value|href)="javascript', page)


def test_a_message_is_said_and_what_was_typed_stands_again(shared):
    name = shared.community.notes.keep(Note("That did <b>not</b> work.", email='a"><b>@x.y', name=""))
    page = html(visit("sign_in.py", note=name))
    assert "That did &lt;b&gt;not&lt;/b&gt; work." in page and 'value="a&quot;&gt;&lt;b&gt;@x.y"' in page
    assert "no such note" not in html(visit("sign_in.py", note="no such note"))
    grown = shared.community.notes.keep(Note("Choose another name.", name="ada"))
    assert 'action="/auth/sign-up"' in html(visit("sign_in.py", note=grown))  # what was typed was of that form


def test_what_waits_is_shown_as_text_before_anybody_signs_in(shared):
    drafts = shared.community.drafts
    page = html(visit("sign_in.py", draft=drafts.keep(Deed("comment", FEATURE, {"body": "<b>two</b>\nlines"}))))
    assert "&lt;b&gt;two&lt;/b&gt;\nlines" in page and f"id={FEATURE}" in page
    assert page.count('name="draft"') == 3
    gone = html(visit("sign_in.py", draft="nothing"))
    assert "no longer kept" in gone and 'name="draft"' not in gone


@pytest.mark.parametrize(
    ("deed", "shows"),
    [
        (Deed("star", FEATURE), "Your star for"), (Deed("unstar", FEATURE), "Taking back"),
        (Deed("list", values={"name": "mine", "items": [{"feature": FEATURE}]}), "<b>mine</b>, with 1 feature"),
        (Deed("suite", FEATURE, {"name": "tests", "cases": []}), "<b>tests</b> on"),
        (Deed("save", values={"link": "/search?text=a", "name": "view"}), "<b>view</b>"),
        (Deed("report", FEATURE, {"why": "rude"}), "rude"), (Deed("list-delete", "some-list"), "What you began"),
        (Deed("comment", FEATURE, {"body": "x" * 5000, "parent": "p"}), "Your answer"),
    ],
)  # fmt: skip
def test_every_kind_of_deed_can_wait(deed, shows):
    assert shows in sign_in.waiting(deed)


@pytest.mark.parametrize("text", xss.ALL)
def test_nothing_that_waits_runs(text):
    for deed in (
        Deed("comment", FEATURE, {"body": text}), Deed("list", values={"name": text, "about": text, "items": []}),
        Deed("suite", FEATURE, {"name": text, "cases": []}), Deed("save", values={"name": text}), Deed("star", text),
    ):  # fmt: skip
        assert not {tag for tag, _ in xss.Reader(sign_in.waiting(deed)).tags} - TAGS
    menu = xss.Reader(person_menu.person(Person("1", text), shared=True, back=text)).tags
    assert not {tag for tag, _ in menu} - TAGS
    assert all(not name.startswith("on") for tag, attributes in menu for name in attributes)


def test_who_is_signed_in_may_do_or_drop_what_waits(shared):
    enter(shared, "ada")
    app = visit("sign_in.py", next="/glossary")
    assert "You are signed in as ada" in html(app) and 'href="/glossary"' in html(app)
    page = html(visit("sign_in.py", next="/glossary", draft=shared.community.drafts.keep(Deed("star", FEATURE))))
    assert page.count('action="/auth/draft" method="post"') == 2
    assert 'value="do"' in page and 'value="drop"' in page and "Go on" not in page


def test_in_a_frame_what_comes_back_by_a_link_opens_a_tab(shared, tiny_root, tmp_path, monkeypatch):
    framed = Workbench(Settings(data=tmp_path, demo=tiny_root, framed=True, sign_in="password,link,github"))
    monkeypatch.setattr(resources, "workbench", lambda: framed)
    framed.cookies = {}
    forms = re.findall(r"<form[^>]*>", html(visit("sign_in.py")))
    assert {('target="_blank"' in form, re.search(r"/auth/[\w/-]+", form)[0]) for form in forms} == {
        (False, "/auth/sign-in"), (True, "/auth/link"), (True, "/auth/go/github"),
    }  # fmt: skip


# -- the corner ------------------------------------------------------------------------------------------------------


def test_the_corner_leads_to_the_sign_in_and_back(shared):
    assert 'href="/sign-in?next=/glossary"' in corner(visit("glossary.py"))
    app = visit("feature.py", id=FEATURE)
    assert f'href="/sign-in?next=/feature%3Fid%3D{FEATURE}"' in corner(app)
    app = visit("sign_in.py", next="/glossary", draft="d")
    assert 'href="/sign-in?next=/glossary&amp;draft=d"' in corner(app)


def test_the_corner_names_who_is_signed_in(shared):
    enter(shared, "bela")
    found = corner(visit("glossary.py"))
    assert "bela" in found and "/person?name=bela" in found and 'href="/account"' in found
    assert 'action="/auth/sign-out" method="post"' in found and 'value="/glossary"' in found
    shared.community.sign_out(shared.cookies["featurescope"])
    assert "Sign in" in corner(visit("glossary.py"))  # at the next action of any tab


def test_a_page_that_stops_early_has_its_corner(shared):
    assert "Sign in" in corner(visit("feature.py", id=f"{tiny.SAE}/99999"))


def test_it_is_not_on_embeds(shared, monkeypatch):
    monkeypatch.setattr("components.controls.embedded", lambda: True)
    assert 'class="fs-corner"' not in html(visit("feature.py", id=FEATURE))


def test_where_supabase_is_away_pages_go_on_and_the_corner_says_so(shared, monkeypatch):
    away = People(shared.community.community, Away("It does not answer."))
    monkeypatch.setattr(shared.community, "people", lambda cookie="": away)
    app = visit("glossary.py")
    assert "explained variance" in html(app) and "It does not answer." in corner(app)
    for page in ("sign_in.py", "account.py"):
        assert "It does not answer." in notes(visit(page))


# -- the account -----------------------------------------------------------------------------------------------------


def test_nobody_is_led_to_the_sign_in(shared):
    page = html(visit("account.py"))
    assert "Nobody is signed in" in page and 'href="/sign-in?next=/account"' in page


def test_name_and_words_about_oneself_are_kept(shared, stack):
    enter(shared, "bela")
    app = visit("account.py")
    app.text_area[0].set_value("<b>likes</b> words")
    button(app, "Save").click().run()
    assert "Saved." in notes(app)
    assert stack.sql("select about from profiles where name = 'bela'") == [("<b>likes</b> words",)]
    app.text_input[0].set_value("ADA")
    shared.community.people(shared.community.sign_in("ada@example.com", PASSWORD)).me  # noqa: B018 - makes the profile
    button(app, "Save").click().run()
    assert "is taken" in notes(app) and not app.exception
    app.text_input[0].set_value("a b<script>")
    button(app, "Save").click().run()
    assert "cannot be a name" in notes(app) and "<script>" not in html(app)


def test_a_key_is_shown_once_and_can_be_revoked(own):
    app = visit("account.py")
    app.text_input[1].set_value("my <b>notebook</b>")
    button(app, "New key").click().run()
    (key,) = set(re.findall(r"fs_[A-Za-z0-9_-]{43}", html(app)))
    assert f'data-copy="{key}"' in html(app) and own.community.by_key(key).me.name == "you"
    assert "my &lt;b&gt;notebook&lt;/b&gt;" in html(app) and "not used yet" in html(app)
    again = visit("account.py")
    assert key not in html(again) and key[:8] in html(again)
    button(app, "Revoke").click().run()
    assert key not in html(app) and "1 revoked" in html(app) and "Revoke" not in [one.label for one in app.button]


def test_a_key_without_a_name_is_refused_with_a_message(own):
    app = visit("account.py")
    button(app, "New key").click().run()
    assert "empty" in notes(app) and not own.community.people().keys.mine()


def test_explicit_text_is_covered_if_one_says_so(own):
    app = visit("account.py")
    assert app.toggle[0].value is False  # on one's own machine
    app.toggle[0].set_value(True).run()
    assert own.community.people().hides_explicit() is True
    assert visit("account.py").toggle[0].value is True


def test_where_people_share_it_is_covered_until_one_says_otherwise(shared):
    enter(shared, "ada")
    app = visit("account.py")
    assert app.toggle[0].value is True
    app.toggle[0].set_value(False).run()
    assert shared.community.people(shared.cookies["featurescope"]).hides_explicit() is False
    assert visit("account.py").toggle[0].value is False


def test_what_was_used_today_is_shown(own):
    assert "Nothing was used today" in html(visit("account.py"))
    for amount in (2, 0.5):
        own.community.people().keys.use("explanations", amount, 100)
    assert "<dt>explanations</dt><dd>2.5</dd>" in html(visit("account.py"))


def test_a_workbench_of_one_has_no_signing_out(own):
    assert "/auth/sign-out" not in html(visit("account.py"))


def test_signing_out_everywhere_is_there_where_people_sign_in(shared):
    enter(shared, "ada")
    assert html(visit("account.py")).count('action="/auth/sign-out" method="post"') == 2  # the other is in the corner
