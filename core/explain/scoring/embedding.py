"""Embedding: how near each text is to the explanation in an embedder's space; needs no generative model.

After EleutherAI's Delphi (`scorers/embedding/embedding.py`): ROC-AUC of the cosine of explanation and text, passages on
which the feature is active against those on which it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.explain.examples import Tests
from core.explain.scoring.judging import Item, Said

NAME, VERSION = "embedding", "1"
Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to unit vectors."""


def items(tests: Tests) -> list[Item]:
    """Every passage."""
    return [Item(passage, passage.fires) for passage in tests.passages]


def said(text: str, items: Sequence[Item], embed: Embed) -> list[Said]:
    """Of each item the cosine with the explanation."""
    vectors = embed([text, *(item.passage.text for item in items)])
    return [Said(float(one @ vectors[0])) for one in vectors[1:]]
