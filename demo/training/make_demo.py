"""From the corpus to the demo, in one command that can be stopped and run again.

Knows the order of the stages and what each is made from, nothing of how they work: the language model, its SAEs, their
copies in `demo/weights`, the texts, the built data, the figures on held-out text. A stage is skipped when what it
made is there and was made from the same things: its mark, a SHA-256 over its inputs and settings, is kept in
`WORK/done.json`. Stopped in the middle, the longest stages go on from where they were.

Cost: nearly all of it is the model's and the SAEs' training; their modules say how long.

    python -m demo.training.make_demo --corpus CORPUS --work WORK [--tokens N] [--second]
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

import yaml

from demo.training.designs import FIRST, SECOND, Design
from demo.training.train_more import KINDS, NARROW, SHIPPED

HERE = Path(__file__).resolve().parent.parent
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


def make(design: Design, corpus: Path, work: Path, tokens: int) -> None:
    """Every stage that is not up to date. The texts are the first model's; the second reads the same."""
    work.mkdir(parents=True, exist_ok=True)
    stages = Stages(work / "done.json")
    model, saes, texts, data = work / "model", work / "saes", HERE / "texts", HERE / "data"
    weights = HERE / "weights" / design.folder
    trained = [f"{layer}-res" for layer in design.saes]
    sources = [f"{layer}-{design.set_name}" for layer in design.saes]
    placed = [weights / "model", *(weights / "sae" / name for name in trained)]
    given = ["--design", design.id, "--corpus", corpus, "--work", work]
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
        [saes / name for name in trained],
        lambda: call("demo.training.train_saes", *given),
    )

    def place() -> None:
        copy(model, weights / "model", parts)
        for name in trained:
            copy(saes / name, weights / "sae" / name, ["cfg.json", "sae_weights.safetensors"])

    stages.run(
        "weights",
        mark([*(model / p for p in parts), *(saes / name for name in trained)], None),
        placed,
        place,
    )
    if design is FIRST:
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
        mark([*placed, HERE / design.config, *sorted(texts.glob("*.txt.xz"))], None),
        [data / design.id / s / "source.json" for s in sources],
        lambda: call("core", "build", HERE / design.config, "--data", data),
    )

    if design is FIRST:
        more(stages, corpus, work, data)
        sources += SHIPPED

    def measure() -> None:
        controls = [f"{kind}={design.id}-{kind}/{NARROW.name}-{kind}" for kind in KINDS]
        for source in sources:
            with_controls = [part for one in controls for part in ("--control", one)] if source == NARROW.name else []
            where = ["--texts", texts / "heldout", "--data", data]
            call("core", "eval", f"{design.id}/{source}", "--suite", "all", *where, *with_controls)

    stages.run(
        "figures",
        mark([*placed, texts / "heldout", HERE.parent / "core" / "evaluate"], sources),
        [data / design.id / s / "derived" for s in sources],
        measure,
    )
    stages.run(
        "vectors and heads",
        mark([data / design.id / one / "source.json" for one in sources], None),
        [],
        lambda: beside(design, sources, data),
    )
    if design is SECOND:
        atlas = HERE.parent / "core" / "atlas"
        builds = [data / d.id / f"{n}-{d.set_name}" / "source.json" for d in (FIRST, SECOND) for n in d.saes]
        stages.run(
            "universality",
            mark([*builds, atlas / "characters.py", atlas / "universal.py"], None),
            builds,
            lambda: universality(work / "stores", data),
        )


def beside(design: Design, sources: list[str], data: Path) -> None:
    """What would else be made when somebody first asks: vectors of explanations, and what attention heads do."""
    named = [f"{design.id}/{one}" for one in sources]
    if design is FIRST:
        named += [f"{design.id}-{kind}/{NARROW.name}-{kind}" for kind in KINDS]
    call("core", "embed", *named, "--compact", "--data", data)
    call("core", "heads", design.id, "--data", data)


def more(stages: Stages, corpus: Path, work: Path, data: Path) -> None:
    """The first model's other dictionaries, and the controls with their SAEs."""
    trained, control = work / "more" / "saes", [f"{NARROW.name}-{kind}" for kind in KINDS]
    model = HERE / "weights" / "model"
    folders = {name: "sae" for name in SHIPPED} | {name: "control" for name in control}
    placed = [HERE / "weights" / folder / name for name, folder in folders.items()]
    stages.run(
        "more",
        mark([model, HERE / "training" / "train_more.py"], list(folders)),
        [trained / name for name in folders],
        lambda: call("demo.training.train_more", "--corpus", corpus, "--work", work / "more", "--only", *folders),
    )

    def place() -> None:
        for path in placed:
            copy(trained / path.name, path, ["cfg.json", "sae_weights.safetensors"])

    stages.run("more weights", mark([trained / name for name in folders], None), placed, place)
    for config in ("more.yaml", *(f"control-{kind}.yaml" for kind in KINDS)):
        stages.run(
            config,
            mark([*placed, HERE / config, *sorted((HERE / "texts").glob("*.txt.xz"))], None),
            [],
            lambda config=config: call("core", "build", HERE / config, "--data", data),  # type: ignore[misc]
        )


def universality(stores: Path, data: Path) -> None:
    """Compares both models from builds that keep their activation stores, and puts what was found beside the demo's."""
    for design in (FIRST, SECOND):
        config = yaml.safe_load((HERE / design.config).read_text(encoding="utf-8"))
        config |= {"store": True, "annotate": False, "sources": [s for s in config["sources"] if "sae" in s]}
        for part in (config["model"], config["dataset"], *(s["sae"] for s in config["sources"])):
            part["path"] = str(HERE / part["path"])
        beside = stores / design.config
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(yaml.safe_dump(config), encoding="utf-8")
        call("core", "build", beside, "--data", stores / "data")
    call("core", "universal", FIRST.id, SECOND.id, "--make", "--data", stores / "data")
    for found in (stores / "data").glob("*/*/derived/universal-*"):
        shutil.copytree(found, data / found.relative_to(stores / "data"), dirs_exist_ok=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Make the built-in demo from the corpus.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tokens", type=int, help="tokens that the language model is trained on")
    parser.add_argument("--second", action="store_true", help="make the second model, in a work folder of its own")
    args = parser.parse_args()
    design = SECOND if args.second else FIRST
    make(design, args.corpus.resolve(), args.work.resolve(), args.tokens or design.tokens)


if __name__ == "__main__":
    main()
