"""A sentence is searched, tokens are chosen, the link is sent: in Chromium, wide and narrow, by mouse and keyboard."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import at_rest

SENTENCE = "My mother and her father were born in France."
COLOURS = {"white", "black", "blue", "green", "brown", "yellow", "grey", "gray", "dark", "purple", "scarlet"}


def query(page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def names(page) -> list[tuple[str, str]]:
    """Every hit's name and place."""
    return page.evaluate(
        "[...document.querySelectorAll('article.fs-hit')].map(a => "
        "[a.querySelector('.fs-hit-name').textContent, a.querySelector('.fs-where').textContent])"
    )


def settled(page) -> None:
    """The hits of the address are drawn."""
    page.wait_for_selector("article.fs-hit")
    page.wait_for_function(
        """() => { const n = (new URL(location).searchParams.get('tokens') ?? '').split(',').filter(Boolean).length
               return document.querySelectorAll('.fs-choose a[aria-pressed=true]').length === n
                   && (n ? document.querySelector('.fs-chosen').textContent.includes(n + ' chosen') : true) }"""
    )
    at_rest(page)


def token(page, text: str):
    return page.locator(".fs-choose a.t", has_text=text).first


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_sentence_a_token_a_link(visit, width, theme):
    there = visit("/", width, theme)
    page = there.page
    page.get_by_label("A sentence of your own").fill(SENTENCE)
    page.get_by_role("button", name="Search features").click()
    page.wait_for_url("**/search?**")
    page.wait_for_selector(".fs-choose a.t")  # the page stands before the model has read the text
    settled(page)
    there.fits()
    every = names(page)
    assert len(every) == 25
    expect(page.locator("#fs-text")).to_have_value(SENTENCE)

    place = page.evaluate("document.querySelector('.fs-hits').getBoundingClientRect().top")
    token(page, "mother").click()
    settled(page)
    there.fits()
    chosen = names(page)
    assert chosen != every
    assert query(page)["tokens"] == "2"
    assert page.evaluate("document.querySelector('.fs-hits').getBoundingClientRect().top") == place, "the page jumped"

    token(page, "father").click()
    token(page, "born").click()  # before the page has been drawn again
    settled(page)
    assert query(page)["tokens"] == "2,5,7"
    page.get_by_role("button", name="Sum", exact=True).click()
    page.wait_for_selector(".fs-hit-nums .by >> text=sum")
    page.get_by_role("button", name="Fraction of maximum").click()
    page.wait_for_function("new URL(location).searchParams.get('sort') === 'fraction'")
    page.get_by_role("button", name="By token").click()
    page.wait_for_selector(".fs-by")
    settled(page)
    there.fits()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied ✓").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")

    friend = visit(link.removeprefix(there.base), width, theme)
    settled(friend.page)
    friend.fits()
    assert names(friend.page) == names(page)
    assert query(friend.page) == query(page)
    friend.page.reload()
    settled(friend.page)
    assert names(friend.page) == names(page)

    token(page, "mother").click()
    settled(page)
    assert query(page)["tokens"] == "5,7"
    name = page.locator(".fs-hit-name").first
    wanted = parse_qs(urlsplit(name.get_attribute("href")).query)["id"][0]
    name.click()
    page.wait_for_selector(".results .row")
    assert query(page) == {"id": wanted, "defaulttesttext": SENTENCE}
    page.go_back()
    settled(page)
    assert query(page)["tokens"] == "5,7"


def test_choosing_by_keyboard(visit):
    there = visit(f"/search?text={SENTENCE}")
    page = there.page
    settled(page)
    page.locator("#token-1").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settled(page)
    assert query(page)["tokens"] == "2"
    assert page.evaluate("document.activeElement.id") == "token-2"
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press(" ")
    settled(page)
    assert query(page)["tokens"] == "2,9"
    page.locator("#token-9").focus()
    tip = page.locator("#fs-tip")
    tip.wait_for()
    expect(tip).to_contain_text("position 9")


PLACE = (
    "document.querySelector('.fs-hits').getBoundingClientRect().top"
    " + document.querySelector('[data-testid=stMain]').scrollTop"
)


def ticked(page) -> list[str]:
    """Where the ticked hits are, in the order of the page."""
    return page.evaluate(
        "[...document.querySelectorAll('.fs-tick[aria-checked=true]')]"
        ".map(t => t.closest('article, tr').querySelector('.fs-where').textContent)"
    )


