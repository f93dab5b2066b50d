"""Signing in and out over a Supabase project: every way in, the cookie, and who is not let in.

The browser is a client that keeps cookies and says where it comes from, as browsers do.
"""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api import pace, sign_in, site
from core.community.back import path
from core.community.deeds import Deed
from core.errors import Unreachable
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.stack.stack import Stack, missing

HERE = "http://testserver"
OWN = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
PASSWORD = "correct horse battery"
FEATURE = f"{tiny.SAE}/3"
KEY = FeatureKey.parse(FEATURE)


@pytest.fixture(scope="module")
def stack():
    if why := missing():
        pytest.skip(why)
    with Stack() as found:
        yield found


@pytest.fixture
def made(stack, tmp_path, monkeypatch):
    """Makes a workbench over the project, with other settings where a test wants them."""

    def make(**more):
        given = {
            "SUPABASE_URL": stack.url, "SUPABASE_KEY": stack.keys.publishable,
            "SUPABASE_SECRET_KEY": stack.keys.secret_key,
        }  # fmt: skip
        for name, value in given.items():
            monkeypatch.setenv(name, more.pop(name, value))
        usual = {"sign_in": "password,link,github,google", "requests_a_minute": 0}
        return Workbench(Settings(data=tmp_path, demo=None, **usual | more))

    return make


@pytest.fixture
def bench(made):
    return made()


def browser(bench, **more):
    """A browser that has been nowhere yet."""
    return TestClient(Starlette(routes=sign_in.routes(bench)), base_url=HERE, follow_redirects=False, **more)


@pytest.fixture
def visitor(bench):
    return browser(bench)


def somebody(stack, name):
    """A person who has signed up before."""
    email = f"{name}@example.com"
    if not stack.sql("select 1 from auth.users where email = %s", email):
        stack.gw.auth.create(email, PASSWORD, {"user_name": name})
    return email


def post(visitor, where, headers=OWN, **form):
    return visitor.post(f"/auth/{where}", data=form, headers=headers)


def me(bench, visitor):
    found = bench.community.people(visitor.cookies.get("featurescope", "")).me
    return found and found.name


def said(bench, answer):
    """The message that a person is brought back to the form with."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    where = urlsplit(answer.headers["location"])
    assert (where.path, where.netloc) == ("/sign-in", "")
    return bench.community.notes.get(parse_qs(where.query)["note"][0])


def cookies(answer):
    found = [line.split("; ") for line in answer.headers.get_list("set-cookie")]
    return {parts[0].split("=")[0]: set(parts[1:]) for parts in found}


# -- by password -----------------------------------------------------------------------------------------------------


def test_signing_up_signs_in_under_the_name_that_was_wished(bench, visitor, stack):
    answer = post(
        visitor, "sign-up", email="ada@example.com", password=PASSWORD, person="ada", next="/feature?id=x/1-y/2"
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/feature?id=x/1-y/2")
    assert me(bench, visitor) == "ada"
    assert stack.sql("select name from profiles where name_key = 'ada'") == [("ada",)]


def test_signing_in_by_password(bench, visitor, stack):
    email = somebody(stack, "bela")
    answer = post(visitor, "sign-in", email=f" {email.upper()} ", password=PASSWORD, next="/lists")
    assert (answer.status_code, answer.headers["location"]) == (303, "/lists")
    assert me(bench, visitor) == "bela"


@pytest.mark.parametrize(
    ("way", "form", "words"),
    [
        ("sign-in", {"email": "bela@example.com", "password": "wrong horse"}, "do not belong together"),
        ("sign-in", {"email": "nobody@example.com", "password": "wrong horse"}, "do not belong together"),
        ("sign-in", {"email": "bela@example.com", "password": ""}, "Write a password"),
        ("sign-in", {"email": "no address", "password": "a horse"}, "no mail address"),
        ("sign-in", {}, "Write your mail address"),
        ("sign-up", {"email": "cem@example.com", "password": "short", "person": "cem"}, "at least 6 characters"),
        ("sign-up", {"email": "cem@example.com", "password": PASSWORD, "person": "a b"}, "cannot be a name"),
        ("sign-up", {"email": "bela@example.com", "password": PASSWORD, "person": "cem"}, "is here already"),
        ("link", {"email": "@"}, "no mail address"),
    ],
)
def test_what_does_not_work_is_said_beside_what_was_typed(bench, visitor, stack, way, form, words):
    somebody(stack, "bela")
    answer = post(visitor, way, **form, next="/lists?x=1", draft="some-draft")
    note = said(bench, answer)
    assert words in note.said and not note.good
    assert (note.email, note.name) == (form.get("email", ""), form.get("person", ""))
    assert not form.get("password") or form["password"] not in repr(note) + str(answer.headers)
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (query["next"], query["draft"]) == (["/lists?x=1"], ["some-draft"])
    assert "featurescope" not in cookies(answer) and me(bench, visitor) is None


def test_signing_in_as_somebody_else_ends_the_sign_in_before(bench, visitor, stack):
    post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    before = visitor.cookies["featurescope"]
    post(visitor, "sign-in", email=somebody(stack, "dora"), password=PASSWORD)
    assert me(bench, visitor) == "dora"
    assert bench.community.people(before).me is None


# -- by mail ---------------------------------------------------------------------------------------------------------


def clicked(stack, email, at=-1):
    """Where the link of a person's latest mail leads, by way of the project."""
    link = [mail["link"] for mail in stack.gw.auth.mails if mail["email"] == email][at]
    return httpx.get(link, follow_redirects=False).headers["location"]


