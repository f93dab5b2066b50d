"""A newcomer writes “colours” on the home page, reads why each explanation was found, and opens a feature."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import at_rest


def settled(page) -> None:
    """The results of the address are drawn; the first search loads the sentence model and embeds what has no vector."""
    page.wait_for_selector("article.fs-mean", timeout=280_000)
    at_rest(page)


def rows(page) -> list[dict[str, str]]:
    return page.evaluate(
        """[...document.querySelectorAll('article.fs-mean')].map(a => {
            const name = a.querySelector('.fs-hit-name'), where = a.querySelector('.fs-where').textContent
            return {text: name.textContent, where, href: name.getAttribute('href')} })"""
    )


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_search_colours_and_open_the_feature(visit, width, theme):
    there = visit("/", width, theme)
    page = there.page
    page.get_by_label("what a feature should be about").fill("colours")
    page.keyboard.press("Enter")
    page.wait_for_url("**/meaning?q=colours")
    settled(page)
    there.fits()
    found = rows(page)
    assert len(found) == 20
    assert any(name in one["text"].lower() for one in found[:5] for name in ("colour", "red", "blue", "white", "green"))
    assert re.search(r"explanations in \d+ sources", page.locator(".fs-count").text_content())

    page.get_by_role("group", name="layer").get_by_text("2", exact=True).click()  # a filter is a link
    page.wait_for_function("new URL(location).searchParams.get('sources')")
    page.wait_for_function("[...document.querySelectorAll('.fs-where')].every(e => e.textContent.includes('2-'))")
    settled(page)
    there.fits()
    assert all(one["where"].split(" · ")[-2].startswith("2-") for one in rows(page))
    page.go_back()
    page.wait_for_function("!new URL(location).searchParams.get('sources')")
    settled(page)
    assert rows(page) == found

    page.locator("article.fs-mean a.fs-hit-name").first.click()
    page.wait_for_url("**/feature?id=**")
    page.wait_for_selector(".fs-strip")
    (key,) = parse_qs(urlsplit(page.url).query)["id"]
    assert found[0]["href"].endswith(key)


def test_pages_turn_and_the_file_is_whole(visit):
    there = visit("/meaning?q=family&rank=words")
    page = there.page
    settled(page)
    first = rows(page)
    assert page.locator("article.fs-mean mark").count() >= len(first)
    count = int(page.locator(".fs-count b").text_content().split(" to ")[1].replace(",", ""))
    assert count == len(first)
    with page.expect_download() as download:
        page.get_by_text("Download explanations").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert len(lines) > 1000
