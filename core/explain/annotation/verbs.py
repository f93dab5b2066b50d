"""The command line's `annotate`: what the data say of a source that was built without it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import Any

from core.records import SourceKey
from core.terminal import Bar
from core.workbench import Workbench


def annotate(workbench: Workbench, asked: argparse.Namespace) -> tuple[Any, Callable[[], str]]:
    """Annotates a source from its activation store and says how good the annotations are."""
    key = SourceKey.parse(asked.source)
    with closing(Bar()) as bar:
        workbench.words.annotate(key, tell=lambda done, of: bar(f"annotating {key.source_id}", done, of))
    found = workbench.words.rule_scores(key)
    scored = [(s, c) for s, c in zip(found["score"], found["control"], strict=True) if s == s and c == c]
    living = sum(a + b > 0 for a, b in zip(found["train_active"], found["test_active"], strict=True))
    score, control = (median(values) if scored else None for values in zip(*scored or [(0.0, 0.0)], strict=True))
    answer = {
        "modelId": key.model_id, "sourceId": key.source_id, "living": living, "scored": len(scored),
        "balanced_accuracy": score, "control": control,
    }  # fmt: skip
    text = f"{key}: {living:,} living features, {len(scored):,} of them scored on held-out documents"
    if scored:
        text += f"\nmedian balanced accuracy of their rules {score:.3f}, of other features’ rules {control:.3f}"
    return answer, lambda: text
