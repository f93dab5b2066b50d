"""From a feature’s page to what is like it: its twins through the layers, and a list of what was ticked."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import at_rest

KEY = "scribe-4l/2-res/78"


def settled(page) -> None:
    """What the address asks for is drawn; the first look loads weights."""
    page.wait_for_selector(".fs-near-take", timeout=280_000)
    at_rest(page)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_from_a_feature_to_a_list_of_its_like(visit, width, theme):
    there = visit(f"/feature?id={KEY}", width, theme)
    page = there.page
    card = page.locator("section", has=page.get_by_text("Similar in other sources"))
    nearest = card.locator("a.fs-near-rel")
    nearest.first.wait_for()
    assert nearest.count() >= 6, "from the table, with no weights loaded"
    values = [float(text) for text in nearest.locator("span:last-child").all_text_contents()]
    assert values == sorted(values, reverse=True)
    card.get_by_text("All similar features").click()
    page.wait_for_url(f"**/similar?id={KEY}")
    settled(page)
    there.fits()
    assert "Is there a neuron for it?" in page.locator(".fs-near-neuron").text_content()
    first = page.locator(".fs-near-table tbody tr").first
    assert abs(float(first.locator("td.n").first.text_content()) - values[0]) < 0.006, "the table's, to two digits"

    for row in range(2):  # a tick is in the link
        page.locator(".fs-near-table .fs-tick").nth(row).click()
        page.wait_for_function(f"(new URL(location).searchParams.get('picked') ?? '').split(',').length === {row + 1}")
    page.wait_for_selector(".fs-bar-picked")
    page.get_by_role("button", name="Through the layers").click()
    page.wait_for_function("new URL(location).searchParams.get('view') === 'layers'")
    page.wait_for_selector(".fs-chain")
    settled(page)
    there.fits()
    expect(page.locator(".fs-chain-box.own")).to_have_count(1)
    page.get_by_text("Make a list").click()
    page.wait_for_url("**/quick-list?**")
    assert page.url.count("scribe-4l/") == 2
