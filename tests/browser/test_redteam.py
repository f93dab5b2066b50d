"""A hypothesis is stated on a feature's page, tested, corrected by a click, and kept as a test suite."""

from __future__ import annotations

import re

from tests.browser.conftest import at_rest


def done(page) -> None:
    page.wait_for_selector(".fs-verdict", timeout=240_000)  # the first run loads the models and embeds words
    at_rest(page)


def test_stated_tested_corrected_kept(visit):
    there = visit("/feature?id=scribe-4l/2-res/78")
    page = there.page
    page.get_by_role("link", name="Red-team a hypothesis").click()
    page.get_by_label("What does it fire on?").fill("fires on mother, also father, not on house")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/redteam.*hypothesis="))
    done(page)
    there.fits()
    table = page.locator(".fs-verdicts tbody td").all_inner_texts()
    assert int(table[0]) > int(table[1]) and int(table[3]) > int(table[2]), table
    assert page.locator(".fs-case .fs-small").first.inner_text().startswith("should")
    assert {"mother", "father", "house not"} <= set(page.locator(".fs-by th[scope=row]").all_inner_texts())

    page.locator(".fs-unsaid").first.get_by_role("link", name="also", exact=True).click()  # it fires on this too
    page.wait_for_function("new URL(location).searchParams.get('hypothesis').includes('“')")
    page.wait_for_function("document.querySelectorAll('.fs-said').length == 4")  # the run on it, not the one before
    done(page)

    page.locator(".fs-case .fs-tick").first.click()
    page.get_by_role("button", name="Keep 1 chosen as a test suite").click()
    page.wait_for_url("**/suite?id=**")
    page.wait_for_selector(".fs-verdict")
    assert page.locator(".fs-verdict b").inner_text() == "1 of 1 failed", "it was the most surprising one"


def test_what_cannot_be_tested_is_said_on_a_small_screen(visit):
    there = visit("/redteam?id=scribe-4l/2-res/78&hypothesis=not%20on%20red&share=7", width=390, theme="dark")
    notes = there.page.locator(".fs-note").all_inner_texts()
    assert any("no word" in one for one in notes) and any("“share”" in one for one in notes)
    there.page.get_by_text("No hypothesis yet").wait_for()
    there.fits()
