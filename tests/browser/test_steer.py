"""A feature is pushed, both texts are read, swept, shared and stopped: in Chromium, wide and narrow."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

BAD = '<img src=x onerror="window.broken=1"> & “was”'
TEXTS = """() => {
  const root = [...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('.both')).find(Boolean)
  return [...(root?.querySelectorAll('.flow') ?? [])].map(flow =>
    [...flow.querySelectorAll('.t:not(.given)')].map(
        t => [t.textContent, t.style.getPropertyValue('--v'), t.className]))
}"""


def query(page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def texts(page) -> list[list[list[str]]]:
    """Both texts: of each token what it says, how deep it is coloured, and how."""
    return page.evaluate(TEXTS)


def add(page, text: str, button: str = "Add the feature") -> None:
    field = page.get_by_label("Add a feature")
    field.fill(text)
    page.get_by_role("button", name=button, exact=True).click()


def done(page) -> None:
    """Both texts are whole, and what needs the whole of them is drawn."""
    page.locator(".st-key-fs-take").wait_for()
    page.wait_for_function("!document.querySelector('.fs-wait')")


def button(page, name: str):
    return page.locator(".stMainBlockContainer").get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_feature_is_pasted_steered_swept_and_shared(visit, demo, width, theme):
    there = visit("/steer", width, theme)
    page = there.page
    there.fits()
    add(page, "https://www.neuronpedia.org/scribe-4l/2-res/787")
    page.get_by_text("1.5 × max").wait_for()
    strength = page.get_by_role("textbox", name=re.compile("Strength of .*, as a number"))
    strength.fill("44.5")
    add(page, "3-res:573", "Watch the feature")
    page.locator(".chip").wait_for()
    page.get_by_label("Prompt", exact=True).fill("The old house was")
    page.get_by_label("Prompt", exact=True).press("Enter")
    page.wait_for_url("**/steer?**")
    below = page.locator(".fs-next")
    below.wait_for()
    place = (
        "document.querySelector('.fs-next').getBoundingClientRect().top"
        " + document.querySelector('[data-testid=stMain]').scrollTop"
    )
    page.wait_for_function("f => { const [a] = eval(f)(); return a?.length > 2 }", arg=TEXTS)
    began = page.evaluate(place)
    done(page)
    assert page.evaluate(place) == began, "what is below the texts moved while they grew"
    assert query(page) == {
        "model": "scribe-4l", "features": "2-res/787:44.5", "prompt": "The old house was", "watch": "3-res/573"
    }  # fmt: skip
    there.fits()

    default, steered = texts(page)
    asked = {
        "prompt": "The old house was", "modelId": "scribe-4l", "steer_method": "SIMPLE_ADDITIVE", "temperature": 0.7,
        "n_tokens": 48, "seed": 16, "freq_penalty": 0, "strength_multiplier": 1,
        "features": [{"modelId": "scribe-4l", "layer": "2-res", "index": 787, "strength": 44.5}],
    }  # fmt: skip
    answer = demo.post("/api/steer", asked).json()
    plain = lambda its: "".join(token for token, *_ in its).replace("↵", "")  # noqa: E731
    assert plain(default) == answer["DEFAULT"]
    assert plain(steered) == answer["STEERED"]
    assert plain(steered) != plain(default)
    coloured = [(float(depth), "neg" in cls) for _, depth, cls in steered if depth]
    expected = [
        (one["logprob"] - one["otherLogprob"]) / 4 for one in answer["steeredLogProbs"]
        if abs(one["logprob"] - one["otherLogprob"]) / 4 >= 0.02
    ]  # fmt: skip
    assert len(coloured) == pytest.approx(len(expected), abs=2)
    if len(coloured) == len(expected):
        assert [d for d, _ in coloured] == pytest.approx([min(1, abs(d)) for d in expected], abs=0.01)
        assert [n for _, n in coloured] == [d < 0 for d in expected]

    token = page.locator(".flow .t:not(.given)").nth(len(default) + 1)
    token.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # scrolling hides what is told
    token.hover()
    tip = page.locator("#fs-tip")
    tip.wait_for()
    told = tip.inner_text()
    for part in ("without steering", "with steering", "change", "likeliest here"):
        assert part in told, told
    expect(page.locator(".stMainBlockContainer")).to_contain_text("on the prompt")

    page.get_by_role("link", name="Sweep strengths").click()
    page.locator(".fs-sweep").wait_for()
    expect(page.locator(".fs-sweep tbody tr")).to_have_count(7)
    assert query(page)["sweep"] == "1"
    there.fits()

    button(page, "Share").click()
    shared = page.locator(".shared code")
    shared.wait_for()
    link = shared.inner_text()
    assert re.fullmatch(re.escape(there.base) + r"/steer\?run=[0-9a-f]{20}", link)
    page.locator(".shared").get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied ✓").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == link
    there.fits()

    friend = visit(link.removeprefix(there.base), width, theme)
    done(friend.page)
    friend.page.wait_for_function(f"({TEXTS})().length === 2")
    assert texts(friend.page) == texts(page)
    expect(friend.page.get_by_text("no model was run for it")).to_have_count(1)
    friend.fits()
    expect(friend.page.get_by_label("Prompt", exact=True)).to_have_value("The old house was")
    friend.page.get_by_role("link", name="Run it again").click()
    friend.page.wait_for_function("!location.search.includes('run=')")
    done(friend.page)
    friend.page.wait_for_function(f"({TEXTS})().length === 2")
    assert texts(friend.page) == texts(page)


def test_a_saved_run_needs_no_model(chromium, demo, tmp_path_factory):
    """A server that has loaded nothing shows it, and has loaded nothing then."""
    from tests.browser.conftest import DEMO, Visit
    from tests.live import Server, python

    root = tmp_path_factory.mktemp("saved")
    code = """
