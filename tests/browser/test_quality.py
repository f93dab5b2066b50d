"""From the leaderboard to a source's quality and what its features are, by clicks; nothing is wider than the window."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests import measured
from tests.browser.conftest import DEMO, Visit
from tests.core.interchange.test_sae_bench import CORE
from tests.live import Server


def unmeasured(folder: str, names: list[str]) -> list[str]:
    """What is left out, so that nobody has measured more than the catalogue's figures, and those of six sources."""
    plain = Path(folder).parent.name.endswith(("-res", "-res-3l"))
    kept = {n for n in names if plain and (Path(folder) / n / "figures.json").exists()}
    return [n for n in names if n.startswith("eval-") and n not in kept]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The demo with figures of three sources, and a result from elsewhere that is of one of them."""
    if not any(DEMO.glob("*/*/source.json")):
        pytest.skip("The built-in demo has no data: python -m core build demo/demo.yaml")
    root, demo = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("demo") / "data"
    shutil.copytree(DEMO, demo, ignore=unmeasured)
    bench = Workbench(Settings(data=root, demo=demo))
    for key, score in (("scribe-4l/1-res", 0.95), ("scribe-4l/2-res", 0.93), ("scribe-4l/3-res", 0.9)):
        measured.keep(bench, key, score)
    path = root / "core_eval_results.json"
    path.write_text(json.dumps(CORE))
    bench.quality.bring_in(path, of="scribe-4l/2-res")
    with Server(root, demo=str(demo)) as running:
        yield running


@pytest.fixture
def visit(chromium, server):
    visits = []

    def open_(path, width=1440, theme="light"):
        visits.append(Visit(chromium, server.url, path, width, theme))
        return visits[-1]

    yield open_
    for done in visits:
        done.leave()


def asks(page, name: str, value: str) -> None:
    page.wait_for_function("([n, v]) => new URL(location).searchParams.get(n) === v", arg=[name, value])


def test_from_the_leaderboard_to_a_source(visit):
    there = visit("/leaderboard")
    page = there.page
    page.wait_for_selector(".fs-xy-dot .fs-mk.control")
    page.wait_for_selector(".fs-xy-dot .fs-mk.bench")
    there.fits()
    page.locator(".fs-board thead a", has_text="CE loss score").click()
    asks(page, "sort", "-ce_loss_score")
    page.wait_for_selector("th[aria-sort=descending]")
    scores = page.locator(".fs-board tbody tr:not(.fs-theirs) td.n:nth-of-type(10)")
    page.get_by_role("button", name="width · explained variance").click()
    asks(page, "y", "explained_variance")
    page.get_by_role("button", name="width · explained variance", pressed=True).wait_for()
    page.get_by_role("button", name="measured elsewhere").click()
    asks(page, "elsewhere", "0")
    page.get_by_role("button", name="measured elsewhere", pressed=False).wait_for()
    page.wait_for_function("!document.querySelector('.fs-theirs')")
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(taken.value.path().read_text())))
    found = [float(row["ce_loss_score"]) for row in rows if row["ce_loss_score"]]
    assert found == sorted(found, reverse=True) and len(rows) == scores.count() == 6
    assert "explained variance" in page.locator(".fs-xy-dot:has(.fs-mk.here)").first.get_attribute("data-tip")
    page.locator(".fs-board").get_by_role("link", name="2-res", exact=True).click()
    page.wait_for_url("**/quality?source=scribe-4l/2-res")
    page.wait_for_selector(".fs-measured")
    page.wait_for_selector("text=Measured elsewhere")
    there.fits()
    page.get_by_role("link", name="Its features").click()
    page.wait_for_url("**/source?id=scribe-4l/2-res")
    page.get_by_role("link", name="Quality", exact=True).click()
    page.wait_for_url("**/quality?source=scribe-4l/2-res")


def test_both_pages_on_a_narrow_screen(visit):
    there = visit("/quality?source=scribe-4l/3-res", 390, "dark")
    page = there.page
    page.wait_for_selector(".fs-measured")
    there.fits()
    term = page.locator(".fs-measured .fs-term", has_text="explained variance").first
    assert "variance that the reconstruction keeps" in term.get_attribute("data-tip")
    page.locator("nav.fs-pills").get_by_role("link", name="0-res", exact=True).click()
    page.wait_for_selector("text=has not been measured yet")
    page.get_by_role("button", name="Measure it").wait_for()
    page.get_by_role("link", name="Leaderboard", exact=True).last.click()
    page.wait_for_selector(".fs-xy-dot")
    there.fits()
