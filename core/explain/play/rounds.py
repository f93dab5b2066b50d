"""Rounds: pure functions of a key and the data, so that a round can be made again to judge an answer to it.

What is shown comes from the examples that an explainer may see, what is asked from those that only a scorer may
(`core.explain.examples`): the two share no document. Of `ITEMS` texts two to four have the feature, by the seed, and
the others are random, near and hard negatives; so the number of a kind cannot be counted on. In “odd”, one of `ODDS`
texts lacks it. Which explanations can be chosen follows from the seed and from what there is when the round is played.

Cost: that of the examples (a feature's are kept for a while); where there is no store, some short passes of the model.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import NotAvailable, NotFound, WorkbenchError
from core.explain.examples import Passage, Tests, to_show, to_test
from core.explain.play.records import Choice, Kind, Round, RoundKey
from core.explain.records import Explanation
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

SHOWN = 6
ITEMS, ODDS = 6, 4
DRAWN = 8
"""Texts of each side from which a round draws."""
TRIES = 60
"""Features that are looked at to find one that can be played."""


def chance(*said: object) -> random.Random:
    """The same numbers for the same words, on every machine."""
    return random.Random(int.from_bytes(hashlib.sha256(repr(said).encode()).digest()[:8], "big"))


def examples(bench: Workbench, key: FeatureKey) -> tuple[tuple[Passage, ...], Tests]:
    """What is shown of a feature, and what is asked about it.

    Raises:
        NotAvailable: it has too few examples for a round.
    """
    if bench.feature(key).dead:
        raise NotAvailable(f"{key} is dead: nothing activates it.")
    tests = to_test(bench, key, positives=DRAWN, negatives=DRAWN)
    shown = to_show(bench, key, SHOWN)
    fires = [one.fires for one in tests.passages]
    if len(shown) < 3 or sum(fires) < 4 or len(fires) - sum(fires) < 4:
        raise NotAvailable(f"{key} has too few examples that nobody was shown: a round needs four of each kind.")
    return shown, tests


def make(
    key: RoundKey, shown: Sequence[Passage], tests: Tests, said: Sequence[Explanation], other: Explanation | None
) -> Round:
    """A round; `said` are the feature's explanations, `other` that of another feature."""
    dice = chance(str(key))
    fires = [one for one in tests.passages if one.fires]
    silent = [one for one in tests.passages if not one.fires]
    if key.kind == "odd":
        items = dice.sample(fires, ODDS - 1) + dice.sample(silent, 1)
        shown = ()
    else:
        count = dice.choice((2, 3, 4))
        items = dice.sample(fires, count) + dice.sample(silent, ITEMS - count)
    dice.shuffle(items)
    choices: list[Choice] = []
    if key.kind == "compare":
        few = dice.sample(list(said), min(2, len(said))) if said else []
        if len(few) == 1 and other is not None:
            few.append(other)
        dice.shuffle(few)
        choices = [Choice(id=one.id, text=one.text, feature=one.feature) for one in few]
    return Round(
        key=key, shown=tuple(shown), items=tuple(items), truth=tuple(one.fires for one in items), choices=tuple(choices)
    )


def feature(bench: Workbench, sources: Sequence[SourceKey], kind: Kind, seed: int, attempt: int) -> FeatureKey:
    """A feature by chance, of any of some sources; `attempt` counts those that could not be played."""
    dice = chance("feature", kind, seed, attempt)
    source = bench.source(dice.choice(sorted(sources)))
    return FeatureKey(source.key.model_id, source.key.source_id, dice.randrange(source.width))


def pick(bench: Workbench, sources: Sequence[SourceKey], kind: Kind, seed: int) -> RoundKey:
    """A round of a kind over a feature by chance that can be played.

    Raises:
        NotFound: there is no source, or no feature with enough examples was found.
    """
    if not sources:
        raise NotFound("There is no source with examples to play with.")
    for attempt in range(TRIES):
        key = feature(bench, sources, kind, seed, attempt)
        try:
            if bench.feature(key).active >= 16:
                examples(bench, key)
                return RoundKey(kind, key, seed)
        except WorkbenchError:
            continue
    raise NotFound(f"None of {TRIES} features had enough examples for a round: choose other sources.")
