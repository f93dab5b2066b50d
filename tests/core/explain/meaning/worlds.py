"""Explanations and embedders for tests: words that can be changed, vectors that can be counted."""

from __future__ import annotations

import hashlib
import threading

import numpy as np

from core.explain.meaning.seeker import Seeker
from core.explain.records import Brief
from core.records import SourceKey
from tests import tiny

SAE, NEURONS = SourceKey.parse(tiny.SAE), SourceKey.parse(tiny.NEURONS)


class Said:
    """A provider whose explanations a test writes."""

    origin = "model"

    def __init__(self, briefs=()):
        self.its = {SAE: list(briefs), NEURONS: []}
        self.marks = 0
        self.away = None

    def say(self, index, text, key=SAE, **more):
        self.marks += 1
        more = {"origin": "model", "method": "np_max-act"} | more
        brief = Brief(more.pop("id", f"e{self.marks}"), index, text, **more)
        self.its[key] = [one for one in self.its[key] if one.id != brief.id] + [brief]
        return brief

    def of(self, feature):
        return []

    def briefs(self, source):
        if self.away:
            raise self.away
        return list(self.its.get(source, ()))

    def mark(self, source):
        if self.away:
            raise self.away
        return str(self.marks)


class Counting:
    """Vectors that a text's hash gives; remembers what it was asked, and stops or waits when told."""

    def __init__(self, name="counting", dimensions=24, batch=4):
        self.name, self.dimensions, self.batch = name, dimensions, batch
        self.asked, self.most, self.gate = [], None, threading.Event()
        self.gate.set()
        self.ready = True

    def __call__(self, texts):
        self.gate.wait(30)
        if self.most is not None and len(self.asked) + len(texts) > self.most:
            raise RuntimeError("pulled the plug")
        self.asked += texts
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text):
        seed = int.from_bytes(hashlib.sha256(f"{self.name}{text}".encode()).digest()[:8], "big")
        made = np.random.default_rng(seed).normal(size=self.dimensions)
        return (made / np.linalg.norm(made)).astype(np.float32)

    def cut(self, text):
        return len(text) > 500


def seeker(bench, *providers, embedder=None):
    """A seeker that asks the providers at once, whatever was so a moment ago."""
    made = Seeker(bench, lambda: providers, made=embedder or Counting())
    return made
