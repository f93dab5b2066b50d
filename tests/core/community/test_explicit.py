"""Explicit text: whole words, whatever their case, over joined tokens; nothing that only contains one."""

from __future__ import annotations

import pytest

from core.community.explicit import WORDS, explicit, explicit_tokens
from core.records import Token


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_counts_alone_capital_and_in_a_sentence(word):
    assert explicit(word) and explicit(word.upper()) and explicit(f"He said: “{word}!”") and explicit(f"a_{word}_b")
    assert not explicit(f"x{word}") and not explicit(f"{word}x1"), "only as a whole word"


@pytest.mark.parametrize(
    "text",
    ["", "Scunthorpe", "cocktail", "Dick and the cock", "a hoarder of grapes", "therapists", "rapeseed oil", "Essex",
     "Matsushita", "assassin", "fagus", "the analyst", "retarded flame", "circumstance", "shuttlecock"],
)  # fmt: skip
def test_words_that_only_look_like_one_do_not(text):
    assert not explicit(text)


def test_wide_letters_are_letters():
    assert explicit("ＦＵＣＫ") and explicit("ﬁsting")


def test_tokens_are_joined_and_special_ones_left_out():
    def tokens(*texts, special=False):
        return [Token(n, text, special=special) for n, text in enumerate(texts)]

    assert explicit_tokens(tokens(" f", "uck", "ing"))
    assert not explicit_tokens(tokens("f", " uck"))
    assert not explicit_tokens(tokens("fuck", special=True))
