"""A test suite in a browser, on a server over a Supabase project: made, one text fails, mended, shared, run by others.

Each step is one of one walk, so that this is one test.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_people import shared, sign_up, stack  # noqa: F401  # fixtures

FEATURE = "scribe-4l/2-res/78"
MADE = f"/feature?id={FEATURE}&defaulttesttext=My%20mother%20and%20her%20father.&defaulttesttext=The%20old%20house."


def counted(stack, table: str) -> int:  # noqa: F811
    return stack.sql(f"select count(*) from {table}")[0][0]


def verdict(page, said: str) -> None:
    page.wait_for_function("said => document.querySelector('.fs-verdict b')?.textContent === said", arg=said)


def box(page, name: str):
    return page.get_by_role("textbox", name=name)


@pytest.mark.timeout(900)  # two people’s windows, where other tests take the processors
def test_made_failed_mended_shared(chromium, shared, stack):  # noqa: F811
    anna = Visit(chromium, shared.url, f"/sign-in?next={MADE.replace('&', '%26').replace('?', '%3F')}", 1280, "light")
    page = anna.page
    sign_up(page, "anna-tests")
    page.goto(shared.url + MADE)
    page.wait_for_selector(".results .row")
    page.get_by_role("link", name="Make a test suite").click()
    page.wait_for_selector("text=New test suite")
    assert box(page, "Should fire").input_value() == "My mother and her father."
    expect(box(page, "Should stay silent")).to_have_value("The old house.")
    box(page, "Should stay silent").fill("The old house.\nHer sister and her brother.")
    box(page, "Name").fill("Family <img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Make and run").click()

    verdict(page, "1 of 3 failed")
    first = page.locator(".fs-case").first
    assert "Her sister and her brother." in first.inner_text() and "should stay silent, fired" in first.inner_text()
    assert counted(stack, "suite_runs") == 1
    anna.fits()

    page.get_by_text("Edit", exact=True).click()
    box(page, "Should fire").fill("My mother and her father.\nHer sister and her brother.")
    box(page, "Should stay silent").fill("The old house.")
    page.get_by_role("button", name="Save and run").click()
    verdict(page, "All 3 passed")
    assert counted(stack, "suite_runs") == 2
    address = page.url
    assert re.search(r"/suite\?id=[0-9a-f-]{36}$", address)

    stranger = Visit(chromium, shared.url, address.removeprefix(shared.url), 390, "dark")
    verdict(stranger.page, "All 3 passed")
    assert not stranger.page.get_by_text("Edit", exact=True).count()
    stranger.page.get_by_role("button", name="Run again").click()
    stranger.page.wait_for_selector(".fs-case .t.on")  # tokens are there once it was run here
    verdict(stranger.page, "All 3 passed")
    assert counted(stack, "suite_runs") == 2, "what others run is not kept"
    stranger.fits()
    stranger.page.goto(shared.url + "/suites")
    stranger.page.get_by_role("link", name="Family <img").wait_for()
    stranger.page.goto(f"{shared.url}/person?name=anna-tests")
    stranger.page.get_by_role("link", name="Family <img").wait_for()

    page.get_by_text("Edit", exact=True).click()
    page.locator("[data-testid=stButtonGroup] button", has_text="private").click()
    page.get_by_role("button", name="Save and run").click()
    page.wait_for_selector(".fs-own >> text=private")
    stranger.page.goto(address)
    stranger.page.get_by_text("There is no such test suite here").wait_for()
    stranger.leave()
    anna.leave()
