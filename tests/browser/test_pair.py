"""A stranger’s task: from a ready-made template to two of its prompts, and what makes the difference, by clicks."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("width", "theme"), [(1440, "light")])
def test_from_a_template_to_two_prompts(visit, width, theme):
    there = visit("/template", width, theme)
    page = there.page
    page.set_default_timeout(240_000)  # the first look loads weights
    page.get_by_text("Quotation closing").click()
    page.wait_for_url("**/template?**opening**")
    page.wait_for_selector(".fs-responses .fs-level")
    there.fits()
    assert "labels shuffled" in page.locator("[data-control]").text_content()
    page.get_by_text("Compare two of its prompts").first.click()
    page.wait_for_url("**/pair?**")
    page.wait_for_selector(".fs-duo .other, .st-key-fs-pair [role=alert]")

    page.get_by_role("link", name="Two prompts").click()  # these two: their examples
    page.get_by_text("Which bracket closes").click()
    page.wait_for_url("**/pair?**clean=f**")
    page.wait_for_selector(".fs-curves .fs-xy-dot")
    checks = page.locator("[data-check]").all_text_contents()
    assert checks and all(text.endswith("✓") for text in checks), checks
    page.get_by_text("corrupted into clean").click()
    page.wait_for_function("new URL(location).searchParams.get('direction') === 'noising'")
    page.wait_for_selector(".fs-patched [data-check]")
    there.fits()
