"""How well words tell where features fire, over a source: what annotations and judges scored, put together.

Nothing is explained or judged here: an annotation is made with a build and scored on held-out documents
(`core.explain.annotation`), and a detection score is there where somebody had a model explain and another judge
(`core.explain.scoring`). Of annotations: the median over living features of the balanced accuracy of their rule, the
same of another feature's rule, the share of features whose interval lies above `GOOD`, and the share of each class. A
living feature whose rule could not be scored counts as chance, 0.5. Of detection: the median over features of the
newest score of the kind. No torch; costs reading columns.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import NotAvailable
from core.evaluate import bootstrap
from core.evaluate.records import ClassShare, Interp, TokenSet
from core.explain.annotation.figures import interval

GOOD = 0.7
CHANCE = 0.5


def interp(
    rules: Mapping[str, Sequence[Any]], detection: Mapping[int, tuple[float, str]], on: TokenSet, made: str
) -> Interp:
    """The record of a source, from `Words.rule_scores` and (score, judge) of the features that a judge scored.

    Raises:
        NotAvailable: it has neither annotations nor scores.
    """
    rows = list(zip(*(rules[name] for name in _COLUMNS), strict=True)) if rules else []
    living = [row for row in rows if row[2] + row[3]]
    if not living and not detection:
        raise NotAvailable("It has no annotations (`python -m core annotate`) and nobody scored an explanation of it.")
    scores = [CHANCE if math.isnan(row[0]) else float(row[0]) for row in living]
    controls = [float(row[1]) for row in living if not math.isnan(row[1])]
    good = sum(_low(row) > GOOD for row in living)
    kinds = Counter(str(row[4]) for row in living)
    return Interp(
        on=on, made=made, features=len(living),
        annotation=bootstrap.median(scores) if scores else None,
        annotation_control=bootstrap.median(controls) if controls else None,
        annotation_good=bootstrap.share(good, len(living)) if living else None,
        classes=tuple(
            ClassShare(name, count, bootstrap.share(count, len(living))) for name, count in kinds.most_common()
        ),
        detected=len(detection),
        detection=bootstrap.median([value for value, _ in detection.values()]) if detection else None,
        detection_judges=tuple(sorted({judge for _, judge in detection.values()})),
    )  # fmt: skip


_COLUMNS = ("score", "control", "train_active", "test_active", "kind", "found", "false", "test_tokens")


def _low(row: tuple[Any, ...]) -> float:
    """The lower end of a rule's interval."""
    _, _, _, active, _, found, false, tokens = row
    low, _ = interval(int(found), int(active), int(tokens) - int(active) - int(false), int(tokens) - int(active))
    return low if not math.isnan(low) else 0.0