def test_a_mailed_link_signs_in_who_is_new_and_leads_back(bench, visitor, stack):
    answer = post(visitor, "link", email="eva@example.com", next="/search?text=a b&x=é")
    note = said(bench, answer)
    assert note.good and "eva@example.com" in note.said
    back = clicked(stack, "eva@example.com")
    assert back.startswith(f"{HERE}/auth/back?code=")
    answer = visitor.get(back)
    assert answer.status_code == 303 and answer.headers["location"] == "/search?text=a%20b&x=%C3%A9"
    assert re.fullmatch("person-[0-9a-f]{8}", me(bench, visitor))  # no name was given: none is made of the address


def test_a_mailed_link_is_worth_nothing_in_another_browser(bench, visitor, stack):
    post(visitor, "link", email="eva@example.com")
    back = clicked(stack, "eva@example.com")
    other = browser(bench)
    assert "another browser" in said(bench, other.get(back)).said
    assert me(bench, other) is None
    assert visitor.get(back).headers["location"] == "/" and me(bench, visitor)  # the code was not spent by the try


def test_a_browser_that_asked_for_another_link_does_not_redeem_the_first(bench, visitor, stack):
    somebody(stack, "filip")
    post(visitor, "link", email="filip@example.com")
    post(visitor, "link", email="filip@example.com")
    first, second = (clicked(stack, "filip@example.com", at) for at in (-2, -1))
    assert "ask for another" in said(bench, visitor.get(first)).said and me(bench, visitor) is None
    assert visitor.get(second).status_code == 303 and me(bench, visitor) == "filip"


def test_a_link_works_once(bench, visitor, stack):
    post(visitor, "link", email="eva@example.com")
    back = clicked(stack, "eva@example.com")
    kept = dict(visitor.cookies)
    visitor.get(back)
    again = browser(bench, cookies=kept)
    assert "ask for another" in said(bench, again.get(back)).said and me(bench, again) is None


def test_a_spent_mail_leads_back_with_a_message(bench, visitor, stack):
    post(visitor, "link", email="eva@example.com", next="/lists")
    clicked(stack, "eva@example.com")
    spent = clicked(stack, "eva@example.com")
    answer = visitor.get(spent)
    assert "too long ago" in said(bench, answer).said and "next=/lists" in answer.headers["location"]


def test_what_stands_in_the_address_is_not_what_the_page_says(bench, visitor, stack):
    post(visitor, "link", email="eva@example.com")
    for query in ("error=access_denied&error_description=Call+0900", "error=<b>Call</b>", "error_code=Call 0900", ""):
        note = said(bench, visitor.get(f"/auth/back?{query}"))
        assert "Call" not in note.said and not note.good


# -- by a provider ---------------------------------------------------------------------------------------------------


