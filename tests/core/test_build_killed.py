"""A build that is killed, or finds the disk full, goes on and ends with the same bytes; nothing half-made is seen."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.build import run, tiles
from core.build.work import opened
from core.errors import NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def expected(config: Path) -> dict[str, str]:
    """The files of a build that nothing disturbed, in the tiles that tests.core.killed uses."""
    root = config.parent / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TOKENS", 96)
        Workbench(Settings(data=root, demo=None)).build(config)
    return files(root)


def files(root: Path) -> dict[str, str]:
    """SHA-256 of every file; locks are empty and stay."""
    paths = (p for p in root.rglob("*") if p.is_file() and not p.name.endswith(".lock"))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


@pytest.fixture
def place(config: Path, request: pytest.FixtureRequest) -> Path:
    """A data root beside the other one, so that manifests name the weights by the same relative path."""
    return config.parent / f"root{abs(hash(request.node.name))}"


def killed(config: Path, root: Path, what: str, count: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.killed", config, root, what, str(count)],
        cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(config, expected, place, seed):
    out = killed(config, place, str(seed), 6)
    assert int(out.split("killed ")[1].split()[0]) >= 3, out
    assert files(place) == expected


@pytest.mark.parametrize("limit", [300, 20_000])
def test_a_full_disk_is_said_and_the_next_build_goes_on(config, expected, place, limit):
    out = killed(config, place, "limit", limit)
    assert "status 3" in out and "too large" in out.lower(), out
    assert not any(".writing" in name for name in files(place))
    assert "killed 0" in killed(config, place, "0", 0)
    assert files(place) == expected


@pytest.mark.parametrize("per_chunk", [1, 5, 1000])
def test_the_bytes_do_not_depend_on_how_many_tiles_are_run_together(config, expected, place, monkeypatch, per_chunk):
    monkeypatch.setattr(tiles, "TOKENS", 96)
    monkeypatch.setattr(tiles, "PER_CHUNK", per_chunk)
    Workbench(Settings(data=place, demo=None)).build(config)
    assert files(place) == expected


def test_a_damaged_chunk_is_run_again(config, expected, place, monkeypatch):
    monkeypatch.setattr(tiles, "TOKENS", 96)
    monkeypatch.setattr(tiles, "PER_CHUNK", 2)
    bench = Workbench(Settings(data=place, demo=None))
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_source_folder", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.build(config)
    states = list(place.rglob("state.npz"))
    assert len(states) == 2
    for state in states:
        state.write_bytes(state.read_bytes()[:-30])
    bench.build(config)
    assert files(place) == expected


def test_two_builds_of_one_source_at_once(config, tmp_path):
    with opened(tmp_path / "tiny" / "1-res", {}), pytest.raises(NotAvailable, match="another process"):
        Workbench(Settings(data=tmp_path, demo=None)).build(config)
    shutil.rmtree(tmp_path / "tiny")
    assert Workbench(Settings(data=tmp_path, demo=None)).build(config).sources