from core.workbench import Workbench
from core.records import SteerAsk
ask = SteerAsk.of("scribe-4l", "The old house was", {"scribe-4l/2-res/787": 44.5}, length=8)
print(Workbench().steer(ask, keep=True).run)
"""
    run = python(code, FEATURESCOPE_DATA=str(root), FEATURESCOPE_DEMO=str(DEMO)).strip()
    with Server(root, demo=str(DEMO)) as server:
        friend = Visit(chromium, server.url, f"/steer?run={run}", 1440, "light")
        done(friend.page)
        default, steered = texts(friend.page)
        assert len(default) == len(steered) == 8
        friend.leave()
        held = Visit(chromium, server.url, "/server", 1440, "light")
        assert "0 MiB\nmodels and sources" in held.page.locator(".stMainBlockContainer").inner_text()
        held.leave()


def test_it_is_stopped_and_run_again(visit):
    there = visit("/steer?features=2-res/787:44.5&length=250&prompt=The%20old")
    page = there.page
    page.wait_for_function("f => { const [a] = eval(f)(); return a?.length > 0 }", arg=TEXTS)
    button(page, "Stop").click()
    button(page, "Run again").wait_for()
    stopped = texts(page)
    assert 0 < len(stopped[0]) < 250
    page.wait_for_timeout(1500)
    assert texts(page) == stopped, "it goes on"
    expect(page.locator(".st-key-fs-take")).to_have_count(0)
    button(page, "Run again").click()
    page.wait_for_function("([f, n]) => eval(f)()[0].length > n", arg=[TEXTS, len(stopped[0])])
    again = texts(page)
    assert [t for t, *_ in again[1]][: len(stopped[1])] == [t for t, *_ in stopped[1]], "the same seed, the same text"
    page.keyboard.press("Escape")
    button(page, "Run again").wait_for()


@pytest.mark.parametrize(("path", "says"), [
    ("features=2-res/787:abc&prompt=The&length=2", "The strength of scribe-4l/2-res/787"),
    ("features=2-res/99999:3,2-res/787:1&prompt=The&length=2", "features 0 to 2047; there is no 99999"),
    ("features=2-res/787:1&length=200&prompt=" + quote("a word " * 60), "leaves no room"),
    ("source=2-res&index=787&strength=x&prompt=The&length=2", "The strength of scribe-4l/2-res/787"),
])  # fmt: skip
def test_what_is_wrong_is_said(visit, path, says):
    there = visit(f"/steer?{path}")
    there.page.get_by_text(says).first.wait_for()
    there.fits()


def test_bad_input_is_said_where_it_is_written(visit):
    there = visit("/steer")
    page = there.page
    button(page, "Steer").click()
    page.get_by_text("Write a prompt first").wait_for()
    page.get_by_label("Prompt", exact=True).fill("The old house was")
    button(page, "Steer").click()
    page.get_by_text("Choose at least one feature").wait_for()
    add(page, "2-res:99999")
    page.get_by_text("there is no 99999").wait_for()
    add(page, "2-res:787")
    page.locator(".feature").wait_for()
    number = page.get_by_role("textbox", name=re.compile("Strength of .*, as a number"))
    number.fill("lots")
    button(page, "Steer").click()
    page.get_by_text("“lots” is none").wait_for()
    assert query(page) == {}


def test_nothing_that_is_written_runs(visit):
    there = visit(f"/steer?features=2-res/787:20&length=4&prompt={quote(BAD)}&watch={quote(BAD)}&method={quote(BAD)}")
    page = there.page
    done(page)
    page.get_by_role("button", name="A direction of your own").or_(
        page.get_by_role("button", name="Directions of your own")
    ).click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name").fill(BAD)
    dialog.get_by_role("button", name="Save the sum of the features at hand").click()
    mine = dialog.locator(".vector", has_text=BAD)
    mine.wait_for()
    mine.get_by_role("button", name="Add", exact=True).click()
    page.locator(".feature", has_text=BAD).wait_for()
    button(page, "Steer").click()
    page.wait_for_function("location.search.includes('vectors')")
    page.locator(".fs-next").wait_for()
    done(page)
    page.locator(".flow .t").first.hover()
    assert page.evaluate("window.broken") is None
    expect(page.locator("img[src='x']")).to_have_count(0)
    page.get_by_role("button", name="Directions of your own").click()
    dialog.locator(".vector", has_text=BAD).get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Really?").or_(dialog.get_by_text("Really?")).click()
    page.wait_for_function("![...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector('.vector'))")


def test_tokens_methods_and_numbers_go_into_the_link(visit):
    there = visit("/steer?features=2-res/787:44.5,3-res/573:10")
    page = there.page
    page.get_by_label("Prompt", exact=True).fill("The old house was")
    page.get_by_text("Which tokens are steered").click()
    page.locator(".choose .t").nth(2).click()
    page.locator(".choose .t").nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    button(page, "Of the prompt").click()
    button(page, "Clamp").click()
    page.get_by_text("Sampling").click()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Length").fill("5")
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_text("Unit directions").click()
    page.get_by_role("button", name="Remove 3-res/573").click()
    button(page, "Steer").click()
    page.wait_for_url("**prompt=**")
    done(page)
    assert query(page) == {
        "model": "scribe-4l", "features": "2-res/787:44.5", "prompt": "The old house was", "method": "clamp",
        "where": "prompt", "tokens": "2,3", "unit": "1", "length": "5", "temperature": "0", "seed": "7",
    }  # fmt: skip
    page.reload()
    done(page)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("The old house was")
    button(page, "Orthogonal").click()
    strength = page.get_by_role("textbox", name=re.compile("Strength of .*, as a number"))
    expect(strength, "a strength of one method says nothing in another").to_have_value("3")
    button(page, "Clamp").click()
    expect(strength).to_have_value("44.5")
    button(page, "Steer").click()
    page.get_by_text("The same settings and seed give the same texts.").wait_for()
    page.get_by_text("Sampling").click()
    page.get_by_role("button", name="A new seed each time").click()
    button(page, "Steer").click()
    page.wait_for_function("new URL(location).searchParams.get('seed') !== '7'")
    done(page)
    page.go_back()
    page.wait_for_function("new URL(location).searchParams.get('seed') === '7'")
    done(page)


def test_a_word_and_a_preset_are_ways_in_too(visit):
    there = visit("/steer")
    page = there.page
    add(page, "tax")
    hit = page.locator(".hit").first
    hit.wait_for()
    hit.click()
    page.locator(".feature").wait_for()
    preset = page.locator(".fs-preset", has_text="Nobody said it")
    preset.click()
    done(page)
    assert query(page)["method"] == "ablate"
    expect(page.locator(".feature")).to_have_count(1)
    expect(page.get_by_text("held at 0")).to_have_count(1)
    json.loads(json.dumps(texts(page)))
    there.fits()


def test_one_can_leave_while_it_is_at_work_and_come_back(visit):
    there = visit("/steer?features=2-res/787:44.5&length=120&prompt=One%20leaves")
    page = there.page
    page.get_by_role("link", name="Glossary").click()
    page.wait_for_selector("h1:has-text('Glossary')")
    page.go_back()
    done(page)
    assert len(texts(page)[0]) > 0


def test_from_a_feature_s_page_it_is_one_click(visit):
    there = visit("/feature?id=scribe-4l/2-res/787")
    there.page.get_by_role("link", name="Steer with it").click()
    there.page.wait_for_url("**/steer?**")
    there.page.locator(".feature", has_text="2-res/787").wait_for()
    expect(there.page.get_by_text("1.5 × max")).to_have_count(1)
