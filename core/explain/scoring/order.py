"""An order of test items that tells nothing of what they are, the same at every run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from core.explain.scoring.judging import Item
from core.records import FeatureKey


def shuffled(items: Sequence[Item], key: FeatureKey) -> list[Item]:
    """By a hash of the feature, the passage and its marks."""
    return sorted(items, key=lambda item: _hash(key, item))


def _hash(key: FeatureKey, item: Item) -> str:
    text = f"{key}:{item.passage.prompt}:{item.passage.begin}:{item.marked}"
    return hashlib.sha256(text.encode()).hexdigest()