def test_github_signs_in_by_pkce(bench, visitor, stack):
    answer = visitor.get("/auth/go/github?next=/lists", headers=OWN)
    there = urlsplit(answer.headers["location"])
    query = parse_qs(there.query)
    assert f"{there.scheme}://{there.netloc}" == stack.url and answer.status_code == 303
    assert (query["provider"], query["redirect_to"]) == (["github"], [f"{HERE}/auth/back"])
    assert query["code_challenge_method"] == ["s256"] and len(query["code_challenge"][0]) == 43
    back = httpx.get(answer.headers["location"], follow_redirects=False).headers["location"]
    answer = visitor.get(back)
    assert answer.headers["location"] == "/lists" and me(bench, visitor) == "octo"
    assert "Max-Age=0" in cookies(answer)["featurescope_way"]


def test_a_code_that_somebody_else_began_signs_nobody_in(bench, stack):
    mine, theirs = browser(bench), browser(bench)
    began = theirs.get("/auth/go/github", headers=OWN)
    back = httpx.get(began.headers["location"], follow_redirects=False).headers["location"]
    assert "another browser" in said(bench, mine.get(back)).said
    mine.get("/auth/go/github", headers=OWN)  # also where a sign-in of one's own is under way
    assert "another browser" in said(bench, mine.get(back)).said
    assert me(bench, mine) is None


def test_only_the_ways_of_the_settings_are_open(made):
    bench = made(sign_in="password")
    visitor = browser(bench)
    assert "no sign-in by link" in said(bench, post(visitor, "link", email="a@example.com")).said
    assert "no sign-in by google" in said(bench, visitor.get("/auth/go/google")).said
    assert "no way to sign in" in said(bench, visitor.get("/auth/go/evil")).said
    only = made(sign_in="link")
    assert "no sign-in by password" in said(only, post(browser(only), "sign-in", email="a@b.c", password="x")).said


# -- the cookie ------------------------------------------------------------------------------------------------------


def test_scripts_do_not_read_the_cookie_and_other_sites_do_not_send_it(visitor, stack):
    answer = post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    assert cookies(answer)["featurescope"] == {"Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax"}
    answer = post(visitor, "link", email=somebody(stack, "bela"))
    assert cookies(answer)["featurescope_way"] == {"Path=/auth", "Max-Age=3600", "HttpOnly", "SameSite=Lax"}
    for held in (visitor.cookies["featurescope"], visitor.cookies["featurescope_way"]):
        assert not re.search(r"[^A-Za-z0-9_=-]", held)


@pytest.mark.parametrize(
    ("settings", "headers", "base"),
    [
        ({"address": "https://features.example.org/"}, {"Sec-Fetch-Site": "same-origin"}, HERE),
        ({}, {"Origin": "https://testserver"}, HERE),
        ({"proxies": 1}, {"Sec-Fetch-Site": "same-origin", "X-Forwarded-Proto": "https"}, HERE),
        ({}, OWN, "https://testserver"),
    ],
)
def test_by_https_the_cookie_is_secure(made, stack, settings, headers, base):
    visitor = browser(made(**settings))
    visitor.base_url = base
    answer = post(visitor, "sign-in", headers, email=somebody(stack, "bela"), password=PASSWORD)
    assert cookies(answer)["featurescope"] == {"Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax", "Secure"}


def test_a_header_that_no_proxy_wrote_makes_no_cookie_secure(visitor, stack):
    """Else whoever forges it would have the browser throw the cookie away."""
    answer = post(
        visitor, "sign-in", OWN | {"X-Forwarded-Proto": "https"}, email=somebody(stack, "bela"), password=PASSWORD
    )
    assert "Secure" not in cookies(answer)["featurescope"]


def test_in_a_space_the_cookie_is_kept_in_its_frame(made, stack):
    visitor = browser(made(framed=True))
    answer = post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    framed = {"HttpOnly", "SameSite=None", "Secure", "Partitioned"}
    assert cookies(answer)["featurescope"] == framed | {"Path=/", "Max-Age=2592000"}
    answer = post(visitor, "sign-out")
    assert cookies(answer)["featurescope"] == framed | {"Path=/", "Max-Age=0"}


def test_links_in_mails_lead_to_the_address_of_the_settings(made, stack):
    visitor = browser(made(address="https://features.example.org/"))
    post(visitor, "link", email=somebody(stack, "bela"))
    assert clicked(stack, "bela@example.com").startswith("https://features.example.org/auth/back?code=")


# -- other sites -----------------------------------------------------------------------------------------------------


