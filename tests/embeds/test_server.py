"""The embeds as they are served: their addresses, what a chat unfurls, what is closed, what is drawn of a record."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import parse_qsl, quote, urljoin

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from components import charts
from core.records import Token
from embeds import drawing, server
from embeds.page import About, head
from embeds.server import plain
from tests import tiny
from tests.live import Server

FEATURE = f"{tiny.SAE}/3"
NASTY = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'};alert(1)//", "javascript:alert(1)",
    "${alert(1)}", "{{constructor.constructor('alert(1)')()}}", "</title><script>alert(1)</script>", "@children",
    "\r\nx-own: 1", "//evil.example", "%3Cscript%3E",
]  # fmt: skip


@pytest.fixture(scope="module")
def app(bench) -> TestClient:
    outer = FastAPI()
    outer.mount("/embed", server.create(bench))
    return TestClient(outer, follow_redirects=False)


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/tester", "", "tester/"),
        ("/tester", "id=a/1-b/2&text=x%20y", "tester/?id=a/1-b/2&text=x+y"),
        ("/tester/", "", ""),
        ("/tester/", "id=a/1-b/2&text=x+y", ""),
        ("/tester/", "id=", ""),
        ("/tester/", "theme=dark", "../tester/?theme=dark&__theme=dark"),
        ("/tester", "theme=LIGHT", "tester/?theme=LIGHT&__theme=light"),
        ("/tester/", "theme=dark&__theme=dark", ""),
        ("/tester/", "theme=blue", ""),
        ("/tester/", "theme=blue&__theme=dark", "../tester/?theme=blue"),
        ("/tester/", "__theme=dark", "../tester/"),
        ("/tester/", "page=x&deep_link=y&id=z", "../tester/?id=z"),
        ("/tester/", "view=api", ""),
        ("/tester/config", "theme=dark", ""),
        ("/other", "theme=dark", ""),
        ("/", "theme=dark", ""),
    ],
)
def test_an_address_leads_to_its_plain_form_and_stays_there(path, query, target):
    assert plain(path, query) == target
    if target:
        path, _, query = urljoin("/embed" + path, target).removeprefix("/embed").partition("?")
        assert path == "/tester/"
        assert plain(path, query) == "", "one step"


def test_it_is_led_there_relative_to_where_it_was_asked_for(app):
    """Only the reader's browser knows the scheme and host of a server behind a proxy."""
    found = app.get("/embed/tester?id=a/1-b/2&theme=dark", headers={"host": "inner:1", "x-forwarded-host": "evil"})
    assert (found.status_code, found.headers["location"]) == (307, "tester/?id=a/1-b/2&theme=dark&__theme=dark")


@pytest.mark.parametrize("bad", NASTY)
@pytest.mark.parametrize("name", ["id", "text", "theme", "view", "page", "__theme", "x", "deep_link"])
def test_no_parameter_gets_into_the_page_unescaped(app, name, bad):
    address = f"/embed/tester?{name}={quote(bad)}"
    for _ in range(3):
        found = app.get(address)
        assert "x-own" not in found.headers
        if found.status_code == 200:
            break
        assert found.status_code == 307
        address = urljoin(address, found.headers["location"])
        assert address.startswith("/embed/tester/")
        assert {name for name, _ in parse_qsl(address.partition("?")[2], True)} <= {"id", "text", "theme", "view"}
    assert found.status_code == 200
    assert "alert(1)" not in found.text


def test_a_chat_unfurls_the_feature(app, record):
    page = app.get(f"/embed/tester/?id={FEATURE}").text
    assert f'<meta property="og:title" content="{record.label or "x"} · {FEATURE}">' in page or not record.label
    assert page.count('property="og:title"') == page.count("<title>") == 1
    assert '"Gradio"' not in page and "raw.githubusercontent" not in page.split("window.gradio_config")[0]
    for address in ("/embed/tester/", "/embed/tester/?id=nobody/1-x/2"):
        assert "<title>Feature tester</title>" in app.get(address).text
    assert app.head("/embed/tester/").status_code == 200


def test_what_a_page_says_of_itself_is_escaped():
    lines = head(About('a "b" </title><script>', "<i>"), "dark")
    assert "<script>" not in lines and "<i>" not in lines
    assert lines.count("--bg:#131517") == lines.count("--bg-dark:#131517") == 1
    assert "--bg:#fbfbf9" in head(About("", ""), "") and "--bg-dark:#131517" in head(About("", ""), "")
    assert head(About("", ""), "}body{") == head(About("", ""), "")


