"""A stranger opens the map, draws around a cluster and keeps it as a named list that others find."""

from __future__ import annotations

import json
import math

from tests.browser.conftest import at_rest

CLUSTER = """root => {
    const map = root._map, data = map.data, id = data.clusters.findIndex(one => one.level === 0 && one.label)
    const points = [...Array(data.n).keys()].filter(i => data.cluster(0, i) === id)
    const places = points.map(map.screen)
    const of = n => places.map(p => p[n]), mid = n => (Math.min(...of(n)) + Math.max(...of(n))) / 2
    return [[mid(0), mid(1)], [0, 1].map(n => Math.max(...of(n)) - mid(n)), points.map(data.key)]
}"""
"""The middle of a cluster on the screen, how far it reaches either way, and its features."""


def state(page) -> dict:
    return page.locator("#root[data-ready]").evaluate("root => root._map.state")


def test_from_the_map_to_a_shared_list_of_one_cluster(visit):
    there = visit("/map?sources=2-res&of=explanation")
    page = there.page
    page.wait_for_selector("#root[data-ready=true]")
    stage = page.locator(".stage").bounding_box()
    middle, reach, own = page.locator("#root[data-ready]").evaluate(CLUSTER)
    page.get_by_role("button", name="Lasso").click()
    left, top = stage["x"] + 4 + middle[0], stage["y"] + 4 + middle[1]
    turns = [2 * math.pi * n / 24 for n in range(25)]
    steps = [(left + 1.5 * reach[0] * math.cos(t), top + 1.5 * reach[1] * math.sin(t)) for t in turns]
    page.mouse.move(*steps[0])
    page.mouse.down()
    for step in steps:
        page.mouse.move(*step)
    page.mouse.up()
    page.wait_for_selector(".list .title >> text=selected")
    with page.expect_download() as saved:
        page.get_by_role("button", name="JSON", exact=True).click()
    chosen = [one["feature"] for one in json.loads(saved.value.path().read_text(encoding="utf-8"))]
    assert set(own) <= set(chosen) and len(chosen) < 1000
    assert f"{len(chosen):,} features selected" in page.locator(".list .title").text_content()

    page.get_by_role("button", name="Make a list").click()
    page.get_by_label("Name", exact=True).fill("What lies together")
    page.get_by_role("textbox", name="Description").fill("Drawn around on the map.")
    page.get_by_role("button", name="Keep as a list").click()
    page.wait_for_url("**/list?id=*")
    page.wait_for_selector("text=Drawn around on the map.")
    assert page.locator(".fs-title").text_content() == "What lies together"
    assert f"{len(chosen):,} features" in page.locator(".stMain").text_content()
    kept = page.url
    page.goto(there.base + "/lists")
    assert page.locator("a", has_text="What lies together").first.get_attribute("href") in kept

    page.goto(there.base + "/map?sources=2-res&of=decoder&q=the")
    page.wait_for_selector("#root[data-ready=true]")
    page.wait_for_selector(".list .title >> text=found")
    page.locator(".rows button.name").first.click()
    page.wait_for_selector(".fs-map-look >> text=Open this feature")  # beside the map
    page.wait_for_function("new URL(location).searchParams.get('at')")
    page.locator(".stage").focus()
    page.keyboard.press("+")
    page.wait_for_function("new URL(location).searchParams.get('view')")
    before = state(page)["zoom"]
    page.reload()
    page.wait_for_selector("#root[data-ready=true]")
    after = state(page)
    assert (round(after["zoom"], 2), after["q"]) == (round(before, 2), "the") and after["at"]
    page.locator(".choose select").select_option("density")
    page.wait_for_function("new URL(location).searchParams.get('colour') === 'density'")
    page.go_back()
    page.wait_for_function("new URL(location).searchParams.get('colour') !== 'density'")
    at_rest(page)
    assert state(page)["colour"] != "density"
    there.fits()
