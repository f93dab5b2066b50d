"""One slot of a sentence filled with one word after another: what each does to a feature.

The sentence has one `{}`. Each filled text is read as the test of a feature reads it (`core.techniques.feature_test`);
here it is found which of its tokens the word has a part in, so that the value at the word and the value anywhere can be
told apart: many features fire on the word after. A token that holds the space before the word, or joins the word to its
neighbour, is the word's too.

Cost: a walk over the tokens; the texts are read before.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import BadInput
from core.records import FeatureKey, Filling, SubstitutionRecord, TestRecord, Token

SLOT = "{}"
EXAMPLE = "“The {} house”"


def filled(sentence: str, words: Sequence[str], most: int) -> list[str]:
    """The sentence with each word in its slot.

    Raises:
        BadInput: it has no slot or several, or there are no words, an empty one, or more than `most`.
    """
    count = sentence.count(SLOT)
    if count == 0:
        raise BadInput(f"The sentence has no slot: write {SLOT} where the words are to go, as in {EXAMPLE}.")
    if count > 1:
        raise BadInput(f"The sentence has {count} slots: write {SLOT} once, as in {EXAMPLE}.")
    if not words:
        raise BadInput("There is no word to fill the slot with: give some, as in red, blue, green.")
    if len(words) > most:
        raise BadInput(f"{len(words)} words are too many at once: at most {most}.")
    for n, word in enumerate(words, 1):
        if not word.strip():
            raise BadInput(f"Word {n} is empty: leave it out, or write something.")
    before, after = sentence.split(SLOT)
    return [f"{before}{word}{after}" for word in words]


def substitution(
    key: FeatureKey, sentence: str, words: Sequence[str], tests: Sequence[TestRecord], *, signed: bool
) -> SubstitutionRecord:
    """The record, from the test of each filled text."""
    fillings = []
    for word, test in zip(words, tests, strict=True):
        slot = slot_of(test.tokens, test.text, sentence.index(SLOT), word)
        there = [test.values[n] for n in slot]
        best = max(there, key=abs if signed else float, default=0.0)
        fillings.append(
            Filling(
                word=word, text=test.text, tokens=test.tokens, values=test.values, maximum=test.maximum,
                position=test.position, slot=slot, at_slot=best if signed else max(0.0, best),
            )
        )  # fmt: skip
    return SubstitutionRecord(key=key, sentence=sentence, fillings=tuple(fillings), bos=tests[0].bos)


def slot_of(tokens: Sequence[Token], text: str, begin: int, word: str) -> tuple[int, ...]:
    """The tokens that hold a character of the word, which begins at `begin` of the text."""
    drawn = "".join(t.text for t in tokens if not t.special)
    if drawn != text:  # a tokenizer may put a space first, or write characters otherwise
        places = [at for at in range(len(drawn)) if drawn.startswith(word, at)]
        if not places:
            return ()
        begin = min(places, key=lambda at: abs(at - begin))
    end, at, found = begin + len(word), 0, []
    for n, token in enumerate(tokens):
        if token.special:
            continue
        after = at + len(token.text)
        # one that ends inside a character has a part in it, though a later one draws it
        if at < end and after + token.partial > begin:
            found.append(n)
        at = after
    return tuple(found)
