"""A prompt taken apart, against the passes that nothing of it can do without.

    python -m benchmarks.circuits [--json] [--quick]

Ours is `Workbench.circuits`: activation × gradient of every active feature of all SAEs of a model, with each source's
error and sum. Its floor is one pass forward and one backward through Hugging Face's own model, from the same difference
of logits to the embeddings, in float32. Both take turns in one process, on texts that were not read before, with no
cache; a row asks the same once more with one. The lens and the components are measured against one pass forward,
ablation against a pass a node. On the demo and, unless it is `--quick`, on the shape “res-jb”: GPT-2 small with random
weights and 12 SAEs of 24,576 features (`benchmarks.search`).

Cost: a minute; without `--quick` three, and the sources of `benchmarks.search` once, if they are not there.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import search
from benchmarks.report import Row, main
from core.models.thread import apart, computing
from core.settings import HERE, Settings
from core.techniques.circuits.records import CircuitAsk
from core.workbench import Workbench

ABLATED = 32
Job = Callable[[str], Any]


def measure(quick: bool) -> Iterator[Row]:
    """The demo, then GPT-2 small's shape."""
    yield from _rows("demo", "scribe-4l", HERE / "demo" / "weights" / "model", {}, 7 if quick else 25, (16, 48))
    if not quick:
        search._bench()  # built once
        root = {"data": search.FOLDER / "root", "demo": None, "memory_mb": 12_000}
        yield from _rows("GPT-2 small's shape", search.MODEL, search.FOLDER / "model", root, 7, (16, 64))


def _rows(
    name: str, model_id: str, folder: Path, root: dict[str, Any], count: int, lengths: tuple[int, ...]
) -> Iterator[Row]:
    usual = {"data": search.FOLDER / "none"} | root
    bench = Workbench(Settings(cache_mb=0, cache_disk_mb=0, **usual))
    forward, both = apart(lambda: _theirs(bench, model_id, folder))
    room, sources = bench.circuits, [s for s in bench.searchable(model_id) if s.kind in ("sae", "transcoder")]
    width = sum(source.width for source in sources)

    def ask(text: str) -> CircuitAsk:
        return CircuitAsk(model_id=model_id, text=text, target=("#5",), against=("#9",))

    jobs: dict[str, Job] = {
        "features": lambda text: room.features(ask(text)), "lens": lambda text: room.lens(ask(text)),
        "components": lambda text: room.direct(ask(text)), "both": both, "forward": forward,
        "ablated": lambda text: room.features(ask(text), ablate=ABLATED),
    }  # fmt: skip
    for tokens in lengths:
        texts = [_text(bench, model_id, tokens, n) for n in range(count + 2)]
        taken: dict[str, list[float]] = {job: [] for job in jobs}
        for n, text in enumerate(texts):
            for job, run in jobs.items():
                began = time.perf_counter()
                run(text)
                if n > 1:  # the first compile and load
                    taken[job].append(1000 * (time.perf_counter() - began))
        middle = {job: statistics.median(times) for job, times in taken.items()}
        each = (middle["ablated"] - middle["features"]) / ABLATED
        for what, ours, yardstick in (
            (f"every active one of {width:,} features: activation × gradient, against a pass forward and backward",
             middle["features"], middle["both"]),
            ("logit lens of every layer and token, against a pass forward", middle["lens"], middle["forward"]),
            ("direct attribution by component and head, against a pass forward", middle["components"],
             middle["forward"]),
            (f"ablation, each of {ABLATED} nodes, against a pass forward", each, middle["forward"]),
        ):  # fmt: skip
            yield Row(
                what=f"{name}, {tokens} tokens: {what}", ours=ours, yardstick=yardstick, ratio=ours / yardstick,
                unit="ms", budget="",
            )  # fmt: skip
        kept = Workbench(Settings(cache_disk_mb=0, **usual))
        kept._pool = bench._pool  # the same weights in memory
        again = _again(lambda text, kept=kept: kept.circuits.features(ask(text)), texts[:3])
        yield Row(
            what=f"{name}, {tokens} tokens: the same features asked for once more", ours=again,
            yardstick=middle["features"], ratio=middle["features"] / again, unit="ms",
            budget=">= 20" if root else "",  # of so small a model a pass is little more than a look-up
        )  # fmt: skip


def _again(run: Job, texts: list[str]) -> float:
    times = []
    for text in texts:
        run(text)
        for _ in range(3):
            began = time.perf_counter()
            run(text)
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _text(bench: Workbench, model_id: str, tokens: int, seed: int) -> str:
    """A text of so many tokens, BOS included: words in an order that was not there before."""
    draw = random.Random(seed)
    words = "the house by sea was old and her mother said that she would go to town with him again".split()
    text = ""
    while len(bench.tokenize(model_id, longer := f"{text} {draw.choice(words)}".strip())) <= tokens:
        text = longer
    return text


def _theirs(bench: Workbench, model_id: str, folder: Path) -> tuple[Job, Job]:
    """(a pass forward, the same and one backward to the embeddings), by Hugging Face."""
    from transformers import AutoModelForCausalLM

    tokens = bench._model_slot(model_id).get()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)

    @computing  # where ours computes too: a process with two teams of OpenMP workers is slower for both
    def forward(text: str) -> float:
        logits = model(torch.tensor([tokens.ids(text)]), logits_to_keep=1, use_cache=False).logits[0, -1]
        return float(logits[5] - logits[9])

    @computing
    def both(text: str) -> float:
        with torch.enable_grad():
            embedded = model.get_input_embeddings()(torch.tensor([tokens.ids(text)])).detach().requires_grad_()
            logits = model(inputs_embeds=embedded, logits_to_keep=1, use_cache=False).logits[0, -1]
            (gradient,) = torch.autograd.grad(logits[5] - logits[9], [embedded])
        return float(gradient.sum())

    return forward, both


if __name__ == "__main__":
    sys.exit(main("A prompt taken apart, against the passes that it takes.", measure))
