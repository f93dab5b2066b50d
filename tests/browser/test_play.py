"""Explanations by people, and play: written, voted for, undone; three rounds that tell nothing before the answer."""

from __future__ import annotations

import re

from playwright.sync_api import expect

FEATURE = "/feature?id=scribe-4l/2-res/78"
ANSWER = "That is my answer"


def test_three_rounds(visit):
    """Nobody is told anything before the answer; each answer is kept, and back leads to it."""
    page = visit("/play?seed=1&kind=predict").page
    seen = []
    for kind in ("predict", "odd", "name"):
        if kind != "predict":
            page.goto(re.sub(r"/play.*", f"/play?seed=1&kind={kind}", page.url))
        page.get_by_role("button", name=ANSWER).wait_for(timeout=240_000)  # the first round loads the model
        assert f"round={kind}" in page.url
        texts = page.locator(".st-key-fs-play-form .fs-strip")
        assert texts.count() == (4 if kind == "odd" else 6)
        expect(page.locator(".st-key-fs-play-form .t.on"), "no activation of what is asked about").to_have_count(0)
        expect(page.get_by_text("What others say"), "nor what anybody says").to_have_count(0)
        expect(page.get_by_role("button", name="thumb_up")).to_have_count(0)
        if kind == "predict":
            first = page.locator(".st-key-fs-play-form").get_by_text("fires", exact=True).first
            first.click()
        if kind == "name":
            page.get_by_label("What have they in common?").fill("an idea | another idea")
        page.get_by_role("button", name=ANSWER).click()
        page.locator(".fs-play-points").wait_for()
        said = page.locator(".fs-play-points").inner_text()
        counts = [int(n) for n in re.findall(r"(\d+) (?:right|wrong|unsure)", said)]
        assert counts == ([0, 0, 1] if kind == "odd" else [0, 0, 6]) or (kind == "predict" and counts[2] == 5)
        page.get_by_text("What others say").wait_for()
        seen.append((page.url, said))
    expect(page.get_by_label("Your words: make them better")).to_have_value("an idea | another idea")
    page.goto(seen[0][0])
    page.locator(".fs-play-points").wait_for()
    assert page.locator(".fs-play-points").inner_text() == seen[0][1], "it was kept"
    expect(page.get_by_role("button", name=ANSWER), "and is not asked again").to_have_count(0)
    page.get_by_role("link", name="Leaderboards").click()
    page.locator(".fs-board").first.wait_for()
    assert page.locator(".fs-board tbody tr").first.locator("td").nth(3).inner_text() == "3"


def test_written_voted_for_and_undone(visit):
    """In the round's own part, which is the feature page's, too."""
    page = visit("/play?seed=2&kind=odd").page
    page.get_by_role("button", name=ANSWER).click(timeout=240_000)
    page.locator(".fs-play-points").wait_for()
    said = "words that no program would write"
    page.get_by_label("Say what it means").fill(f"{said} | <b>others</b>")
    page.get_by_role("button", name="Say it", exact=True).click()
    mine = page.locator('[class*="st-key-fs-play-said-"]').filter(has_text=said)
    mine.wait_for()
    assert mine.locator(".stHtml p").inner_text() == f"{said} | <b>others</b>"
    mine.get_by_role("button", name="thumb_up").click()
    mine.get_by_text("1 · you").first.wait_for()
    mine.get_by_role("button", name="thumb_down").click()
    mine.locator('[class*="st-key-fs-pressed--1"]').first.wait_for()
    mine.get_by_role("button", name="thumb_down").click()
    mine.locator('[class*="st-key-fs-pressed-"]').first.wait_for(state="detached")
    page.get_by_label("Say what it means").fill("OTHERS; words no program would write that!")
    page.get_by_role("button", name="Say it", exact=True).click()
    page.get_by_role("button", name="Vote for it").click()
    mine.get_by_text("1 · you").first.wait_for()
    expect(page.locator('[class*="st-key-fs-play-said-"]').filter(has_text="program would write")).to_have_count(1)
    page.get_by_role("button", name="it is a mess").click()
    page.get_by_role("button", name="it is a mess · 1").wait_for()
    page.locator("h2", has_text="What others say").get_by_role("link").click()
    scored = page.locator(".fs-means-first, .fs-means-more").filter(has_text=said).locator(".fs-score")
    scored.filter(has_text="embedding").filter(has_text="other").wait_for(timeout=240_000)  # a moment later, by itself


def test_play_on_a_small_screen_in_the_dark(visit):
    narrow = visit("/play?view=advanced", width=390, theme="dark")
    narrow.page.get_by_text("What play teaches").wait_for()
    narrow.fits()
    bad = visit("/play?round=nonsense", width=390)
    expect(bad.page.locator(".fs-note").first).to_contain_text("is no round")
