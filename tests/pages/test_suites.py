"""The test suites' pages in every state: made, run, failed, edited, gone, without weights, people away or off."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import resources, suites
from core.community.records import Case
from core.errors import Unreachable
from core.interchange import suites as files
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

FEATURE = FeatureKey.parse(f"{tiny.SAE}/3")
XSS = '<img src=x onerror="alert(1)">'


@pytest.fixture
def own(tiny_root, tmp_path, monkeypatch):
    """A workbench over the tiny sources with people's things of its own."""
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    monkeypatch.setattr(suites, "AT_ONCE", 60)
    st.cache_data.clear()
    resources._suite.clear()
    resources._tests.clear()
    return bench


def keep(bench, *cases, threshold=0.0, name="a suite", **more) -> str:
    made = [Case(text, fires) for text, fires in cases] or [Case("Paris", True)]
    return bench.community.people().suites.new(FEATURE, name, made, threshold=threshold, **more)


def middle(bench, *texts) -> float:
    values = sorted(suites.suites.largest(test) for test in bench.test(FEATURE, list(texts)))
    assert values[0] < values[-1]
    return (values[0] + values[-1]) / 2


def press(app: AppTest, key: str) -> AppTest:
    next(button for button in app.button if button.key == key).click().run()
    assert not app.exception, app.exception
    return app


def test_a_suite_that_was_never_run_shows_its_texts(own):
    app = visit("suite.py", id=keep(own, ("Paris", True), (XSS, False)))
    drawn = html(app)
    assert "Should fire" in drawn and "Should stay silent" in drawn and "Paris" in drawn
    assert XSS not in drawn and "&lt;img" in drawn
    assert "fs-card fs-verdict" not in drawn and not notes(app)


def test_run_says_what_failed_first_and_is_kept_once(own):
    texts = ("It’s a fine day 🙂", "Paris", "Number 3")
    tests = own.test(FEATURE, list(texts))
    at = middle(own, *texts)
    id = keep(own, *((t.text, suites.suites.largest(t) > at) for t in tests[1:]), (texts[0], True), threshold=at)
    keep(own)  # another one, which is left alone
    wrong = keep(own, *((t.text, suites.suites.largest(t) <= at) for t in tests), threshold=at, name="all wrong")
    app = press(visit("suite.py", id=wrong), "suite-run")
    drawn = html(app)
    assert "3 of 3 failed" in drawn and "Passed, the closest first" not in drawn
    people = own.community.people()
    assert [run.failed for run in people.suites.runs(wrong)] == [3]
    app.run()
    assert len(people.suites.runs(wrong)) == 1, "a page that is drawn again keeps nothing again"
    press(app, "suite-run")
    assert len(people.suites.runs(wrong)) == 2
    assert not people.suites.runs(id)
    assert people.suites.get(wrong).last.failed == 3


def test_the_surprising_first(own):
    texts = ["It’s a fine day 🙂", "Paris", "Number 3", "Paris is", "a", "day 12"]
    at = middle(own, *texts)
    id = keep(own, *((text, True) for text in texts), threshold=at)
    run = own.run_suite(own.community.people().suites.get(id))
    failed = sorted((r for r in run.results if not r.passed), key=lambda r: r.value)
    passed = sorted((r for r in run.results if r.passed), key=lambda r: r.value)
    assert failed and passed
    drawn = html(press(visit("suite.py", id=id), "suite-run"))
    rows = drawn[drawn.index('class="fs-cases"') :].split('class="fs-case"')[1:]
    shown = ["".join(re.findall(r'<span class="t[^>]*>([^<]*)', row)) for row in rows]
    assert shown == [one.case.text for one in failed + passed], "the furthest below first, then the nearest above"
    assert f"{len(failed)} of {len(texts)} failed" in drawn
    assert '<span class="t' in rows[0], "each with its tokens"


def test_a_kept_run_opens_without_the_model(own, monkeypatch):
    id = keep(own)
    people = own.community.people()
    people.suites.keep(own.run_suite(people.suites.get(id)))
    monkeypatch.setattr(type(own), "run_suite", lambda *_, **__: pytest.fail("the model is asked"))
    assert "fs-card fs-verdict" in html(visit("suite.py", id=id))


