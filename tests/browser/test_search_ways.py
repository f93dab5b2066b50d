"""From a sentence to its tokens, to a second text, to the scan of a word: in Chromium, wide and narrow."""

from __future__ import annotations

from tests.browser.test_search import query, settled

SENTENCE = "My mother and her father were born in France."
OTHER = "My father and his mother were born in France."


def test_tokens_two_texts_and_a_scan(visit):
    there = visit(f"/search?text={SENTENCE}")
    page = there.page
    settled(page)
    page.get_by_role("link", name="Token by token").click()
    page.wait_for_selector(".fs-bytoken tr")
    there.fits()
    assert query(page) == {"model": query(page)["model"], "text": SENTENCE, "view": "token"}
    assert page.locator(".fs-bytoken tr").count() == page.locator(".fs-choose a.t").count()
    page.locator(".fs-choose a.t", has_text="mother").first.click()
    page.wait_for_function("document.querySelectorAll('.fs-bytoken tr').length === 1")
    page.get_by_role("link", name="density", exact=True).click()
    page.wait_for_selector("th[aria-sort=ascending]")

    page.get_by_role("link", name="Two texts").click()
    page.locator("#fs-against").fill(OTHER)
    page.keyboard.press("Enter")
    page.wait_for_selector("article.fs-versus-one")
    there.fits()
    assert query(page)["against"] == OTHER
    strips = page.locator("article.fs-versus-one").first.locator(".fs-strip").all_inner_texts()
    assert strips == [SENTENCE, OTHER]

    page.goto(f"{there.base}/search?text={SENTENCE}&tokens=2")
    settled(page)
    page.locator("a[href^='/scan']").first.click()
    page.wait_for_selector(".fs-heat td.slot")
    assert query(page)["sentence"] == SENTENCE.replace("mother", "{}")
    page.locator("#fs-words").fill("mother, father, house")
    page.get_by_role("button", name="Scan", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.fs-heat tbody tr').length === 3")
    there.fits()
    page.get_by_role("button", name="At the word").click()
    page.wait_for_function("new URL(location).searchParams.get('order') === 'slot'")
    page.wait_for_function("document.querySelectorAll('.fs-heat tbody tr').length === 3")
    link = page.url
    friend = visit(link.removeprefix(there.base))
    friend.page.wait_for_selector(".fs-heat td.slot")
    assert (
        friend.page.locator(".fs-heat td.slot").all_inner_texts() == page.locator(".fs-heat td.slot").all_inner_texts()
    )
