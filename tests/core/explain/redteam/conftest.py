"""A workbench whose feature is planted: it fires on the words that a test says, as strongly as it says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from core.records import Records, TestRecord, Token
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

KEY = f"{tiny.SAE}/3"


class Embedder:
    """Words are near that share letters."""

    name, dimensions, batch, ready = "letters", 26, 64, True

    def __init__(self):
        self.seen = 0

    def __call__(self, texts):
        self.seen += len(texts)
        rows = [[1e-3 + text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]
        made = np.array(rows, np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def cut(self, text):
        return False


@pytest.fixture
def embedder():
    return Embedder()


@pytest.fixture
def workbench(tiny_root, tmp_path, embedder):
    made = Workbench(Settings(data=tmp_path / "data", demo=tiny_root))
    made.words._seeker.embedder = embedder
    return made


def firing(maximum: float, words: dict[str, float]):
    """A `Workbench.test` by which a feature fires on each word (a pattern) with a part of its maximum."""

    def one(key, text):
        tokens = tuple(Token(n, piece) for n, piece in enumerate(re.findall(r"\s*[\w’]+|\s*[^\w\s]|\s+", text)))
        parts = (
            [part for word, part in words.items() if re.search(rf"\b{word}\b", token.text)] for token in tokens
        )
        values = tuple(max(some, default=0.0) * maximum for some in parts)
        top = max(values, default=0.0)
        position = values.index(top) if top > 0 else None
        return TestRecord(key=key, text=text, tokens=tokens, values=values, maximum=top, position=position)

    return lambda key, texts, *, tell=None: Records(one(key, text) for text in texts)


@pytest.fixture
def planted(workbench, monkeypatch):
    """Has the feature fire on each word (a pattern) with a part of its maximum, and on nothing else."""
    maximum = workbench.feature(KEY).maximum

    def plant(**words: float):
        monkeypatch.setattr(workbench, "test", firing(maximum, words))
        return workbench

    return plant
