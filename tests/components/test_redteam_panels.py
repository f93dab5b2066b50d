"""The page of red-teaming as HTML: everything escaped, every term in the glossary, every view its address."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from components import redteam, redteam_panels, redteam_view, resources
from core.explain.redteam.hypothesis import parse
from core.explain.redteam.records import Case, Counted, Covered, RedTeam
from core.records import FeatureKey, Token
from tests import tiny

NASTY = "<img src=x onerror=alert(1)>\"'&`$_*"
KEY = FeatureKey.parse(f"{tiny.SAE}/3")


def case(n, expected, fired, **more):
    return replace(Case(
        id=f"{n:08x}", text=f"text {n} {NASTY}", expected=expected, maker="letters", why=NASTY, phrase=NASTY,
        role="not", value=2.0 if fired else 0.0, fired=fired, position=1 if fired else None, on_phrase=fired,
        surprise=0.5 * (expected is not None and expected != fired),
        tokens=(Token(1, NASTY), Token(2, " b")), values=(0.0, 2.0 if fired else 0.0),
    ), **more)  # fmt: skip


@pytest.fixture
def found() -> RedTeam:
    cases = (
        case(1, True, False), case(2, False, True, on_phrase=False), case(3, None, True), case(4, True, True),
        case(5, False, False), case(6, True, False, value=None, problem=NASTY, tokens=(), values=()),
    )  # fmt: skip
    return RedTeam(
        key=KEY, hypothesis=parse(f"fires on red, also {NASTY}, words about {NASTY}s, not on blue, digits"),
        threshold=1.0, share=0.1, maximum=10.0, seed=0, cases=cases, verdict="wrong", line=f"It fails: {NASTY}.",
        measures={"balanced_accuracy": 0.5, "recall": 0.5, "precision": 0.5, "specificity": 0.5},
        intervals={"balanced_accuracy": (0.2, 0.8), "recall": (0.1, 0.9)},
        phrases=(
            Counted(name=NASTY, role="also", should=2, should_fired=1), Counted(name=NASTY, unsaid=2, unsaid_fired=1),
        ),
        makers=(Counted(name="letters", should=2, silent=2, silent_fired=1, about=NASTY),),
        covered=Covered(texts=4, by=1, missed=(NASTY, "\n")), lacks=(NASTY,), writer=NASTY,
    )  # fmt: skip


@pytest.fixture
def view(found):
    return redteam_view.View(key=KEY, text=found.hypothesis.text)


def drawn(view, found, record):
    return "".join([
        redteam_panels.head(replace(record, label=NASTY)), redteam_panels.form(view, found.hypothesis, ()),
        redteam_panels.form(view, None, [NASTY]), redteam_panels.verdict(found), redteam_panels.lacks(found),
        redteam_panels.cases(view, found, record), redteam_panels.side(view, found), redteam_panels.empty(),
    ])  # fmt: skip


def test_text_is_data_everywhere(view, found, record):
    html = drawn(view, found, record)
    assert "<img" not in html and 'alert(1)>"' not in html
    assert html.count("<div") == html.count("</div>") and html.count("<span") == html.count("</span>")


def test_every_term_is_in_the_glossary(view, found, record, monkeypatch):
    asked = []
    monkeypatch.setattr("components.feature_panels.define", lambda word: asked.append(word) or "x")
    drawn(view, found, record)
    assert {"red-teaming", "probe"} <= set(asked) <= set(resources.glossary())


def test_what_came_out_otherwise_is_first_and_ticked_for_a_suite(view, found, record):
    html = redteam_panels.cases(replace(view, picked=("00000002",)), found, record)
    assert html.index("should fire, stayed silent") < html.index("not said, fired")
    assert "fired on another token" in html
    assert 'id="pick-00000002" role="checkbox" aria-checked="true"' in html
    assert 'id="pick-00000001" role="checkbox" aria-checked="false"' in html
    assert "pick-00000003" not in html, "of it nothing is said"


def test_a_suite_takes_what_was_picked_or_all_of_which_something_is_said(found):
    decided = [case.id for case in found.cases if case.expected is not None]
    assert [one.id for one in redteam.chosen(found, ())] == decided
    assert [one.id for one in redteam.chosen(found, ("00000005", "00000003"))] == ["00000005"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"share": 0.25}, {"texts": 60, "seed": 7}, {"writer": "m", "at": "https://x.org/v1"}, {"picked": ("0a", "0b")},
     {"text": f"fires on “{NASTY.replace(chr(34), '').replace('`', '')}”, not on “a, b”"}],
)  # fmt: skip
def test_an_address_is_its_view(changes):
    view = redteam_view.View(**{"key": KEY, "text": "fires on red"} | changes)
    link = urlsplit(view.to(picked=view.picked))
    query = dict(parse_qsl(link.query))
    assert link.path == "/redteam" and query.pop("id") == str(KEY)
    read, said, wrong = redteam_view.read(KEY, query)
    assert read == view and said is not None and not wrong


def test_corrected_parts_are_a_hypothesis():
    view, said, wrong = redteam_view.read(KEY, {"fires": "red, “a, b”", "also": "~colours", "not": "Credentials"})
    assert not wrong and view.text == "fires on “red”, “a, b”, also words about “colours”, not on “Credentials”"
    assert parse(view.text).parts == said.parts
    more = dict(parse_qsl(urlsplit(view.saying(said, "crimson", "also")).query))["hypothesis"]
    assert parse(more).of("also") == ("colours", "crimson")
    turned = dict(parse_qsl(urlsplit(view.saying(said, "red", "not")).query))["hypothesis"]
    assert parse(turned).of("not") == ("Credentials", "red") and "red" not in parse(turned).of("should")


@pytest.mark.parametrize(
    ("query", "why"),
    [({"hypothesis": "not red"}, "no word"), ({"share": "2"}, "“share”"), ({"texts": "x"}, "“texts”"),
     ({"seed": "nan"}, "“seed”"), ({"fires": "red", "not": "red"}, "should not")],
)  # fmt: skip
def test_what_is_wrong_with_a_link_is_said(query, why):
    _, _, wrong = redteam_view.read(KEY, query)
    assert len(wrong) == 1 and why in wrong[0]
