"""Lists as files and as what people paste: JSON there and back, CSV that runs nothing, wrong ids named; as one unit."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.community.records import FeatureList, Item, ListCard
from core.errors import BadInput, NotFound
from core.interchange import lists as files
from core.records import FeatureKey, SourceKey, TestRecord, Token
from core.techniques.together import together

KEY = FeatureKey("m", "3-res", 7)
WORDS = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


def made(*items, name="A list", about="", visibility="public", test_text=""):
    card = ListCard("id", "owner", "anna", name, about, visibility, test_text, len(items), 0, 0, "2026", "2026")
    return FeatureList(card, items)


def resolve(text):
    source, _, index = text.rpartition("/")
    if source not in ("m/3-res", "m/2-res"):
        raise NotFound("There is no such source.")
    key = SourceKey.parse(source)
    return FeatureKey(key.model_id, key.source_id, int(index)) if index.isdecimal() else key


@settings(deadline=None)
@given(
    WORDS, WORDS, WORDS, some.sampled_from(["public", "unlisted", "private"]),
    some.lists(some.tuples(some.integers(0, 99), WORDS, some.floats(-1000, 1000)), max_size=5),
)  # fmt: skip
def test_json_is_the_same_list_again(name, about, text, visibility, rows):
    items = tuple(Item(FeatureKey("m", "3-res", n), note, weight) for n, note, weight in rows)
    found = made(*items, name=name, about=about, visibility=visibility, test_text=text)
    draft = files.from_json(files.to_json(found, {KEY: "label"}))
    assert draft == files.Draft(name, about, visibility, text, items)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no list that can be read"),
        ("[]", "no list that can be read"),
        ('{"name": "x", "format": "other"}', "file of another kind"),
        ('{"features": []}', "name: Field required"),
        ('{"name": "x", "visibility": "secret"}', "visibility"),
        ('{"name": "x", "features": [{"feature": "nonsense"}]}', "Feature 1 of the file"),
        ('{"name": "x", "features": [{"feature": "m/3-res/1", "weight": "heavy"}]}', "features.0.weight"),
        (json.dumps({"name": "x", "features": [{"feature": "m/3-res/1"}] * 1001}), "features"),
    ],
)
def test_a_file_that_is_no_list_says_why(text, says):
    with pytest.raises(BadInput, match=says):
        files.from_json(text)


def test_csv_has_a_row_a_feature_and_runs_nothing():
    text = files.to_csv(made(Item(KEY, "=1+1\nmore", 2.5)), {KEY: "@label"})
    head, row = csv.reader(io.StringIO(text))
    assert dict(zip(head, row, strict=True)) == {
        "place": "1", "feature": "m/3-res/7", "model": "m", "source": "3-res", "index": "7", "label": "'@label",
        "weight": "2.5", "note": "'=1+1\nmore",
    }  # fmt: skip


def test_markdown_links_to_each_feature():
    text = files.to_markdown(made(Item(KEY, "a note", 2), name="A [b]"), {KEY: "x_y"}, "https://here.org")
    assert text.splitlines() == [
        "# A \\[b\\]", "", "1. [x\\_y](https://here.org/feature?id=m/3-res/7) `m/3-res/7` × 2", "   a note",
    ]  # fmt: skip


def test_pasted_ids_are_read_and_each_wrong_one_is_named():
    keys, wrong = files.read_ids("m/3-res/7, m/2-res/1\n\nnonsense;m/3-res/7\nm/3-res/x", resolve)
    assert keys == (KEY, FeatureKey("m", "2-res", 1))
    assert wrong[0] == "“nonsense”: There is no such source."
    assert wrong[1] == "“m/3-res/x” is a whole source: add an index, such as m/3-res/0."
    keys, wrong = files.read_ids("m/3-res/7,m/3-res/8", resolve, most=1)
    assert keys == (KEY,) and "one too many" in wrong[0]


def test_a_quick_lists_link_is_read_as_neuronpedias():
    good = {"modelId": "m", "layer": "3-res", "index": "7"}
    rows = [good, {"modelId": "m"}, {"modelId": "m", "layer": "x", "index": 1}]
    keys, wrong = files.read_quick(json.dumps(rows))
    assert keys == (KEY,)
    assert wrong[0] == "Feature 2 of the link has to have modelId, layer and index." and "Feature 3" in wrong[1]


def measured(*values, text="a b"):
    tokens = tuple(Token(n, t) for n, t in enumerate("ab"[: len(values)]))
    return TestRecord(key=KEY, text=text, tokens=tokens, values=values, maximum=max(values), position=0)


def test_together_is_the_weighted_mean_of_parts_of_maxima():
    tests = [measured(4.0, 0.0), measured(1.0, 10.0)]
    assert together(tests, (1.0, 1.0), (4.0, 10.0)) == pytest.approx((0.55, 0.5))
    assert together(tests, (3.0, -1.0), (4.0, 10.0)) == pytest.approx(((3 - 0.1) / 4, -1 / 4))
    assert together(tests, (1.0, 1.0), (4.0, 0.0)) == pytest.approx((1, 0)), "what has no maximum counts for nothing"
    assert together(tests, (0.0, 0.0), (4.0, 10.0)) == (0.0, 0.0)
    assert together([], (), ()) == ()


def test_together_is_one_where_all_are_at_their_strongest():
    assert together([measured(4.0, 0.0), measured(7.0, 0.0)], (0.3, 2.0), (4.0, 7.0)) == pytest.approx((1, 0))


def test_together_reads_one_text():
    with pytest.raises(BadInput, match="several texts"):
        together([measured(1.0), measured(1.0, text="c")], (1.0, 1.0), (1.0, 1.0))
