"""An attribution graph in the browser: drawn, walked by clicks and keys, edited, kept, and all of it in the address."""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import until

TEXT = "My mother and her"
NODE = "[data-id]"


def drawn(page) -> None:
    """The graph is there; the first look loads weights."""
    page.wait_for_selector(f"{NODE}.logit", timeout=280_000)


def holds(page, name: str) -> None:
    page.wait_for_function(f"new URL(location).searchParams.has('{name}')")


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_graph_is_drawn_walked_edited_and_kept(visit, width, theme, tmp_path):
    there = visit(f"/graph?text={TEXT}&supernodes=7&clerps=null", width, theme)  # a link may say anything
    page = there.page
    drawn(page)
    there.fits()

    # a next token, and what acts on it, by clicks
    page.locator(".side .ways button").first.click()
    holds(page, "clickedId")
    page.locator(".side .row .what", has_text="L").first.click()
    page.wait_for_selector(".side :text('Feature page')")
    assert "/steer?" in (page.locator(".side a", has_text="Steer").get_attribute("href") or "")
    page.locator(".side button", has_text="Pin").click()
    holds(page, "pinnedIds")

    # by keys: the chosen node has the focus; up, down and p, g
    page.locator(f"{NODE}.at").focus()
    page.keyboard.press("g")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("g")
    page.locator("button", has_text="Group 2 into a supernode").click()
    holds(page, "supernodes")
    name = page.get_by_label("Name of the supernode")
    name.fill("one thing")
    name.press("Enter")
    page.wait_for_function("new URL(location).searchParams.get('supernodes').includes('one thing')")
    there.fits()

    # the address alone brings it back
    page.goto(page.url)
    drawn(page)
    assert name.input_value() == "one thing" and page.locator(f"{NODE}.at").count() == 1
    with page.expect_download() as download:
        page.get_by_text("Download JSON").click()
    file = json.loads(download.value.path().read_text())
    assert file["qParams"]["supernodes"][0][0] == "one thing" and len(file["qParams"]["pinnedIds"]) == 1

    # fewer nodes at a lower share
    before = page.locator(NODE).count()
    page.get_by_label("influence that nodes keep").fill("0.4")
    until(page, lambda: 0 < page.locator(NODE).count() < before)
    assert "nodes=0.4" in page.url

    # kept under a name
    page.get_by_label("Name of the graph").fill(f"kept-{width}")
    page.get_by_text("Keep this graph").click()
    page.wait_for_url(f"**/graph?**slug=kept-{width}**")
    drawn(page)
    assert name.input_value() == "one thing"
