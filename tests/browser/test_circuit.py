"""A stranger's task: one induction prompt, from its logit back to the tokens that cause it, by clicks alone."""

from __future__ import annotations

import pytest


def settled(page) -> None:
    """Every part is there; the first look loads weights."""
    page.wait_for_selector(".fs-lens", timeout=280_000)
    page.wait_for_function("!document.querySelector('.fs-wait')", timeout=280_000)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_from_a_logit_back_to_the_tokens_that_cause_it(visit, width, theme):
    there = visit("/circuit", width, theme)
    page = there.page
    page.get_by_text("Said before, said again").click()
    page.wait_for_url("**/circuit?**proposes**")
    settled(page)
    there.fits()
    checks = page.locator("[data-check]").all_text_contents()
    assert len(checks) == 2 and all(text.endswith("✓") for text in checks), checks

    # a head looks back from “PEP” to what followed it before
    heads = page.locator(".st-key-fs-circuit-parts .fs-driver")
    best = heads.locator(".t.on").evaluate_all(
        "boxes => boxes.filter(box => +box.style.getPropertyValue('--v') === 1).map(box => box.textContent.trim())"
    )
    assert "proposes" in best, best

    # the tokens of the first feature, below its row
    row = page.locator(".fs-nodes tbody tr").first
    name = row.locator("b").first.text_content()
    row.get_by_text("tokens", exact=True).click()
    page.wait_for_function("new URL(location).searchParams.has('node')")
    page.wait_for_selector(".fs-nodes .fs-below .fs-driver")
    assert page.locator(".fs-nodes .fs-below .fs-strip .t.on").count() > 0

    # what makes it active, in turn
    page.locator(".fs-nodes tbody tr").first.get_by_text("trace", exact=True).click()
    page.wait_for_function("new URL(location).searchParams.has('feature')")
    page.wait_for_selector(f".fs-aim-line :text('{name}')")
    settled(page)
    there.fits()
    page.get_by_text("Back to the next token").click()
    page.wait_for_function("!new URL(location).searchParams.has('feature')")
    page.wait_for_selector(".fs-aim-line .fs-tok :text('proposes'), .fs-aim-line .fs-tok:has-text('proposes')")
