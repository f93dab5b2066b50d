"""Chromium and the real server on the built-in demo; skipped, with the reason, where either is missing."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.windows import Windows
from tests.live import ROOT, Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DEMO = ROOT / "demo" / "data"
FRAME = {"width": 540, "height": 300}
"""The frame that an embed is made for."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One hiccup of a machine that does much at once fails no test; what was run twice is listed at the end."""
    again = config.pluginmanager.hasplugin("rerunfailures")
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)
            if again:
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    """Windows for all tests; each opens its own, and closes them."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        playwright.expect.set_options(timeout=120_000)
        windows = Windows(driver.chromium, CHROMIUM, tmp_path_factory.mktemp("profiles"))
        yield windows
        windows.close()


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as `make demo` starts it, with a data root of its own, and its models loaded."""
    if not any(DEMO.glob("*/*/source.json")):
        pytest.skip("The built-in demo has no data: python -m core build demo/demo.yaml")
    with Server(tmp_path_factory.mktemp("data"), demo=str(DEMO)) as server:
        for model in {one["modelId"]: one for one in server.get("/api/catalog").json()["sources"]}.values():
            feature = {"modelId": model["modelId"], "source": model["sourceId"], "index": "0"}
            server.post("/api/activation/new", {"feature": feature, "customText": "loaded"}, seconds=280)
        yield server


@pytest.fixture
def visit(chromium: Windows, demo: Server) -> Iterator[Callable[..., Visit]]:
    """Opens a page as a visitor with a screen and a theme; every visit is checked when it ends."""
    visits: list[Visit] = []

    def open_(path: str, width: int = 1440, theme: str = "light") -> Visit:
        visits.append(Visit(chromium, demo.url, path, width, theme))
        return visits[-1]

    yield open_
    for done in visits:
        done.leave()


AT_REST = """() => new Promise(done => {
  let last = performance.now()
  const watch = new MutationObserver(() => { last = performance.now() })
  watch.observe(document.body, {subtree: true, childList: true, characterData: true})
  const look = () => {
    const works = document.querySelector('[data-testid=stApp]:not([data-test-script-state=notRunning]), .fs-wait')
    if (works || performance.now() - last < 250) return setTimeout(look, 50)
    watch.disconnect()
    done()
  }
  look()
})"""


def at_rest(page: object) -> None:
    """No script runs or was asked for, and for a moment nothing was drawn."""
    page.evaluate(AT_REST)


def until(page: object, holds: Callable[[], object]) -> None:
    """Lets the browser go on until something that it tells this process holds."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        page.wait_for_timeout(50)


class Visit:
    """A browser window of a stranger: what they open, and what went wrong behind it."""

    def __init__(self, browser: Windows, base: str, path: str, width: int, theme: str) -> None:
        self.base = base
        self.wrong: list[str] = []
        size = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=size, color_scheme=theme, has_touch=width < 600)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.goto(base + path)
        self.page.wait_for_selector(".fs-title")

    def _console(self, message: object) -> None:
        # Streamlit's client looks for its server beside a deep link first, and then at the root.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            self.wrong.append(f"console: {message.text} {message.location}")

    def _request(self, request: object) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.wrong.append(f"external request: {request.url}")

    def fits(self) -> None:
        """Nothing is wider than the window."""
        wide = self.page.evaluate(
            """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
                 .filter(e => e.scrollWidth > innerWidth).map(e => e.tagName + ' ' + e.scrollWidth)"""
        )
        assert not wide, (self.page.url, wide)

    def leave(self) -> None:
        """Ends the visit; nothing may have gone wrong behind it."""
        self.context.close()
        assert not self.wrong, self.wrong


# -- embeds ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def look(chromium, demo) -> Iterator[Callable]:
    """Opens an address in a window of its own; nothing may go wrong behind it."""
    contexts, wrong = [], []

    def open_(path: str, size=FRAME, theme: str = "light", wait: str = "#em-result :is(.fs-strip, .em-note)"):
        context = chromium.new_context(viewport=size, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda r: None if r.url.startswith((demo.url, "data:", "blob:")) else wrong.append(r.url))
        page.goto(demo.url + path)
        page.wait_for_selector(wait)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong, wrong


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Serves a page at `localhost`, which is another site than the server's `127.0.0.1`; gives its address."""
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def put(html: str) -> str:
            (tmp_path / "post.html").write_text(html, encoding="utf-8")
            return f"http://localhost:{server.server_port}/post.html"

        yield put
        server.shutdown()
