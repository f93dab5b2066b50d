"""An export of the tiny SAE, made once; workbenches over empty roots to import it into."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

SMALL = 6


@pytest.fixture(scope="session")
def exported(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tiny/1-res` in an export; read it, do not write."""
    made = bench.exchange.give_out(tiny.SAE, tmp_path_factory.mktemp("export"))
    return made.folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export, to be damaged."""
    return Path(shutil.copytree(exported, tmp_path / "copy" / "tiny" / "1-res"))


@pytest.fixture(scope="session")
def small_exported(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first features of it alone."""
    folder = Path(shutil.copytree(exported, tmp_path_factory.mktemp("small") / "tiny" / "1-res"))
    ours = json.loads((folder / "featurescope.json").read_text())
    ours["source"]["width"] = SMALL
    for name in ours["files"]:
        rows = lines(folder / name)
        said = {row["id"] for row in lines(folder / "explanations" / "batch-0.jsonl.gz")}
        here = [r for r in rows if (r["explanationId"] in said if "scores" in name else int(r["index"]) < SMALL)]
        write(folder / name, here)
        ours["files"][name] = len(here)
    (folder / "featurescope.json").write_text(json.dumps(ours))
    return folder


@pytest.fixture
def small(small_exported: Path, tmp_path: Path) -> Path:
    """A copy of that, to be damaged."""
    return Path(shutil.copytree(small_exported, tmp_path / "copy" / "tiny" / "1-res"))


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Workbench]:
    """A workbench over an empty root of its own."""

    def make(name: str = "root") -> Workbench:
        return Workbench(Settings(data=tmp_path / name, demo=None))

    return make


def lines(path: Path) -> list[dict]:
    """The rows of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path: Path, rows: list) -> None:
    """Writes rows, or lines as they are, as a gzipped file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
