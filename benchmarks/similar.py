"""What is like a feature: its time and memory, in the shape “res-jb” (12 sources of 24,576 features over 768 numbers).

    python -m benchmarks.similar [--json] [--quick]

Weights: random rows, held in memory as the workbench's pool holds them; each source's are the same with other noise, so
that a feature has a twin in every layer. Timed is `Workbench.atlas.similar`, by decoder
rows over all twelve sources, once their lengths and what chance gives are known; beside its floor, one float32 product
of the same rows with the query, and beside peers, in turns: `torch.nn.functional.cosine_similarity` over each source
and `topk`, as Neuronpedia's server does, and the rows divided by their norms and multiplied (SAELens users' usual way).
Below: the first time, with lengths and chance; by logit effect, with a vocabulary of 50,257; a chain through twelve
layers; and every nearest row of two sources for the table of the features' pages, beside the product alone.

Cost: 1 GB of memory for the rows and as much again for the peers at work; two minutes. --quick has fewer repetitions
and leaves out the table.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.report import Row, main
from core.atlas.near import chains, products, similar, tables
from core.errors import NotFound
from core.records import FeatureKey, SourceKey

SOURCES, WIDTH, D_MODEL, VOCABULARY = 12, 24_576, 768, 50_257
TOP = 20


def measure(quick: bool) -> Iterator[Row]:
    """The rows about weights, then those about activations."""
    bench = Bench()
    times = 5 if quick else 25
    key = FeatureKey("random", "5-res", 123)
    count = f"{SOURCES} x {WIDTH:,} features"

    def ours() -> object:
        return similar.similar(bench, bench.atlas, key, by="decoder", sources=(), top=TOP)  # type: ignore[arg-type]

    first = _once(ours)
    weights = list(bench.weights.values())
    row = weights[5][123]

    def floor() -> object:
        return [torch.mv(rows, row) for rows in weights]

    def peer() -> object:
        found = [torch.nn.functional.cosine_similarity(row[None], rows).topk(TOP) for rows in weights]
        return torch.cat([one.values for one in found]).topk(TOP)

    def usual() -> object:
        unit = row / row.norm()
        return [((rows / rows.norm(dim=1, keepdim=True)) @ unit).topk(TOP) for rows in weights]

    before = psutil.Process().memory_info().rss
    taken = _in_turns({"ours": ours, "floor": floor}, times)
    held = psutil.Process().memory_info().rss
    peers = _in_turns({"ours": ours, "peer": peer, "usual": usual}, max(3, times // 5))
    yield Row(
        what=f"nearest {TOP} of {count} by decoder, against one float32 product with the same rows", ours=taken["ours"],
        yardstick=taken["floor"], ratio=taken["ours"] / taken["floor"], unit="ms", budget="<= 1.5",
    )  # fmt: skip
    for name, what in (("peer", "cosine_similarity and topk of each source"), ("usual", "rows over norms, product")):
        yield Row(
            what=f"  the same, against {what}", ours=peers["ours"], yardstick=peers[name],
            ratio=peers[name] / peers["ours"], unit="ms", budget="",
        )  # fmt: skip
    yield Row(what="  the first time, with lengths and chance", ours=first, unit="ms", budget="")
    yield Row(what="  memory beyond the rows", ours=(held - before) / 2**20, unit="MB", budget="")
    by = {"by": "logits", "sources": (), "top": TOP}
    first = _once(lambda: similar.similar(bench, bench.atlas, key, **by))  # type: ignore[arg-type]
    again = _in_turns({"it": lambda: similar.similar(bench, bench.atlas, key, **by)}, times)  # type: ignore[arg-type]
    yield Row(what=f"nearest {TOP} by logit effect over {VOCABULARY:,} tokens", ours=again["it"], unit="ms", budget="")
    yield Row(what="  the first time, with the inner product, lengths and chance", ours=first, unit="ms", budget="")
    ask = {"by": "decoder", "threshold": 1e-6, "tell": None}
    made = _in_turns({"it": lambda: chains.chain(bench, bench.atlas, key, **ask)}, times)  # type: ignore[arg-type]
    yield Row(what=f"a chain through {SOURCES} layers", ours=made["it"], unit="ms", budget="")
    if not quick:
        yield from _table(bench)
    yield from _activations(quick)


def _table(bench: Bench) -> Iterator[Row]:
    """Every nearest row of two sources."""
    a, b = (bench.atlas.spaces.of(SourceKey("random", name), "decoder") for name in ("0-res", "1-res"))

    def floor() -> None:
        for begin in range(0, WIDTH, tables.BLOCK):
            bench.weights["0-res"][begin : begin + tables.BLOCK] @ bench.weights["1-res"].T

    ours, plain = (_once(job) / 1000 for job in (lambda: tables.both(a, b), floor))
    yield Row(
        what=f"nearest {tables.TOP} of every feature of two sources, both ways, against the product alone", ours=ours,
        yardstick=plain, ratio=ours / plain, unit="s", budget="",
    )  # fmt: skip


def _activations(quick: bool) -> Iterator[Row]:
    """Correlations: `benchmarks.similar_store`, where it is."""
    try:
        from benchmarks import similar_store
    except ImportError:
        return
    yield from similar_store.measure(quick)


def _once(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return 1000 * (time.perf_counter() - began)


def _in_turns(jobs: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """The median of each job, in milliseconds; they take turns, and the first turn warms."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(times + 1):
        for name, job in jobs.items():
            spent = _once(job)
            if turn:
                taken[name].append(spent)
    return {name: statistics.median(each) for name, each in taken.items()}


class Bench:
    """As much of a workbench as the atlas asks for weights: random rows, in memory, of a model that is not there."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        base = torch.randn(WIDTH, D_MODEL)
        self.weights = {f"{n}-res": torch.randn(WIDTH, D_MODEL).mul_(0.5).add_(base) for n in range(SOURCES)}
        self._sources = {
            name: Weights(W_dec=rows, hook_out=f"blocks.{name[:-4]}.hook_resid_pre", kind="sae", width=WIDTH)
            for name, rows in self.weights.items()
        }
        self._model = Weights(bridge=SimpleNamespace(W_U=torch.randn(D_MODEL, VOCABULARY)))
        self.catalog = self
        self.atlas = SimpleNamespace(spaces=products.Spaces(self))  # type: ignore[arg-type]

    def sources(self, **asked: Any) -> list[Any]:
        """All of them."""
        return [self.source(SourceKey("random", name)) for name in self.weights]

    def source(self, key: SourceKey) -> Any:
        """One of them."""
        return SimpleNamespace(key=key, kind="sae", width=WIDTH, layer=key.layer, has=("weights",), hook_out="")

    def entry(self, key: SourceKey) -> Any:
        """None has dashboards."""
        raise NotFound("Random rows have no labels.")

    def _source_slot(self, source: Any) -> Any:
        held = SimpleNamespace(source=self._sources[source.key.source_id])
        return SimpleNamespace(get=lambda: held, value=held)

    def _model_slot(self, model_id: str) -> Any:
        return SimpleNamespace(get=lambda: self._model)

    def _bounds(self, top: int) -> None:
        assert np.isfinite(top)

    def _source_of(self, key: FeatureKey) -> Any:
        return self.source(key.source)


class Weights(SimpleNamespace):
    """What a slot holds; it can be referred to weakly, as SAEs and models can."""

    __hash__ = object.__hash__


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", measure))
