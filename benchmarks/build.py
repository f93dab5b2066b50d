"""The build against its floor and against SAEDashboard, and its memory, in the shape “res-jb” (benchmarks/shape.py).

    python -m benchmarks.build [--json] [--quick]

Everything runs in processes of its own, on the cores that are there. The floor is what no build can do without: the
same passes of the model without unembedding, and the encoder's products alone. Logit tables are a row of their own, and
are left out of the row against the floor. SAEDashboard runs if FEATURESCOPE_SAEDASHBOARD names a Python that has it
(`pip install sae-dashboard==0.8.0` in an environment of its own), on 256 features; its time is scaled to all features,
in proportion, which favours neither: its work is per feature, but for the passes that it repeats for each batch of 256.
Memory is the highest resident set of a build's process (VmHWM) and what of it was not mapped files.

Cost: ten minutes on two cores and 3 GB of disk, and about twenty more for the million tokens. --quick leaves those out,
and measures against the floor at 16,384 tokens, where what does not grow with the tokens weighs more.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks import shape
from benchmarks.report import Row, main

SMALL, LARGE, HUGE = 16_384, 131_072, 1_048_576
FEATURES = 256
"""That SAEDashboard works on."""
PEER = "FEATURESCOPE_SAEDASHBOARD"
FOLDER = Path(os.environ.get("FEATURESCOPE_BENCH", tempfile.gettempdir())) / "featurescope-res-jb"
BUDGET_MB = 4096


def measure(quick: bool) -> Iterator[Row]:
    """All rows, in the order of the design's budgets."""
    shape.write(FOLDER)
    _child("build", SMALL)  # compiles what has to be compiled, and warms the disk
    runs = {SMALL: _child("build", SMALL)}
    yield from _against_saedashboard(runs[SMALL]["seconds"])
    tokens = SMALL if quick else LARGE
    if not quick:
        runs |= {LARGE: _child("build", LARGE)}
    run, floor = runs[tokens], _child("floor", tokens)
    bare = run["seconds"] - run["logits"]
    yield Row(
        what=f"build of {tokens:,} tokens without logit tables, against its floor", ours=bare,
        yardstick=floor["seconds"], ratio=bare / floor["seconds"], unit="s", budget="" if quick else "<= 1.5",
    )  # fmt: skip
    yield Row(
        what=f"logit tables of {shape.D_SAE:,} features, against their product", ours=run["logits"],
        yardstick=floor["logits"], ratio=run["logits"] / floor["logits"], unit="s", budget="",
    )  # fmt: skip
    if not quick:
        runs |= {HUGE: _child("build", HUGE)}
    for n, run in runs.items():
        yield Row(what=f"memory of a build of {n:,} tokens", ours=run["peak"], unit="MB", budget=f"<= {BUDGET_MB}")
        yield Row(what="  of it not mapped files, at most", ours=run["anonymous"], unit="MB", budget="")


def _against_saedashboard(seconds: float) -> Iterator[Row]:
    """Per feature × token at `SMALL` tokens."""
    python = os.environ.get(PEER)
    if not python:
        yield Row(what=f"build of {SMALL:,} tokens ({PEER} is not set)", ours=seconds, unit="s", budget="")
        return
    ids = FOLDER / "ids.npy"
    _child("ids", SMALL)
    script = Path(__file__).parent / "peers" / "saedashboard.py"
    out = subprocess.run([python, script, FOLDER, ids, str(FEATURES)], check=True, capture_output=True, text=True)
    theirs = json.loads(out.stdout.splitlines()[-1])["seconds"]
    scaled = theirs * shape.D_SAE / FEATURES
    yield Row(
        what=f"build of {SMALL:,} tokens; SAEDashboard 0.8.0, {FEATURES} features in {theirs:.1f} s, scaled",
        ours=seconds, yardstick=scaled, ratio=scaled / seconds, unit="s", budget=">= 100",
    )  # fmt: skip


# -- what runs in a process of its own ---------------------------------------------------------------------------------


def _child(what: str, tokens: int) -> dict[str, Any]:
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.build", "--child", what, str(tokens)], check=True, capture_output=True,
        text=True, cwd=shape.REPOSITORY,
    )  # fmt: skip
    return dict(json.loads(out.stdout.splitlines()[-1]))


def _build(tokens: int) -> dict[str, float]:
    """A build from its first text on, and how long its logit tables took; loading is left out, as it is of the peer."""
    from core.build import weights
    from core.settings import Settings
    from core.workbench import Workbench

    spent, begun, table = 0.0, 0.0, weights.logit_table

    def timed(*arguments: Any) -> weights.LogitTable:
        nonlocal spent
        began = time.perf_counter()
        made = table(*arguments)
        spent += time.perf_counter() - began
        return made

    def progress(what: str, _done: float, _of: float) -> None:
        nonlocal begun
        if what == "reading texts":  # model and SAE are loaded
            begun = time.perf_counter()

    weights.logit_table = timed
    with tempfile.TemporaryDirectory(dir=FOLDER) as root, Watch() as watch:
        Workbench(Settings(data=Path(root), demo=None)).build(shape.config(FOLDER, tokens), progress)
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "logits": spent, "peak": peak, "anonymous": watch.highest / 2**20}


class Watch:
    """Looks ten times a second at how much of this process's memory is no file's."""

    def __init__(self) -> None:
        self.highest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            held = psutil.Process().memory_info()
            self.highest = max(self.highest, held.rss - held.shared)


def _prepared(tokens: int) -> tuple[Any, Any, Any]:
    """(model, tiles, SAE) of the shape."""
    import numpy as np
    from sae_lens import SAE

    from core.build.config import read_config
    from core.build.examples import Texts
    from core.build.texts import cut
    from core.build.tiles import Tiles
    from core.models import loading

    config = read_config(shape.config(FOLDER, tokens))
    model = loading.load(config.model_spec(), device="cpu", dtype="float32")
    texts = Texts.of(cut(config, model.tokenizer, model.bos).tokens, model.vocabulary)
    counted = ~np.isin(texts.tokens, np.array(model.manifest.special, np.uint32))
    return model, Tiles.of(texts, counted), SAE.load_from_disk(FOLDER / "sae", device="cpu")


def _floor(tokens: int) -> dict[str, float]:
    """The passes without unembedding and the encoder's products alone; and the product behind the logit tables."""
    import torch

    from core.build.tiles import pieces

    model, tiles, sae = _prepared(tokens)
    with torch.inference_mode():
        began = time.perf_counter()
        for chunk in range(tiles.chunks):
            for begin, end in tiles.of_chunk(chunk):
                _, flat = tiles.run(model, begin, end, [shape.HOOK])
                for _, x in pieces(flat[shape.HOOK], shape.D_SAE):
                    x @ sae.W_enc
        seconds = time.perf_counter() - began
        W_U = model.bridge.W_U.detach().float()
        began = time.perf_counter()
        for begin in range(0, shape.D_SAE, 1024):
            sae.W_dec[begin : begin + 1024] @ W_U
        return {"seconds": seconds, "logits": time.perf_counter() - began}


def _ids(tokens: int) -> dict[str, int]:
    """Writes the prompts for the peer."""
    import numpy as np

    _, tiles, _ = _prepared(tokens)
    ids = tiles.texts.tokens.reshape(-1, shape.CONTEXT)
    np.save(FOLDER / "ids.npy", ids)
    return {"prompts": len(ids)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps({"build": _build, "floor": _floor, "ids": _ids}[sys.argv[2]](int(sys.argv[3]))))
    else:
        sys.exit(main("The build against its floor and SAEDashboard, and its memory.", measure))
