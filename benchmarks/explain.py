"""Search among explanations, and annotation: their time and memory (the annotation in the shape “res-jb”).

    python -m benchmarks.explain [--json] [--quick]

Search: 300,000 explanations of twelve sources, texts of twelve words drawn as words of a language are (the nth at a
rate of 1/n), vectors of 384 numbers on disk as the workbench keeps them. Timed is what comes after the query is
embedded, words, filters and paging included, beside the plain product of one matrix of all vectors with the query in
NumPy, in turns. Annotation: every feature of an SAE of 24,576, from the store of a build, its file written. Each runs
in a process of its own; memory is that process's resident set without mapped files (of the annotation the highest), and
with them for the search, whose vectors are such.

Cost: two minutes and 500 MB of disk for the search, and its vectors twice in memory for the yardstick; for the
annotation a build once, as in `benchmarks.build`. --quick annotates the build of 16,384 tokens.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks import shape
from benchmarks.build import LARGE, SMALL, Watch
from benchmarks.report import Row, main

FOLDER = Path(os.environ.get("FEATURESCOPE_BENCH", tempfile.gettempdir())) / "featurescope-res-jb"
SOURCES, EACH, DIMENSIONS, WORDS, VOCABULARY = 12, 25_000, 384, 12, 20_000
TIMES = 25


def measure(quick: bool) -> Iterator[Row]:
    """All rows, in the order of the design's budgets."""
    found = _child("search")
    count = f"{SOURCES * EACH:,} explanations"
    yield Row(what=f"search over {count} after the query is embedded", ours=found["both"], unit="ms", budget="<= 50")
    yield Row(
        what="  the same, against the plain product of its vectors in float32", ours=found["both"],
        yardstick=found["product"], ratio=found["both"] / found["product"], unit="ms", budget="",
    )  # fmt: skip
    for name, what in (
        ("meaning", "by meaning alone"),
        ("words", "by words alone"),
        ("page", "filtered, its 500th page"),
    ):
        yield Row(what=f"  {what}", ours=found[name], unit="ms", budget="")
    yield Row(what=f"making {count} ready again, their vectors being there", ours=found["ready"], unit="s", budget="")
    yield Row(what="  memory of that process, vectors left out", ours=found["own"], unit="MB", budget="")
    yield Row(what="  memory of that process, mapped vectors included", ours=found["resident"], unit="MB", budget="")
    tokens = SMALL if quick else LARGE
    _child("store", tokens)
    made = _child("annotate", tokens)
    yield Row(
        what=f"annotation of {shape.D_SAE:,} features over {tokens:,} tokens", ours=made["seconds"], unit="s", budget=""
    )
    yield Row(what="  memory of that process", ours=made["own"], unit="MB", budget="")


def _child(job: str, *arguments: int) -> dict[str, float]:
    """What a job measured, in a process of its own."""
    asked = [sys.executable, "-m", "benchmarks.explain", job, *map(str, arguments)]
    out = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return found


# -- search ------------------------------------------------------------------------------------------------------------


def _search() -> dict[str, float]:
    from core.explain.meaning import ranking
    from core.explain.meaning.ranking import Wanted

    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        shelves, ready = _shelves(Path(name), draw)
        whole = np.concatenate([shelf.kept.parts[0].vectors for shelf in shelves if shelf.kept])
        queries = [
            (f"w{draw.integers(50, VOCABULARY)} w{draw.integers(1, 50)}", _unit(draw, 1)[0]) for _ in range(TIMES)
        ]

        def ask(**more: object) -> Callable[[str, np.ndarray], object]:
            def one(query: str, vector: np.ndarray) -> object:
                wanted = Wanted(query=query, **more)  # type: ignore[arg-type]
                return ranking.page(shelves, wanted, None if wanted.rank == "words" else vector)

            return one

        jobs: dict[str, Callable[..., object]] = {
            "both": ask(), "product": lambda _, vector, whole=whole: whole @ vector, "meaning": ask(rank="meaning"),
            "words": ask(rank="words"),
            "page": ask(densest=0.01, trusted=0.5, origins=("data",), offset=499 * 20),
        }  # fmt: skip
        taken = _in_turns(jobs, queries)
        del whole, jobs
        held = psutil.Process().memory_info()
        return taken | {"ready": ready, "own": (held.rss - held.shared) / 2**20, "resident": held.rss / 2**20}


def _in_turns(jobs: dict[str, Callable[..., object]], queries: list[tuple[str, np.ndarray]]) -> dict[str, float]:
    """The median of each job, in milliseconds; each query goes to all of them in turn."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for turn, (query, vector) in enumerate([queries[0], *queries]):
        for name, job in jobs.items():
            began = time.perf_counter()
            job(query, vector)
            if turn:  # the first warms
                taken[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(times) for name, times in taken.items()}


def _shelves(folder: Path, draw: np.random.Generator) -> tuple[list, float]:
    """(every source ready for searching, the seconds that took without what made its texts and vectors)."""
    from dataclasses import replace

    from core.explain.meaning import vectors
    from core.explain.meaning.shelf import shelve
    from core.explain.records import Brief
    from core.records import SourceKey

    rate = 1 / np.arange(1, VOCABULARY + 1)
    shelves, seconds = [], 0.0
    for n in range(SOURCES):
        ids = draw.choice(VOCABULARY, (EACH, WORDS), p=rate / rate.sum())
        briefs = [
            Brief(
                f"{n}-{i}", i, " ".join(f"w{w}" for w in row), "data", "annotation", score=float(score), scorer="rule"
            )
            for i, (row, score) in enumerate(zip(ids, draw.random(EACH), strict=True))
        ]
        density = (10 ** draw.uniform(-5, -1, EACH)).astype(np.float32)
        hashes = [vectors.text_hash(brief.text) for brief in briefs]
        vectors.write_part(folder / str(n), "benchmark", hashes, _unit(draw, EACH), compact=False)
        began = time.perf_counter()
        shelf = shelve(SourceKey("benchmark", f"{n}-res"), "", briefs, density)
        kept = vectors.open_kept([folder / str(n)], "benchmark")
        rows = np.array([kept.row(one) for one in shelf.hashes], np.int64)
        shelves.append(replace(shelf, kept=kept, rows=rows))
        seconds += time.perf_counter() - began
    return shelves, seconds


def _unit(draw: np.random.Generator, count: int) -> np.ndarray:
    made = draw.standard_normal((count, DIMENSIONS), np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


# -- annotation --------------------------------------------------------------------------------------------------------


def _store(tokens: int) -> dict[str, float]:
    """Builds the source with its store, unless it is there."""
    from core.settings import Settings
    from core.workbench import Workbench

    shape.write(FOLDER)
    bench = Workbench(Settings(data=FOLDER / "explain", demo=None))
    bench.build(shape.config(FOLDER, tokens, f"8-res-jb__{tokens}"))
    return {}


def _annotate(tokens: int) -> dict[str, float]:
    """Annotates it twice: the first time compiles."""
    from core.settings import Settings
    from core.workbench import Workbench

    bench = Workbench(Settings(data=FOLDER / "explain", demo=None))
    key = f"gpt2-random/8-res-jb__{tokens}"
    bench.words.annotate(key)
    with Watch() as watch:
        began = time.perf_counter()
        bench.words.annotate(key)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "own": watch.highest / 2**20}


JOBS: dict[str, Callable[..., dict[str, float]]] = {"search": _search, "store": _store, "annotate": _annotate}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in JOBS:
        print(json.dumps(JOBS[sys.argv[1]](*map(int, sys.argv[2:]))))
    else:
        sys.exit(main("Search among explanations, and annotation.", measure))
