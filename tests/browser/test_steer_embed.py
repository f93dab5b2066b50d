"""The steering embed in Chromium: in its frame, in a page of another site, and from a feature's page to there."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

from components.steer_view import SCALE
from tests.browser.test_embed import FEATURE, NASTY, SCROLLS, copied, post

PROMPT = "The old house was"
ADDRESS = f"/embed/steer?id={FEATURE}&strength=30"
FRAME = {"width": 540, "height": 420}
DONE = ".em-both:not(.working) section:last-child .t:not(.given)"


def texts(page) -> list[str]:
    """What both columns show after the prompt."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.em-both .fs-strip')].map(strip => {
             const tokens = [...strip.querySelectorAll('.t:not(.given)')]
             return tokens.map(t => t.textContent.replace(/↵ /g, '\\n')).join('')
           })"""
    )


def written(demo, prompt: str = PROMPT, strength: float = 30, **more) -> list[str]:
    """The same from the API."""
    body = {
        "modelId": "scribe-4l", "prompt": prompt, "features": [{"layer": "2-res", "index": "78", "strength": strength}],
    }  # fmt: skip
    found = demo.post("/api/steer", body | more).json()
    return [found["DEFAULT"], found["STEERED"]]


def slider(page):
    return page.get_by_label("range slider for Strength")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_its_frame_and_writes(look, demo, theme):
    page = look(ADDRESS, FRAME, theme, wait="#em-strength input")
    page.wait_for_selector("#em-result .fs-strip")
    assert not page.evaluate(SCROLLS)
    page.get_by_label("Prompt to go on from").fill(PROMPT)
    page.get_by_role("button", name="Write").click()
    page.wait_for_selector(DONE)
    assert texts(page) == written(demo)
    assert not page.evaluate(SCROLLS)
    assert page.locator(".em-both .given").first.inner_text() == "The"
    assert (
        page.get_by_role("button", name="Write").is_visible()
        and not page.get_by_role("button", name="Stop").is_visible()
    )


def test_tokens_are_coloured_by_what_steering_did_to_them(look, demo):
    page = look(f"{ADDRESS}&prompt={quote(PROMPT)}", FRAME, wait=DONE)
    body = {"modelId": "scribe-4l", "prompt": PROMPT, "features": [{"layer": "2-res", "index": "78", "strength": 30}]}
    tokens = demo.post("/api/steer", body).json()["steeredLogProbs"]
    changes = [one["logprob"] - one["otherLogprob"] for one in tokens]
    boxes = page.locator(".em-both section:last-child .t:not(.given)")
    seen = boxes.evaluate_all("all => all.map(t => [t.className, +t.style.getPropertyValue('--v')])")
    assert len(seen) == len(changes)
    for (classes, depth), change in zip(seen, changes, strict=True):
        assert depth == pytest.approx(min(1, abs(change) / SCALE), abs=0.021)
        if depth:
            assert ("neg" in classes.split()) is (change < 0)
    likelier, less = (max(range(len(changes)), key=lambda n, sign=sign: sign * changes[n]) for sign in (1, -1))

    def paint(n):
        return boxes.nth(n).evaluate("t => getComputedStyle(t).backgroundColor")

    assert paint(likelier) != paint(less)
    boxes.nth(likelier).hover()
    tip = page.locator("#em-tip").inner_text()
    assert f"change +{changes[likelier]:.3g} nats" in tip and "without steering" in tip and "likeliest here" in tip


def test_strength_0_changes_nothing(look):
    page = look(f"/embed/steer?id={FEATURE}&strength=0&prompt={quote(PROMPT)}", FRAME, wait=DONE)
    default, steered = texts(page)
    assert default == steered and default
    expect(page.locator(".em-both .t.on")).to_have_count(0)


def test_the_slider_says_multiples_and_writes_when_it_is_let_go(look, demo):
    page = look(f"{ADDRESS}&prompt={quote(PROMPT)}", FRAME, wait=DONE)
    maximum = demo.get(f"/api/feature/{FEATURE}").json()["maxActApprox"]

    def told():
        return float(page.locator(".em-strengths b").inner_text().split(" ×")[0].replace("−", "-"))

    assert told() == pytest.approx(30 / maximum, rel=0.005)
    first = texts(page)
    place = slider(page).bounding_box()
    page.mouse.move(place["x"] + place["width"] * 0.25, place["y"] + place["height"] / 2)
    page.mouse.down()
    now = float(slider(page).input_value())
    assert now < 0 and told() == pytest.approx(now / maximum, rel=0.005)
    page.mouse.up()
    page.wait_for_function("now => document.querySelector('.em-title').href.includes(now)", arg=quote(f"78:{now:g}"))
    page.wait_for_selector(DONE)
    assert texts(page) == written(demo, strength=now) and texts(page)[0] == first[0]
    slider(page).press("ArrowRight")
    further = float(slider(page).input_value())
    assert further > now and told() == pytest.approx(further / maximum, rel=0.005)


def test_a_stop_leaves_what_was_written(look, demo):
    page = look(f"{ADDRESS}&length=200", FRAME, wait="#em-strength input")
    page.get_by_label("Prompt to go on from").fill(PROMPT)
    whole = written(demo, n_tokens=200)[1]
    for stop in (lambda: page.get_by_role("button", name="Stop").click(), lambda: page.keyboard.press("Escape")):
        page.get_by_role("button", name="Write").click()
        page.wait_for_selector(".em-both.working section:last-child .t:not(.given)")
        stop()
        page.get_by_text("Stopped: what was written until then.").wait_for()
        assert page.get_by_role("button", name="Write").is_visible()
        _, steered = texts(page)
        assert steered and whole.startswith(steered.rstrip("\ufffd")) and len(steered) < len(whole)


def test_several_features(look):
    page = look(f"/embed/steer?id={FEATURE},2-res:787&strength=20,-30&prompt={quote(PROMPT)}", FRAME, wait=DONE)
    told = page.locator(".em-strengths b").all_inner_texts()
    assert told[0].startswith("20 · ") and told[1].startswith("−30 · −")
    slider_ = page.get_by_label("range slider for All strengths, times")
    expect(slider_).to_have_value("1")
    slider_.fill("0.5")
    assert [one.split(" ·")[0] for one in page.locator(".em-strengths b").all_inner_texts()] == ["10", "−15"]
    page.get_by_role("button", name="Write").click()
    page.wait_for_function("document.querySelector('.em-title').href.includes('2-res/78%3A10%2C2-res/787%3A-15')")
    page.wait_for_selector(DONE)


def test_the_link_leads_to_the_page_with_the_same_settings(look, demo):
    page = look(f"{ADDRESS}&prompt={quote(PROMPT)}&seed=5&length=12", FRAME, wait=DONE)
    own = texts(page)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open ↗").click()
    full = opened.value
    full.wait_for_selector(".fs-title")
    query = parse_qs(urlsplit(full.url).query)
    assert query == {
        "model": ["scribe-4l"], "features": ["2-res/78:30"], "prompt": [PROMPT], "seed": ["5"], "length": ["12"]
    }  # fmt: skip
    full.get_by_text("Seed 5, temperature 0.7").wait_for()
    steered = full.locator("[aria-label='Steered text'] .t:not(.given)").all_inner_texts()
    assert "".join(steered).replace("↵", "").split() == own[1].split()
    assert page.url.startswith(demo.url + "/embed/")


def test_what_is_wrong_is_told_in_the_block(look):
    page = look("/embed/steer", FRAME)
    assert "names no feature" in page.locator(".em-note").inner_text() and not page.evaluate(SCROLLS)
    page.get_by_label("Feature").fill("scribe-4l/2-res/99999")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("there is no 99999").wait_for()
    page.get_by_label("Feature").fill("2-res:78")
    page.get_by_label("Feature").press("Enter")
    field = page.get_by_label("Prompt to go on from")
    field.wait_for()
    for bad, says in (("", "empty"), ("word " * 600, "reads at most")):
        field.fill(bad)
        page.get_by_role("button", name="Write").click()
        page.locator(".em-note", has_text=says).wait_for()
        assert not page.evaluate(SCROLLS)
    page = look(f"/embed/steer?id={FEATURE}&strength=loud&prompt={quote(PROMPT)}", FRAME, wait=DONE)
    expect(page.locator(".em-note")).to_contain_text("“loud” is not")


@pytest.mark.parametrize(
    "size", [{"width": 390, "height": 420}, {"width": 320, "height": 300}, {"width": 900, "height": 260}]
)
def test_of_a_long_text_the_result_alone_scrolls(look, size):
    page = look(f"{ADDRESS}&prompt={quote(PROMPT)}&length=160", size, wait=DONE)
    scrolling = page.evaluate(SCROLLS)
    assert len(scrolling) == 1 and 'id="em-result"' in scrolling[0]
    assert page.get_by_role("button", name="Write").is_visible() and slider(page).is_visible()


@pytest.mark.parametrize(
    ("asked", "system", "dark"), [("light", "dark", False), ("", "dark", True)]
)
def test_the_theme_is_as_asked_or_as_the_readers_system(look, asked, system, dark):
    page = look(f"{ADDRESS}&prompt={quote(PROMPT)}&theme={asked}", FRAME, theme=system, wait=DONE)
    red = int(re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[0])
    assert (red < 60) is dark
    ink = page.evaluate("getComputedStyle(document.querySelector('.em-both h2')).color")
    assert (int(re.findall(r"\d+", ink)[0]) > 180) is dark


@pytest.mark.parametrize("bad", NASTY)
def test_nothing_in_an_address_or_a_prompt_runs(look, bad):
    for query, wait in (
        (f"id={quote(bad)}", ".em-note"),
        (
            f"id={FEATURE}&prompt={quote(bad)}&strength={quote(bad)}&method={quote(bad)}&theme={quote(bad)}&length=2",
            DONE,
        ),
    ):
        page = look(f"/embed/steer?{query}", FRAME, wait=wait)
        assert page.evaluate("window.hit") is None
        assert (
            page.locator("#em-result script, #em-result img, #em-result svg, #em-head img, #em-strength img").count()
            == 0
        )
    given = page.locator(".em-both section:first-child .given").all_inner_texts()
    assert "".join(given).strip() in bad or bad.endswith("".join(given).strip()[-8:])


# -- in a page of another site -----------------------------------------------------------------------------------------


def test_it_works_in_the_sample_post(chromium, demo, site):
    context = chromium.new_context(viewport={"width": 900, "height": 2200})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(site(post(demo)))
    embed = page.frame_locator("#steer iframe")
    embed.locator(DONE).first.wait_for()
    before = embed.locator(".em-both").inner_text()
    embed.get_by_label("Prompt to go on from").fill("My dear friend,")
    embed.get_by_role("button", name="Write").click()
    embed.locator(".em-both:not(.working) .given", has_text="friend").first.wait_for()
    assert embed.locator(".em-both").inner_text() != before
    with context.expect_page() as opened:
        embed.get_by_role("link", name="Open ↗").click()
    opened.value.wait_for_selector(".fs-title")
    assert parse_qs(urlsplit(opened.value.url).query)["prompt"] == ["My dear friend,"]
    context.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_a_strangers_task_from_a_feature_into_a_post(visit, chromium, demo, site, width):
    """By clicks and by copy and paste alone; the preview is what is then in the post."""
    there = visit(f"/feature?id={FEATURE}", width)
    page = there.page
    page.wait_for_selector("#root .fs-strip")
    page.get_by_role("button", name="Embed", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Steering").click()
    dialog.get_by_label("Prompt that is gone on from at once").fill(PROMPT)
    dialog.get_by_label("Strength").fill("25")
    preview = page.frame_locator("iframe[title=Preview]")
    preview.locator(DONE).first.wait_for()
    preview.locator(".em-title[href*='78%3A25']").wait_for()
    preview.locator(DONE).first.wait_for()
    shown = preview.locator(".em-both").inner_text()
    there.fits()
    html, markdown = copied(page, "iframe"), copied(page, "Markdown")
    assert 'width="540" height="420"' in html
    address = urlsplit(unescape(re.search(r'src="([^"]*)"', html)[1]))
    assert address.path.endswith("/embed/steer")
    assert parse_qs(address.query) == {"id": [FEATURE], "prompt": [PROMPT], "strength": ["25"]}
    target = urlsplit(re.fullmatch(r"\[.*\]\(([^()\s]*)\)", markdown)[1])
    assert target.path.endswith("/steer")
    assert parse_qs(target.query) == {"model": ["scribe-4l"], "features": ["2-res/78:25"], "prompt": [PROMPT]}

    mine = chromium.fresh(viewport={"width": 700, "height": 700}).new_page()
    mine.goto(site(f"<!doctype html><h1>My post</h1>{html}"))
    embed = mine.frame_locator("iframe")
    embed.locator(DONE).first.wait_for(timeout=60_000)
    assert embed.locator(".em-both").inner_text() == shown
    embed.get_by_label("Prompt to go on from").fill("My mother and")
    embed.get_by_role("button", name="Write").click()
    embed.locator(".em-both:not(.working) .given", has_text="mother").first.wait_for()
    mine.close()
