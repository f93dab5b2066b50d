"""Two people at once on one server over a Supabase project, and what a browser keeps of a sign-in.

The tests of this file follow each other: who signed up in one is there in the next.
"""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import TimeoutError, expect

from tests.browser.conftest import Visit
from tests.live import Server
from tests.stack.stack import Stack, missing

FEATURE = "scribe-4l/2-res/78"
PAGE = f"/feature?id={FEATURE}"
PASSWORD = "correct horse battery"
SAID = "Also fires on “aunt” <img src=x onerror=alert(1)>"
COOKIE = "featurescope"


@pytest.fixture(scope="module")
def stack():
    if why := missing():
        pytest.skip(why)
    with Stack() as found:
        yield found


@pytest.fixture(scope="module")
def shared(stack, demo, tmp_path_factory):
    """A server over the project, with the built-in demo (`demo` is asked for so that its data is known to be here)."""
    server = Server(tmp_path_factory.mktemp("shared"), demo=demo._environment["FEATURESCOPE_DEMO"])
    server._environment |= {
        "SUPABASE_URL": stack.url, "SUPABASE_KEY": stack.keys.publishable,
        "SUPABASE_SECRET_KEY": stack.keys.secret_key, "FEATURESCOPE_SIGN_IN": "password,link,github",
        "FEATURESCOPE_REQUESTS_A_MINUTE": "0",
    }  # fmt: skip
    with server:
        yield server
    assert "Traceback" not in server.output
    assert PASSWORD not in server.output and "eyJ" not in server.output and stack.keys.secret_key not in server.output


@pytest.fixture(scope="module")
def visits(chromium, shared):
    """The windows of two people; they stay open from test to test."""
    found = {name: Visit(chromium, shared.url, PAGE, 1280, "light") for name in ("anna", "ben")}
    yield found
    for one in found.values():
        one.leave()


@pytest.fixture
def anna(visits):
    return visits["anna"].page


@pytest.fixture
def ben(visits):
    return visits["ben"].page


def sign_up(page, name):
    """On the sign-in page."""
    page.click(".fs-tabs >> text=New here")
    page.fill("#fs-person", name)
    page.fill("#fs-email", f"{name}@example.com")
    page.fill("#fs-password", PASSWORD)
    page.click("text=Make an account")
    page.wait_for_selector(f".fs-me >> text={name}")


def comments(stack):
    query = "select p.name, c.body from comments c join profiles p on p.id = c.owner order by c.created_at"
    return stack.sql(query)


def star(page):
    return page.locator("button", has_text=re.compile(r"Star(red)?( · \d+)?$")).first


def reload_until(page, sign):
    """Where the store of people's things took over two seconds, a page comes without them and says so: once more."""
    for last in (False, False, False, True):
        page.reload()
        try:
            page.wait_for_selector(sign, timeout=120_000 if last else 40_000)
            return
        except TimeoutError:
            if last:
                raise


def test_what_was_typed_before_signing_up_is_said_once_after(anna, stack):
    anna.fill("textarea[aria-label='Say something about this feature']", SAID)
    anna.click("button:has-text('Post')")
    anna.click("text=sign in to post this comment")
    assert anna.wait_for_selector(".fs-waits-text").inner_text() == SAID  # as text, not as a tag
    assert not comments(stack)
    sign_up(anna, "anna")
    assert anna.url.endswith(PAGE)
    anna.wait_for_selector(".fs-words >> text=aunt")
    assert comments(stack) == [("anna", SAID)]


def test_a_reload_keeps_the_session_and_says_nothing_twice(anna, stack):
    anna.reload()
    anna.wait_for_selector(".fs-me >> text=anna")
    anna.wait_for_selector(".fs-words >> text=aunt")
    assert len(comments(stack)) == 1


def test_scripts_do_not_see_the_cookie_and_it_is_no_token(anna):
    assert COOKIE not in anna.evaluate("document.cookie")
    (kept,) = [one for one in anna.context.cookies() if one["name"] == COOKIE]
    assert kept["httpOnly"] and kept["sameSite"] == "Lax" and "." not in kept["value"]


def test_the_other_person_sees_it_and_stars(anna, ben, stack):
    reload_until(ben, ".fs-words >> text=aunt")
    ben.click(".fs-corner >> text=Sign in")
    ben.wait_for_selector("#fs-password")
    sign_up(ben, "ben")
    assert ben.url.endswith(PAGE)
    star(ben).click()
    ben.wait_for_selector("button:has-text('Starred · 1')")
    reload_until(anna, "button:has-text('Star · 1')")
    star(anna).click()
    anna.wait_for_selector("button:has-text('Starred · 2')")
    assert sorted(stack.sql("select p.name from stars s join profiles p on p.id = s.owner")) == [("anna",), ("ben",)]


