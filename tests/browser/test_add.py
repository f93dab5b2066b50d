"""An SAE in a folder of the server is added by page: looked at, tried, built, and its feature opened."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests import tiny

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
    page.wait_for_function("document.querySelector('.fs-more pre')?.innerText.includes('prompts: 40')")

    page.get_by_role("button", name="Try it on a few prompts").click()
    page.wait_for_selector(".fs-verdict", timeout=240_000)
    assert page.locator(".fs-verdict tbody tr").nth(1).inner_text().split()[-1] == "1.000", "explained variance"

    page.get_by_role("button", name="Build it", exact=True).click()
    page.get_by_role("link", name="Open a feature").wait_for(timeout=240_000)
    page.get_by_role("link", name="Open a feature").click()
    page.wait_for_url(re.compile(rf"/feature\?id={NAME}(/|%2F)1-res-mirror(/|%2F)\d+"))
    page.get_by_label("Text to test on this feature").wait_for()
    there.fits()
