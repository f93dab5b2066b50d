"""The Kneser-Ney model against its definition, written out by hand on a small alphabet."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from demo.training.kneser_ney import KneserNey, discounts

BASE = 7


def stream() -> np.ndarray:
    rng = np.random.default_rng(0)
    steps = rng.choice([1, 1, 1, 2, 3, 5], size=400)
    return np.concatenate([np.cumsum(steps) % BASE, [6, 6, 6, 0]]).astype(np.uint16)


def test_sums_to_one_in_every_context() -> None:
    model = KneserNey([stream(), stream()[::-1]], BASE)
    for a, b in itertools.product(range(BASE), repeat=2):
        grams = np.array([(a * BASE + b) * BASE + c for c in range(BASE)], dtype=np.int64)
        p = model.probability(grams)
        assert (p > 0).all()
        assert p.sum() == pytest.approx(1.0, abs=1e-12)


def test_against_the_definition() -> None:
    ids = [0, 0, *stream().tolist()]
    three = Counter(zip(ids, ids[1:], ids[2:], strict=False))
    two = Counter((b, c) for _, b, c in three)
    one = Counter((c,) for _, c in two)

    def discount(counts: Counter[tuple[int, ...]], count: int) -> float:
        return float(discounts(np.array([*counts.values()]))[list(counts.values()).index(count)])

    def probability(gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / BASE
        counts = {3: three, 2: two, 1: one}[len(gram)]
        same: dict[tuple[int, ...], int] = defaultdict(int)
        same.update({k: v for k, v in counts.items() if k[:-1] == gram[:-1]})
        lower = probability(gram[1:])
        total = sum(same.values())
        if not total:
            return lower
        rest = sum(discount(counts, c) for c in list(same.values())) / total
        share = max(0.0, same[gram] - discount(counts, same[gram])) / total if same[gram] else 0.0
        return share + rest * lower

    model = KneserNey([stream()], BASE)
    for gram in itertools.product(range(BASE), repeat=3):
        key = np.array([gram[0] * BASE**2 + gram[1] * BASE + gram[2]], dtype=np.int64)
        assert model.probability(key)[0] == pytest.approx(probability(gram), abs=1e-12), gram


def test_large_ids_do_not_overflow() -> None:
    ids = np.full(50, 5119, dtype=np.uint16)
    model = KneserNey([ids], 5120)
    assert model.losses(ids)[-1] < model.losses(np.array([5118], dtype=np.uint16))[0]
    assert (model.orders[-1].keys >= 0).all()


def test_streams_do_not_run_together() -> None:
    model = KneserNey([np.array([1, 2, 3], dtype=np.uint16), np.array([4, 5, 6], dtype=np.uint16)], BASE)
    assert (2 * BASE + 3) * BASE + 4 not in model.orders[-1].keys
