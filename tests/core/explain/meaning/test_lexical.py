"""Words in common: folding, weights, and the same numbers as a plain BM25."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.explain.meaning.lexical import K1, B, Postings, asked, folded, matched, scores, split


@pytest.mark.parametrize(
    ("a", "b"),
    [("Colours", "colour"), ("countries", "country"), ("Zürich", "zurich"), ("dog’s", "dog"), ("houses", "house")],
)
def test_spellings_that_are_one_word(a, b):
    assert folded(a) == folded(b)


@pytest.mark.parametrize(("a", "b"), [("glass", "glas"), ("bus", "bu"), ("news", "new york"), ("war", "ward")])
def test_spellings_that_are_not(a, b):
    assert folded(a) != folded(b)


def test_words_that_say_nothing_are_not_looked_for_unless_quoted_or_alone():
    assert asked("features about the colours") == ("colour",)
    assert asked("the token “the”") == ("the",)
    assert asked('the word "about" in speeches') == ("about", "speeche")
    assert asked("this and that") == tuple(split("this and that"))
    assert asked("…") == ()


def test_matched_words_are_as_the_text_has_them():
    assert matched("Colours: a colour, COLOURS; discolour", ["colour"]) == ("Colours", "colour", "COLOURS")


def naive(words, texts):
    counts = [Counter(split(text)) for text in texts]
    lengths = [sum(count.values()) for count in counts]
    average = max(1.0, sum(lengths) / len(texts))
    weight = {}
    for word in words:
        held = sum(word in count for count in counts)
        weight[word] = math.log(1 + (len(texts) - held + 0.5) / (held + 0.5))
    made = []
    for count, length in zip(counts, lengths, strict=True):
        room = K1 * (1 - B + B * length / average)
        got = sum(weight[w] * min(1, count[w] * (K1 + 1) / (count[w] + room)) for w in words if count[w])
        made.append(min(1, got / sum(weight.values())))
    return made


WORDS = st.sampled_from("red green blue war peace the of code python music a bus glass".split())
TEXT = st.lists(WORDS, max_size=12).map(" ".join)


@given(
    texts=st.lists(TEXT, min_size=1, max_size=20), query=st.lists(WORDS, min_size=1, max_size=4), cut=st.integers(0, 20)
)
def test_scores_are_those_of_a_plain_bm25_however_the_texts_are_shelved(texts, query, cut):
    words = tuple(dict.fromkeys(folded(word) for word in query))
    found = scores(words, [Postings(texts[:cut]), Postings(texts[cut:])])
    np.testing.assert_allclose(found, naive(words, texts), atol=1e-5)


def test_a_rare_word_weighs_more_than_a_frequent_one():
    texts = ["a common thing"] * 50 + ["credentials of somebody"]
    rare, frequent = scores(asked("common credentials"), [Postings(texts)])[[50, 0]]
    assert rare > 3 * frequent


def test_no_words_and_no_texts_give_nothing():
    assert scores((), [Postings(["a"])]).tolist() == [0]
    assert len(scores(("a",), [])) == 0