ELSEWHERE = [
    "https://evil.example", "https://evil.example/lists", "//evil.example", "///evil.example", "/\\evil.example",
    "\\\\evil.example", "\\/evil.example", "/\t/evil.example", "/\n/evil.example", "\t//evil.example",
    " //evil.example",
    "javascript:alert(1)", "data:text/html,x", "http:evil.example", "https:/evil.example", "evil.example", "lists",
    "/x//evil.example", "/\x00/evil", "/\u2028/evil", "/a\r\nSet-Cookie: a=b", "/auth/sign-out", "/auth/go/github",
    "?x",
    "", "/" + "x" * 9000, "@evil.example", "/\u00a0//evil.example",
]  # fmt: skip


@pytest.mark.parametrize("there", ELSEWHERE)
def test_nobody_is_led_to_another_site(visitor, stack, there):
    answer = post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD, next=there)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    answer = post(visitor, "sign-out", next=there)
    assert answer.headers["location"] == "/" and len(answer.headers.get_list("set-cookie")) == 1
    answer = visitor.get("/auth/go/github", params={"next": there}, headers=OWN)
    back = httpx.get(answer.headers["location"], follow_redirects=False).headers["location"]
    assert visitor.get(back).headers["location"] == "/"


@tried(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(["/", "\\", "//", "evil.example", ":", "@", "?", "#", "..", "\t", "http", "%2f", "a"]),
        max_size=8,
    )
)
def test_a_path_stays_on_this_site(parts):
    found = httpx.URL(HERE).join(path("".join(parts)))
    assert (found.scheme, found.host) == ("http", "testserver")


@pytest.mark.parametrize(
    "there", ["/", "/lists", "/feature?id=a/1-b/2&defaulttesttext=http://x//y", "/x?next=//y#z", "/é"]
)
def test_a_path_of_this_site_is_kept(there):
    assert path(there) == there


def test_a_cookie_of_the_way_that_was_changed_leads_nowhere_else(bench, visitor, stack):
    began = visitor.get("/auth/go/github", headers=OWN)
    kept = site.Way(site_way(visitor).verifier, "https://evil.example", "")
    visitor.cookies.clear()
    back = httpx.get(began.headers["location"], follow_redirects=False).headers["location"]
    answer = visitor.get(back, headers={"Cookie": f"featurescope_way={site._packed(kept)}"})
    assert answer.headers["location"] == "/"


def site_way(visitor):
    return site.Site(Settings()).way(SimpleNamespace(cookies=dict(visitor.cookies)))


@pytest.mark.parametrize("way", ["sign-in", "sign-up", "link", "sign-out", "draft"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {},
        {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://testserver.evil.example"},
        {"Origin": "http://evil.example/?testserver"}, {"Origin": "http://testserver:81"}, {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": HERE}, {"Referer": "https://evil.example/http://testserver/"},
    ],
)  # fmt: skip
def test_a_post_of_another_site_does_nothing(bench, stack, way, headers):
    visitor = browser(bench)
    post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"body": "forged"}))
    form = {"email": "gil@example.com", "password": PASSWORD, "person": "gil", "draft": draft, "what": "do"}
    mails = len(stack.gw.auth.mails)
    answer = post(visitor, way, headers, **form)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers
    assert me(bench, visitor) == "bela" and len(stack.gw.auth.mails) == mails
    assert not stack.sql("select 1 from auth.users where email = 'gil@example.com'")
    assert bench.community.drafts.get(draft) and not stack.sql("select 1 from comments where body = 'forged'")


@pytest.mark.parametrize(
    "headers", [{"Origin": HERE}, {"Sec-Fetch-Site": "same-origin"}, {"Referer": f"{HERE}/sign-in"}]
)
def test_a_post_of_our_own_page_does(bench, visitor, stack, headers):
    post(visitor, "sign-in", headers, email=somebody(stack, "bela"), password=PASSWORD)
    assert me(bench, visitor) == "bela"


# -- what waited -----------------------------------------------------------------------------------------------------


def comments(stack, body):
    rows = "select p.name from comments c join profiles p on p.id = c.owner where c.body = %s"
    return [name for (name,) in stack.sql(rows, body)]


def test_what_was_typed_before_is_said_once_as_whoever_signed_in(bench, visitor, stack):
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"body": "before signing in"}))
    email = somebody(stack, "hana")
    for _ in range(2):
        answer = post(visitor, "sign-in", email=email, password=PASSWORD, draft=draft, next="/lists")
        assert answer.headers["location"] == "/lists"
    assert comments(stack, "before signing in") == ["hana"]
    assert bench.community.drafts.get(draft) is None


