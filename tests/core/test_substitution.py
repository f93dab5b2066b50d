"""A substitution scan, through the workbench, against SAELens on each filled sentence; which tokens the slot has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadInput, NotFound
from core.records import Token
from core.settings import Settings
from core.techniques.substitution import slot_of
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

SENTENCE = "The {} of France"
WORDS = ["capital", "day", "🙂", "great war", "Zürich", "x, y"]


@pytest.mark.parametrize("source", [tiny.SAE, tiny.NEURONS])
def test_values_are_those_of_plain_encodes(bench, tiny_config, source):
    from transformers import AutoTokenizer

    folder, sae = tiny_config.parent, source == tiny.SAE
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    hook = "blocks.1.hook_resid_pre" if sae else "blocks.0.mlp.hook_post"
    for feature in (3, 11):
        record = bench.substitute(f"{source}/{feature}", SENTENCE, WORDS)
        assert [one.word for one in record.fillings] == WORDS
        for one in record.fillings:
            assert one.text == SENTENCE.replace("{}", one.word)
            read = tokenizer(one.text, add_special_tokens=False, return_offsets_mapping=True)
            ids = [0, *read["input_ids"]]
            values = naive.dense(folder / "model", folder / "sae" if sae else None, [ids], hook, {0}).acts[:, feature]
            np.testing.assert_allclose(one.values, values, rtol=1e-3, atol=1e-4)
            best = values[1:].max() if sae else max(values[1:], key=abs)
            assert one.maximum == pytest.approx(float(best), rel=1e-3, abs=1e-4)
            begin, end = 4, 4 + len(one.word)
            slot = [n for n, (a, b) in enumerate(read["offset_mapping"], 1) if a < end and b > begin]
            assert list(one.slot) == slot
            there = max((values[n] for n in slot), key=float if sae else abs)
            assert one.at_slot == pytest.approx(max(0.0, float(there)) if sae else float(there), rel=1e-3, abs=1e-4)


def test_it_is_what_a_test_of_each_sentence_says(bench):
    key = f"{tiny.SAE}/3"
    record = bench.substitute(key, SENTENCE, WORDS)
    tests = bench.test(key, [SENTENCE.replace("{}", word) for word in WORDS])
    assert [(f.values, f.maximum, f.position) for f in record.fillings] == [
        (t.values, t.maximum, t.position) for t in tests
    ]


@pytest.mark.parametrize(("sentence", "word"), [("{}", "red"), ("{} end", "a"), ("begin {}", "b"), ("x{}y", "!?")])
def test_a_slot_anywhere(bench, sentence, word):
    (one,) = bench.substitute(f"{tiny.SAE}/3", sentence, word).fillings
    assert word in "".join(one.tokens[n].text for n in one.slot)


def tokens(*texts: str) -> list[Token]:
    """After a BOS; what ends in “_” ends inside a character."""
    rest = [Token(n, text.removesuffix("_"), partial=text.endswith("_")) for n, text in enumerate(texts, 1)]
    return [Token(0, "<s>", special=True), *rest]


@pytest.mark.parametrize(
    ("drawn", "text", "begin", "word", "slot"),
    [
        (("The", " red", " house"), "The red house", 4, "red", (2,)),
        (("The", " r", "ed", " house"), "The red house", 4, "red", (2, 3)),
        (("The r", "edho", "use"), "The redhouse", 4, "red", (1, 2)),
        (("a", "_", "_", "é", "b"), "aéb", 1, "é", (2, 3, 4)),
        (("a _", "é", "b"), "a éb", 2, "é", (1, 2)),
        (("_", "é", "b"), "éb", 1, "b", (3,)),
        ((" The", " red"), "The red", 4, "red", (2,)),  # a space put first
        ((" red", " and", " red"), "red and red", 8, "red", (3,)),
        (("the", " house"), "THE HOUSE", 4, "HOUSE", ()),  # written otherwise: not to be found
    ],
)
def test_the_tokens_of_a_slot(drawn, text, begin, word, slot):
    assert slot_of(tokens(*drawn), text, begin, word) == slot


@pytest.mark.parametrize(
    ("sentence", "words", "says"),
    [
        ("The house", ["red"], "no slot"),
        ("{} and {}", ["red"], "2 slots"),
        ("The {} house", [], "no word"),
        ("The {} house", ["red", " "], "Word 2 is empty"),
        ("The {} house", ["red"] * 33, "at most 32"),
        ("The {} house " + "x " * 300, ["red"], "too long"),
        ("The {} house", ["x" * 10_001], "too long"),
        ("The {} house", ["\ud800"], "Unicode"),
    ],
)
def test_what_cannot_be_scanned_is_a_message(bench, sentence, words, says):
    with pytest.raises(BadInput, match=says):
        bench.substitute(f"{tiny.SAE}/3", sentence, words)


def test_the_bound_is_a_setting(tiny_root):
    bench = Workbench(Settings(data=tiny_root, demo=None, max_texts=2))
    with pytest.raises(BadInput, match="at most 2"):
        bench.substitute(f"{tiny.SAE}/3", "a {}", ["x", "y", "z"])


def test_what_is_not_here(bench):
    with pytest.raises(NotFound):
        bench.substitute(f"{tiny.SAE}/9999", "a {}", ["x"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text(max_size=8), word=st.text(min_size=1, max_size=8), after=st.text(max_size=8))
def test_any_word_in_any_sentence_is_scanned_or_refused(bench, before, word, after):
    try:
        record = bench.substitute(f"{tiny.SAE}/3", f"{before}{{}}{after}", [word])
    except BadInput:
        return
    (one,) = record.fillings
    assert one.slot
    assert one.at_slot <= one.maximum + 1e-6


def test_as_a_frame_and_in_a_notebook(bench):
    record = bench.substitute(f"{tiny.SAE}/3", SENTENCE, WORDS)
    assert list(record.to_pandas()["word"]) == WORDS
    assert "Zürich" in record._repr_html_()
    assert "\n" not in repr(record)
    (one, *_) = record.fillings
    tokens = tuple(replace(t, text="<img src=x>") for t in one.tokens)
    nasty = replace(record, sentence="<img src=x>{}", fillings=(replace(one, word="<img src=x>", tokens=tokens),))
    assert "<img" not in nasty._repr_html_()
