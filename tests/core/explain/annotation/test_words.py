"""What a line says: whole words, in the order of activation, on texts in which every word is known."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from core.explain.annotation import make
from core.explain.annotation.corpus import corpus
from core.explain.annotation.words import LONGEST, visible
from core.models.vocabulary import Vocabulary
from tests.core.explain.annotation.planted import stored

PARTS = "na|tion ac|tion Sta|tion Pop|ulation red dog the cat ran post|al post home"
WORDS = {word.replace("|", ""): tuple(f" {word}".split("|")) for word in PARTS.split()}
WORDS |= {sign: (sign,) for sign in (".", "__", "\n")}
PIECES = ["<|bos|>", *dict.fromkeys(piece for word in WORDS.values() for piece in word)]
ID = {piece: n for n, piece in enumerate(PIECES)}


class Texts:
    """Two hundred prompts; “Population” stands in letters only."""

    def __init__(self) -> None:
        rng = random.Random(0)
        self.tokens, self.words, starts, self.parts = [], [], [0], []
        for n in range(200):
            self.parts.append("tales" if n < 120 else "letters")
            self._add(0, "")
            for _ in range(14):
                word = rng.choice([w for w in WORDS if w != "Population" or n >= 120])
                for piece in WORDS[word]:
                    self._add(ID[piece], word)
            starts.append(len(self.tokens))
        self.corpus = corpus(
            np.array(self.tokens, np.uint32), np.array(starts), np.arange(200), self.parts,
            Vocabulary([p.encode() for p in PIECES], [0]),
        )  # fmt: skip

    def _add(self, token: int, word: str) -> None:
        self.tokens.append(token)
        self.words.append(word)

    def feature(self, fires) -> list[tuple[int, float]]:
        """`fires(piece, word)` gives a value or nothing."""
        every = enumerate(zip(self.tokens, self.words, strict=True))
        return [(t, float(v)) for t, (token, word) in every if token and (v := fires(PIECES[token], word))]


TEXTS = Texts()
STRONG = {"nation": 3.0, "action": 2.0, "Station": 1.0}


def only(piece, value=1.0):
    return lambda p, w: value if p == piece else 0


FEATURES = {
    "alone": only(" dog"),
    "one word": only("ulation"),
    "first piece": only(" Pop"),
    "some words": lambda p, w: STRONG[w] if p == "tion" else 0,
    "own word too": only(" post"),
    "sign": only("."),
    "signs": only("__"),
    "line break": only("\n"),
    "mass": lambda p, w: {" red": 9.0, " the": 1.0}.get(p, 0),
    "count": lambda p, w: {" red": 1.0, " the": 9.0}.get(p, 0),
    "few but strong": lambda p, w: {" the": 1.0, " cat": 1.0, " ran": 1.0, " home": 1.0, " dog": 0.2}.get(p, 0),
    "tails": lambda p, w: {" red": -9.0, " the": 1.0}.get(p, 0),
}


@pytest.fixture(scope="module")
def lines():
    features = {name: TEXTS.feature(fires) for name, fires in FEATURES.items()}
    dogs = features["few but strong"]
    strong = [t for t, v in dogs if TEXTS.words[t] == "dog"][:10]
    features["few but strong"] = [(t, 5.0 if t in strong else v) for t, v in dogs]
    features["held out"] = [(t, v) for t, v in features["alone"] if TEXTS.corpus.held[t]]
    blocks = list(make.annotate(stored(list(features.values())), TEXTS.corpus))
    return {
        name: {column: blocks[0][column][n] for column in ("line", "clause", "meaning_label", "score")}
        for n, name in enumerate(features)
    }


def test_a_token_that_is_a_word_is_said_as_it_stands(lines):
    assert lines["alone"]["line"] == "“dog”"


def test_a_piece_of_one_word_is_said_with_that_word_and_its_case(lines):
    assert lines["one word"]["line"] == "“Population” (-ulation); nearly always in letters"
    assert lines["first piece"]["line"] == "“Population” (Pop-); nearly always in letters"


def test_a_piece_of_several_words_is_said_with_those_it_is_strongest_in(lines):
    assert lines["some words"]["line"] == "“-tion” as in nation, action and Station"


def test_a_piece_that_is_a_word_too_is_said_as_the_word(lines):
    """Half of the places of “post” are the word itself and half are in “postal”, within chance."""
    mass = Counter(word for token, word in zip(TEXTS.tokens, TEXTS.words, strict=True) if token == ID[" post"])
    usual = "“post”" if mass["post"] >= mass["postal"] else "“post-” as in postal"
    assert lines["own word too"]["line"] == usual


def test_signs_are_said_by_name(lines):
    assert lines["sign"]["line"] == "“.” (full stop)"
    assert lines["signs"]["line"] == "“__” (underscores)"
    assert lines["line break"]["line"] == "“↵” (line break)"


def test_categories_stand_in_the_order_of_their_activation_not_of_their_number(lines):
    assert lines["mass"]["line"] == "“red” or “the”"
    assert lines["count"]["line"] == "“the” or “red”"
    assert lines["tails"]["line"] == "“red” or “the”"  # the size counts, not the sign


def test_what_the_strongest_activations_are_on_comes_first(lines):
    line = lines["few but strong"]["line"]
    assert line.startswith("strongest on “dog”; also ")
    assert line.count("dog") == 1
    assert set(line.split("also ")[1].replace("“", "").replace("”", "").replace(",", "").split()) == {
        "the", "cat", "ran", "or", "home",
    }  # fmt: skip


def test_the_rule_keeps_its_pieces_and_every_category(lines):
    """What is scored is the token, whatever word it is in."""
    assert lines["some words"]["clause"] == ["“tion”"]
    assert lines["one word"]["clause"] == ["“ulation”"]
    assert sorted(lines["few but strong"]["clause"][0].replace(",", "").replace(" or", "").split()) == sorted(
        "“the” “cat” “ran” “home” “dog”".split()
    )
    assert lines["some words"]["score"] == lines["alone"]["score"] == 1.0


def test_a_feature_without_a_rule_is_said_by_its_words(lines):
    assert lines["held out"]["line"] == "too rare for a rule; active on “dog”"
    assert lines["held out"]["clause"] == []


def test_meanings_are_said_in_whole_words_too(lines):
    assert lines["one word"]["meaning_label"] == ["“Population” (-ulation)"]


def test_a_line_has_an_end(lines):
    assert all(len(one["line"]) <= LONGEST + 40 for one in lines.values())
    assert visible("\n a\t") == "↵ a⇥"
