"""A stranger's task, with two people at once: search, pick five hits, make a list with notes, share it, be answered.

And scripts that people write never run, wherever they are shown.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.community.records import Item
from core.errors import NotFound
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import xss
from tests.browser.conftest import DEMO, Visit
from tests.live import Server

SENTENCE = "My mother and her father were born in France."
NAMES = ("anna", "bert")
PATIENCE = 240_000
"""Milliseconds: the first search loads a model and seven sources."""


class Shared:
    """A server over Supabase, and people who signed up."""

    def __init__(self, server: Server, bench: Workbench) -> None:
        self.url, self.door = server.url, bench.community
        made = [self.door.sign_up(f"{n}@lists.example", "correct horse", f"{n}-lists", server.url) for n in NAMES]
        self.cookies = [cookie for cookie in made if cookie]

    def people(self, who: int):
        return self.door.people(self.cookies[who])


@pytest.fixture(scope="module")
def shared(stack, tmp_path_factory):
    if not any(DEMO.glob("*/*/source.json")):
        pytest.skip("The built-in demo has no data: python -m core build demo/demo.yaml")
    data = tmp_path_factory.mktemp("shared")
    server = Server(data, demo=str(DEMO))
    server._environment |= {
        "SUPABASE_URL": stack.url, "SUPABASE_KEY": stack.keys.publishable, "SUPABASE_SECRET_KEY": stack.keys.secret_key,
    }  # fmt: skip
    settings = Settings(
        data=data, demo=DEMO, SUPABASE_URL=stack.url, SUPABASE_KEY=stack.keys.publishable,
        SUPABASE_SECRET_KEY=stack.keys.secret_key,
    )  # fmt: skip
    with server:
        yield Shared(server, Workbench(settings))


@pytest.fixture
def visitor(chromium, shared):
    """Opens a page as one of the people, or as nobody; nothing may go wrong behind it."""
    visits: list[Visit] = []

    def open_(path: str, who: int | None = None, width: int = 1440, theme: str = "light") -> Visit:
        visits.append(Visit(chromium, shared.url, "/glossary", width, theme))
        there = visits[-1]
        there.page.set_default_timeout(PATIENCE)
        if who is not None:
            there.context.add_cookies([{"name": shared.door.cookie, "value": shared.cookies[who], "url": shared.url}])
        there.page.goto(shared.url + path)
        there.page.wait_for_selector(".fs-title")
        return there

    yield open_
    for done in visits:
        done.leave()


class Clicks:
    """Counts what a hand does."""

    def __init__(self) -> None:
        self.count = 0

    def on(self, locator) -> None:
        self.count += 1
        locator.click()


def test_five_hits_become_a_list_that_somebody_else_answers(shared, visitor):
    clicks = Clicks()
    there = visitor(f"/search?text={SENTENCE}", 0)
    page = there.page
    page.wait_for_selector("article.fs-hit")
    for n in range(5):
        clicks.on(page.locator("article.fs-hit a.fs-tick").nth(n))
        page.wait_for_function(f"document.querySelectorAll('.fs-tick[aria-checked=true]').length >= {n + 1}")
    page.wait_for_selector(".fs-bar-picked b:text-is('5')")
    clicks.on(page.get_by_role("link", name="Make a list"))
    notes = page.get_by_placeholder("Note: what you think")
    notes.nth(4).wait_for()
    for n in range(5):
        notes.nth(n).fill(f"note {n}: *kin*")
    page.get_by_label("Name", exact=True).fill("Words for kin")
    clicks.on(page.get_by_role("button", name="Keep as a list"))
    page.wait_for_url(re.compile("/list\\?id="))
    page.wait_for_selector("h1:text-is('Words for kin')")
    page.wait_for_function("document.querySelectorAll('.fs-item .fs-note-to em').length === 5")
    clicks.on(page.get_by_role("button", name="Copy link"))
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    assert clicks.count == 8, "five ticks, make, keep, copy"
    there.fits()

    friend = visitor(link.removeprefix(shared.url), 1, width=390, theme="dark")
    friend.page.wait_for_selector("h1:text-is('Words for kin')")
    assert not friend.page.get_by_role("button", name="Remove").count(), "it is not theirs to change"
    friend.page.get_by_label("Say something about this list").fill("The **second** is about birth.")
    friend.page.get_by_role("button", name="Post", exact=True).click()
    friend.page.wait_for_selector(".fs-comment strong:text-is('second')")
    friend.page.get_by_role("button", name="Star").click()
    friend.page.locator("button:visible", has_text="Starred · 1").wait_for()
    friend.fits()
    page.reload()
    page.wait_for_selector(".fs-comment strong:text-is('second')")
    page.locator("button:visible", has_text="Star · 1").wait_for()


def test_an_owner_puts_a_list_in_order(shared, visitor):
    keys = [FeatureKey("scribe-4l", "2-res", n) for n in (78, 5, 9)]
    id = shared.people(0).lists.new("In order", items=[Item(key) for key in keys])
    page = visitor(f"/list?id={id}", 0).page

    def order() -> list[str]:
        return page.locator(".fs-item .fs-where").all_inner_texts()

    page.locator(".fs-item").nth(2).wait_for()
    page.get_by_role("button", name="↓ Down").first.press("Enter")
    page.wait_for_function("document.querySelector('.fs-item .fs-where').innerText.endsWith(' 5')")
    assert [one.rsplit(" ", 1)[1] for one in order()] == ["5", "78", "9"]
    page.get_by_role("button", name="Remove").first.click()
    page.wait_for_function("document.querySelectorAll('.fs-item').length === 2")
    page.get_by_role("button", name="Put it back").click()
    page.wait_for_function("document.querySelectorAll('.fs-item').length === 3")
    page.get_by_label("Add features by their ids").fill("2-res/11, nonsense\n3-res/4")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_selector(".fs-note.warn:has-text('nonsense')")
    page.wait_for_function("document.querySelectorAll('.fs-item').length === 5")
    found = shared.people(0).lists.get(id)
    assert [item.feature.index for item in found.items] == [5, 78, 9, 11, 4]


def test_what_is_private_stays_private(shared, visitor):
    id = shared.people(0).lists.new("My secret", visibility="private")
    with pytest.raises(NotFound):
        shared.people(1).lists.get(id)
    for who in (1, None):
        page = visitor(f"/list?id={id}", who).page
        page.wait_for_selector("h1:text-is('This list is not shown')")
        assert "secret" not in page.content()


@pytest.mark.timeout(900)  # many windows, where other tests take the processors
def test_stored_scripts_never_run(chromium, shared):
    """The whole corpus in names, descriptions, notes, comments and what a person says of themselves, on every page."""
    anna = shared.people(0)
    key = FeatureKey("scribe-4l", "2-res", 301)
    anna.describe(about=" ".join(xss.HANDLERS)[:500])
    ids = []
    for n, text in enumerate(xss.ALL):
        line = " ".join(text.split())[:120] or "x"
        if n % 4 == 0:
            ids.append(anna.lists.new(line, text, test_text=text, items=[Item(key, text)]))
        anna.comments.post(key if n % 2 else ids[-1], text)
    anna.lists.new("Everything", "\n\n".join(xss.ALL)[:2000], items=[Item(key, "\n\n".join(xss.ALL)[:2000])])
    context = chromium.fresh(viewport={"width": 1440, "height": 900})
    context.add_init_script(xss.WATCH)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    me = anna.me
    assert me is not None
    paths = [f"/feature?id={key}", "/lists", f"/person?name={me.name}", "/activity", "/"]
    paths += [f"/list?id={id}" for id in ids] + [f"/list?id={ids[0]}&embed=true"]
    for path in paths:
        page.goto(shared.url + path)
        page.wait_for_selector(".fs-title")
        page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], .fs-wait')")
        if path.startswith("/feature"):
            page.wait_for_selector(".fs-comment")
            page.get_by_role("button", name=re.compile("Show .* more")).click()
            page.wait_for_function("document.querySelectorAll('.fs-comment').length > 40")
        for marked in page.locator("[data-tip], a, button").all()[:40]:
            marked.dispatch_event("mouseover")
        assert page.evaluate("[window.ran, window.xss ?? null]") == [[], None], path
        here = page.evaluate(
            """() => [...document.querySelectorAll('.stHtml *')].flatMap(e => [
                 ...(e.matches('script, iframe, object, embed, base, link, form:not([data-go])') ? [e.outerHTML] : []),
                 ...[...e.attributes].filter(a => /^on/i.test(a.name)).map(a => a.outerHTML),
                 ...['href', 'src', 'action'].map(name => e.getAttribute(name) ?? '')
                   .filter(address => /^\\s*(javascript|data|vbscript):/i.test(address))])"""
        )
        assert not here, (path, here)
    context.close()
    assert not [url for url in asked if "evil.example" in url]


def test_the_watch_would_notice(chromium, tmp_path: Path):
    """The same script sees what runs on a page that takes such texts as they are."""
    (tmp_path / "x.html").write_text("<script>alert(1)</script><img src=x onerror=\"window.xss=1\">", encoding="utf-8")
    context = chromium.fresh()
    context.add_init_script(xss.WATCH)
    page = context.new_page()
    page.goto((tmp_path / "x.html").as_uri())
    page.wait_for_function("window.xss === 1")
    assert page.evaluate("window.ran") == ["alert 1"]
    context.close()