def test_a_key_of_the_account_page_works_and_what_is_private_stays_so(anna, ben, shared):
    anna.click(".fs-me > summary")
    anna.click(".fs-me-menu >> text=Account")
    anna.fill("input[aria-label='What it is for']", "a test")
    anna.click("button:has-text('New key')")
    key = anna.wait_for_selector(".fs-code code").inner_text()
    model, source, index = FEATURE.split("/")
    body = {
        "name": "hers alone", "visibility": "PRIVATE",
        "features": [{"modelId": model, "layer": source, "index": index}],
    }  # fmt: skip
    url = f"{shared.url}/api/list/new-with-features"
    made = httpx.post(url, json=body, headers={"X-Api-Key": key}, timeout=60)
    assert made.status_code == 200, made.text
    there = f"{shared.url}/list?id={made.json()['id']}"
    anna.goto(there)
    anna.wait_for_selector(".fs-title:has-text('hers alone')")
    ben.goto(there)
    ben.wait_for_selector("text=no such list")
    ben.goto(f"{shared.url}/person?name=anna")
    ben.wait_for_selector(".fs-title:has-text('anna')")
    assert "hers alone" not in ben.content()
    anna.goto(f"{shared.url}/account")
    anna.wait_for_selector("button:has-text('Revoke')")
    assert key not in anna.content()  # it was shown once
    anna.click("button:has-text('Revoke')")
    anna.wait_for_selector("text=1 revoked")
    assert httpx.post(url, json=body, headers={"X-Api-Key": key}, timeout=60).status_code == 401


def test_signing_out_in_one_tab_ends_it_in_the_other_and_not_for_anybody_else(anna, ben, shared):
    tab = anna.context.new_page()
    tab.set_default_timeout(60_000)
    tab.goto(shared.url + PAGE)
    tab.wait_for_selector(".fs-me >> text=anna")
    tab.wait_for_selector("button:has-text('Starred · 2')")
    anna.click(".fs-me > summary")
    anna.click(".fs-me-menu >> text=Sign out")
    anna.wait_for_selector(".fs-corner >> text=Sign in")
    assert COOKIE not in [one["name"] for one in anna.context.cookies()]
    star(tab).click()  # at its next action
    tab.wait_for_selector("text=/sign in to (un)?star this feature/")
    tab.reload()
    tab.wait_for_selector(".fs-corner >> text=Sign in")
    tab.close()
    ben.goto(shared.url + PAGE)
    ben.wait_for_selector(".fs-me >> text=ben")
    ben.wait_for_selector("button:has-text('Starred · 2')")  # what signed-out tabs tried changed nothing


def test_signing_in_again_by_a_wrong_password_keeps_what_was_typed(anna, shared):
    anna.goto(shared.url + "/sign-in?next=/glossary")
    anna.fill("#fs-email", "anna@example.com")
    anna.fill("#fs-password", "a wrong horse")
    anna.click(".fs-door button:has-text('Sign in')")
    anna.wait_for_selector("text=do not belong together")
    assert anna.input_value("#fs-email") == "anna@example.com" and anna.input_value("#fs-password") == ""
    assert "wrong" not in anna.url and "anna" not in anna.url
    anna.fill("#fs-password", PASSWORD)
    anna.click(".fs-door button:has-text('Sign in')")
    anna.wait_for_selector(".fs-title:has-text('Glossary')")
    anna.wait_for_selector(".fs-me >> text=anna")


def test_a_mailed_link_and_github_sign_in(chromium, shared, stack):
    visit = Visit(chromium, shared.url, "/sign-in", 390, "dark")
    page = visit.page
    page.fill("input[aria-label='Mail address for a link']", "ben@example.com")
    page.click("text=Mail me a link")
    page.wait_for_selector("text=A mail is on its way")
    visit.fits()
    link = [mail["link"] for mail in stack.gw.auth.mails if mail["email"] == "ben@example.com"][-1]
    back = httpx.get(link, follow_redirects=False).headers["location"]
    page.goto(back)
    page.wait_for_selector(".fs-me >> text=ben")
    page.click(".fs-me > summary")
    page.click(".fs-me-menu >> text=Sign out")
    page.wait_for_selector(".fs-corner >> text=Sign in")
    visit.leave()


def test_the_days_puzzle_is_everybodys_and_an_answer_before_signing_in_is_kept_once(chromium, shared, stack):
    """Two people meet the same round; one answers it as nobody, signs in, and it is theirs with its points."""
    one, other = (Visit(chromium, shared.url, "/play?daily=0", 1280, "light") for _ in range(2))
    texts = []
    for page in (one.page, other.page):
        page.wait_for_selector("button:has-text('That is my answer')", timeout=240_000)
        page.wait_for_selector(".fs-crumbs >> text=1 of 3")
        texts.append(page.locator(".st-key-fs-play-form .fs-strip").all_inner_texts())
    assert texts[0] == texts[1] and len(texts[0]) == 4
    page = one.page
    page.locator(".st-key-fs-play-form label", has_text=re.compile("^2$")).click()
    page.click("button:has-text('That is my answer')")
    page.wait_for_selector(".fs-play-points >> text=nobody is signed in")
    assert not stack.sql("select 1 from plays")
    page.click("text=sign in to keep this answer and its points")
    sign_up(page, "cleo")
    page.wait_for_selector(".fs-play-points")
    assert "daily=0" in page.url and "nobody is signed in" not in page.locator(".fs-play-points").inner_text()
    kept = "select p.name, y.answer, y.points is not null from plays y join profiles p on p.id = y.owner"
    assert stack.sql(kept) == [("cleo", {"odd": 1}, True)]
    page.reload()
    page.wait_for_selector(".fs-play-points")
    expect(page.locator("button:has-text('That is my answer')")).to_have_count(0)
    assert stack.sql(kept) == [("cleo", {"odd": 1}, True)], "once"
    page.click("text=Next round")
    page.wait_for_selector(".fs-crumbs >> text=2 of 3")
    one.leave()
    other.leave()
