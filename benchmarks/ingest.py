"""Bringing a bulk export in: rows a second and memory, beside a loop that only unzips and parses the same lines.

An export in Neuronpedia's form of random features: 24,576 of them, 41 activations each (a million rows) of 127 tokens,
in batches of 1,024 features, on the demo's texts; with `--quick` an eighth of the features. The yardstick is what any
reader has to do: Python's gzip and `json.loads` for each line of activations, nothing checked and nothing kept. Ours
is the whole import, from the first byte to the source that can be looked at, plus that it goes on after a kill. Each
runs in a process of its own; times are of the process (user and system), so that neighbours on the machine weigh less,
and memory is the highest resident set without mapped files.

Cost: some 400 MB of disk and ten minutes; `--quick` about one.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import numpy as np

from benchmarks.build import Watch
from benchmarks.report import Row, main

FEATURES, EACH, TOKENS, BATCH, PROMPTS = 24_576, 41, 127, 1024, 4096


def measure(quick: bool) -> Iterator[Row]:
    """Writes an export, reads it both ways."""
    features = FEATURES // 8 if quick else FEATURES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "v1" / "shape" / "8-res", features)
        found = {
            job: json.loads(run([sys.executable, "-m", "benchmarks.ingest", job, name], check=True, capture_output=True,
                                text=True).stdout.splitlines()[-1])
            for job in ("loop", "ours")
        }  # fmt: skip
    ours, loop, count = found["ours"], found["loop"], features * EACH
    what = f"{count:,} activations of {TOKENS} tokens"
    yield Row(
        what=f"import of {what}, against unzipping and parsing its lines alone", ours=ours["seconds"],
        yardstick=loop["seconds"], ratio=ours["seconds"] / loop["seconds"], unit="s", budget="",
    )  # fmt: skip
    yield Row(what="activations a second", ours=count / ours["seconds"], yardstick=count / loop["seconds"],
              ratio=loop["seconds"] / ours["seconds"], unit="rows/s", budget="")  # fmt: skip
    yield Row(what="memory of that process, mapped files left out", ours=ours["peak"], yardstick=loop["peak"],
              ratio=ours["peak"] / loop["peak"], unit="MB", budget="")  # fmt: skip
    yield Row(what="the export on disk", ours=ours["export"], unit="MB", budget="")
    yield Row(what="the source on disk", ours=ours["source"], unit="MB", budget="")


def write(folder: Path, features: int) -> None:
    """An export of random features over the demo's texts."""
    from benchmarks.shape import REPOSITORY

    rng = np.random.default_rng(0)
    words = _texts(REPOSITORY)
    starts = rng.integers(0, len(words) - TOKENS, PROMPTS)
    prompts = [json.dumps(words[s : s + TOKENS]) for s in starts]
    named = '"modelId": "shape", "layer": "8-res", '
    for begin in range(0, features, BATCH):
        rows, acts = [], []
        for index in range(begin, min(begin + BATCH, features)):
            rows.append(_feature(index, rng, named, words))
            acts += _activations(index, rng, named, prompts)
        for kind, some in (("features", rows), ("activations", acts)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            with gzip.open(folder / kind / f"batch-{begin // BATCH}.jsonl.gz", "wt", 5, "utf-8") as file:
                file.writelines(some)
    meta = {
        "source": {"id": "8-res", "modelId": "shape", "num_prompts": 24576, "num_tokens_in_prompt": 128},
        "model": {"id": "shape"}, "sourceset": {"modelId": "shape", "name": "res"}, "release": {"name": "shape"},
    }  # fmt: skip
    for kind, row in meta.items():
        (folder / f"{kind}.jsonl").write_text(json.dumps(row) + "\n")


def _texts(repository: Path) -> list[str]:
    """Words and spaces of the demo's texts, which stand for tokens."""
    import lzma
    import re

    path = sorted((repository / "demo" / "texts").glob("*.txt.xz"))[0]
    return re.findall(r" ?\w+|\s|[^\w\s]", lzma.decompress(path.read_bytes()).decode("utf-8")[:3_000_000])


def _feature(index: int, rng: np.random.Generator, named: str, words: list[str]) -> str:
    counts = rng.integers(1, 90, 50).tolist()
    bars = np.round(np.linspace(0.1, 9.9, 50), 3).tolist()
    row = {
        "index": str(index), "maxActApprox": 10.0, "frac_nonzero": 0.0005, "freq_hist_data_bar_heights": counts,
        "freq_hist_data_bar_values": bars, "logits_hist_data_bar_heights": counts,
        "logits_hist_data_bar_values": bars, "pos_str": words[index % 999 : index % 999 + 10],
        "pos_values": np.round(rng.random(10), 3).tolist(), "neg_str": words[index % 777 : index % 777 + 10],
        "neg_values": np.round(-rng.random(10), 3).tolist(), "hasVector": False, "vector": [],
    }  # fmt: skip
    return "{" + named + json.dumps(row)[1:] + "\n"


def _activations(index: int, rng: np.random.Generator, named: str, prompts: list[str]) -> list[str]:
    """A top group of 21 and four intervals of five, as SAEDashboard's runner has them."""
    rows = []
    for n in range(EACH):
        values = np.zeros(TOKENS)
        at = rng.integers(0, TOKENS, 4)
        values[at] = np.round(rng.random(4) * 10, 5)
        place = int(values.argmax())
        group = max(0, (n - 16) // 5)
        bounds = (-1, 10.0, -1) if not group else (group * 2 - 2, group * 2, 0.001)
        tail = {
            "id": f"c{index:08d}{n:03d}", "index": str(index), "maxValue": values[place], "minValue": 0.0,
            "maxValueTokenIndex": place, "values": values.tolist(), "dfaValues": [], "dfaMaxValue": None,
            "dfaTargetIndex": None, "binMin": bounds[0], "binMax": bounds[1], "binContains": bounds[2],
            "qualifyingTokenIndex": place, "creatorId": "c", "dataSource": "demo",
        }  # fmt: skip
        rows.append("{" + named + '"tokens": ' + prompts[int(rng.integers(len(prompts)))] + ", " + json.dumps(tail)[1:])
    return [row + "\n" for row in rows]


def _loop(folder: Path) -> int:
    """What any reader has to do."""
    count = 0
    for path in sorted((folder / "v1" / "shape" / "8-res" / "activations").glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                count += len(json.loads(line)["tokens"])
    return count


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _job(job: str, folder: Path) -> None:
    """One of the two, in this process."""
    began = time.process_time()
    with Watch() as watch:
        if job == "loop":
            _loop(folder)
        else:
            from core.settings import Settings
            from core.workbench import Workbench

            bench = Workbench(Settings(data=folder / "data", demo=None))
            (made,) = bench.exchange.bring_in(folder / "v1")
            assert made.activations > 0 and bench.feature(f"{made.key}/3").groups
    found = {"seconds": time.process_time() - began, "peak": watch.highest / 2**20, "export": _size(folder / "v1"),
             "source": _size(folder / "data")}  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in ("loop", "ours"):
        _job(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main("Bringing a bulk export in, against unzipping and parsing it.", measure))
