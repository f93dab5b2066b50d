"""A stranger's walk through the built-in demo by clicks alone, on wide and narrow screens, in light and dark."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import at_rest

SENTENCE = "The population of Norway is small, but Germany’s economy is large 🙂."
SCREENS = [(1440, "light"), (390, "dark")]


def query(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def value_shown(page) -> str:
    return page.locator(".results .max").first.inner_text()


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_home_source_feature_test_shared_link(visit, width, theme):
    """Find a feature about a country, check it on a sentence of one's own, send the link."""
    there = visit("/", width, theme)
    page = there.page
    there.fits()

    page.get_by_role("link", name="Browse all features").click()
    page.wait_for_url("**/source?**")
    page.wait_for_selector(".fs-table a.main")
    there.fits()

    field = page.get_by_label("Tokens it fires on or promotes")
    for word in (
        "country",
        "population",
        "the",
    ):  # the demo's features are learned: take the first word that finds some
        field.fill(word)
        field.press("Enter")
        page.wait_for_function("word => new URL(location).searchParams.get('q') === word", arg=word)
        page.wait_for_selector(".st-key-fs-table :is(.fs-pages, .fs-empty)")
        at_rest(page)
        if page.locator(".fs-table a.main").count():
            break
    page.locator(".fs-table th >> text=maximum").click()
    page.wait_for_function("new URL(location).searchParams.get('sort') === '-maximum'")
    at_rest(page)
    page.locator(".fs-table a.main").first.click()
    page.get_by_label("Text to test on this feature").wait_for()
    page.wait_for_selector("#root .fs-strip")
    there.fits()

    page.get_by_label("Text to test on this feature").fill(SENTENCE)
    page.get_by_role("button", name="Test", exact=True).click()
    page.wait_for_selector(".results .row")
    there.fits()
    result = value_shown(page)
    assert query(page)["defaulttesttext"] == [SENTENCE]

    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied ✓").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")

    friend = visit(link.removeprefix(there.base), width, theme)
    friend.page.wait_for_selector(".results .row")
    assert value_shown(friend.page) == result
    friend.fits()


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_every_page_fits_its_window(visit, width, theme):
    there = visit("/", width, theme)
    for path in ("/glossary", "/model", "/release", "/set", "/source", "/feature", "/feature?id=nonsense"):
        there.page.goto(there.base + path)
        there.page.wait_for_selector(".fs-title")
        at_rest(there.page)
        there.fits()


def test_going_from_feature_to_feature(visit):
    there = visit("/source")
    page = there.page
    page.locator(".fs-table a.main").nth(3).click()
    page.wait_for_selector("h1")
    first = query(page)["id"][0]
    index = int(first.rsplit("/", 1)[1])

    def at(identity: str) -> None:
        page.wait_for_function("id => new URL(location).searchParams.get('id') === id", arg=identity)
        page.wait_for_function(
            "i => document.querySelector('.fs-crumbs b')?.textContent === i", arg=identity.rsplit("/", 1)[1]
        )

    source = first.rsplit("/", 1)[0]
    page.get_by_role("link", name=f"{index + 1} →").click()
    at(f"{source}/{index + 1}")
    page.go_back()
    at(first)
    jump = page.get_by_label("Jump to a feature")
    jump.fill("7")
    jump.press("Enter")
    at(f"{source}/7")
    jump.fill(f"https://www.neuronpedia.org/{source}/9")
    jump.press("Enter")
    at(f"{source}/9")
    jump.fill("99999999")
    jump.press("Enter")
    page.get_by_text("there is no 99999999").wait_for()
    at(f"{source}/9")
    page.get_by_role("link", name="Random").click()
    page.wait_for_function("!location.search.includes('random') && !location.search.includes('/9')")


def test_keeping_and_comparing_tests(visit, demo):
    source = demo.get("/api/catalog").json()["sources"][-1]
    there = visit(f"/feature?id={source['modelId']}/{source['sourceId']}/1")
    page = there.page
    box = page.get_by_label("Text to test on this feature")

    def rows(count: int) -> None:
        page.locator(".results .row").nth(count - 1).wait_for()
        at_rest(page)
        expect(page.locator(".results .row")).to_have_count(count)

    box.fill("One line.\nAnother line.")
    box.press("Enter")
    rows(2)
    page.get_by_label("Keep this test").first.click()
    page.get_by_role("button", name="Let the next test").wait_for()
    box.fill("A third.")
    box.press("Enter")
    page.wait_for_function("new URL(location).searchParams.getAll('defaulttesttext')[1] === 'A third.'")
    at_rest(page)
    rows(2)
    assert query(page)["defaulttesttext"] == ["One line.", "A third."]
    assert query(page)["kept"] == ["1"]
    box.fill("   ")
    box.press("Enter")
    page.get_by_role("alert").wait_for()
    expect(page.get_by_role("alert")).to_contain_text("empty")
    rows(1)  # the kept one


def test_examples_by_click_and_by_keyboard(visit, demo):
    source = next(s for s in demo.get("/api/catalog").json()["sources"] if s["kind"] == "sae")
    there = visit(f"/feature?random={source['modelId']}/{source['sourceId']}")
    page = there.page
    page.wait_for_selector("#root .fs-strip")
    page.get_by_role("button", name="By interval").click()
    assert query(page)["show"] == ["interval"]
    page.get_by_role("button", name="Whole").click()
    page.get_by_role("button", name="↵").click()
    assert query(page) | {"view": ["whole"], "breaks": ["1"]} == query(page)
    page.reload()
    page.wait_for_selector("#root .fs-strip")
    assert page.get_by_role("button", name="Whole").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Diverse").click()
    # one tab stop a strip, arrows walk its tokens, each tells its value
    page.locator("#root .fs-strip .t[tabindex='0']").first.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    tip = page.locator("#fs-tip")
    tip.wait_for()
    expect(tip).to_contain_text("token id")
    expect(tip).to_contain_text("position")
    page.keyboard.press("Escape")
    page.get_by_label("Copy this example into the test box").first.click()
    assert page.get_by_label("Text to test on this feature").input_value().strip()