@pytest.mark.parametrize("way", ["link", "github"])
def test_it_waits_through_a_mail_and_through_a_provider(bench, visitor, stack, way):
    body = f"by way of {way}"
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"body": body}))
    if way == "link":
        post(visitor, "link", email=somebody(stack, "hana"), draft=draft)
        back = clicked(stack, "hana@example.com")
    else:
        began = visitor.get("/auth/go/github", params={"draft": draft}, headers=OWN)
        back = httpx.get(began.headers["location"], follow_redirects=False).headers["location"]
    assert not comments(stack, body)
    visitor.get(back, headers={"Sec-Fetch-Site": "cross-site"})
    assert comments(stack, body) == ["hana" if way == "link" else "octo"]


def test_a_link_of_another_site_says_nothing_for_whoever_follows_it(bench, visitor, stack):
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"body": "words of another"}))
    began = visitor.get("/auth/go/github", params={"draft": draft}, headers={"Sec-Fetch-Site": "cross-site"})
    visitor.get(httpx.get(began.headers["location"], follow_redirects=False).headers["location"])
    assert me(bench, visitor) == "octo" and not comments(stack, "words of another")


def test_what_cannot_be_done_waits_on(bench, visitor, stack):
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"body": "x" * 6000}))
    answer = post(visitor, "sign-in", email=somebody(stack, "hana"), password=PASSWORD, draft=draft, next="/lists")
    assert "could not be done yet" in said(bench, answer).said and "6,000" in said(bench, answer).said
    assert f"draft={draft}" in answer.headers["location"] and "next=/lists" in answer.headers["location"]
    assert me(bench, visitor) == "hana" and bench.community.drafts.get(draft).values["body"] == "x" * 6000


def test_a_deed_that_breaks_is_kept_and_signs_in_all_the_same(bench, visitor, stack, caplog):
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"wrong": "the secret words"}))
    answer = post(visitor, "sign-in", email=somebody(stack, "hana"), password=PASSWORD, draft=draft)
    assert "not your input" in said(bench, answer).said and me(bench, visitor) == "hana"
    assert bench.community.drafts.get(draft) is not None
    assert "KeyError" in caplog.text and "the secret words" not in caplog.text


def test_who_is_signed_in_already_does_or_drops_what_waits(bench, visitor, stack):
    post(visitor, "sign-in", email=somebody(stack, "hana"), password=PASSWORD)
    do, drop = (bench.community.drafts.keep(Deed("comment", FEATURE, {"body": body})) for body in ("done", "dropped"))
    assert post(visitor, "draft", draft=do, what="do", next="/lists").headers["location"] == "/lists"
    assert post(visitor, "draft", draft=drop, what="drop", next="/lists").headers["location"] == "/lists"
    assert (comments(stack, "done"), comments(stack, "dropped")) == (["hana"], [])
    assert bench.community.drafts.get(do) is None and bench.community.drafts.get(drop) is None


def test_nobody_does_what_waits(bench, visitor):
    draft = bench.community.drafts.keep(Deed("comment", FEATURE, {"body": "nobody's"}))
    assert "Sign in" in said(bench, post(visitor, "draft", draft=draft, what="do")).said
    assert bench.community.drafts.get(draft) is not None


def test_of_two_who_take_a_draft_one_has_it(bench):
    drafts = bench.community.drafts
    name = drafts.keep(Deed("star", FEATURE))
    with drafts.taking(name) as mine, drafts.taking(name) as theirs:
        assert mine is not None and theirs is None
    with drafts.taking(name) as late:
        assert late is None


# -- signing out -----------------------------------------------------------------------------------------------------


