"""Sources are added by page: an SAE is looked at, tried, built, and its feature opened; and a stranger's task, where an
export is imported, a feature of it found by meaning, and a list of what was found taken along.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.browser.conftest import at_rest

NAME = "pocket"


@pytest.fixture
def incoming(demo):
    """A model and an SAE of it in the server's `incoming/`; what was made of them goes again."""
    data = Path(demo._environment["FEATURESCOPE_DATA"])
    tiny.model(data / "incoming" / NAME)
    tiny.identity(data / "incoming" / "mirror", model=NAME)
    yield data
    for name in ("incoming", NAME, ".jobs"):
        shutil.rmtree(data / name, ignore_errors=True)


def test_a_local_sae_becomes_a_feature_page(visit, incoming):
    there = visit("/")
    page = there.page
    page.get_by_role("link", name="Add a source").first.click()
    page.get_by_role("radio", name="A folder of this server").click()
    page.get_by_role("combobox", name="Folder").fill("mirror")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_url("**/add?job=*")
    page.get_by_text("blocks.1.hook_resid_pre").first.wait_for()
    there.fits()

    page.get_by_text("How it is built").click()
    page.get_by_role("textbox", name="Model").fill(str(incoming / "incoming" / NAME))
    page.get_by_role("spinbutton", name="Prompts").fill("40")
    page.get_by_role("button", name="Take this").click()
    page.get_by_text("The configuration of its build").click()
    page.wait_for_function("document.querySelector('.fs-more pre')?.textContent.includes('prompts: 40')")

    page.get_by_role("button", name="Try it on a few prompts").click()
    page.wait_for_selector(".fs-verdict", timeout=240_000)
    assert page.locator(".fs-verdict tbody tr").nth(1).inner_text().split()[-1] == "1.000", "explained variance"

    page.get_by_role("button", name="Build it", exact=True).click()
    page.get_by_role("link", name="Open a feature").wait_for(timeout=240_000)
    page.get_by_role("link", name="Open a feature").click()
    page.wait_for_url(re.compile(rf"/feature\?id={NAME}(/|%2F)1-res-mirror(/|%2F)\d+"))
    page.get_by_label("Text to test on this feature").wait_for()
    there.fits()


@pytest.fixture
def exported(demo, tiny_root):
    """Neuronpedia's bulk export of a small source, in the server's `incoming/`."""
    data = Path(demo._environment["FEATURESCOPE_DATA"])
    bench = Workbench(Settings(data=tiny_root, demo=None))
    bench.exchange.give_out(tiny.SAE, data / "incoming" / "given")
    yield bench.words.annotation(f"{tiny.SAE}/3").line
    for name in ("incoming", "theirs", ".jobs", ".import"):
        shutil.rmtree(data / name, ignore_errors=True)


def test_a_stranger_imports_an_export_finds_a_feature_and_takes_a_list_along(visit, exported):
    there = visit("/add")
    page = there.page
    page.get_by_role("radio", name="A folder of this server").click()
    page.get_by_role("combobox", name="Folder").fill("given")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_url("**/add?job=*")
    page.get_by_text("Neuronpedia’s bulk export").first.wait_for()
    page.get_by_text("How it is imported").first.click()
    page.get_by_role("textbox", name="What it is called here").fill("theirs")
    page.get_by_role("button", name="Take this").click()
    page.get_by_text("The command that does the same").click()
    page.wait_for_function("document.querySelector('.fs-more pre')?.innerText.includes('theirs')")
    page.get_by_role("button", name="Import it", exact=True).click()
    page.get_by_role("link", name="Open a feature").wait_for(timeout=240_000)

    page.goto(f"{there.base}/meaning?model=theirs")
    page.locator("#fs-query").fill(exported)
    page.keyboard.press("Enter")
    page.wait_for_selector("article.fs-mean", timeout=240_000)
    at_rest(page)
    there.fits()
    assert "theirs" in page.url
    for n in range(2):
        page.locator("article.fs-mean a.fs-tick").nth(n).click()
        page.wait_for_function(f"document.querySelectorAll('.fs-tick[aria-checked=true]').length === {n + 1}")
    page.get_by_role("link", name="Make a list").click()
    page.get_by_label("Name", exact=True).fill("Found by a stranger")
    page.get_by_role("button", name="Keep as a list").click()
    page.wait_for_url(re.compile("/list\\?id="))
    page.wait_for_selector("h1:text-is('Found by a stranger')")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    taken = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert taken["name"] == "Found by a stranger" and len(taken["features"]) == 2
    assert "theirs/1-res/" in json.dumps(taken)
    there.fits()
