"""Embeds in Chromium: in the frame that they are made for, in a page of another site, and from the dialog to there."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import FRAME, until
from tests.live import ROOT, Server

FEATURE = "scribe-4l/2-res/78"
TEXT = "My mother and her father met the king."
OTHER = "The brother of my mother."
NASTY = [
    "<script>window.hit=1</script>\"><img src=x onerror=window.hit=1></textarea><svg onload=window.hit=1>",
    "javascript:window.hit=1//${window.hit=1}{{constructor.constructor('window.hit=1')()}}",
]
SCROLLS = """() => {
  const found = [...document.querySelectorAll('body, body *')].filter(e => {
    const { overflowX, overflowY } = getComputedStyle(e), can = value => value === 'auto' || value === 'scroll'
    return e.tagName !== 'TEXTAREA' && ((can(overflowY) && e.scrollHeight > e.clientHeight + 1)
      || (can(overflowX) && e.scrollWidth > e.clientWidth + 1))
  }).map(e => e.outerHTML.slice(0, 90))
  const whole = document.documentElement
  return whole.scrollHeight > innerHeight || whole.scrollWidth > innerWidth ? [...found, 'page'] : found
}"""
"""What can be scrolled, and has something to scroll to."""


# -- the tester ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tester_fits_its_frame_and_tests(look, demo, theme):
    page = look(f"/embed/tester?id={FEATURE}", theme=theme)
    assert not page.evaluate(SCROLLS)
    page.get_by_label("Text to test on this feature").fill(TEXT)
    page.get_by_role("button", name="Test").click()
    page.wait_for_selector(".em-max")
    assert not page.evaluate(SCROLLS)
    body = {"feature": {"modelId": "scribe-4l", "source": "2-res", "index": "78"}, "customText": TEXT}
    found = demo.post("/api/activation/new", body).json()
    lit = [token for token, value in zip(found["tokens"], found["values"], strict=True) if value > 0]
    strip = page.locator("#em-result .fs-strip").first
    assert strip.locator(".t.on").all_inner_texts() == lit
    assert strip.inner_text() == TEXT
    expect(page.locator(".em-max")).to_contain_text(f"max {found['maxValue']:.2f}")
    strip.locator(".t.m").hover()
    expect(page.locator("#em-tip")).to_contain_text(f"value {found['maxValue']:.2f}")
    assert not page.evaluate(SCROLLS)


def test_enter_tests_and_the_link_takes_the_text_along(look, demo):
    page = look(f"/embed/tester?id={FEATURE}&text={quote(TEXT)}", wait=".em-max")
    field = page.get_by_label("Text to test on this feature")
    expect(field).to_have_value(TEXT)
    first = page.locator(".em-max").inner_text()
    field.fill(OTHER)
    field.press("Enter")
    page.wait_for_function("before => document.querySelector('.em-max')?.innerText !== before", arg=first)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open ↗").click()
    full = opened.value
    full.wait_for_selector(".fs-crumbs")
    assert parse_qs(urlsplit(full.url).query) == {"id": [FEATURE], "defaulttesttext": [OTHER]}
    assert page.url.startswith(demo.url + "/embed/"), "the frame stays where it is"


@pytest.mark.parametrize("size", [FRAME, {"width": 320, "height": 300}, {"width": 900, "height": 200}])
def test_of_a_long_text_the_result_alone_scrolls(look, size):
    page = look(f"/embed/tester?id={FEATURE}&text={quote('My mother and her father. ' * 25)}", size, wait=".em-max")
    scrolling = page.evaluate(SCROLLS)
    assert len(scrolling) == 1 and 'id="em-result"' in scrolling[0]
    assert page.get_by_role("button", name="Test").is_visible()


@pytest.mark.parametrize(
    ("asked", "system", "dark"),
    [
        ("dark", "light", True),
        ("", "light", False),
        ("blue", "dark", True),
    ],
)
def test_the_theme_is_as_asked_or_as_the_readers_system(look, asked, system, dark):
    page = look(f"/embed/tester?id={FEATURE}&theme={asked}", theme=system)
    red = int(re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[0])
    assert (red < 60) is dark
    ink = page.evaluate("getComputedStyle(document.querySelector('.em-title')).color")
    assert (int(re.findall(r"\d+", ink)[0]) > 180) is dark


def test_it_is_light(chromium, demo):
    """What comes over the wire for a first visit, in KiB; a page of the workbench takes ten times as much."""
    context = chromium.fresh(viewport=FRAME)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"] / 1024))
    page.goto(f"{demo.url}/embed/tester?id={FEATURE}")
    page.wait_for_selector("#em-result .fs-strip", timeout=60_000)
    context.close()
    assert 20 < sum(sizes) < 400


def test_no_feature_an_unknown_one_and_a_bad_text_are_told_in_the_block(look):
    page = look("/embed/tester")
    expect(page.locator(".em-note")).to_contain_text("names no feature")
    assert not page.evaluate(SCROLLS)
    page.get_by_label("Feature").fill("nobody/1-x/2")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="No such feature").wait_for()
    expect(page.locator(".em-note")).to_contain_text("is not here")
    assert not page.evaluate(SCROLLS)
    page.get_by_label("Feature").fill("2-res:78")
    page.get_by_label("Feature").press("Enter")
    field = page.get_by_label("Text to test on this feature")
    field.wait_for()
    assert not page.get_by_label("Feature", exact=True).is_visible()
    field.fill("  ")
    field.press("Enter")
    page.get_by_text("is empty").wait_for()
    assert not page.evaluate(SCROLLS)


def test_the_endpoints_are_described(look):
    page = look("/embed/tester/?view=api", {"width": 1000, "height": 800}, wait=".api-docs")
    described = page.locator(".api-docs")
    page.wait_for_function("document.querySelector('.api-docs').innerText.includes('/embed/tester/gradio_api/mcp/')")
    for said in ("one feature's value at every token", "Says what a feature is"):
        assert said in described.inner_text()
    described.get_by_text("Python", exact=True).click()
    for said in ("/test", "/feature"):
        page.wait_for_function(f"document.querySelector('.api-docs').innerText.includes('api_name=\"{said}\"')")


@pytest.mark.parametrize("bad", NASTY)
def test_nothing_in_an_address_or_a_text_runs(look, bad):
    for query in (f"id={quote(bad)}", f"id={FEATURE}&text={quote(bad)}&theme={quote(bad)}&x={quote(bad)}"):
        page = look(f"/embed/tester?{query}", wait="#em-result :is(.em-max, .em-note)")
        assert page.evaluate("window.hit") is None
        expect(page.locator("#em-result script, #em-result img, #em-result svg, #em-head img")).to_have_count(0)
    assert page.locator("#em-result .fs-strip").first.inner_text() == bad


# -- the embedded page -------------------------------------------------------------------------------------------------


def test_the_embedded_page_has_no_way_on_and_every_link_opens_a_tab(look, demo):
    page = look(f"/feature?id={FEATURE}&embed=true&defaulttesttext={quote(TEXT)}", wait=".results .row")
    for around in ("[data-testid=stHeader] a", ".fs-foot", ".fs-crumbs", "[data-testid=stTopNavLink]", "form[data-go]"):
        assert not page.locator(around).count(), around
    assert page.locator(".results .max").first.inner_text().startswith("max 15.8")
    address = page.url
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open ↗").click()
    opened.value.wait_for_selector(".fs-crumbs")
    assert page.url == address
    page.locator("textarea").fill(OTHER)
    page.get_by_role("button", name="Test", exact=True).click()
    page.wait_for_function("new URL(location).searchParams.get('defaulttesttext').startsWith('The brother')")
    assert parse_qs(urlsplit(page.url).query)["embed"] == ["true"], "still an embed after its own change of the address"


def test_a_linked_text_is_tested_also_where_the_model_is_not_loaded_yet(chromium, tiny_root):
    with Server(tiny_root) as cold:
        page = chromium.fresh(viewport=FRAME).new_page()
        page.goto(f"{cold.url}/feature?id=tiny/1-res/3&embed=true&defaulttesttext=Paris")
        page.locator(".results .row").wait_for(timeout=60_000)
        page.close()


@pytest.mark.parametrize(
    ("asked", "system", "dark"), [("light", "dark", False), ("", "dark", True)]
)
def test_the_embedded_page_has_the_theme_asked_for(look, asked, system, dark):
    page = look(f"/feature?id={FEATURE}&embed=true&theme={asked}", theme=system, wait="#root .fs-strip")
    red = int(
        re.findall(r"\d+", page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor"))[0]
    )
    assert (red < 60) is dark


def test_toggles_in_the_browser(look):
    off = "&embedplots=false&embedtest=false&embedactivations=false&embedexplanation=false"
    page = look(f"/feature?id={FEATURE}&embed=true{off}&embedlink=true", wait=".fs-embed-head")
    page.wait_for_selector(".fs-note")
    expect(page.locator("h1, textarea, .fs-hist, .fs-stats, #root .fs-strip")).to_have_count(0)
    expect(page.get_by_role("link", name="Open ↗")).to_have_count(1)
    page = look(
        f"/feature?id={FEATURE}&embed=true&embedtestfield=false&defaulttesttext={quote(TEXT)}", wait=".results .row"
    )
    expect(page.locator("textarea")).to_have_count(0)
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)


@pytest.mark.parametrize("bad", NASTY)
def test_nothing_in_the_address_of_an_embedded_page_runs(look, bad):
    names = ("defaulttesttext", "theme", "embedplots", "show", "kept", "jump", "near")
    query = "&".join(f"{name}={quote(bad)}" for name in names[:5])
    page = look(f"/feature?id={FEATURE}&embed=true&{query}", wait=".results .row")
    assert page.evaluate("window.hit") is None
    page = look(f"/feature?embed=true&id={quote(bad)}", wait=".fs-note")
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize(
    "path", ["/feature?embed=true&jump=scribe-4l/2-res", "/search?embed=true&text=x", "/?embed=true"]
)
def test_no_other_page_is_shown_with_embed_wherever_it_leads(look, path):
    page = look(path, wait=".fs-note")
    page.get_by_role("heading", name="This page is not for embedding").wait_for()
    expect(page.locator(".fs-table, form, textarea")).to_have_count(0)


# -- in a page of another site -----------------------------------------------------------------------------------------


def post(demo: Server) -> str:
    """The sample post, pointed at this server."""
    html = (ROOT / "docs" / "post.html").read_text(encoding="utf-8")
    assert html.count("http://127.0.0.1:8501/") == 4
    return html.replace("http://127.0.0.1:8501", demo.url)


@pytest.mark.parametrize("from_disk", [False, True])
def test_the_sample_post_works(chromium, demo, site, tmp_path, from_disk):
    """With real clicks, in a page of another site and in a file from a disk."""
    address = site(post(demo))
    if from_disk:
        address = (tmp_path / "post.html").as_uri()
    context = chromium.new_context(viewport={"width": 900, "height": 1500})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    tester = page.frame_locator("#tester iframe")
    tester.locator(".em-max").wait_for()
    first = tester.locator(".em-max").inner_text()
    assert first.startswith("max 15.8")
    tester.get_by_label("Text to test on this feature").fill("Nothing of the kind.")
    tester.get_by_role("button", name="Test").click()
    tester.get_by_text("not active on this text").wait_for()
    feature = page.frame_locator("#feature iframe")
    feature.locator("#root .fs-strip").first.wait_for()
    expect(feature.locator("textarea, .fs-stats")).to_have_count(0)
    feature.get_by_role("button", name="Raw top").click()
    feature.locator("button[aria-pressed=true]", has_text="Raw top").wait_for()
    with context.expect_page() as opened:
        feature.get_by_role("link", name="Open ↗").click()
    opened.value.wait_for_selector(".fs-crumbs")
    context.close()


@pytest.mark.parametrize("path", ["/", f"/feature?id={FEATURE}", "/search?embed=true", "/api/docs"])
def test_a_stranger_cannot_frame_anything_else(chromium, demo, site, path):
    page = chromium.fresh().new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text) if "frame-ancestors" in message.text else None)
    page.goto(site(f'<iframe src="{demo.url}{path}"></iframe>'))
    until(page, lambda: refused)
    page.close()
    assert "'none'" in refused[0]


def test_whom_the_settings_name_can(chromium, site, tmp_path, tiny_root):
    address = site("x")
    named = Server(tiny_root)
    named._environment["FRAME_ANCESTORS"] = f"https://blog.example http://{urlsplit(address).netloc}"
    with named:
        page = chromium.fresh().new_page()
        page.goto(site(f'<iframe src="{named.url}/"></iframe>'))
        page.frame_locator("iframe").locator(".fs-title").wait_for(timeout=60_000)
        page.close()


# -- from the feature's page into a post -------------------------------------------------------------------------------


def copied(page, what: str) -> str:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=f"Copy {what}").click()
    dialog.get_by_role("button", name="Copied ✓").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    dialog.get_by_role("button", name=f"Copy {what}").wait_for()
    return text


@pytest.mark.parametrize("width", [1440, 390])
def test_a_strangers_task_from_a_feature_into_a_post(visit, chromium, demo, site, width):
    """By clicks and by copy and paste alone; the preview is what is then in the post."""
    there = visit(f"/feature?id={FEATURE}&defaulttesttext={quote(TEXT)}", width)
    page = there.page
    page.wait_for_selector(".results .row")
    page.get_by_role("button", name="Embed", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Tester").click()
    preview = page.frame_locator("iframe[title=Preview]")
    preview.locator(".em-max").wait_for()
    shown = preview.locator(".em-max").inner_text()
    there.fits()
    html = copied(page, "iframe")
    assert re.fullmatch(
        r'<iframe src="[^"<>]*" title="[^"<>]*" width="540" height="300" style="[^"<>]*" loading="lazy"></iframe>', html
    )
    page.keyboard.press("Escape")
    assert not dialog.is_visible()

    post = chromium.fresh(viewport={"width": 700, "height": 600}).new_page()
    post.goto(site(f"<!doctype html><h1>My post</h1>{html}"))
    embed = post.frame_locator("iframe")
    embed.locator(".em-max").wait_for(timeout=60_000)
    assert embed.locator(".em-max").inner_text() == shown
    embed.get_by_label("Text to test on this feature").fill(OTHER)
    embed.get_by_role("button", name="Test").click()
    embed.locator("#em-result .fs-strip", has_text=OTHER).wait_for()
    post.close()


def test_the_dialog_says_what_is_chosen_in_all_three_ways(visit, demo):
    page = visit(f"/feature?id={FEATURE}").page
    page.wait_for_selector("#root .fs-strip")
    page.get_by_role("button", name="Embed", exact=True).click()
    dialog = page.get_by_role("dialog")
    text = """A "b" <i> & c' #1 100 % é🙂 [x](y)"""
    dialog.get_by_label("Text that is tested at once").fill(text)
    dialog.get_by_label("Numbers and plots").uncheck()
    dialog.get_by_label("Link to the feature’s page").uncheck()
    dialog.get_by_label("Theme").select_option("dark")
    dialog.get_by_label("Width").fill("700")
    dialog.get_by_label("Height").fill("420")
    html, markdown, link = (copied(page, what) for what in ("iframe", "Markdown", "link"))

    address = urlsplit(link)
    assert f"{address.scheme}://{address.netloc}{address.path}" == demo.url + "/feature"
    assert parse_qs(address.query) == {
        "id": [FEATURE], "embed": ["true"], "embedplots": ["false"], "embedlink": ["false"],
        "defaulttesttext": [text], "theme": ["dark"],
    }  # fmt: skip
    assert 'width="700" height="420"' in html
    assert unescape(re.search(r'src="([^"]*)"', html)[1]) == link
    title, target = re.fullmatch(r"\[(.*)\]\(([^()\s]*)\)", markdown).groups()
    assert title.endswith(FEATURE) and "[" not in title
    assert parse_qs(urlsplit(target).query) == {"id": [FEATURE], "defaulttesttext": [text]}
    preview = page.frame_locator("iframe[title=Preview]")
    preview.locator(".results .row").wait_for()
    expect(preview.locator(".fs-stats")).to_have_count(0)
    assert [way.inner_text() for way in preview.locator("a.fs-open").all()] == ["Steer ↗"], "and no way to the page"
    assert page.evaluate("document.querySelector('[class*=fs-embed]') !== null")

    dialog.get_by_label("as wide as the text around it").check()
    assert 'width="100%"' in copied(page, "iframe")
    dialog.get_by_label("Width").fill("999999")
    dialog.get_by_label("as wide as the text around it").uncheck()
    assert 'width="4000"' in copied(page, "iframe")


def test_the_dialog_follows_the_feature(visit):
    page = visit(f"/feature?id={FEATURE}").page
    page.wait_for_selector("#root .fs-strip")
    page.get_by_role("button", name="Embed", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="79 →").click()
    page.wait_for_function("document.querySelector('.fs-crumbs b')?.textContent === '79'")
    page.wait_for_selector("#root .fs-strip")
    page.get_by_role("button", name="Embed", exact=True).click()
    assert "2-res/79" in copied(page, "link")
