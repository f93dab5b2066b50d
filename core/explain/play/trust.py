"""Whose answers count: simple checks against machines and against those who do not read.

Each is a stated test on what the store knows for itself (answers and when it got them); a person whose answers do not
count still sees their own points. It takes `LEAST` answers to judge anybody, so that a newcomer is trusted.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from core.community.records import Play
from core.explain.play.records import Trust

LEAST = 12
FAST = 3.0
"""Seconds between answers, whose median no reader is below."""
POOR = 0.4
"""Mean balanced accuracy over `LEAST` answers or more that chance alone hardly gives."""
OLDEST = 200
"""Answers that are looked at, the newest."""


def trust(plays: Sequence[Play]) -> Trust:
    """Whether one person's answers count."""
    newest = sorted(plays, key=lambda one: one.made, reverse=True)[:OLDEST]
    if len(newest) < LEAST:
        return Trust(counts=True)
    times = sorted(datetime.datetime.fromisoformat(one.made) for one in newest)
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    if median(gaps) < FAST:
        return Trust(counts=False, why=f"answers came faster than every {FAST:g} seconds")
    labels = {label for one in newest for label in one.answer.get("labels") or () if label is not None}
    told = sum(label is not None for one in newest for label in one.answer.get("labels") or ())
    if len(labels) == 1 and told >= 4 * LEAST:
        return Trust(counts=False, why="every text got the same answer")
    agreed = [one.agreed for one in newest if one.agreed is not None]
    if len(agreed) >= LEAST and sum(agreed) / len(agreed) < POOR:
        return Trust(counts=False, why="answers are worse than chance")
    return Trust(counts=True)
