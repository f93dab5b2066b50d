"""A feature's examples, split in two: those that an explainer may see, and those that a scorer tests on.

The two never share a document: `held_out` sends every document of a corpus to one side, the same for all features and
methods, and passages that are near-identical to one on the other side are left out. (A feature that is active in fewer
than `FEW` documents would often have all of them on one side; its own are dealt in turn, strongest first.) Everything
is drawn by hashes: the same data give the same split, in any order and on any machine.

Tests follow Delphi (`dashboards-autointerp-circuits-metrics.md` section 3) without its overlap: short passages, so that
a judge reads little; positives over the whole range of activation, as many from each fifth of it as there are; and
negatives of three kinds, on which the feature is known to be silent (`core.explain.known`): anything (random), a
co-active feature or one with a close decoder row is active (near), or the tokens stand there on which the feature was
strong (hard). What could not be had is said in `lacks`.

Cost: the record, and with a store a walk over the feature's entries; without one, negatives take up to `READ` short
passes of the model for each kind, the random ones shared between features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.explain.known import How, Known, Place
from core.explain.records import Drawn
from core.records import FeatureKey, Token

if TYPE_CHECKING:
    from core.workbench import Workbench

LENGTH = 32
"""Tokens of a test passage."""
BEFORE, AFTER = 24, 24
"""Tokens around the peak of a passage that an explainer sees."""
BINS = 5
"""Equal ranges of the activation, from which positives are drawn in turn."""
FEW = 8
"""Documents with the feature, below which they are dealt in turn."""
READ, AT_ONCE = 36, 12
"""Prompts that are read at most to find negatives of one kind, and together."""
SHINGLE, SAME = 4, 0.5
"""Two passages are near-identical if they share this part of the shorter one's runs of so many tokens."""
LIKED = 8
"""Tokens that count as those the feature likes."""
SCANNED = 8192
"""Prompts in which these are looked for."""


Candidate = tuple[int, int]
"""A prompt, and the token around which a passage is to be cut."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Some tokens of a prompt, special ones left out, and the feature's values on them."""

    prompt: int
    document: int
    begin: int
    """Position of the first token in its prompt."""
    tokens: tuple[Token, ...]
    values: tuple[float, ...]
    """0 where it is not active."""
    drawn: Drawn = "positive"

    @property
    def text(self) -> str:
        """As a person reads it."""
        return "".join(token.text for token in self.tokens)

    @property
    def peak(self) -> float:
        """The largest value."""
        return max(self.values, default=0.0)

    @property
    def fires(self) -> bool:
        """Whether the feature is active on any of the tokens."""
        return self.peak > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tests:
    """What a scorer tests on."""

    key: FeatureKey
    passages: tuple[Passage, ...]
    """Positives, then negatives."""
    how: How
    """How the values are known."""
    lacks: tuple[str, ...]
    """What could not be had, in sentences."""

    __test__ = False  # the name is not pytest's


def held_out(document: int) -> bool:
    """Whether a document is for tests only; half of all are."""
    return bool(_mixed(document, 0x5EED) >> 40 & 1)


def to_show(bench: Workbench, key: FeatureKey, most: int = 20) -> tuple[Passage, ...]:
    """The strongest passages that an explainer may see, near-identical ones once, strongest first; runs no model."""
    known = Known(bench, key, read=False)
    return tuple(_shown(known, _sides(known), most))