def test_what_changed_since_the_last_run_is_said(own, monkeypatch):
    id = keep(own)
    people = own.community.people()
    people.suites.keep(own.run_suite(people.suites.get(id)))
    assert "Since this run" not in notes(visit("suite.py", id=id))
    people.suites.change(id, threshold=9.0)
    assert "the suite was edited" in notes(visit("suite.py", id=id))
    people.suites.change(id, threshold=0.0)
    monkeypatch.setattr(type(own), "build_of", lambda self, key: "another")
    app = visit("suite.py", id=id)
    assert "built anew" in notes(app) and "edited" not in notes(app)
    assert "source changed" in html(app)


def test_edit_and_delete(own):
    id = keep(own, ("Paris", True), ("two\nlines", False))
    app = visit("suite.py", id=id)
    app.toggle[0].set_value(True).run()
    fields = {area.label: area for area in app.text_area}
    assert fields["Should stay silent"].value == "two↵lines"
    fields["Should fire"].set_value("Paris\nNumber 3")
    app.text_input[0].set_value("renamed")
    app.number_input[0].set_value(1e6)
    press(app, "suite-save")
    people = own.community.people()
    found = people.suites.get(id)
    assert found.name == "renamed" and found.threshold == 1e6
    assert found.cases == (Case("Paris", True), Case("Number 3", True), Case("two\nlines", False))
    assert "2 of 3 failed" in html(app) and not app.text_area, "it is run, and the fields are closed"
    app.toggle[0].set_value(True).run()
    press(app, "suite-drop")
    assert not people.suites.mine()


def test_an_edit_that_cannot_be_kept_says_why_and_keeps_what_was_typed(own):
    app = visit("suite.py", id=keep(own))
    app.toggle[0].set_value(True).run()
    fields = {area.label: area for area in app.text_area}
    fields["Should stay silent"].set_value("Paris")
    press(app, "suite-save")
    assert "should fire and should not" in notes(app)
    assert {area.label: area.value for area in app.text_area}["Should stay silent"] == "Paris"


def test_a_new_suite_puts_tested_texts_where_they_came_out(own):
    texts = ["It’s a fine day 🙂", "Paris", "Number 3"]
    record = own.feature(FEATURE)
    threshold = suites.suites.suggested(record.maximum)
    values = {test.text: suites.suites.largest(test) for test in own.test(FEATURE, texts)}
    app = visit("suite.py", feature=str(FEATURE), defaulttesttext=texts)
    fields = {area.label: area.value.split("\n") if area.value else [] for area in app.text_area}
    assert fields["Should fire"] == [t for t in texts if values[t] > threshold]
    assert fields["Should stay silent"] == [t for t in texts if values[t] <= threshold]
    assert app.number_input[0].value == threshold


def test_make_and_run(own):
    app = visit("suite.py", feature=str(FEATURE))
    assert not notes(app)
    press(app, "suite-make")
    assert "needs a text" in notes(app)
    press(app, "suite-examples")
    fires = {area.label: area.value for area in app.text_area}["Should fire"].split("\n")
    assert 0 < len(fires) <= suites.EXAMPLES
    press(app, "suite-make")
    (made,) = own.community.people().suites.mine()
    assert made.feature == FEATURE and [case.text for case in made.cases] == [t.replace("↵", "\n") for t in fires]
    assert made.last is not None and made.last.passed == len(fires), "its own examples activate it"
    assert "All" in html(app) and "passed" in html(app)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"id": "nonsense"}, "not the id of a test suite"),
        ({"id": "00000000-0000-4000-8000-00000000000f"}, "no such test suite"),
        ({"feature": "nonsense"}, "feature"),
        ({"feature": f"{tiny.SAE}/99999"}, "0 to 63"),
    ],
)
def test_a_link_to_nothing_says_so(own, query, says):
    assert says in notes(visit("suite.py", **query))


