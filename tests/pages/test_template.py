"""The page of templates: the set and what responds, ready-made ones, bad links, links whole, texts as data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from components import resources, template_panels, template_view
from components.template_view import View
from core.records import SourceKey
from core.techniques.templates.records import Mention
from tests import xss
from tests.pages.test_pages import html, notes, visit

TEMPLATE, FILL = "The {A} of {what}.", "A = capital, system, war\nwhat = France, Rome, Paris"
VIEW = View(model_id="tiny", template=TEMPLATE, fill=FILL)


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_resource.clear()


def test_the_set_and_what_responds():
    drawn = html(visit("template.py", template=TEMPLATE, fill=FILL))
    for said in ("9 prompts", "labels shuffled", "Which word stands in", "Compare two of its", "/pair?model=tiny"):
        assert said in drawn, said
    assert drawn.count("fs-level") > 6 and drawn.count('<b class="fs-slot"') > 6


def test_ready_made_ones_and_a_bad_link():
    app = visit("template.py", at="taste", seed="x")
    assert "“taste”" in notes(app) and "“seed”" in notes(app)
    assert "Ready made" in html(app) and "Indirect objects" in html(app)
    assert "has no fillers" in html(visit("template.py", template=TEMPLATE, fill="A = a, b"))


def test_a_view_is_its_link(bench):
    records = bench.searchable("tiny")
    view = replace(VIEW, at="end", sources=(SourceKey("tiny", "1-res"),), prompts=7, seed=3, more=True)
    again, wrong = template_view.read({k: v for k, v in view.parameters().items() if v}, ["tiny"], lambda _: records)
    assert again == view and not wrong
    made: dict[str, object] = {}
    exec(view.python().replace("Workbench()", "bench").replace("; record", "\nrecord"), {"bench": bench}, made)
    assert made["record"].ask == view.ask()  # type: ignore[attr-defined]
    for one in resources.templates():
        own = template_view.fillers(template_view.written(one["fillers"]))
        assert dict(own) == {name: tuple(each) for name, each in one["fillers"].items()}


def test_texts_are_data(bench):
    """No text that was ever run as a script makes another tag or attribute; signs for spaces are spans of their own."""
    record = bench.templates.responses(VIEW.ask(), top=2)

    def drawings(text: str) -> list[str]:
        mentions = (Mention("A", text, 0, (1,)), Mention("what", text, len(text)))
        prompt = replace(record.prompts[0], text=f"{text}{text}", mentions=mentions)
        factors = {one: replace(one, slots=(text,), levels=(text, text)) for one in record.factors}
        responses = tuple(
            replace(one, label=text, factor=factors[one.factor],
                    levels=tuple(replace(level, name=text) for level in one.levels))
            for one in record.responses
        )  # fmt: skip
        dirty = replace(record, prompts=(prompt, *record.prompts[1:3]), responses=responses)
        view = replace(VIEW, template=text, fill=text)
        example = {"name": text, "templates": [text], "fillers": {text: [text, text]}, "at": "slot"}
        return [
            template_panels.form(view, [bench.model("tiny")]), template_panels.failed(view, text),
            template_panels.prompts(view, dirty), template_panels.tools(view, dirty),
            *(template_panels._row(view, dirty, one) for one in responses),
            template_panels.head(view), template_panels.examples(view, [example]),
        ]  # fmt: skip

    def tags(text: str) -> list[list[tuple[str, list[str]]]]:
        drawn = drawings(text)
        return [[t for t in xss.Reader(one).tags if t[0] not in ("span", "b")] for one in drawn]

    kinds = {tag for one in tags("plain") for tag, _ in one}
    for text in xss.ALL[:12]:
        assert {tag for one in tags(text) for tag, _ in one} == kinds, text
