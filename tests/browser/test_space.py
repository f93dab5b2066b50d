"""A Space in Chromium: by itself, and in the frame that the hub's page has it in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import until
from tests.spaces import FEATURE, PROMPT, TEXT, Space

HUB = "https://huggingface.co/spaces/someone/name"


def local(context, origin: str) -> None:
    """Newer browsers ask before a page of the web may open one of this machine."""
    with suppress(Exception):  # older ones do not know the word
        context.grant_permissions(["local-network-access"], origin=origin)


@pytest.fixture
def hub(chromium) -> Iterator[Callable]:
    """Opens a Space inside a page of the hub's address, which is made here; nothing else may be asked for anything."""
    contexts, wrong = [], []

    def open_(space: Space, path: str = "/", size: tuple[int, int] = (900, 700)):
        context = chromium.fresh(viewport={"width": size[0], "height": size[1]})
        contexts.append(context)
        local(context, HUB)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        html = f'<!doctype html><iframe src="{space.url}{path}" style="width:100%;height:640px;border:0"></iframe>'
        page.route("https://huggingface.co/**", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.on(
            "request", lambda r: None if r.url.startswith((space.url, HUB, "data:", "blob:")) else wrong.append(r.url)
        )
        page.goto(HUB)
        return page.frame_locator("iframe")

    yield open_
    for context in contexts:
        context.close()
    assert not wrong, wrong


def test_the_tester(hub, spaces):
    frame = hub(spaces("tester"))
    frame.locator(".em-max").wait_for()
    field = frame.get_by_label("Text to test on this feature")
    expect(field, "as it was asked for when it was written").to_have_value(TEXT)
    expect(frame.locator("#em-head a, .em-open"), "there is no workbench to lead to").to_have_count(0)
    field.fill("The brother of the king.")
    frame.get_by_role("button", name="Test").click()
    frame.locator("#em-result .fs-strip", has_text="The brother of the king.").wait_for()


def test_the_steering(hub, spaces):
    frame = hub(spaces("steer"))
    done = frame.locator(".em-both:not(.working) section:last-child .t:not(.given)")
    done.first.wait_for()
    expect(frame.get_by_label("Prompt to go on from")).to_have_value(PROMPT)
    expect(frame.get_by_label("number input for Strength")).to_have_value("30")
    first = frame.locator(".em-both").inner_text()
    frame.get_by_label("Prompt to go on from").fill("My mother and")
    frame.get_by_role("button", name="Write").click()
    frame.locator(".em-both:not(.working) .t.given", has_text="mother").first.wait_for()
    assert frame.locator(".em-both").inner_text() != first


def test_another_address_shows_another_feature(hub, spaces):
    frame = hub(spaces("steer"), "/?id=scribe-4l/2-res/79&__theme=dark")
    frame.locator(".em-id", has_text="scribe-4l/2-res/79").wait_for()
    colour = frame.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert int(re.findall(r"\d+", colour)[0]) < 60


def test_the_workbench_in_the_hubs_frame(hub, spaces):
    frame = hub(spaces("workbench"), f"/feature?id={FEATURE}", (1300, 800))
    frame.locator(".fs-crumbs").wait_for()
    frame.locator("textarea").first.fill(TEXT)
    frame.get_by_role("button", name="Test", exact=True).click()
    frame.locator(".results .row").first.wait_for()


def test_nobody_else_may_frame_the_workbench(chromium, spaces):
    context, refused = chromium.fresh(), []
    local(context, "https://elsewhere.example")
    page = context.new_page()
    page.on("console", lambda message: refused.append(message.text) if "frame-ancestors" in message.text else None)
    html = f'<!doctype html><iframe src="{spaces("workbench").url}/"></iframe>'
    page.route("https://elsewhere.example/**", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto("https://elsewhere.example/")
    until(page, lambda: refused)
    context.close()
    assert "huggingface.co" in refused[0]
