"""While a model is at work: the place in line, what is read and how much; nothing on the page moves when it ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DEMO, Visit
from tests.live import Server

SENTENCE = "My mother and her father were born in France."
KEY = "scribe-4l/2-res/78"
THROUGH = re.compile(r"tokens through \d+ sources")
SAYS = (
    "() => [...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('.say')).find(Boolean)?.textContent"
)
TOPS = "(names) => names.map(n => document.querySelector(n)?.getBoundingClientRect().top)"


@pytest.fixture(scope="module")
def hold(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hold") / "held"


@pytest.fixture(scope="module")
def braked(chromium, tmp_path_factory, hold):
    if not any(DEMO.glob("*/*/source.json")):
        pytest.skip("The built-in demo has no data: python -m core build demo/demo.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLD", str(hold))
        with Server(tmp_path_factory.mktemp("data"), ("-m", "tests.browser.held"), demo=str(DEMO)) as server:
            server.post("/api/search-all", {"modelId": "scribe-4l", "text": "loaded"}).raise_for_status()
            yield server


@pytest.fixture
def visit(chromium, braked, hold):
    visits = []

    def open_(path, width=1440, theme="light"):
        visits.append(Visit(chromium, braked.url, path, width, theme))
        return visits[-1]

    yield open_
    hold.unlink(missing_ok=True)
    for done in visits:
        done.leave()


def test_a_search_says_what_is_read_and_nothing_moves_when_it_ends(visit, hold):
    hold.touch()
    there = visit(f"/search?text={SENTENCE} at last", 390, "dark")
    page = there.page
    page.get_by_text(THROUGH).wait_for()
    bar = page.get_by_role("progressbar")
    assert bar.get_attribute("aria-valuenow") == "0"
    there.fits()
    names = [".fs-tools", ".fs-count", ".fs-hits"]
    before = page.evaluate(TOPS, names)
    page.screenshot()
    hold.unlink()
    page.wait_for_selector("article.fs-hit")
    page.wait_for_function("!document.querySelector('.fs-wait')")
    assert page.evaluate(TOPS, names) == before
    expect(bar).to_have_count(0)


@pytest.mark.timeout(900)  # many windows, where other tests take the processors
def test_who_waits_sees_the_place_in_line(visit, hold, braked):
    page = visit(f"/feature?id={KEY}&defaulttesttext={SENTENCE}").page
    page.wait_for_selector(".results .row")
    hold.touch()
    first = visit(f"/search?text={SENTENCE} at work").page
    first.get_by_text(THROUGH).wait_for()
    second = visit(f"/search?text={SENTENCE} waits").page
    second.get_by_text("this one is read next").wait_for()
    place = page.evaluate(TOPS, [".fs-way-in"])
    box = page.get_by_label("Text to test on this feature")
    box.fill("A text that nobody has read.")
    box.press("Enter")
    page.wait_for_function(f"({SAYS})() === 'Waiting: 1 request is before this one…'")
    assert page.evaluate(TOPS, [".fs-way-in"]) == place, "what was there stays, and nothing moves"
    expect(page.locator(".results .row")).to_have_count(1)
    by_token = visit(f"/search?text={SENTENCE} token by token&view=token").page
    by_token.get_by_text("2 requests are before this one").wait_for()
    two = visit(f"/search?text={SENTENCE} two&against=texts").page
    two.get_by_text("3 requests are before this one").wait_for()
    scan = visit(f"/scan?id={KEY}&sentence=The {{}} house&words=red,blue").page
    scan.get_by_text("4 requests are before this one").wait_for()
    picked = visit(f"/search?text={SENTENCE} of some&view=picked&picked=2-res/78,3-res/5").page
    picked.get_by_text("5 requests are before this one").wait_for()
    hold.unlink()
    page.wait_for_function(f"({SAYS})().startsWith('Enter tests')")
    assert "A text that nobody has read." in page.locator(".results .row").first.inner_text().replace("\n", " ")
    assert page.evaluate(TOPS, [".fs-way-in"]) == place
    for one, sign in (
        (first, "article.fs-hit"), (second, "article.fs-hit"), (by_token, ".fs-bytoken tr"), (two, ".fs-versus-one"),
        (scan, ".fs-heat td.slot"), (picked, ".fs-picked .fs-strip"),
    ):  # fmt: skip
        one.wait_for_selector(sign)


def test_a_link_with_a_text_that_waits_shows_the_page_first(visit, hold):
    hold.touch()
    page = visit(f"/feature?id={KEY}&defaulttesttext=A text of a link {SENTENCE}").page
    page.wait_for_selector(".fs-way-in")
    page.wait_for_function(f"({SAYS})()?.startsWith('Reading ')")
    assert page.locator(".fs-stats").first.is_visible()
    hold.unlink()
    page.wait_for_selector(".results .row")
    assert "A text of a link" in page.locator(".results .row").inner_text().replace("\n", " ")
