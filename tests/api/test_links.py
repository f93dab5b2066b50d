"""Links that unfurl: title, description, the way on; and no path of anybody else is caught."""

from __future__ import annotations

import re
from html import unescape

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from api import links
from tests import tiny


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(Starlette(routes=links.routes(bench)), follow_redirects=False)


def meta(page):
    return {name: unescape(text) for name, text in re.findall(r'<meta property="([^"]+)" content="([^"]*)">', page)}


def onward(page):
    return unescape(re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page)[1])


@pytest.mark.parametrize("before", ["", "/f"])
def test_a_link_unfurls_and_leads_on(client, record, before):
    answer = client.get(f"{before}/{tiny.SAE}/3")
    assert answer.status_code == 200
    tags = meta(answer.text)
    assert str(record.key) in tags["og:title"] and record.label in tags["og:title"]
    assert f"{record.density:.3%}" in tags["og:description"]
    assert tags["og:url"].endswith(f"{before}/{tiny.SAE}/3")
    assert onward(answer.text) == f"/feature?id={tiny.SAE}/3"


def test_other_parameters_come_along(client):
    answer = client.get(f"/{tiny.SAE}/3", params={"defaulttesttext": "a&b “c”", "id": "other/1-x/1", "x": ["1", "2"]})
    assert onward(answer.text) == f"/feature?id={tiny.SAE}/3&defaulttesttext=a%26b+%E2%80%9Cc%E2%80%9D&x=1&x=2"


@pytest.mark.parametrize("path", [f"/{tiny.SAE}/64", "/f/tiny/9-res/1", "/other/1-res/0", "/tiny/1-res/" + "9" * 30])
def test_what_is_not_here_says_so(client, path):
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert 'href="/"' in answer.text and "There is no feature" in answer.text
    assert "refresh" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/", "/feature", "/static/js/main.js", "/_stcore/health", "/_stcore/1-x/1", "/component/a/1", "/media/abc.png",
     "/api/feature/tiny/1-res/3", "/embed/tester/", "/a/b/1", "/tiny/1-res", "/tiny/1-res/x", "/tiny/1-res/3/4"],
)  # fmt: skip
def test_other_peoples_paths_are_theirs(client, path):
    assert client.get(path).text == "Not Found"


def test_texts_are_escaped(client, bench, monkeypatch, record):
    from dataclasses import replace

    bad = replace(record, label='"><script>alert(1)</script>')
    monkeypatch.setattr(bench, "feature", lambda key: bad)
    page = client.get(f"/{tiny.SAE}/3", params={"q": '"><script>'}).text
    assert "<script" not in page
    assert meta(page)["og:title"].startswith('"><script>alert(1)</script>')
