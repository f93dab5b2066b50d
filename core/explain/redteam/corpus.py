"""A maker: sentences of the build's texts that are near the boundary of a hypothesis.

Four kinds, in turn: those in which the feature is strong though they have no phrase of the hypothesis; those in which
it is about as strong as the threshold; those that have a phrase, some of which may leave it silent; and any others.
Whether the feature should fire on one is what the hypothesis says of it, and never what the feature did: the engine
reads each sentence anew, by itself. Where the feature is strong is known from its record, or from the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from core.explain.known import Known, Place
from core.explain.redteam.making import Ground, Maker, in_turn
from core.explain.redteam.records import Covered, Text
from core.explain.redteam.sentences import LONGEST, around, written

NEAR = 3.0
"""Times the threshold, either way, within which a value is near it."""
STRONGEST = 60
"""Texts of the feature's page of which it is asked whether they have a phrase."""
MISSED = 6
"""Tokens that are named of those that have none."""


def make(ground: Ground, most: int) -> Iterator[Text]:
    """Sentences of the build near the hypothesis's boundary."""
    known = Known(ground.bench, ground.record.key, read=False)
    rows = [_strong(ground, known), _near(ground, known), _with(ground, known), _others(ground)]
    seen: set[str] = set()
    for one in in_turn(rows):
        if len(seen) == most:
            return
        if one.text not in seen:
            seen.add(one.text)
            yield one


def _strong(ground: Ground, known: Known) -> Iterator[Text]:
    """Where the feature is strong, and no phrase stands."""
    for place in known.places:
        if place.value <= ground.threshold:
            return
        text = around(known.tokens(place.prompt), place.position)
        if text and not ground.hypothesis.mentions(text):
            yield _text(ground, text, "strong there, with none of the phrases")


def _near(ground: Ground, known: Known) -> Iterator[Text]:
    """Where it is about as strong as the threshold."""
    low, high = ground.threshold / NEAR, ground.threshold * NEAR

    def far(place: Place) -> float:
        return max(place.value / ground.threshold, ground.threshold / place.value)

    some = [place for place in known.places if ground.threshold > 0 and low <= place.value <= high]
    for place in sorted(some, key=lambda p: (far(p), p.prompt, p.position)):
        text = around(known.tokens(place.prompt), place.position)
        if text and ground.hypothesis.expects(text) is not None:
            yield _text(ground, text, "about as strong there as the threshold")


def _with(ground: Ground, known: Known) -> Iterator[Text]:
    """Those with a phrase; where every value is known, those first on which the feature is silent."""
    sides: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
    for prompt, sentence in ground.corpus().sentences:
        places = ground.hypothesis.places(sentence)
        if places and (said := ground.hypothesis.expects(sentence)) is not None:
            sides[said].append((prompt, sentence))
    rows = []
    for fires, some in sides.items():
        some = ground.shuffled(f"corpus {fires}", some)
        why = "has a phrase that it should fire on" if fires else "has a phrase that it should be silent on"
        if known.how == "store" or known.complete:
            some.sort(key=lambda one: _largest(known, one[0]))
            why += ", the weakest prompts first" if fires else ""
        rows.append([_text(ground, sentence, why) for _, sentence in some])
    yield from in_turn(rows)


def _others(ground: Ground) -> Iterator[Text]:
    """Any without a phrase."""
    for _, sentence in ground.shuffled("corpus others", ground.corpus().sentences):
        if not ground.hypothesis.mentions(sentence) and not ground.hypothesis.open:
            yield _text(ground, sentence, "by chance, with none of the phrases")


def _largest(known: Known, prompt: int) -> float:
    (values,) = known.values([(prompt, len(known.tokens(prompt)))])
    return float(values.max(initial=0.0)) if values is not None else 0.0


def _text(ground: Ground, text: str, why: str) -> Text:
    places = ground.hypothesis.places(text)
    fires, begin, end = places[0] if places else (None, None, None)
    phrase = text[begin:end] if begin is not None else ""
    part = next((p for p in ground.hypothesis.words if p.fires is fires and p.text.lower() == phrase.lower()), None)
    return Text(
        text=text, expected=ground.hypothesis.expects(text), maker=MAKER.name, why=why,
        phrase=part.phrase if part else "", begin=begin if part else None, role=part.role if part else None,
    )  # fmt: skip


def covered(ground: Ground) -> Covered | None:
    """How many of the strongest texts of the feature's page have a phrase up to the token at their peak.

    None where the hypothesis names only kinds of things, or nothing is shown.
    """
    if not any(part.fires for part in ground.hypothesis.words):
        return None
    known = Known(ground.bench, ground.record.key, read=False)
    prompts: set[int] = set()
    by = texts = 0
    missed: Counter[str] = Counter()
    for place in known.places:
        if place.value <= ground.threshold or texts == STRONGEST:
            break
        if place.prompt in prompts:
            continue
        prompts.add(place.prompt)
        tokens = known.tokens(place.prompt)
        text = written(tokens)
        end = len(written(tokens[: place.position + 1]))
        begin = max(0, end - LONGEST // 2)
        here = any(fires and begin < e and b < end for fires, b, e in ground.hypothesis.places(text))
        texts, by = texts + 1, by + here
        if not here:
            missed[tokens[place.position].text.strip() or tokens[place.position].text] += 1
    named = tuple(token for token, _ in missed.most_common(MISSED))
    return Covered(texts=texts, by=by, missed=named) if texts else None


MAKER = Maker("corpus", "sentences of the build’s texts, near the boundary", 4, make)