def test_without_a_name_it_leads_to_all_of_them(own):
    keep(own, name="the one")
    assert "the one" in html(visit("suite.py"))


def test_a_feature_that_is_gone(own):
    gone = FeatureKey("tiny", "9-none", 4)
    id = own.community.people().suites.new(gone, "of the past", [Case("Paris", True)])
    app = visit("suite.py", id=id)
    assert "cannot be run here" in notes(app) and "Paris" in html(app)
    assert next(button for button in app.button if button.key == "suite-run").disabled


def test_a_source_without_weights(own, monkeypatch):
    id = keep(own)
    feature = type(own).feature

    def bare(self, key):
        record = feature(self, key)
        return replace(record, source=replace(record.source, has=("dashboards",)))

    monkeypatch.setattr(type(own), "feature", bare)
    app = visit("suite.py", id=id)
    assert "without its weights" in notes(app)
    assert next(button for button in app.button if button.key == "suite-run").disabled


def test_texts_that_cannot_be_read_fail_with_the_reason(own):
    drawn = html(
        press(visit("suite.py", id=keep(own, ("long " * 300, True), ("Paris", True), threshold=-1)), "suite-run")
    )
    assert "too long" in drawn and "1 could not be read" in drawn and "1 of 2 failed" in drawn


def test_the_list_has_mine_with_how_they_came_out(own):
    app = visit("suites.py")
    assert "No test suites yet" in html(app)
    first, second = keep(own, name="first"), keep(own, name=XSS, visibility="private")
    people = own.community.people()
    people.suites.keep(own.run_suite(people.suites.get(first)))
    drawn = html(visit("suites.py"))
    assert "first" in drawn and "not run yet" in drawn and "of 1" in drawn and "private" in drawn
    assert XSS not in drawn and second in drawn


def test_the_feature_s_page_has_its_suites(own):
    id = keep(own, name="kept here")
    drawn = html(visit("feature.py", id=str(FEATURE)))
    assert f"/suite?id={id}" in drawn and "kept here" in drawn
    assert f"/suite?feature={FEATURE}" in drawn
    assert "kept here" not in html(visit("feature.py", id=f"{tiny.SAE}/4"))


def test_switched_off(own, tiny_root, tmp_path, monkeypatch):
    off = Workbench(Settings(data=tmp_path, demo=tiny_root, people="none"))
    monkeypatch.setattr(resources, "workbench", lambda: off)
    for page, query in (("suites.py", {}), ("suite.py", {"feature": str(FEATURE)})):
        assert "switched off" in notes(visit(page, **query))
    assert "Test suites" not in html(visit("feature.py", id=str(FEATURE)))


def test_away(own, monkeypatch):
    def away(*_, **__):
        raise Unreachable("The service that keeps people's things does not answer.")

    id = keep(own)
    monkeypatch.setattr("core.community.alone.AloneVisit.rows", away)
    for page, query in (("suites.py", {}), ("suite.py", {"id": id}), ("feature.py", {"id": str(FEATURE)})):
        app = visit(page, **query)
        assert "does not answer" in html(app)
    assert "Promotes" in html(app), "features are read all the same"


def test_somebody_else_runs_it_and_keeps_nothing(own, monkeypatch):
    """As on a shared workbench: rows of another owner."""
    id = keep(own, ("Paris", True), threshold=-1)
    monkeypatch.setattr(suites.Shown, "mine", property(lambda self: False))
    app = press(visit("suite.py", id=id), "suite-run")
    assert "All 1 passed" in html(app)
    assert not own.community.people().suites.runs(id) and not app.toggle


def test_what_is_exported_is_the_suite(own):
    id = keep(own, ("Paris", True), (XSS, False), threshold=1.5, about="why")
    suite = own.community.people().suites.get(id)
    (read,) = files.read(files.to_lines([suite]))
    assert (read.feature, read.name, read.about, read.threshold, read.cases) == (
        suite.feature, suite.name, suite.about, suite.threshold, suite.cases,
    )  # fmt: skip
    assert json.loads(files.to_lines([suite]).splitlines()[0])["feature"] == str(FEATURE)
