"""A planted feature is found out: right hypotheses hold, half right ones fall where they are wrong, wrong ones fall."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from core.community import suites
from core.community.records import Case as SuiteCase
from core.errors import BadInput, NotAvailable, NotFound
from core.explain.annotation.figures import interval
from core.explain.redteam import letters, neighbours, templates
from core.explain.redteam.hypothesis import parse
from core.explain.redteam.run import MAKERS, _verdict
from core.explain.redteam.sentences import around, cuts
from core.interchange import redteam as shape
from core.records import Token
from core.settings import Settings
from core.workbench import Workbench
from tests.core.explain.redteam.conftest import KEY

RIGHT = "fires on capital, not on contractor"


def test_a_right_hypothesis_holds(planted):
    found = planted(capital=1.0).words.redteam(KEY, RIGHT)
    assert found.verdict == "holds" and found.line.startswith("It holds on these texts: it fires on")
    (hit, missed), (false, quiet) = found.table
    assert hit and quiet and not missed and not false and not found.surprising
    assert found.measures["balanced_accuracy"] == found.measures["precision"] == 1.0
    low, high = found.intervals["balanced_accuracy"]
    assert low == pytest.approx(interval(hit, hit, quiet, quiet)[0], abs=1e-6) and low < high
    assert all(case.on_phrase for case in found.cases if case.expected and case.phrase == "capital")


@pytest.mark.parametrize(
    ("said", "words", "verdict", "phrase", "rank"),
    [
        ("fires on capital, also Paris", {"capital": 1.0}, "fires on less", "never on “Paris”", True),
        ("fires on capital, not on contractor", {"capital": 1.0, "contractor": 0.9, "a": 0.5},
         "fires on more", "also on “contractor”", False),
        ("fires on Dorothea", {"war": 1.0}, "wrong", "It does not hold", True),
    ],
)  # fmt: skip
def test_where_it_is_wrong_is_said_first(planted, said, words, verdict, phrase, rank):
    found = planted(**words).words.redteam(KEY, said)
    assert found.verdict == verdict and phrase in found.line
    assert found.cases[0].right is False and found.cases[0].expected is rank
    ranks = [case.right is False for case in found.cases]
    assert ranks == sorted(ranks, reverse=True)


def test_the_most_surprising_of_each_kind_come_first(planted):
    said = "fires on capital, also Paris, not on contractor, Celia"
    found = planted(contractor=0.9, Celia=0.3).words.redteam(KEY, said)
    first = {(case.expected, case.phrase) for case in found.cases[:4]}
    assert first == {(True, "capital"), (True, "Paris"), (False, "contractor"), (False, "Celia")}
    assert found.cases[0].surprise == max(case.surprise for case in found.cases)
    by = {case.phrase: case.surprise for case in found.cases[:4]}
    assert by["contractor"] == pytest.approx(0.9) and by["Celia"] == pytest.approx(0.3) and by["capital"] == 1.0


def test_of_what_the_hypothesis_does_not_say_nothing_is_counted(planted):
    found = planted(capital=1.0, CAPITAL=1.0, capitals=0.8).words.redteam(KEY, RIGHT)
    unsaid = [case for case in found.cases if case.expected is None]
    assert {case.maker for case in unsaid} >= {"letters", "neighbours"} and any(case.fired for case in unsaid)
    assert found.verdict == "holds" and all(case.right is None for case in unsaid)
    assert sum(map(sum, found.table)) == len(found.cases) - len(unsaid)
    fired = [case.fired for case in unsaid]
    assert fired == sorted(fired, reverse=True)
    counted = {one.name: one for one in found.phrases if one.role is None}
    assert counted["CAPITAL"].unsaid_fired == counted["CAPITAL"].unsaid == 2 and not counted["CAPITAL"].should


def test_a_kind_of_thing_alone_decides_nothing(planted):
    found = planted(capital=1.0).words.redteam(KEY, "words about capitals")
    assert found.verdict == "undecided" and "no text on which it should fire" in found.line
    assert any("kinds of things" in lack for lack in found.lacks)
    assert not found.measures and any(case.expected is None and case.maker == "neighbours" for case in found.cases)


def test_the_numbers_are_the_engines(workbench):
    found = workbench.words.redteam(KEY, RIGHT, texts=40)
    maximum = workbench.feature(KEY).maximum
    assert found.threshold == pytest.approx(0.1 * maximum) and found.build == workbench.build_of(found.key.source)
    tests = {}
    for at in range(0, len(found.cases), 32):
        texts = [case.text for case in found.cases[at : at + 32]]
        tests |= dict(zip(texts, workbench.test(KEY, texts), strict=True))
    for case in found.cases:
        assert case.value == pytest.approx(suites.largest(tests[case.text]), abs=1e-5)
        assert case.fired == (case.value > found.threshold)
        assert case.tokens == tests[case.text].tokens
        if case.position is not None:
            assert case.values[case.position] == case.value and not case.tokens[case.position].special


def test_the_same_seed_makes_the_same_and_another_makes_others(planted):
    bench = planted(capital=1.0)
    first, again, other = (bench.words.redteam(KEY, RIGHT, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert {case.text for case in other.cases} != {case.text for case in first.cases}


@pytest.mark.parametrize("texts", [8, 50, 200])
def test_no_more_texts_than_asked_for_and_each_once(planted, texts):
    said = "capital, Paris, Rome, Celia, war, fine, not day, shadow"
    found = planted(capital=1.0).words.redteam(KEY, said, texts=texts)
    assert len(found.cases) <= texts
    assert len({case.text for case in found.cases}) == len({case.id for case in found.cases}) == len(found.cases)


def test_makers_may_be_chosen_and_each_says_what_it_did(planted):
    bench = planted(capital=1.0)
    for name in MAKERS:
        found = bench.words.redteam(KEY, RIGHT, makers=[name])
        assert [one.name for one in found.makers] == [name] and {case.maker for case in found.cases} == {name}
        assert all(case.why for case in found.cases)


def test_sentences_of_the_build_say_what_the_hypothesis_says_of_them(planted):
    found = planted(capital=1.0).words.redteam(KEY, RIGHT, makers=["corpus"], texts=60)
    hypothesis = parse(RIGHT)
    assert {case.expected for case in found.cases} == {True, False}
    for case in found.cases:
        assert case.expected is hypothesis.expects(case.text)
    assert any("capital" in case.text for case in found.cases)


def test_what_the_feature_fires_on_besides_is_counted(workbench):
    key = workbench.feature(KEY)
    top = next(group for group in key.groups if group.examples).examples[0]
    word = top.tokens[top.position].text.strip()
    found = workbench.words.redteam(KEY, "fires on “Nebuchadnezzar”", texts=8)
    assert found.covered.by == 0 < found.covered.texts and word in found.covered.missed


def test_letters_stand_inside_other_words():
    words = Counter({"hundred": 5, "Red": 9, "credit": 2, "shared": 8, "bed": 3, "rid": 1, "blue": 50, "reds": 1})
    assert letters.inside("red", words) == ["shared", "hundred", "credit", "reds"]
    assert letters.beside("red", words) == ["bed", "rid"]
    assert letters.inside("==", words) == letters.beside("x", words) == []


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([("the", "of")] * 3, ("noun",)), ([("a", "house"), ("very", "and")], ("adjective",)),
        ([("to", "the"), ("they", "it")], ("verb",)), ([("(", ")"), (".", "(")], ("code",)), ([], ("noun",)),
    ],
)  # fmt: skip
def test_a_word_is_put_where_such_words_stand(places, expected):
    assert templates.used_as(places) == expected


def test_letters_are_meant_in_any_word(planted):
    said = "the letters apit, not on day"
    found = planted(capital=1.0, capitals=1.0).words.redteam(KEY, said)
    assert found.verdict == "holds" and found.phrases[0].name == "*apit*" and found.phrases[0].should > 2
    assert all("apit" in case.text.lower() for case in found.cases if case.expected)
    assert all(case.on_phrase for case in found.cases if case.expected and case.fired)


def test_the_pieces_of_an_annotations_line_are_letters_in_words_and_that_is_said(planted):
    found = planted(capital=1.0, capitals=1.0).words.redteam(KEY, "“-apit-” as in capital and 3 more in novels")
    assert found.verdict == "holds" and found.hypothesis.left == ("and 3 more", "in novels")
    assert all("apit" in case.text.lower() for case in found.cases if case.expected)
    assert all(case.on_phrase for case in found.cases if case.expected and case.fired)
    assert any("are tokens of the model; here they are read as letters" in lack for lack in found.lacks)
    plain = planted(capital=1.0).words.redteam(KEY, "“capital” and 3 more in novels")
    assert not any("read as letters" in lack for lack in plain.lacks), "only where there are pieces"


@pytest.mark.parametrize(("sign", "text"), [("↵", "\n"), ("␣", "  "), ("ʺ", '"')])
def test_blanks_and_quotation_marks_are_put_into_texts(planted, sign, text):
    found = planted(capital=1.0).words.redteam(KEY, f"“{sign if sign != 'ʺ' else text}” or “capital”")
    (counted,) = [one for one in found.phrases if one.name == sign]
    assert counted.should > 2 and counted.should_fired == 0
    some = [case for case in found.cases if case.phrase == sign]
    assert some and all(text in case.text for case in some)
    assert any(case.expected is False for case in found.cases), "there are texts without it"


def test_where_a_kind_is_meant_only_frames_say_no(planted):
    found = planted(capital=1.0).words.redteam(KEY, "words about capitals, such as capital, not on contractor")
    no = [case for case in found.cases if case.expected is False]
    assert {case.maker for case in no} <= {"templates", "letters"} and {"not", None} == {case.role for case in no}
    assert found.verdict == "holds"


def test_a_piece_that_is_no_word_is_said(planted):
    found = planted(capital=1.0).words.redteam(KEY, "fires on apit")
    assert any("say the letters apit" in lack for lack in found.lacks) and found.verdict == "wrong"


def test_frames_are_whole_and_neutral():
    found = templates.frames()
    assert found.frames.keys() == found.neutral.keys()
    text, begin = templates.filled("{} was there.", "red")
    assert (text, begin) == ("Red was there.", 0)
    assert templates.filled("x = {}", "red") == ("x = red", 4) and templates.filled("{}", "red") == ("red", 0)


def test_a_frame_with_a_phrase_of_the_hypothesis_is_passed_over(planted):
    found = planted(door=1.0).words.redteam(KEY, "fires on door, not on street", makers=["templates"])
    for case in found.cases:
        assert len(re.findall(r"door|street", case.text.lower())) < 2


def test_frames_that_cannot_be_read_are_said(tmp_path):
    from core.errors import BadConfig

    path = tmp_path / "redteam.yaml"
    for text, why in (("frames: [", "cannot be read"), ("frames: {a: [no slot]}\nneutral: {a: [x]}", "needs one {}"),
                      ("frames: {a: ['{}']}\nneutral: {b: [x]}", "both frames and neutral")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(BadConfig, match=why):
            templates.frames(path)
    with pytest.raises(BadConfig, match="cannot be read"):
        templates.frames(tmp_path / "none.yaml")


def test_words_are_embedded_once_for_a_build(planted, embedder, tiny_root, tmp_path):
    bench = planted(capital=1.0)
    neighbours._kept.clear()
    bench.words.redteam(KEY, RIGHT, makers=["neighbours"])
    seen = embedder.seen
    neighbours._kept.clear()  # as another process
    other = Workbench(Settings(data=tmp_path / "data", demo=tiny_root))
    other.words._seeker.embedder = embedder
    other.words.redteam(KEY, RIGHT, makers=["neighbours"], texts=8)
    assert embedder.seen == seen + 1 < 2 * seen, "only the phrase"


def test_without_an_embedder_the_others_make_theirs(planted, monkeypatch):
    bench = planted(capital=1.0)

    def away(texts):
        raise NotAvailable("The sentence model is not installed.")

    bench.words._seeker.embedder = away
    neighbours._kept.clear()
    monkeypatch.setattr(neighbours, "_vectors", lambda *_: away(()))
    found = bench.words.redteam(KEY, RIGHT)
    assert found.lacks == ("No neighbours: The sentence model is not installed.",) and found.verdict == "holds"


@pytest.mark.parametrize(
    ("more", "error", "why"),
    [
        ({"share": 0.0}, BadInput, "above 0 and below 1"), ({"share": float("nan")}, BadInput, "above 0"),
        ({"texts": 7}, BadInput, "8 to 200"), ({"texts": 201}, BadInput, "8 to 200"),
        ({"makers": ["magic"]}, BadInput, "no maker of texts “magic”"),
        ({"hypothesis": "not red"}, BadInput, "no word"),
        ({"key": "tiny/1-res/64"}, NotFound, "0 to 63"), ({"key": "tiny/9-res/1"}, NotFound, "no source"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_is_said(workbench, more, error, why):
    asked = {"key": KEY, "hypothesis": RIGHT} | more
    with pytest.raises(error, match=why):
        workbench.words.redteam(asked.pop("key"), asked.pop("hypothesis"), **asked)


def test_a_dead_feature_and_one_without_weights_are_said(workbench, monkeypatch):
    record = workbench.feature(KEY)
    monkeypatch.setattr(workbench, "feature", lambda key: replace(record, active=0, maximum=0.0))
    with pytest.raises(NotAvailable, match="never active"):
        workbench.words.redteam(KEY, RIGHT)
    bare = replace(record, source=replace(record.source, has=("dashboards",)))
    monkeypatch.setattr(workbench, "feature", lambda key: bare)
    with pytest.raises(NotAvailable, match="without its weights"):
        workbench.words.redteam(KEY, RIGHT)


@pytest.mark.parametrize(
    ("recall", "specificity", "verdict"),
    [(1, 1, "holds"), (0.8, 0.8, "holds"), (0.9, 0.5, "fires on more"), (0.5, 0.9, "fires on less"),
     (0.5, 0.5, "wrong"), (0.1, 1.0, "wrong"), (0, 0, "wrong")],
)  # fmt: skip
def test_verdicts(recall, specificity, verdict):
    assert _verdict(recall, specificity) == verdict


def test_a_sentence_around_a_token():
    tokens = tuple(Token(n, text) for n, text in enumerate(["One", " two", ".", " Three", " four", "!", "\n", "Five"]))
    found = [around(tokens, n) for n in (0, 2, 3, 5, 7)]
    assert found == ["One two.", "One two.", "Three four!", "Three four!", "Five"]
    assert cuts("“A b.” C d.\n\n e") == [(0, 6), (7, 11), (14, 15)]
    long = tuple(Token(n, f" w{n}") for n in range(200))
    text = around(long, 150)
    assert len(text) <= 240 and "w150" in text and text.split()[0][0] == "w"


def test_it_can_be_kept_as_a_suite_and_comes_out_the_same(planted):
    bench = planted(capital=1.0, fine=0.6)
    found = bench.words.redteam(KEY, "fires on capital, not on day")
    decided = [case for case in found.cases if case.expected is not None]
    suite = suites.draft(
        found.key, "red team", [SuiteCase(c.text, c.expected) for c in decided], threshold=found.threshold
    )
    run = bench.run_suite(suite)
    assert run.failed == len(found.surprising) > 0 and run.passed == len(decided) - run.failed


def test_a_notebook_draws_it_and_a_table_has_every_case(planted):
    found = planted(capital=1.0, day=0.7).words.redteam(KEY, "fires on “capital <b>”, capital, not on day")
    html = found._repr_html_()
    assert "&lt;b&gt;" in html and "<b>”" not in html and "should not" in html
    frame = found.to_pandas()
    assert len(frame) == len(found.cases) and set(frame["maker"]) <= {*MAKERS}
    assert found.line in repr(found)


def test_its_json_is_json(planted):
    found = planted(capital=1.0).words.redteam(KEY, RIGHT)
    told = json.loads(json.dumps(shape.record(found), allow_nan=False))
    assert told["verdict"] == "holds" and told["confusion"]["shouldFired"] == found.table[0][0]
    assert [case["id"] for case in told["cases"]] == [case.id for case in found.cases]
    assert told["hypothesis"]["parts"][0] == {
        "role": "should", "phrase": "capital", "kindOfThing": False, "letters": False,
    }  # fmt: skip