def test_signing_out_ends_every_sign_in_of_the_person_and_no_other(bench, stack):
    here, there, other = browser(bench), browser(bench), browser(bench)
    for visitor, name in ((here, "bela"), (there, "bela"), (other, "dora")):
        post(visitor, "sign-in", email=somebody(stack, name), password=PASSWORD)
    cookie = here.cookies["featurescope"]
    refresh = bench.community._sessions.tokens(cookie, lambda old: old).refresh
    answer = post(here, "sign-out", next="/lists")
    assert answer.headers["location"] == "/lists" and "Max-Age=0" in cookies(answer)["featurescope"]
    assert bench.community.people(cookie).me is None  # also for a tab that still sends it
    assert (me(bench, there), me(bench, other)) == (None, "dora")
    asked = {"refresh_token": refresh}
    headers = {"apikey": stack.keys.publishable}
    answer = httpx.post(f"{stack.url}/auth/v1/token?grant_type=refresh_token", json=asked, headers=headers)
    assert answer.status_code == 400  # Supabase has forgotten it too


def test_signing_out_twice_or_as_nobody_is_no_matter(visitor, stack):
    for _ in range(2):
        assert post(visitor, "sign-out").headers["location"] == "/"


def test_signing_out_with_tokens_that_have_ended_ends_the_others_too(bench, stack, monkeypatch):
    monkeypatch.setattr(stack.gw.auth, "expiry", 30)
    here, there = browser(bench), browser(bench)
    for visitor in (here, there):
        post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    asked = len(stack.gw.auth._refresh)
    post(here, "sign-out")
    assert len(stack.gw.auth._refresh) == asked + 1 and me(bench, there) is None


# -- over time -------------------------------------------------------------------------------------------------------


def test_an_expired_token_is_made_fresh_and_the_person_stays(bench, visitor, stack, monkeypatch):
    monkeypatch.setattr(stack.gw.auth, "expiry", 30)  # less than a minute left: as good as expired
    post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    monkeypatch.setattr(stack.gw.auth, "expiry", 3600)
    before = bench.community._sessions.tokens(visitor.cookies["featurescope"], lambda old: old)
    people = bench.community.people(visitor.cookies["featurescope"])
    after = bench.community._sessions.tokens(visitor.cookies["featurescope"], lambda old: old)
    assert people.me.name == "bela" and before.refresh != after.refresh and after.expires > before.expires + 1000
    people.stars.add(KEY)
    assert people.stars.of(KEY).mine


def test_whom_the_project_has_put_out_is_nobody(bench, visitor, stack, monkeypatch):
    monkeypatch.setattr(stack.gw.auth, "expiry", 30)
    post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    stack.gw.auth._sessions.clear()
    assert me(bench, visitor) is None


# -- where Supabase is away ------------------------------------------------------------------------------------------


@pytest.fixture
def away(made):
    return made(SUPABASE_URL="http://127.0.0.1:9")


def test_where_supabase_is_away_every_way_says_so(away):
    visitor = browser(away)
    posts = [
        ("sign-in", {"email": "a@example.com", "password": PASSWORD}), ("link", {"email": "a@example.com"}),
        ("sign-up", {"email": "a@example.com", "password": PASSWORD, "person": "anna"}),
    ]  # fmt: skip
    for where, form in posts:
        note = said(away, post(visitor, where, **form, draft="waits"))
        assert "does not answer" in note.said and note.email == "a@example.com"
    assert post(visitor, "sign-out").headers["location"] == "/"
    visitor.cookies.set("featurescope_way", site._packed(site.Way("verifier", "/lists", "waits")))
    answer = visitor.get("/auth/back?code=abc")
    assert "does not answer" in said(away, answer).said and "draft=waits" in answer.headers["location"]


def test_an_answer_that_is_not_supabases_is_being_away(made):
    class Strange(httpx.BaseTransport):
        def handle_request(self, request):
            return httpx.Response(200, text="<h1>Log in to the network</h1>")

    bench = made()
    bench.community._hosted.line._http = httpx.Client(transport=Strange())
    note = said(bench, post(browser(bench), "sign-in", email="a@example.com", password=PASSWORD))
    assert "does not answer" in note.said


def test_while_it_is_away_nobody_is_taken_for_signed_out(bench, visitor, stack, monkeypatch):
    monkeypatch.setattr(stack.gw.auth, "expiry", 30)
    post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    cookie = visitor.cookies["featurescope"]
    monkeypatch.setattr("core.community.sessions.time.time", lambda: 4e9)  # long after its end

    def gone(old):
        raise Unreachable("away")

    monkeypatch.setattr(bench.community._auth, "fresh", gone)
    with pytest.raises(Unreachable):
        _ = bench.community.people(cookie).me
    monkeypatch.undo()
    assert bench.community.people(cookie).me.name == "bela"


