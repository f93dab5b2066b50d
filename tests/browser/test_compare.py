"""From a source to its comparison with another, along a matched pair to one feature against the other, and back."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit


def test_compare_sources_and_a_pair(visit):
    there = visit("/compare?model=scribe-4l&sources=2-res", 390, "dark")
    page = there.page
    page.get_by_role("button", name="3-res", exact=True).click()
    page.wait_for_function("new URL(location).searchParams.get('sources') === '2-res,3-res'")
    page.wait_for_selector("#fs-pairs")
    there.fits()
    cells = page.locator("table.fs-cmp-matrix td.fs-cmp-cell")
    assert cells.count() == 4 and cells.first.text_content().strip().endswith(tuple("0123456789"))
    first = page.locator("a", has_text="against").first
    ids = parse_qs(urlsplit(first.get_attribute("href")).query)["ids"][0].split(",")
    assert [one.split("/")[1] for one in ids] == ["2-res", "3-res"]

    page.locator("table.fs-cmp-matrix tbody tr").nth(1).locator("a").click()  # the other way round
    page.wait_for_function("new URL(location).searchParams.get('pair') === '3-res,2-res'")
    page.get_by_text("of 3-res and 2-res").wait_for()

    first = page.locator("a", has_text="against").first
    first.click()
    page.wait_for_url("**/compare?ids=**")
    page.wait_for_selector(".fs-cmp-venn, .fs-note", timeout=120_000)
    page.get_by_text("Both fire").wait_for()
    there.fits()
    both = int(page.locator(".fs-cmp-key .both b").text_content().replace(",", ""))
    assert both > 0
    page.go_back()
    page.get_by_text("of 3-res and 2-res").wait_for()
