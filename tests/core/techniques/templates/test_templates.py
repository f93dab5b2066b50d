"""Templates: the language, its errors, the set, places of tokens, and the record over the tiny model."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput, NotFound
from core.interchange import templates as shapes
from core.records import SourceKey
from core.techniques.templates import door, responses
from core.techniques.templates.expand import expand, parse
from core.techniques.templates.records import TemplateAsk

SLOT = st.sampled_from(["A", "B", "place", "x_1"])
TEXT = st.text(alphabet="ab {}”\n", max_size=6)
ASK = TemplateAsk(
    model_id="tiny", templates=("The {A} of {B} is {A} of {what}.",), at="slot",
    fillers=(("A", ("capital", "system", "war", "day")), ("B", ("system", "war", "day")), ("what", ("France", "Rome"))),
)  # fmt: skip


@given(st.lists(st.one_of(TEXT.map(lambda t: (t, False)), SLOT.map(lambda t: (t, True))), min_size=1, max_size=6))
def test_what_is_written_is_read_again(parts):
    """Braces doubled, slots in braces: the pieces come back, neighbouring texts as one."""
    written = "".join(f"{{{t}}}" if slot else t.replace("{", "{{").replace("}", "}}") for t, slot in parts)
    if not any(slot for _, slot in parts):
        with pytest.raises(BadInput, match="no slot"):
            parse(written)
        return
    found = parse(written)
    assert [t for t, slot in found if slot] == [t for t, slot in parts if slot]
    filled = "".join(f"<{t}>" if slot else t for t, slot in found)
    assert filled == "".join(f"<{t}>" if slot else t for t, slot in parts)


@given(st.text(alphabet="ab{} 1", max_size=12))
def test_anything_else_is_refused_in_words(text):
    try:
        assert any(slot for _, slot in parse(text))
    except BadInput as error:
        assert "template" in str(error)


@pytest.mark.parametrize(
    ("templates", "fillers", "said"),
    [
        (["a {b"], {}, "without its other one"), (["a } {b}"], {}, "without its other one"),
        (["{a b}"], {}, "is no slot"), (["{}"], {}, "is no slot"), (["none"], {}, "no slot"),
        (["{a}"], {}, "no fillers"), (["{a}"], {"a": ("x",)}, "2 to 64"), (["{a}"], {"a": ("x", " ")}, "empty"),
        (["{a}"], {"a": ("x", "x")}, "twice"), (["{a}"], {"a": ("x", "y"), "b": ("x", "y")}, "no slot {b}"),
        (["{a}", "{b}"], {"a": ("x", "y"), "b": ("x", "y")}, "other slots"), ([], {}, "1 to 8"),
        (["{a} {b} {c}"], dict.fromkeys("abc", ("x", "y")), "no two prompts"),
        (["{a}" * 65], {"a": ("x", "y")}, "at most 64"), (["{a}", "{a}"], {"a": ("x", "y")}, "written twice"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(templates, fillers, said):
    with pytest.raises(BadInput) as caught:
        expand(templates, fillers, 64, 0)
    assert said in str(caught.value)


@given(st.integers(2, 40), st.integers(0, 5))
def test_all_combinations_up_to_a_number_then_some_by_a_seed(most, seed):
    fillers = {"a": ("x", "y", "z"), "b": ("x", "y", "w"), "c": ("1", "2")}
    prompts, count = expand(["{a} {b} {a} {c}"], fillers, most, seed)
    assert count == 2 * (9 - 2), "slots that share fillers are never filled alike"
    texts = [one.text for one in prompts]
    assert len(set(texts)) == len(texts) == min(most, count)
    assert expand(["{a} {b} {a} {c}"], fillers, most, seed)[0] == prompts
    for one in prompts:
        assert one.filler("a") != one.filler("b") and len(one.mentions) == 4
        assert all(one.text[m.begin : m.begin + len(m.filler)] == m.filler for m in one.mentions)


def test_too_many_to_walk_are_drawn():
    fillers = {name: tuple(f"{name}{n}" for n in range(60)) for name in "abcd"}
    prompts, count = expand(["{a} {b} {c} {d}"], fillers, 50, 3)
    assert count == 60**4 and len({one.text for one in prompts}) == 50


@pytest.fixture(scope="module")
def record(bench):
    return bench.templates.responses(ASK)


def test_places_are_the_fillers_tokens(bench, record):
    assert len(record.prompts) == record.combinations == 2 * (12 - 3)
    for prompt in record.prompts[:4]:
        tokens = bench.tokenize("tiny", prompt.text)
        for m in prompt.mentions:
            assert m.filler in "".join(tokens[n].text for n in m.positions)


def test_a_record_says_what_responds_and_what_chance_gives(bench, record):
    kinds = {(one.kind, one.slots) for one in record.factors}
    assert kinds == {("value", ("A",)), ("value", ("B",)), ("value", ("what",)), ("position", ("A", "B")),
                     ("role", ("A", "B"))}  # fmt: skip
    assert record.tests == sum(one.tested for one in record.factors)
    assert record.found == sum(one.found for one in record.factors) > 0
    assert record.control.found < record.found and record.control.shuffles == 20
    for factor in record.factors:
        own = record.of(factor)
        assert [one.effect for one in own] == pytest.approx(sorted((o.effect for o in own), reverse=True), abs=1e-3)
        for one in own:
            assert one.q <= record.level and one.q >= one.p and one.eta >= one.effect - 1e-9
            assert sum(level.count for level in one.levels) == factor.observations
    first = record.of(record.factors[0])[0]
    own: dict[str, list[float]] = {}
    for prompt, test in zip(record.prompts, bench.test(first.key, [one.text for one in record.prompts]), strict=True):
        places = [test.values[p] for m in prompt.mentions if m.slot == "A" for p in m.positions]
        own.setdefault(prompt.filler("A"), []).append(max(places, key=abs))
    expected = {name: pytest.approx(sum(each) / len(each), rel=1e-4) for name, each in own.items()}
    assert {level.name: level.mean for level in first.levels} == expected
    assert bench.templates.responses(ASK) == record


def test_as_csv_and_where_it_is_read(bench, record):
    rows = list(csv.reader(io.StringIO(shapes.table(record))))
    assert rows[0][0] == "kind" and len(rows) == len(record.responses) + 1
    end = bench.templates.responses(replace(ASK, at="end", sources=(SourceKey("tiny", "1-res"),)), top=2)
    assert {one.kind for one in end.factors} == {"value"} and {r.key.source_id for r in end.responses} <= {"1-res"}
    assert all(len(end.of(one)) <= 2 for one in end.factors)


def test_what_cannot_be_asked_says_so(bench):
    room = bench.templates
    for change, kind, said in (
        ({"templates": ("{A",)}, BadInput, "other one"), ({"prompts": 1}, BadInput, "prompts is 2"),
        ({"model_id": "none"}, NotFound, "none"), ({"sources": (SourceKey("tiny", "9-none"),)}, NotFound, "9-none"),
        ({"templates": ("{A}",), "fillers": (("A", ("a", "b")),)}, BadInput, "Nothing can be asked"),
        ({"fillers": (*ASK.fillers, ASK.fillers[0])}, BadInput, "twice"), ({"seed": -1}, BadInput, "0 or more"),
    ):  # fmt: skip
        with pytest.raises(kind) as caught:
            room.responses(replace(ASK, **change))
        assert said in str(caught.value)


def test_what_is_too_much_is_refused_before_it_is_laid_out(bench, monkeypatch):
    monkeypatch.setattr(door, "MOST_VALUES", 100)
    monkeypatch.setattr(responses, "observed", lambda *_: pytest.fail("it was laid out"))
    with pytest.raises(BadInput, match="too much at once"):
        bench.templates.responses(replace(ASK, sources=(SourceKey("tiny", "1-res"),)))
