"""From a source to what another model has of it, one pair of sources, and a feature's twin there."""

from __future__ import annotations

from urllib.parse import unquote

from playwright.sync_api import expect


def test_from_a_source_to_a_twin_in_another_model(visit):
    there = visit("/universal?id=scribe-4l/3-res", 390, "dark")
    page = there.page
    there.fits()
    pairs = page.locator("section table.fs-table tbody tr")
    expect(pairs, "the second model's two sources").to_have_count(2)
    page.locator("a", has_text="stylus-3l/2-res-3l").first.click()
    page.wait_for_function("new URL(location).searchParams.get('other') === 'stylus-3l/2-res-3l'")
    rows = page.locator("table.fs-universal tbody tr")
    rows.first.wait_for()
    there.fits()
    values = [float(text) for text in rows.locator("td.n:not(.fs-hide-narrow) b").all_text_contents()]
    assert len(values) == 25 and values == sorted(values, reverse=True)

    page.get_by_role("button", name="Above a token").click()
    page.wait_for_function("new URL(location).searchParams.get('by') === 'words'")
    page.get_by_role("button", name="each other’s best only").click()
    page.wait_for_function("new URL(location).searchParams.get('mutual') === '1'")
    page.wait_for_function(
        "[...document.querySelectorAll('table.fs-universal tbody tr')].every(r => r.textContent.includes('best'))"
    )
    assert page.locator("text=each other’s best").count() >= 25
    page.locator("table.fs-universal tbody tr").first.locator("a.main").nth(1).click()
    page.wait_for_url("**/feature?id=stylus-3l/2-res-3l/*")
    page.goto(page.url.replace("/feature?", "/similar?") + "&view=models")
    page.wait_for_selector("text=Twins in other models")
    assert "scribe-4l/" in unquote(page.locator("table.fs-universal a.main").first.get_attribute("href"))
    there.fits()
