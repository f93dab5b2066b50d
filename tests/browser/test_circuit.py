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

    # its own page: which features make it look from “PEP” at “proposes”, and what they have it copy
    heads.nth(best.index("proposes")).locator("a.fs-way").click()
    page.wait_for_function("location.pathname === '/head'")
    page.wait_for_selector(".fs-pattern", timeout=280_000)
    page.locator(".st-key-fs-head-active .fs-pill", has_text="proposes").click(timeout=280_000)
    page.wait_for_function("new URL(location).searchParams.get('attended') === '3'")
    page.wait_for_selector(".st-key-fs-head-active .fs-aim-line .fs-tok:has-text('proposes')")
    there.fits()
    tokens = page.locator(".st-key-fs-head-active .fs-aim-line .fs-tok").all_text_contents()
    assert "PEP" in tokens[0] and "proposes" in tokens[1], tokens
    sums = page.locator(".st-key-fs-head-active [data-check]").all_text_contents()
    assert len(sums) == 3 and all(text.endswith("✓") for text in sums), sums
    assert page.locator(".st-key-fs-head-active .fs-side tr").count() > 9, "features at work"
    page.go_back()
    page.wait_for_function("!new URL(location).searchParams.has('attended')")
    page.go_back()
    page.wait_for_function("location.pathname === '/circuit'")
    settled(page)

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
