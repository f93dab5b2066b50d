"""The feature page in somebody's frame: what each toggle of its link hides, and that there is no way on inside."""

from __future__ import annotations

import re
import shutil

import orjson
import pytest
import streamlit as st

from components import controls, embedding, links, resources
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html as everything
from tests.pages.test_pages import notes, visit

FEATURE = f"{tiny.SAE}/3"
DRAWN = {
    "plots": "fs-stats",
    "explanation": '<h1 class="fs-title">',
    "test": "TESTER",
    "activations": "EXAMPLES",
    "link": "Open ↗",
    "steer": "Steer ↗",
}
"""By toggle, what is on the page if it is on."""


@pytest.fixture(autouse=True)
def told(bench, monkeypatch):
    """What the two components were given, in place of drawing them."""
    given = {}
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    monkeypatch.setattr(controls, "embedded", lambda: True)
    monkeypatch.setattr("components.token_strip._tester", lambda **made: given.update(TESTER=made["data"]))
    monkeypatch.setattr("components.token_strip._examples", lambda **made: given.update(EXAMPLES=made["data"]))
    st.cache_data.clear()
    return given


def html(app) -> str:
    """What is drawn, without the style sheets."""
    return re.sub(r"<style>.*?</style>", "", everything(app), flags=re.DOTALL)


def drawn(told, **query: object) -> set[str]:
    """The parts that are on the page."""
    told.clear()
    page = html(visit("feature.py", id=FEATURE, **query)) + " ".join(told)
    return {part for part, mark in DRAWN.items() if mark in page}


def test_everything_is_there_unless_it_is_switched_off(told):
    assert drawn(told) == set(DRAWN)
    assert drawn(told, **{f"embed{part}": "true" for part in links.EMBED_PARTS}) == set(DRAWN)


@pytest.mark.parametrize("part", DRAWN)
def test_each_toggle_hides_its_part_alone(told, part):
    assert drawn(told, **{f"embed{part}": "false"}) == set(DRAWN) - {part}


def test_a_switch_that_nobody_can_read_hides_nothing_and_says_so(told):
    assert drawn(told, embedplots="banana") == set(DRAWN)
    said = notes(visit("feature.py", id=FEATURE, embedplots="<b>", theme="<script>"))
    assert "“&lt;b&gt;” is not a value of “embedplots” in a link: true, false are" in said
    assert "“&lt;script&gt;” is not a value of “theme”" in said
    assert not notes(visit("feature.py", id=FEATURE, embedsteer="false", theme="DARK"))


def test_a_text_of_the_link_is_tested_and_the_field_may_be_missing(told, bench):
    (record,) = bench.test(FEATURE, "It’s Paris")  # and what was read before takes no time
    assert "test" in drawn(told, defaulttesttext="It’s Paris")
    assert told["TESTER"]["field"] and [row["text"] for row in told["TESTER"]["tests"]] == ["It’s Paris"]
    assert told["EXAMPLES"]["testable"]
    assert "test" in drawn(told, defaulttesttext="It’s Paris", embedtestfield="false")
    assert not told["TESTER"]["field"] and told["TESTER"]["tests"][0]["max"] == pytest.approx(record.maximum, rel=1e-3)
    assert not told["EXAMPLES"]["testable"], "there is no box to copy an example into"
    assert "test" not in drawn(told, embedtestfield="false"), "no field and no text leave nothing to show"


def test_nothing_around_it():
    page = visit("feature.py", id=FEATURE)
    shown = html(page)
    for way_on in ("fs-crumbs", "data-go", "fs-foot", "Copy link", "Random", "Scan a slot", "Nearest decoder rows"):
        assert way_on not in shown
    assert not page.get("download_button")


def test_the_link_leads_to_the_page_with_the_text():
    assert f'href="/feature?id={FEATURE}&amp;defaulttesttext=a%20%26%20b"' in html(
        visit("feature.py", id=FEATURE, defaulttesttext="a & b")
    )


def test_all_off_says_so():
    off = {f"embed{part}": "false" for part in links.EMBED_PARTS}
    assert "switches everything off" in notes(visit("feature.py", id=FEATURE, **off))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "names no feature"),
        ({"id": "nonsense"}, "no source “nonsense”"),
        ({"id": f"{tiny.SAE}/64"}, "0 to 63"),
        ({"id": "<script>alert(1)</script>"}, "&lt;script&gt;"),
    ],
)
def test_a_link_to_nothing_says_what_would_do(query, says):
    page = visit("feature.py", **query)
    assert says in notes(page) and "<script>" not in html(page)


def test_a_source_without_weights_shows_what_there_is(tiny_root, tmp_path, monkeypatch, told):
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    manifest = root / tiny.SAE / "source.json"
    kept = orjson.loads(manifest.read_bytes())
    kept["source"]["has"].remove("weights")
    manifest.write_bytes(orjson.dumps(kept))
    bench = Workbench(Settings(data=root, demo=None))
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    assert drawn(told) == set(DRAWN) - {"test", "steer"}
    assert not told["EXAMPLES"]["testable"]
    assert "came without its weights" in html(visit("feature.py", id=FEATURE))


@pytest.mark.parametrize("page", ["home.py", "search.py", "source.py", "glossary.py", "model.py", "server.py", "set"])
def test_another_page_is_never_shown_in_a_frame(page):
    page = "source_set.py" if page == "set" else page
    app = visit(page, id=tiny.SAE)
    assert "This page is not for embedding" in html(app)
    assert html(app).count("<h1") == 1
    assert "fs-table" not in html(app) and "<form" not in html(app)


def test_nor_one_that_the_feature_page_leads_to():
    """A jump to a source changes the page without asking the server for another document."""
    assert "This page is not for embedding" in html(visit("feature.py", jump=tiny.SAE))


def test_a_short_form_of_an_id_keeps_the_toggles():
    page = visit("feature.py", id="1-res:3", embedplots="false", theme="dark", x="1")
    kept = {name: value if isinstance(value, str) else value[0] for name, value in dict(page.query_params).items()}
    assert kept == {"id": FEATURE, "embedplots": "false", "theme": "dark"}


def test_the_dialog_offers_what_there_is(record, monkeypatch):
    import dataclasses

    given = []
    monkeypatch.setattr(controls, "embedded", lambda: False)
    monkeypatch.setattr(embedding, "_dialog", lambda **made: given.append(made["data"]))
    page = html(visit("feature.py", id=FEATURE))
    assert "data-embed" in page
    assert [kind["path"] for kind in given[-1]["kinds"]] == ["/feature", "/embed/tester", "/embed/steer"]
    assert {name for name, _ in given[-1]["parts"]} == set(links.EMBED_PARTS)
    bare = dataclasses.replace(record, source=dataclasses.replace(record.source, has=("dashboards",)))
    embedding.dialog(bare)
    assert [kind["path"] for kind in given[-1]["kinds"]] == ["/feature"]
    assert not {name for name, _ in given[-1]["parts"]} & {"test", "testfield", "steer"}
