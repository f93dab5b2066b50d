"""Who may show which page in a frame, and the theme of an embedded page."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from components import links
from core.settings import Settings
from embeds.frames import ANYBODY, Frames, embedded, with_theme
from tests import tiny
from tests.live import Server

NOBODY = "frame-ancestors 'none'"


def policy(path: str, ancestors: str = "") -> str:
    client = TestClient(Frames(PlainTextResponse("page"), ancestors=ancestors))
    return client.get(path, follow_redirects=False).headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/embed", "/embed/", "/embed/tester", "/embed/tester/", "/embed/tester/?id=a/1-b/2", "/embed/steer?x=1",
        "/embed/tester/assets/x.js", "/feature?embed=true", "/feature?id=a/1-b/2&embed=true&embedplots=false",
        "/feature?embed=TRUE", "/feature?embed=false&embed=true", "/list?id=x&embed=true", "/a/1-b/2?embed=true",
        "/f/a/1-b/2?embed=true",
    ],
)  # fmt: skip
def test_anybody_may_frame_an_embed(path):
    assert policy(path) == ANYBODY
    assert policy(path, "https://blog.example") == ANYBODY


@pytest.mark.parametrize(
    "path",
    [
        "/", "/feature", "/feature?id=a/1-b/2", "/feature?embed=1", "/feature?embed=", "/feature?embed=true%20",
        "/feature?Embed=true", "/feature?id=x%26embed=true", "/feature?x=&embedplots=true", "/feature/?embed=true",
        "//feature?embed=true", "/?embed=true", "/lists?embed=true", "/list?id=x", "/search?embed=true",
        "/source?embed=true", "/server?embed=true",
        "/embedded", "/embedx/tester", "/api/docs", "/api/docs?embed=true", "/healthz", "/a/1-b/2", "/a/b/2?embed=true",
        "/_stcore/health", "/static/x.js", "/x/embed/tester",
    ],
)  # fmt: skip
def test_nobody_may_frame_anything_else_but_whom_the_settings_name(path):
    assert policy(path) == NOBODY
    assert policy(path, "https://blog.example https://*.b.example") == (
        "frame-ancestors https://blog.example https://*.b.example"
    )


def test_streamlits_own_frames_are_its_own():
    assert policy("/component/x/index.html") == "frame-ancestors 'self'"
    assert policy("/component/x/index.html", "https://a.example") == "frame-ancestors 'self' https://a.example"


def test_whoever_answers_the_policy_is_there_and_nothing_is_lost():
    async def answer(scope, receive, send):
        await PlainTextResponse("no", 404, {"content-security-policy": "script-src 'self'", "x-own": "1"})(
            scope, receive, send
        )

    found = TestClient(Frames(answer, ancestors="")).get("/nothing")
    assert found.status_code == 404
    assert found.headers.get_list("content-security-policy") == ["script-src 'self'", NOBODY]
    assert found.headers["x-own"] == "1"


def test_only_pages_that_take_embed_are_framed():
    """A page is added in one place, which the router and the rule both read."""
    for name in links.EMBEDDABLE:
        assert policy(f"/{name}?embed=true") == ANYBODY


def test_a_theme_becomes_streamlits_own_parameter():
    assert with_theme("id=a/1-b/2&embed=true&theme=dark") == "id=a/1-b/2&embed=true&theme=dark&embed_options=dark_theme"
    assert with_theme("embed=true&theme=LIGHT&x=%26") == "embed=true&theme=LIGHT&x=%26&embed_options=light_theme"
    for nothing_to_do in (
        "embed=true",
        "theme=dark",
        "embed=true&theme=blue",
        "embed=true&theme=",
        "embed=true&theme=dark&embed_options=light_theme",
    ):
        assert with_theme(nothing_to_do) == ""


@pytest.mark.parametrize("bad", ["%0d%0ax-own:%201", "//evil.example/", "%22%3E%3Cscript%3E"])
def test_a_redirect_goes_nowhere_else(bad):
    client = TestClient(Frames(PlainTextResponse("page"), ancestors=""), follow_redirects=False)
    found = client.get("/feature?embed=true&theme=dark&id=" + bad)
    assert found.status_code == 307
    assert found.headers["location"].startswith("feature?embed=true&theme=dark&id=")
    assert "x-own" not in found.headers
    assert "<" not in found.headers["location"] and "\n" not in found.headers["location"]


@pytest.mark.parametrize(
    ("query", "is_so"),
    [("embed=true", True), ("embed=tru%65", True), ("a=1&embed=True", True), ("embed=true;x", False), ("embed", False)],
)
def test_embedded_is_read_as_the_browser_reads_it(query, is_so):
    assert embedded(query) is is_so


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("", ""),
        ("  https://a.example   http://localhost:8080 ", "https://a.example http://localhost:8080"),
        ("https://*.hf.space https://huggingface.co", "https://*.hf.space https://huggingface.co"),
        ("http://[::1]:9000 *", "http://[::1]:9000 *"),
    ],
)
def test_ancestors_are_origins_with_spaces_between(monkeypatch, value, kept):
    monkeypatch.setenv("FRAME_ANCESTORS", value)
    assert Settings().frame_ancestors == kept


@pytest.mark.parametrize(
    "bad",
    ["a.example", "'self'", "'none'", "https://a.example/path", "https://a.example,https://b.example", "ftp://a.example",
     "https://a.example;script-src", "https://", "https://a*.example", "https://a.example\r\nx:y"],
)  # fmt: skip
def test_a_setting_that_is_no_origin_is_refused(monkeypatch, bad):
    monkeypatch.setenv("FRAME_ANCESTORS", bad)
    with pytest.raises(ValidationError, match=r"is no web origin\. Write origins with spaces between"):
        Settings()


def test_it_is_refused_before_anything_starts(tiny_root):
    server = Server(tiny_root)
    server._environment |= {"FRAME_ANCESTORS": "blog.example", "FEATURESCOPE_THREADS": "-1"}
    with pytest.raises(RuntimeError) as told:
        server.__enter__()
    assert "FRAME_ANCESTORS: “blog.example” is no web origin. Write origins" in str(told.value)
    assert "FEATURESCOPE_THREADS: Input should be greater than or equal to 0" in str(told.value)
    assert "Traceback" not in str(told.value)


def test_the_server_says_it_on_every_kind_of_path(live):
    anyway = {"Accept": "text/html"}
    for path in ("/", f"/feature?id={tiny.SAE}/3", "/api/catalog", "/healthz", "/static/nothing", f"/{tiny.SAE}/3"):
        assert live.get(path, headers=anyway).headers["content-security-policy"] == NOBODY, path
    for path in (f"/feature?id={tiny.SAE}/3&embed=true", "/embed", "/embed/tester/", f"/{tiny.SAE}/3?embed=true"):
        assert live.get(path, headers=anyway).headers["content-security-policy"] == ANYBODY, path
    found = live.get(f"/{tiny.SAE}/3?embed=true&embedplots=false&theme=dark")
    assert f"url=/feature?id={tiny.SAE}/3&amp;embed=true&amp;embedplots=false&amp;theme=dark" in found.text
