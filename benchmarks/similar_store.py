"""The rows of `benchmarks.similar` about activations: every feature of one source against every feature of another.

Two sources of 24,576 features with 60 active features a token, drawn at random, so that no structure helps. Timed is
`core.atlas.together.pairs`, the lists both ways with correlations, counts and evidence, from parts on disk; beside its
floor, one walk over all pairs of entries of a token that only adds their products up and keeps nothing apart, and
beside SciPy's sparse Xᵀ·Y, a strip of rows at a time (all would be some 5 GB), which gives the products alone.
Cutting the stores into parts is a row of its own. Times are of the process (both cores added up), so that neighbours on
the machine weigh less. In a process of its own for the memory: the highest resident set, and of it what is no file.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from numba import prange

from benchmarks.report import Row
from core.atlas.together import keeping, pairs
from core.kernel import F32, I32, I64, compiled, no_type_check
from core.store.grouped import Grouped

WIDTH, TOKENS, ACTIVE = 24_576, 131_072, 60
STRIP = 1024
"""Rows of SciPy's product at a time."""


def measure(quick: bool) -> Iterator[Row]:
    """All of it, measured in another process."""
    tokens = TOKENS // 8 if quick else TOKENS
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.similar_store", str(tokens)], check=True, capture_output=True, text=True
    )
    found = json.loads(made.stdout.splitlines()[-1])
    what = f"2 x {WIDTH:,} features, {tokens:,} tokens, {ACTIVE} active a token"
    yield Row(
        what=f"full correlation of {what}, against one walk over its {found['pairs'] / 1e6:,.0f} million pairs",
        ours=found["ours"], yardstick=found["floor"], ratio=found["ours"] / found["floor"], unit="s", budget="",
    )  # fmt: skip
    yield Row(
        what="the same, against SciPy's sparse products without correlations, counts or lists", ours=found["ours"],
        yardstick=found["scipy"], ratio=found["ours"] / found["scipy"], unit="s", budget="",
    )  # fmt: skip
    yield Row(what="cutting both stores into parts", ours=found["cut"], unit="s", budget="")
    yield Row(what="one feature with all of a source, from its store", ours=found["one"] * 1e3, unit="ms", budget="")
    yield Row(what="memory while it runs", ours=found["peak"], unit="MB", budget="")
    yield Row(what="  of it not mapped files, beyond what stood before", ours=found["anonymous"], unit="MB", budget="")


def codes(seed: int, tokens: int) -> Grouped:
    """A store of random activations."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, WIDTH, (tokens, ACTIVE), dtype=np.int64).ravel()
    where = np.unique(features * tokens + np.repeat(np.arange(tokens), ACTIVE))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(where // tokens, minlength=WIDTH))])
    values = rng.exponential(1.0, len(where)).astype(np.float32)
    return Grouped(offsets, (where % tokens).astype(np.uint32), values)


@compiled(parallel=True)
@no_type_check
def _walk(offsets: I64, rows: I32, values: F32, row_offsets: I64, row_values: F32) -> float:
    """The sum of all products of entries of a token: no algorithm that looks at each pair does less."""
    total = 0.0
    for f in prange(len(offsets) - 1):
        for m in range(offsets[f], offsets[f + 1]):
            v = np.float64(values[m])
            for e in range(row_offsets[rows[m]], row_offsets[rows[m] + 1]):
                total += v * row_values[e]
    return total


def _floor(a: pairs.Side, b: pairs.Side) -> None:
    for mine, its in zip(a.parts, b.parts, strict=True):
        arrays = [np.load(mine / f"{name}.npy", mmap_mode="r") for name in ("offsets", "rows", "values")]
        arrays += [np.load(its / f"{name}.npy", mmap_mode="r") for name in ("row_offsets", "row_values")]
        _walk(*arrays)


def _measured(tokens: int) -> dict[str, float]:
    from scipy import sparse

    stores = [codes(seed, tokens) for seed in (0, 1)]
    clock = time.process_time
    with tempfile.TemporaryDirectory() as folder:
        spans = keeping.spans(tokens)
        small = [
            keeping.of_store(codes(seed, 512), 512, keeping.spans(512), Path(folder) / f"s{seed}") for seed in (2, 3)
        ]
        pairs.pairs(*small, (4, 4, 2))  # compiles
        _floor(*small)
        begun = clock()
        sides = [keeping.of_store(store, tokens, spans, Path(folder) / str(n)) for n, store in enumerate(stores)]
        cut = clock() - begun
        before, watch = psutil.Process().memory_info(), _Watch()
        begun = clock()
        pairs.pairs(sides[0], sides[1], (keeping.PARTNERS, keeping.PARTNERS, keeping.AVOIDED))
        ours = clock() - begun
        anonymous = watch.stop() - (before.rss - before.shared) / 1e6
        begun = clock()
        _floor(*sides)
        floor = clock() - begun
    x, y = (
        sparse.csc_matrix((one.values, one.positions.astype(np.int32), one.offsets), (tokens, WIDTH)) for one in stores
    )
    rows_of, other = x.T.tocsr(), y.tocsr()
    begun = clock()
    for first in range(0, WIDTH, STRIP):
        _ = rows_of[first : first + STRIP] @ other
    scipy = clock() - begun
    at, products = np.zeros(tokens, np.float32), np.zeros(WIDTH)
    entries = (stores[1].offsets, stores[1].positions, stores[1].values)
    pairs.beside(at, *entries, products)
    begun = clock()
    pairs.beside(at, *entries, products)
    one = clock() - begun
    in_row = np.bincount(stores[1].positions, minlength=tokens)
    return {
        "ours": ours, "floor": floor, "scipy": scipy, "cut": cut, "one": one, "anonymous": anonymous,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pairs": float(in_row[stores[0].positions].sum()),
    }  # fmt: skip


class _Watch:
    """The most of this process that was no mapped file, looked at ten times a second."""

    def __init__(self) -> None:
        self._most, self._on = 0.0, True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while self._on:
            found = psutil.Process().memory_info()
            self._most = max(self._most, (found.rss - found.shared) / 1e6)
            time.sleep(0.1)

    def stop(self) -> float:
        """Megabytes."""
        self._on = False
        self._thread.join()
        return self._most


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]))))