@pytest.mark.parametrize(
    "path",
    ["upload", "upload?upload_id=x", "upload_progress?upload_id=x", "file=/etc/passwd", "file/etc/passwd", "runs",
     "proxy=https://a.hf.space/x", "stream/a", "dev/reload", "run-history/records"],
)  # fmt: skip
def test_doors_that_nobody_needs_are_closed(app, path):
    for method in ("GET", "POST"):
        assert app.request(method, f"/embed/tester/gradio_api/{path}").status_code == 404


def test_pages_elsewhere_may_not_call_it_unless_the_settings_name_them(app, bench, monkeypatch):
    asked = {"Origin": "https://blog.example", "Host": "featurescope.example"}
    assert "access-control-allow-origin" not in app.get("/embed/tester/config", headers=asked).headers
    monkeypatch.setattr(bench, "settings", bench.settings.model_copy(update={"origins": "https://blog.example"}))
    named = TestClient(server.create(bench)).get("/tester/config", headers=asked).headers
    assert named["access-control-allow-origin"] == "https://blog.example"
    assert "access-control-allow-credentials" not in named


def test_it_asks_nobody_else_for_anything(app):
    page = app.get("/embed/tester/").text
    style = app.get("/embed/tester/theme.css").text
    for elsewhere in ("fonts.googleapis", "cdnjs", "huggingface.co/front"):
        assert elsewhere not in page and elsewhere not in style


def test_a_page_behind_a_proxy_calls_that_proxy(app):
    """Gradio writes its own address into the page: that of the proxy, where one says so."""
    asked = {"x-forwarded-proto": "https", "x-forwarded-host": "featurescope.example"}
    assert '"root":"https://featurescope.example/embed/tester"' in app.get("/embed/tester/", headers=asked).text


# -- what is drawn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", NASTY)
def test_texts_of_a_record_are_escaped(bench, record, bad):
    nasty = dataclasses.replace(record, label=bad)
    (test,) = bench.test(FEATURE, "a b")
    test = dataclasses.replace(test, text=bad, tokens=tuple(Token(1, bad) for _ in test.tokens))
    for drawn in (
        drawing.head(nasty, bad), drawing.tested(nasty, test), drawing.message(bad), drawing.waiting(bad),
        drawing.nameless(bad),
    ):  # fmt: skip
        tags = set(re.findall(r"</?([a-z0-9]+)", drawn))
        assert tags <= {"div", "h1", "a", "span", "p", "i"}, drawn
        assert not re.search(r"<[^>]*\son\w+=", re.sub(r'="[^"]*"', '=""', drawn)), drawn
        assert all(link.startswith("../../") for link in re.findall(r'href="([^"]*)"', drawn))


def test_a_result_is_on_the_scale_of_the_examples(bench, record):
    (test,) = bench.test(FEATURE, "It’s Paris, a fine day")
    drawn = drawing.tested(record, test)
    lit = max(range(len(test.values)), key=lambda i: 0 if test.tokens[i].special else test.values[i])
    assert test.position == lit
    assert f"--v:{charts.depth(test.maximum, record.maximum):.3f}" in drawn
    assert f"{test.maximum / record.maximum * 100:.0f} % of its maximum" in drawn
    silent = dataclasses.replace(test, values=(0.0,) * len(test.values), maximum=0.0, position=None)
    assert "not active on this text" in drawing.tested(record, silent)


def test_a_feature_without_examples_says_so(bench, record):
    dead = dataclasses.replace(record, active=0, density=0.0, maximum=0.0, histogram=None, groups=(), label="")
    assert "Nothing in the build’s texts activates it" in drawing.strongest(dead)
    assert "Feature 3" in drawing.head(dead)
    (test,) = bench.test(FEATURE, "Paris")
    assert "of its maximum" not in drawing.tested(dead, test)


def test_links_open_a_tab_of_their_own(record):
    drawn = drawing.head(record, "a & b")
    links = re.findall(r"<a [^>]*>", drawn)
    assert links and all('target="_blank"' in link and 'rel="noopener"' in link for link in links)
    assert "../../feature?id=tiny/1-res/3&amp;defaulttesttext=a%20%26%20b" in drawn


def test_the_colours_are_those_of_the_pages():
    style = server._style()
    assert style.startswith("body {\n  --fs-card: light-dark(")
    assert ".fs-strip" in style


def test_the_server_stops_with_an_embed_open(tiny_root):
    with Server(tiny_root) as alone:
        alone.get("/embed/tester/")
        url = alone.url + "/embed/tester/gradio_api/heartbeat/abc"
        with httpx.stream("GET", url, timeout=30) as beat:
            next(beat.iter_raw())
    assert "Traceback" not in alone.output