def test_signing_out_while_it_is_away_signs_out_here_and_says_what_is_left(bench, visitor, stack, monkeypatch):
    post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    cookie = visitor.cookies["featurescope"]
    stranger = httpx.Client(transport=httpx.MockTransport(gone))
    monkeypatch.setattr(bench.community._hosted.line, "_http", stranger)
    answer = post(visitor, "sign-out")
    assert "signed out here" in said(bench, answer).said and "Max-Age=0" in cookies(answer)["featurescope"]
    monkeypatch.undo()
    assert bench.community.people(cookie).me is None


def gone(request):
    raise httpx.ConnectError("no route")


# -- bounds, and what is kept quiet ----------------------------------------------------------------------------------


def test_tries_are_counted(made, stack):
    bench = made(requests_a_minute=240)
    visitor = browser(bench)
    email = somebody(stack, "bela")
    notes = [said(bench, post(visitor, "sign-in", email=email, password="wrong horse")).said for _ in range(21)]
    assert all("do not belong together" in note for note in notes[: sign_in.TRIES])
    assert "at most 20 a minute" in notes[-1]
    answer = post(visitor, "sign-in", email=email, password=PASSWORD)
    assert "at most 20" in said(bench, answer).said and me(bench, visitor) is None


def test_a_form_that_is_too_long_is_not_read(visitor):
    assert post(visitor, "sign-in", email="a" * 2**17).status_code == 413


@tried(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["sign-in", "sign-up", "link", "sign-out", "draft"]),
    st.dictionaries(
        st.sampled_from(["next", "draft", "email", "password", "person", "what", "x"]),
        st.text(st.characters(codec="utf-8"), max_size=40), max_size=7,
    ),
    st.binary(max_size=60),
)  # fmt: skip
def test_whatever_is_sent_is_answered(tmp_path_factory, where, form, raw):
    bench = Workbench(Settings(data=tmp_path_factory.mktemp("fuzz"), demo=None, requests_a_minute=0))
    visitor = browser(bench)  # nobody signs in here: the way through the routes is the same
    assert post(visitor, where, **form).status_code == 303
    assert visitor.post(f"/auth/{where}", content=raw, headers=OWN).status_code == 303
    assert visitor.get("/auth/back", params=form).status_code == 303
    assert visitor.get(f"/auth/go/{where}", params=form).status_code == 303


def test_no_password_no_token_and_no_code_is_in_any_log_or_address(bench, visitor, stack, caplog):
    caplog.set_level(logging.DEBUG)
    seen = []
    for where, form in [
        ("sign-in", {"email": somebody(stack, "bela"), "password": PASSWORD}),
        ("sign-in", {"email": somebody(stack, "bela"), "password": "a wrong secret"}),
        ("sign-up", {"email": "ivo@example.com", "password": PASSWORD, "person": "ivo"}),
        ("link", {"email": somebody(stack, "bela")}),
    ]:
        seen.append(post(visitor, where, **form).headers["location"])
    secrets = [PASSWORD, "a wrong secret", visitor.cookies["featurescope"]]
    tokens = bench.community._sessions.tokens(visitor.cookies["featurescope"], lambda old: old)
    secrets += [tokens.access, tokens.refresh, stack.keys.secret_key]
    text = caplog.text + "\n".join(seen) + "".join(repr(note) for note in bench.community.notes._kept.values())
    assert not [secret for secret in secrets if secret in text]


def test_answers_are_not_stored_and_pass_nothing_on(visitor, stack):
    answer = post(visitor, "sign-in", email=somebody(stack, "bela"), password=PASSWORD)
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_on_a_workbench_of_one_nobody_signs_in(tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=None))
    visitor = browser(bench)
    for answer in (
        post(visitor, "sign-in", email="a@b.c", password="x"), post(visitor, "link", email="a@b.c"),
        visitor.get("/auth/go/github"),
    ):  # fmt: skip
        assert "Nobody signs in here" in said(bench, answer).said
    assert post(visitor, "sign-out").headers["location"] == "/"


def test_the_counter_says_what_it_counts():
    counter = pace.Counter(1, what="may be sent")
    scope = {"type": "http", "client": ("1.2.3.4", 1), "headers": []}
    counter(scope)
    with pytest.raises(pace.TooMany, match="at most 1 a minute may be sent"):
        counter(scope)
