"""From the corpus to the demo, in one command that can be stopped and run again.

Knows the order of the stages and what each is made from, nothing of how they work: the language model, its SAEs, their
copies in `demo/weights`, the texts, the built data, the figures on held-out text. A stage is skipped when what it
made is there and was made from the same things: its mark, a SHA-256 over its inputs and settings, is kept in
`WORK/done.json`. Stopped in the middle, the longest stages go on from where they were.

Cost: nearly all of it is the model's and the SAEs' training; their modules say how long.

    python -m demo.training.make_demo --corpus CORPUS --work WORK [--tokens N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
MODEL = "scribe-4l"
LAYERS = (0, 1, 2, 3)
"""Those that `demo.yaml` names."""
ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "true",
}


def mark(files: Iterable[Path], settings: object) -> str:
    """SHA-256 over names and contents of files (of folders: of all files in them) and over settings."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in files:
        for file in (
            sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc") if path.is_dir() else [path]
        ):
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


class Stages:
    """What is done, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def run(self, name: str, made_from: str, makes: Iterable[Path], work: Callable[[], None]) -> None:
        """Runs `work` unless `name` was made from the same and all that it makes is there."""
        if self.done.get(name) == made_from and all(p.exists() for p in makes):
            print(f"{name}: up to date", flush=True)
            return
        print(f"{name}: …", flush=True)
        started = time.time()
        work()
        self.done[name] = made_from
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps(self.done, indent=1) + "\n")
        os.replace(beside, self.path)
        print(f"{name}: {time.time() - started:.0f} s", flush=True)


def call(module: str, *arguments: object) -> None:
    """`python -m module …`, from the repository's root; a failure ends everything."""
    subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], check=True, cwd=HERE.parent, env=ENVIRONMENT | os.environ
    )


def copy(source: Path, target: Path, names: Iterable[str]) -> None:
    """Some files of a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)


def make(corpus: Path, work: Path, tokens: int) -> None:
    """Every stage that is not up to date."""
    work.mkdir(parents=True, exist_ok=True)
    stages = Stages(work / "done.json")
    model, saes, weights, texts, data = work / "model", work / "saes", HERE / "weights", HERE / "texts", HERE / "data"
    sources = [f"{layer}-res" for layer in LAYERS]
    given = ["--corpus", corpus, "--work", work]
    parts = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]

    stages.run(
        "model",
        mark([corpus], tokens),
        [model / "model.safetensors"],
        lambda: call("demo.training.train_model", *given, "--tokens", tokens),
    )
    stages.run(
        "saes",
        mark([model / "model.safetensors", HERE / "training" / "train_saes.py"], None),
        [saes / s for s in sources],
        lambda: call("demo.training.train_saes", *given, "--layers", *LAYERS),
    )

    def place() -> None:
        copy(model, weights / "model", parts)
        for source in sources:
            copy(saes / source, weights / "sae" / source, ["cfg.json", "sae_weights.safetensors"])

    stages.run(
        "weights",
        mark([*(model / p for p in parts), *(saes / s for s in sources)], None),
        [weights / "model", *(weights / "sae" / s for s in sources)],
        place,
    )
    stages.run(
        "texts",
        mark([corpus, model / "tokenizer.json", HERE / "training" / "texts.py"], None),
        [texts / "novels.txt.xz", texts / "heldout"],
        lambda: call(
            "demo.training.texts", "--corpus", corpus, "--tokenizer", model / "tokenizer.json", "--target", texts
        ),
    )
    stages.run(
        "build",
        mark([weights, HERE / "demo.yaml", *sorted(texts.glob("*.txt.xz"))], None),
        [data / MODEL / s / "source.json" for s in sources],
        lambda: call("core", "build", HERE / "demo.yaml", "--data", data),
    )

    def measure() -> None:
        for source in sources:
            call("core", "eval", f"{MODEL}/{source}", "--texts", texts / "heldout", "--data", data)

    stages.run(
        "figures",
        mark([weights, texts / "heldout", HERE.parent / "core" / "evaluate"], None),
        [data / MODEL / s / "derived" for s in sources],
        measure,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Make the built-in demo from the corpus.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=21_000_000, help="tokens that the language model is trained on")
    args = parser.parse_args()
    make(args.corpus.resolve(), args.work.resolve(), args.tokens)


if __name__ == "__main__":
    main()
