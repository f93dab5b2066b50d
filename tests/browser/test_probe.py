"""A probe is trained on pasted texts, read beside chance, tested on a sentence, and found again."""

from __future__ import annotations

import re

CODE = ["def main(argv):", "    return self.items[index]", "import os, sys", "for key, value in items:", "x = len(y)"]
PROSE = [
    "The old house stood there.",
    "My mother came home.",
    "He said nothing.",
    "It was cold.",
    "<b>They</b> walked.",
]


def test_trained_read_and_tested(visit):
    there = visit("/probe?model=scribe-4l")
    page = there.page
    page.get_by_label("Texts that have it").fill("\n".join(CODE[:3]))
    page.get_by_label("Texts that do not").fill("\n".join(PROSE))
    page.get_by_label("Name").fill("code")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_text("There are 3 different positive texts: give 4 to 500").wait_for(timeout=90_000)
    page.get_by_label("Texts that have it").fill("\n".join(CODE))
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"/probe\?id=scribe-4l"), timeout=90_000)
    page.wait_for_selector(".fs-auc")
    assert page.locator(".fs-title").inner_text() == "code"
    figures = page.locator(".fs-stats b").all_inner_texts()
    assert 0.5 < float(figures[0]) <= 1 and 0 < float(figures[2]) < 1
    page.locator(".fs-probed p").nth(len(CODE) + len(PROSE) - 1).wait_for(state="attached")
    texts = page.locator(".fs-probed p").all_inner_texts()
    assert sorted(texts) == sorted(text.strip() for text in [*CODE, *PROSE]), "also what looks like a tag is a text"
    page.get_by_label("Test it on a text of your own").fill("def add(a, b):")
    page.keyboard.press("Enter")
    page.locator(".st-key-fs-probe-test .fs-strip .t.on").first.wait_for()
    assert re.search(r"boundary .*: has", page.locator(".st-key-fs-probe-test").inner_text())
    there.fits()
    page.get_by_role("link", name="probes").click()
    page.get_by_role("link", name="code", exact=True).wait_for()


def test_no_probe_of_that_name_on_a_small_screen(visit):
    there = visit("/probe?id=scribe-4l/2-vectors-resid-post/1", width=390, theme="dark")
    there.page.get_by_text("There is no direction").or_(there.page.get_by_text("There is no probe")).first.wait_for()
    there.fits()
