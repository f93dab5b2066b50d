"""Test suites as what they are defined to be: compared with `Workbench.test`, at the threshold, after a change."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml

from core.community import suites
from core.community.records import Case, Suite
from core.errors import BadInput, NotAvailable, NotFound
from core.interchange import suites as files
from core.records import FeatureKey, Step
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

FEATURE = FeatureKey.parse(f"{tiny.SAE}/3")
NEURON = FeatureKey.parse(f"{tiny.NEURONS}/3")
TEXTS = [f"{a} {b} {n}" for n, (a, b) in enumerate([("Paris", "is"), ("a fine", "day 🙂"), ("It’s", "Number")] * 12)]
ODD = [
    "- a", "yes", "null", " lead", "trail ", "a: b", "#c", "'q'", '"dq"', "two\nlines", "tab\t", "\u2028", "🙂", "=1",
    "é\u0301", "{x}", "[y]", "%z", "@", "`", "|", ">", "!!a", "&b", "*c", "1e3", "0x1", "---", "...", "a\n\nb\n",
    "\x85",
]  # fmt: skip


def made(feature=FEATURE, texts=TEXTS, threshold=0.0, fires=True) -> Suite:
    return suites.draft(feature, "s", [Case(text, fires) for text in texts], threshold=threshold)


def largest(test) -> float:
    return max(v for v, t in zip(test.values, test.tokens, strict=True) if not t.special)


@pytest.mark.parametrize("feature", [FEATURE, NEURON], ids=["sae", "signed"])
def test_a_text_fires_where_the_largest_value_without_bos_is_above_the_threshold(bench, feature):
    values = {text: largest(bench.test(feature, text)[0]) for text in TEXTS}
    threshold = sorted(values.values())[len(values) // 2]
    for expected in (True, False):
        run = bench.run_suite(made(feature, threshold=threshold, fires=expected))
        assert [one.value for one in run.results] == pytest.approx([values[t] for t in TEXTS], rel=1e-5, abs=1e-6)
        for one in run.results:
            assert one.passed == ((one.value > threshold) == expected)
        assert run.passed + run.failed == len(TEXTS)
    assert len(set(values.values())) > 1, "else this says nothing"


def test_a_signed_feature_fires_by_its_largest_value_and_not_by_its_deepest(bench):
    def both(test) -> bool:  # the deepest is below zero, and something is above it
        return test.maximum < 0 < largest(test)

    index, text = next(
        (n, t) for n in range(128) for t in TEXTS
        if both(bench.test(FeatureKey(NEURON.model_id, NEURON.source_id, n), t)[0])
    )  # fmt: skip
    key = FeatureKey(NEURON.model_id, NEURON.source_id, index)
    (one,) = bench.run_suite(made(key, [text])).results
    assert one.passed and one.value > 0


def test_bos_does_not_count(bench):
    """A threshold between what BOS gives and what the words give would be passed if it did."""
    for index in range(64):
        key = FeatureKey(FEATURE.model_id, FEATURE.source_id, index)
        (test,) = bench.test(key, TEXTS[0])
        special = [v for v, t in zip(test.values, test.tokens, strict=True) if t.special]
        if special and special[0] > largest(test):
            between = (special[0] + largest(test)) / 2
            assert bench.run_suite(made(key, TEXTS[:1], between)).failed == 1
            return
    pytest.fail("no feature of the tiny source is larger at BOS: take another seed")


def test_exactly_at_the_threshold_it_does_not_fire(bench):
    (one,) = bench.run_suite(made(texts=TEXTS[:1], threshold=-1.0)).results
    at = bench.run_suite(made(texts=TEXTS[:1], threshold=one.value))
    below = bench.run_suite(made(texts=TEXTS[:1], threshold=float.fromhex(one.value.hex()) - 1e-9))
    assert at.failed == 1 and below.failed == 0
    assert bench.run_suite(made(texts=TEXTS[:1], threshold=one.value, fires=False)).failed == 0


def test_run_again_unchanged_it_comes_out_the_same(bench):
    first, second = (bench.run_suite(made(threshold=0.2)) for _ in range(2))
    assert (first.results, first.build) == (second.results, second.build)


def test_a_hundred_texts_at_once_are_a_hundred_alone(bench):
    rng = random.Random(0)
    words = "Paris is a fine day It’s Number 🙂 1 2 3".split()
    texts = list(dict.fromkeys(" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(130)))[:100]
    assert len(texts) == 100 > bench.settings.max_texts
    values = sorted(largest(bench.test(FEATURE, text)[0]) for text in texts)
    low, high = max(pairwise(values), key=lambda pair: pair[1] - pair[0])  # far from either
    run = bench.run_suite(made(texts=texts, threshold=(low + high) / 2))
    alone = [bench.run_suite(made(texts=[text], threshold=(low + high) / 2)).results[0] for text in texts]
    assert [(r.case, r.passed) for r in run.results] == [(r.case, r.passed) for r in alone]
    assert [r.value for r in run.results] == pytest.approx([r.value for r in alone], rel=1e-5, abs=1e-6)
    assert any(r.passed for r in alone) and not all(r.passed for r in alone)


def test_a_run_tells_how_far_the_suite_is(bench, tmp_path, tiny_root):
    fresh = Workbench(Settings(data=tiny_root, demo=None, max_texts=8, cache_mb=1, cache_disk_mb=0))
    steps: list[Step] = []
    texts = [f"told {text}" for text in TEXTS]
    fresh.run_suite(made(texts=texts), tell=steps.append)
    read = [step for step in steps if step.doing == "reading"]
    assert {step.of for step in read} == {len(texts)}
    assert [step.done for step in read] == sorted(step.done for step in read)
    assert read[-1].done == len(texts)


def test_a_text_that_cannot_be_read_fails_alone(bench):
    cases = [Case("Paris", True), Case("   ", True), Case("long " * 200, False), Case("It’s", False)]
    run = bench.run_suite(suites.draft(FEATURE, "s", cases, threshold=-1.0))
    first, empty, long, last = run.results
    assert first.passed and first.value is not None and not first.why
    assert not empty.passed and empty.value is None and "empty" in empty.why
    assert not long.passed and long.value is None and "too long" in long.why
    assert last.value is not None


@pytest.mark.parametrize(("key", "says"), [("tiny/1-res/99999", "0 to 63"), ("tiny/9-none/1", "no source")])
def test_a_feature_that_is_gone(bench, key, says):
    with pytest.raises(NotFound, match=says):
        bench.run_suite(made(FeatureKey.parse(key)))


def test_a_source_without_weights(bench, monkeypatch):
    source = bench.source(tiny.SAE)
    bare = replace(source, has=tuple(part for part in source.has if part != "weights"))
    monkeypatch.setattr(type(bench), "source", lambda self, key: bare)
    fresh = Workbench(bench.settings)
    with pytest.raises(NotAvailable, match="without its weights"):
        fresh.run_suite(made(texts=["never read before"]))


def test_the_suggested_threshold(bench, record):
    assert suites.suggested(record.maximum) == pytest.approx(record.maximum / 10, rel=0.05)
    assert suites.suggested(0.0) == 0 and suites.suggested(-3.0) == 0
    assert suites.suggested(44.4) == 4.4


def test_two_fields_and_back():
    cases = (Case("a", True), Case(" b ", True), Case("two\nlines", True), Case("c", False))
    assert suites.cases(*suites.fields(cases)) == cases
    assert suites.cases("a\r\n\n  \nb", "c\n") == (Case("a", True), Case("b", True), Case("c", False))


@pytest.mark.parametrize("write", [files.to_yaml, files.to_lines])
def test_what_is_exported_is_read_back(write):
    cases = [Case(text, n % 2 == 0) for n, text in enumerate(ODD)]
    ordered = sorted(cases, key=lambda case: not case.fires)
    one = suites.draft(FEATURE, "a: name # “odd” 🙂", ordered, threshold=1 / 3, about="two\nlines")
    two = suites.draft(NEURON, "no", [Case("x", False)], threshold=-2)
    assert files.read(write([one, two])) == (one, two)
    assert files.read("\ufeff" + write([one])) == (one,)


def test_a_yaml_file_reads_as_a_person_wrote_it():
    said = files.to_yaml([suites.draft(FEATURE, "name", [Case("My mother.", True), Case("The house.", False)])])
    found = yaml.safe_load(said)
    assert found == {"feature": str(FEATURE), "name": "name", "threshold": 0.0, "fires": ["My mother."],
                     "silent": ["The house."]}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no test suite"),
        ("hello", "names no feature"),
        ("feature: x", "name"),
        ("feature: tiny/1-res/3\nname: n", "needs a text"),
        ("feature: tiny/1-res/3\nname: n\nfires: [yes]", "put it in quotes"),
        ("feature: tiny/1-res/3\nname: n\nfires: text", "list of texts"),
        ("feature: tiny/1-res/3\nname: n\nfire: [a]", "“fire” is nothing"),
        ("feature: tiny/1-res/3\nname: n\nfires: [a]\nsilent: [a]", "should fire and should not"),
        ("feature: tiny/1-res/3\nname: n\nfires: [a]\nthreshold: high", "no number"),
        ("feature: tiny/1-res/3\nname: n\nfires: [a]\nthreshold: .inf", "finite"),
        ("feature: tiny/1-res/3\nname: n\nfires: [a]\nthreshold: true", "no number"),
        ("feature: rubbish\nname: n\nfires: [a]", "Suite 1 of the file"),
        ("feature: [\n", "cannot be read as YAML"),
        ("a: &a [*a]", "feature"),
        ("!!python/object/apply:os.system [ls]", "cannot be read as YAML"),
        ('{"text": "a", "fires": true}', "no suite has begun"),
        ('{"feature": "tiny/1-res/3", "suite": "n"}\n{"text": "a"}', "Line 2"),
        ('{"feature": "tiny/1-res/3", "suite": "n"}\n{"text": 1, "fires": true}', "put it in quotes"),
        ('{"feature": "tiny/1-res/3", "suite": "n"}\n[', "Line 2 is no JSON"),
        ("x" * 4_000_001, "larger than 4 MB"),
    ],
)
def test_a_file_that_is_wrong_says_where(text, says):
    with pytest.raises(BadInput, match=says):
        files.read(text)


def test_its_answer_is_json(bench):
    run = bench.run_suite(made(texts=["Paris", " "]))
    said = json.loads(json.dumps(files.answer(made(), run)))
    assert [one["passed"] for one in said["results"]] == [one.passed for one in run.results]
    assert "empty" in said["results"][1]["why"] and said["ok"] is (not run.failed)
