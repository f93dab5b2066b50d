"""Default and steered text together, against Hugging Face `generate` of the default text alone.

    python -m benchmarks.steer [--json] [--quick]

Both in float32, in one process, by turns, at temperature 0.7 from a prompt of 16 tokens. Ours is what a visitor gets:
`Workbench.steer` with one feature added, sampling, log-probabilities, likeliest alternatives and the scores of each
text under the other model included; a second row leaves the scores out. Time is per token of the longer text, since a
text may end early. The shape “res-jb” is GPT-2 small with random weights and one of its SAEs. The demo has no budget: a
step of so small a model is mostly Python's, here and there.

Cost: a minute or two; the sources of `benchmarks.search` once, if they are not there.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from unittest.mock import patch

import torch

from benchmarks import search
from benchmarks.report import Row, main
from core.models.thread import apart, computing
from core.records import SteerAsk
from core.settings import HERE, Settings
from core.techniques import generate
from core.workbench import Workbench

PROMPT = 16
Job = Callable[[int], float]
"""Generates so many tokens and gives milliseconds a token."""


def measure(quick: bool) -> Iterator[Row]:
    """GPT-2 small's shape, then the demo, at several lengths."""
    lengths = (32,) if quick else (16, 64, 128)
    bench = search._bench()
    feature, folder = f"{search.MODEL}/6-res-jb/7", search.FOLDER / "model"
    yield from _rows("GPT-2 small's shape", bench, feature, folder, lengths, "<= 1.3")
    demo = Workbench(Settings(data=search.FOLDER / "none"))
    yield from _rows("demo", demo, "scribe-4l/2-res/78", HERE / "demo" / "weights" / "model", lengths, "")


def _rows(
    name: str, bench: Workbench, feature: str, folder: Any, lengths: tuple[int, ...], budget: str
) -> Iterator[Row]:
    model_id = feature.split("/")[0]
    model = bench._model_slot(model_id).get()
    prompt = model.vocabulary.text(model.ids(" ".join(["The house by the sea was old"] * 9))[1:PROMPT])
    theirs = apart(lambda: _theirs(folder, model.ids(prompt)))
    jobs = {"ours": _ours(bench, model_id, prompt, feature), "theirs": theirs}
    jobs["unscored"] = _unscored(jobs["ours"])
    for length in lengths:
        taken: dict[str, list[float]] = {job: [] for job in jobs}
        for turn in range(6):
            for job, run in jobs.items():
                took = run(length)
                if turn:  # the first compiles and loads
                    taken[job].append(took)
        middle = {job: statistics.median(times) for job, times in taken.items()}
        for what, job, within in (("", "ours", budget), (", without scores", "unscored", "")):
            yield Row(
                what=f"{name}, {length} tokens{what}: default and steered, against generate of the default",
                ours=middle[job], yardstick=middle["theirs"], ratio=middle[job] / middle["theirs"],
                unit="ms a token", budget=within,
            )  # fmt: skip


def _ours(bench: Workbench, model_id: str, prompt: str, feature: str) -> Job:
    seeds = count()

    def run(length: int) -> float:
        ask = SteerAsk.of(model_id, prompt, {feature: 10.0}, length=length, seed=next(seeds))
        began = time.perf_counter()
        record = bench.steer(ask)
        took = 1000 * (time.perf_counter() - began)
        return took / max(len(record.default.tokens), len(record.steered.tokens))

    return run


def _unscored(ours: Job) -> Job:
    def run(length: int) -> float:
        with patch.object(generate.Scores, "look", lambda self, *, last: None):
            return ours(length)

    return run


def _theirs(folder: Any, ids: list[int]) -> Job:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = torch.tensor([ids])

    @computing  # where ours computes too: a process with two teams of OpenMP workers is slower for both
    def run(length: int) -> float:
        began = time.perf_counter()
        out = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=length, do_sample=True, temperature=0.7,
            top_k=0, pad_token_id=0,
        )  # fmt: skip
        return 1000 * (time.perf_counter() - began) / (out.shape[1] - prompt.shape[1])

    return run


if __name__ == "__main__":
    sys.exit(main("Default and steered text together, against generate of the default alone.", measure))
