"""A maker: traps of letters. A feature may be for a string and not for a word.

The letters of a phrase inside other words (*red* in *hundred*), and words that differ from it in one letter, as the
build's texts have them: the hypothesis names other words than these, so the feature should be silent. The phrase in
capitals, in the other case, as a plural: of these the hypothesis says nothing, and what happens is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from core.explain.redteam.hypothesis import forms
from core.explain.redteam.making import Ground, Maker, in_turn
from core.explain.redteam.records import Text
from core.explain.redteam.templates import framed

WORDS = 12
"""Words of one kind that are looked for, for each phrase."""
FORMS = 2
"""Frames for each other form."""


def make(ground: Ground, most: int) -> Iterator[Text]:
    """Traps for every phrase that should fire, in turn."""
    phrases = [part.text for part in ground.hypothesis.words if part.fires and not part.letters]
    traps: dict[str, tuple[str, str]] = {}
    for phrase in phrases:
        for word in inside(phrase, ground.corpus().words):
            traps.setdefault(word, (phrase, f"the letters of “{phrase}” inside “{word}”"))
        for word in beside(phrase, ground.corpus().words):
            traps.setdefault(word, (phrase, f"“{word}” is one letter away from “{phrase}”"))
    traps = {word: about for word, about in traps.items() if not ground.hypothesis.mentions(word)}
    rows = [list(_trapped(ground, traps)), list(in_turn([_forms(ground, phrase) for phrase in phrases]))]
    yield from islice(in_turn(rows), most)


def inside(phrase: str, words: Counter[str]) -> list[str]:
    """Words that have the letters of a phrase inside, the most frequent first."""
    bare = phrase.lower()
    if len(bare) < 2 or not bare.isalpha():
        return []
    return [word for word, _ in words.most_common() if bare in word.lower() and word.lower() != bare][:WORDS]


def beside(phrase: str, words: Counter[str]) -> list[str]:
    """Words of the same length that differ in one letter, the most frequent first."""
    bare = phrase.lower()
    if len(bare) < 3 or not bare.isalpha():
        return []
    same = (word for word, _ in words.most_common() if len(word) == len(bare))
    return list(islice((w for w in same if sum(a != b for a, b in zip(w.lower(), bare, strict=True)) == 1), WORDS))


def _trapped(ground: Ground, traps: dict[str, tuple[str, str]]) -> Iterator[Text]:
    """A sentence of the build for each word, or a frame where there is none."""
    found: dict[str, str] = {}
    # where a kind of thing is meant, a sentence may have one of the kind, and a frame has none
    for _, sentence in () if ground.hypothesis.open else ground.corpus().sentences:
        for word in traps.keys() - found.keys():
            has = word in sentence and word in ground.corpus().split(sentence)
            if has and not ground.hypothesis.mentions(sentence):
                found[word] = sentence
    for word, (_, why) in traps.items():
        text = found.get(word) or next((text for _, text, _ in framed(ground, word)), "")
        if text:
            yield Text(text=text, expected=False, maker=MAKER.name, why=why, phrase=word, begin=text.find(word))


def _forms(ground: Ground, phrase: str) -> Iterator[Text]:
    for form in forms(phrase):
        for _, text, begin in islice(framed(ground, form), FORMS):
            yield Text(
                text=text, expected=ground.hypothesis.expects(text), maker=MAKER.name,
                why=f"“{phrase}” written “{form}”", phrase=form, begin=begin,
            )  # fmt: skip


MAKER = Maker("letters", "the same letters inside other words, other case, plural", 3, make)