def test_features_are_picked_and_stay_picked(visit):
    there = visit(f"/search?text={SENTENCE}", 390, "dark")
    page = there.page
    settled(page)
    every = [where for _, where in names(page)]
    ticks = page.locator("article.fs-hit").get_by_role("checkbox")
    place = page.evaluate(PLACE)
    ticks.nth(0).click()
    ticks.nth(2).click()  # before the page has been drawn again
    page.get_by_text("2 selected").wait_for()
    settled(page)
    assert ticked(page) == [every[0], every[2]]
    assert page.evaluate(PLACE) == place, "the page jumped"
    there.fits()

    page.get_by_role("link", name="Next →").click()
    page.wait_for_function("document.querySelector('.fs-count').textContent.startsWith('26 to 50')")
    assert ticked(page) == []
    page.get_by_text("2 selected").wait_for()
    on_second = names(page)[1][1]
    ticks.nth(1).focus()
    page.keyboard.press(" ")
    page.get_by_text("3 selected").wait_for()
    assert query(page)["page"] == "2", "it stays on its page"
    page.wait_for_function("document.activeElement.getAttribute('role') === 'checkbox'")
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Select ")
    chosen = [every[0], every[2], on_second]

    page.locator("#fs-text").fill("Her mother wrote a letter to London.")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.fs-choose')?.textContent.startsWith('Her')")
    settled(page)
    page.get_by_text("3 selected").wait_for()
    page.get_by_role("button", name="Copy ids").click()
    page.get_by_role("button", name="Copied ✓").wait_for()
    ids = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert [" · ".join(one.split("/")[1:]) for one in ids] == chosen

    page.get_by_role("link", name="As a table").click()
    page.wait_for_selector(".fs-picked .fs-strip")
    there.fits()
    assert page.locator(".fs-picked .fs-where").all_inner_texts() == chosen
    assert page.locator(".fs-picked .fs-strip").first.inner_text() == "Her mother wrote a letter to London."
    friend = visit(page.url.removeprefix(there.base), 390, "dark")
    friend.page.wait_for_selector(".fs-picked .fs-strip")
    assert ticked(friend.page) == chosen
    page.locator(".fs-picked").get_by_role("checkbox").nth(1).click()
    page.wait_for_function("document.querySelectorAll('.fs-picked tbody tr').length === 2")
    page.get_by_role("link", name="Clear").click()
    page.get_by_text("Nothing is selected").wait_for()
    assert "picked" not in query(page)


def test_sources_layers_and_the_table(visit, demo):
    sources = demo.get("/api/catalog").json()["sources"]
    there = visit(f"/search?text={SENTENCE}")
    page = there.page
    settled(page)
    page.get_by_role("button", name="MLP neurons").click()
    neurons = [s["sourceId"] for s in sources if s["kind"] == "neurons"]
    page.wait_for_function("new URL(location).searchParams.has('sources')")
    assert sorted(query(page)["sources"].split(",")) == sorted(neurons)
    page.wait_for_function(
        "ids => [...document.querySelectorAll('.fs-where')].every(e => ids.includes(e.textContent.split(' ')[0]))",
        arg=neurons,
    )
    page.get_by_role("button", name="MLP neurons").click()
    page.wait_for_function("!new URL(location).searchParams.has('sources')")
    settled(page)
    cell = page.locator("a.fs-own-cell").first
    count = int(cell.inner_text())
    wanted = parse_qs(urlsplit(cell.get_attribute("href")).query)["sources"][0]
    cell.click()
    page.wait_for_function("id => new URL(location).searchParams.get('sources') === id", arg=wanted)
    page.wait_for_function(
        "id => [...document.querySelectorAll('.fs-where')].every(e => e.textContent.split(' ')[0] === id)", arg=wanted
    )
    settled(page)
    expect(page.locator(".fs-own")).to_have_count(count)
    page.get_by_role("link", name="Next →").click()
    page.wait_for_function("document.querySelector('.fs-count')?.textContent.startsWith('26 to')")


def test_an_example_is_one_click(visit):
    there = visit("/search", 390)
    page = there.page
    there.fits()
    first = page.locator(".fs-saying").first
    text = first.inner_text()
    first.click()
    settled(page)
    there.fits()
    assert query(page)["text"] == text


def test_the_model_loads_while_a_sentence_is_typed_and_the_sentence_stays(visit):
    there = visit("/search")
    page = there.page
    page.locator("#fs-text").press_sequentially("The quick brown fox", delay=60)
    page.wait_for_timeout(1500)  # meanwhile the model loads
    expect(page.locator("#fs-text")).to_have_value("The quick brown fox")
    page.keyboard.press("Enter")
    settled(page)
    assert query(page)["text"] == "The quick brown fox"


def test_one_can_leave_while_it_is_at_work(visit):
    there = visit("/search?text=One leaves before it is done, and nothing holds one up.")
    there.page.get_by_role("link", name="Glossary").click()
    there.page.wait_for_selector("h1:has-text('Glossary')")


def test_a_stranger_finds_the_feature_for_a_colour(visit):
    """From the bare word, then from a sentence with the token chosen; told from the letters inside other words."""
    there = visit("/search")
    page = there.page
    page.locator("#fs-text").fill("red")
    page.keyboard.press("Enter")
    settled(page)
    page.locator("#fs-text").fill("She wore a red silk dress, and the men looked tired and bored.")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.fs-choose a.t').length > 10")
    token(page, " red").click()
    settled(page)
    hits = names(page)
    found = next((n for n, (name, _) in enumerate(hits[:10]) if set(name.split(" · ")) & COLOURS), None)
    assert found is not None, hits
    card = page.locator("article.fs-hit").nth(found)
    assert card.locator(".fs-strip .t.m").inner_text().strip() == "red"
    lit = {text.strip() for text in card.locator(".fs-strip .t.on").all_inner_texts()}
    assert not lit & {"ired", "ored", "tired", "bored"}, lit