def to_test(
    bench: Workbench, key: FeatureKey, *, positives: int = 20, negatives: int = 20, annotated: bool = False
) -> Tests:
    """Passages that no explainer was shown, with the feature's values; see the module.

    `annotated`: for an annotation, which saw documents of its own choice (`core.explain.annotation.corpus`): passages
    of those are left out, too.

    Raises:
        NotFound: there is no such feature.
        BadData: its files are damaged.
    """
    known = Known(bench, key)
    sides = _sides(known, annotated=annotated)
    seen = _Seen()
    for passage in _shown(known, sides, 40):  # more than any method is given
        seen.add(passage)
    chosen, lacks = list(_positives(known, sides, seen, positives)), []
    if len(chosen) < positives:
        lacks.append(_few_positives(known, len(chosen), positives))
    wanted: dict[Drawn, int] = {"near": negatives * 3 // 10, "hard": negatives * 3 // 10}
    kinds: tuple[tuple[Drawn, Iterable[Candidate]], ...]
    kinds = (("near", _near(bench, known, sides)), ("hard", _hard(known, sides)))
    for kind, candidates in kinds:
        found = list(_silent(known, sides, candidates, seen, kind, wanted[kind]))
        if len(found) < wanted[kind]:
            lacks.append(_few_negatives(known, kind, len(found), wanted[kind]))
        chosen += found
    missing = negatives - sum(passage.drawn != "positive" for passage in chosen)
    found = list(_silent(known, sides, _random(known, sides), seen, "random", missing))
    if len(found) < missing:
        lacks.append(_few_negatives(known, "random", len(found), missing))
    if known.how == "shown" and not known.complete:
        lacks.append(
            "Its values are known only on the prompts that its page shows"
            + (f" ({known.why.rstrip('.')})" if known.why else ", since neither its weights nor its store are here")
            + ": negatives are parts of these prompts on which it is silent."
        )
    return Tests(key=key, passages=(*chosen, *found), how=known.how, lacks=tuple(lacks))


# -- sides -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sides:
    """Which prompts are for tests."""

    documents: NDArray[np.int64]
    dealt: dict[int, bool]
    """Documents of a feature that has few, by which they are dealt."""
    unlearned: NDArray[np.bool_] | None = None
    """[prompts]: those that no annotation was learned from, where that matters."""

    def tested(self, prompt: int) -> bool:
        if self.unlearned is not None and not self.unlearned[prompt]:
            return False
        document = int(self.documents[prompt])
        return self.dealt[document] if document in self.dealt else held_out(document)


def _sides(known: Known, *, annotated: bool = False) -> _Sides:
    documents = known.documents()
    order = dict.fromkeys(int(documents[place.prompt]) for place in known.places)
    dealt = {document: n % 2 == 1 for n, document in enumerate(order)} if len(order) < FEW else {}
    if not annotated:
        return _Sides(documents, dealt)
    from core.explain.annotation import corpus  # brings numba

    return _Sides(documents, dealt, corpus.held_out(documents)[0])


# -- positives -------------------------------------------------------------------------------------------------------


def _shown(known: Known, sides: _Sides, most: int) -> Iterator[Passage]:
    """The strongest of each prompt on the explainers' side."""
    seen, prompts, count = _Seen(), set(), 0
    for place in known.places:
        if count == most:
            return
        if place.prompt in prompts or sides.tested(place.prompt):
            continue
        prompts.add(place.prompt)
        begin, end = place.position - BEFORE, place.position + AFTER + 1
        passage = _passage(known, sides, place.prompt, begin, end, "positive")
        if passage is not None and seen.add(passage):
            count += 1
            yield passage


def _positives(known: Known, sides: _Sides, seen: _Seen, most: int) -> Iterator[Passage]:
    """One a prompt, from each range of the activation in turn."""
    places = [place for place in known.places if sides.tested(place.prompt)]
    top = max((place.value for place in known.places), default=0.0)
    drawn = known.drawn()
    bins: list[list[Place]] = [[] for _ in range(BINS)]
    for place in places:
        bins[min(BINS - 1, int(place.value / top * BINS))].append(place)
    for each in bins:  # tokens that the build drew for their range first, then by chance
        each.sort(key=lambda p: (drawn.get(p.prompt) != p.position, _mixed(_seed(known.key), p.prompt, p.position)))
    prompts: set[int] = set()
    count = 0
    for place in _in_turn(bins):
        if count == most:
            return
        if place.prompt in prompts:
            continue
        begin, end = _around(known.key, place.prompt, place.position)
        passage = _passage(known, sides, place.prompt, begin, end, "positive")
        if passage is not None and passage.fires and seen.add(passage):
            prompts.add(place.prompt)
            count += 1
            yield passage


# -- negatives -------------------------------------------------------------------------------------------------------


def _silent(
    known: Known, sides: _Sides, candidates: Iterable[Candidate], seen: _Seen, kind: Drawn, most: int
) -> Iterator[Passage]:
    """Passages around the candidates on which the feature is known to be silent."""
    candidates, count, left = iter(candidates), 0, READ
    while count < most and (batch := list(islice(candidates, min(AT_ONCE, left)))):
        left -= len(batch)
        spans = [_around(known.key if kind != "random" else None, prompt, position) for prompt, position in batch]
        ids = known.ids([prompt for prompt, _ in batch])
        ends = [min(len(own), end) for own, (_, end) in zip(ids, spans, strict=True)]
        known.values([(prompt, end) for (prompt, _), end in zip(batch, ends, strict=True)])  # together
        for (prompt, _), (begin, end) in zip(batch, spans, strict=True):
            passage = _passage(known, sides, prompt, begin, end, kind)
            if count < most and passage is not None and not passage.fires and seen.add(passage):
                count += 1
                yield passage


def _random(known: Known, sides: _Sides) -> Iterator[Candidate]:
    """Places by chance: the same for all features of a source, so that what is read for one is known for the next."""
    if known.how == "shown" and not known.complete:
        yield from _by_chance(known, _shown_prompts(known, sides), every=True)
    else:
        order = sorted(_sample(known), key=lambda prompt: _mixed(prompt, 0xA11))
        yield from _by_chance(known, (prompt for prompt in order if sides.tested(prompt)))


def _near(bench: Workbench, known: Known, sides: _Sides) -> Iterator[Candidate]:
    """Where a co-active feature, or one with a close decoder row, is active; each of them in turn."""
    record = known.record
    related = [one.index for one in chain(record.correlated_features[:5], record.neighbours[:5]) if one.value > 0]
    rows: list[list[Candidate]] = []
    for index in dict.fromkeys(related):
        if index == record.key.index:
            continue
        other = bench.feature(FeatureKey(record.key.model_id, record.key.source_id, index))
        examples = {e.prompt: e.position for group in other.groups for e in group.examples}
        rows.append([(prompt, n) for prompt, n in examples.items() if sides.tested(prompt)])
    yield from _in_turn(rows)


def _hard(known: Known, sides: _Sides) -> Iterator[Candidate]:
    """Where a token stands on which the feature was strong, or one that reads the same, each in turn."""
    likes: dict[int, float] = {}
    strongest: dict[int, Place] = {}
    for place in known.places:
        strongest.setdefault(place.prompt, place)
        if len(strongest) == 200:
            break
    for place, ids in zip(strongest.values(), known.ids(list(strongest)), strict=True):
        token = int(ids[place.position])
        likes[token] = likes.get(token, 0.0) + place.value
    liked = sorted(likes, key=lambda token: (-likes[token], token))[:LIKED]
    liked = list(dict.fromkeys(chain(liked, *(known.alike(token) for token in liked[: LIKED // 2]))))
    if known.how == "shown" and not known.complete:
        prompts = _shown_prompts(known, sides)
    else:
        prompts = [prompt for prompt in _sample(known) if sides.tested(prompt)]
    rows: list[list[Candidate]] = [[] for _ in liked]
    for prompt, ids in zip(prompts, known.ids(prompts), strict=True):
        for row, token in zip(rows, liked, strict=True):
            row += [(prompt, int(n)) for n in np.flatnonzero(ids == token)]
    for row in rows:
        row.sort(key=lambda one: _mixed(_seed(known.key), *one))
    yield from _in_turn(rows)


def _sample(known: Known) -> list[int]:
    """Prompts of the build, evenly spread."""
    step = max(1, -(-known.prompts // SCANNED))
    return list(range(0, known.prompts, step))


def _shown_prompts(known: Known, sides: _Sides) -> list[int]:
    return sorted({place.prompt for place in known.places if sides.tested(place.prompt)})


def _by_chance(known: Known, prompts: Iterable[int], *, every: bool = False) -> Iterator[Candidate]:
    """A token of each prompt, drawn by its number; with `every`, one in each stretch of a passage's length."""
    for prompt in prompts:
        (ids,) = known.ids([prompt])
        if every:
            yield from ((prompt, n) for n in range(LENGTH // 2, len(ids), LENGTH // 2))
        else:
            yield prompt, _mixed(prompt, 0xB22) % max(1, len(ids))


# -- passages --------------------------------------------------------------------------------------------------------


def _around(key: FeatureKey | None, prompt: int, position: int) -> tuple[int, int]:
    """(begin, end) of a test passage with `position` in it, not always at the same place."""
    before = LENGTH * 3 // 8 + _mixed(0 if key is None else _seed(key), prompt, position) % (LENGTH // 2)
    return position - before, position - before + LENGTH


def _passage(known: Known, sides: _Sides, prompt: int, begin: int, end: int, drawn: Drawn) -> Passage | None:
    """The tokens of [begin, end) as far as the prompt has them, without special ones; None if a value is not known."""
    tokens = known.tokens(prompt)
    begin, end = max(0, begin), min(len(tokens), end)
    (values,) = known.values([(prompt, end)])
    if values is None:
        return None
    while begin < end and tokens[begin].special:
        begin += 1
    while end > begin and tokens[end - 1].special:
        end -= 1
    if end - begin < LENGTH // 4 or any(token.special for token in tokens[begin:end]):
        return None
    return Passage(
        prompt=prompt, document=int(sides.documents[prompt]), begin=begin, tokens=tokens[begin:end],
        values=tuple(values[begin:end].tolist()), drawn=drawn,
    )  # fmt: skip


class _Seen:
    """Passages so far, of which a near-identical one is not wanted again."""

    def __init__(self) -> None:
        self._held: list[frozenset[tuple[int, ...]]] = []

    def add(self, passage: Passage) -> bool:
        """Whether it was new."""
        ids = [token.id for token in passage.tokens]
        own = frozenset(tuple(ids[n : n + SHINGLE]) for n in range(max(1, len(ids) - SHINGLE + 1)))
        if any(len(own & other) >= SAME * min(len(own), len(other)) for other in self._held):
            return False
        self._held.append(own)
        return True


def _few_positives(known: Known, found: int, wanted: int) -> str:
    where = "in the store" if known.how == "store" else "among the prompts that its page shows"
    return f"{found} of {wanted} positive examples: there are no more {where} that no explainer may see."


def _few_negatives(known: Known, kind: Drawn, found: int, wanted: int) -> str:
    what = {
        "random": "from anywhere in the texts",
        "near": "on which a co-active or close feature is active",
        "hard": "with the tokens on which it is strong",
    }[kind]
    return f"{found} of {wanted} negatives {what} and it is known to be silent."


def _in_turn(rows: Sequence[Sequence[T]]) -> Iterator[T]:
    for each in zip_longest(*rows):
        yield from (one for one in each if one is not None)


def _seed(key: FeatureKey) -> int:
    return int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:8], "big")


def _mixed(*numbers: int) -> int:
    """SplitMix64 over a few numbers."""
    x = 0
    for number in numbers:
        x = (x + number * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 31
    return x
