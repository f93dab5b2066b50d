"""A build that is killed, or finds the disk full, goes on and ends with the same bytes; nothing half-made is seen."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.build import run, tiles
from core.build.work import opened
from core.errors import NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

KILLS = int(os.environ.get("FEATURESCOPE_KILLS", "5"))
"""Random moments at which a build is killed; `make soak` takes twenty."""


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


def interrupted(config: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A workbench whose build ended after the pass, in the tiles of tests.core.killed; the next one may go on."""
    monkeypatch.setattr(tiles, "TOKENS", 96)
    monkeypatch.setattr(tiles, "PER_CHUNK", 2)
    bench = Workbench(Settings(data=place, demo=None))
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_source_folder", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.build(config)
    return bench


def killed(config: Path, root: Path, what: str, count: int, *more: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.killed", config, root, what, str(count), *more],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"} | environment,
        capture_output=True, text=True, check=False, timeout=480 + 60 * max(0, KILLS - 5),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(config, expected, place, seed):
    assert f"killed {KILLS}" in killed(config, place, str(seed), KILLS)
    assert files(place) == expected


def test_a_full_disk_is_said_and_the_next_build_goes_on(config, expected, place):
    out = killed(config, place, "limit", 20_000)
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
    bench = interrupted(config, place, monkeypatch)
    states = list(place.rglob("state.npz"))
    assert len(states) == 2
    for state in states:
        state.write_bytes(state.read_bytes()[:-30])
    bench.build(config)
    assert files(place) == expected


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(chunk: Path) -> None:
        np.save(chunk / f"{name}.npy", change(np.load(chunk / f"{name}.npy")))

    return damage


def _sums(**changes: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(chunk: Path) -> None:
        chunk = sorted(chunk.parent.glob("chunk-*"))[-1]
        with np.load(chunk / "state.npz") as held:
            state = dict(held)
        for name, change in changes.items():
            key = name if name in state else {"fx": "ff", "xx": "bins"}[name]
            state[key] = change(state[key])
        np.savez(chunk / "state.npz", **state)

    return damage


def _first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[0] = value
        return array

    return change


DAMAGE = {
    "a feature beyond the width": _array("row_features", _first(2**30)),
    "a row beyond the tokens": _array("rows", _first(2**30)),
    "a row below zero": _array("rows", _first(-1)),
    "offsets beyond the entries": _array("offsets", lambda a: a + np.arange(len(a)) * 1000),
    "falling offsets": _array("row_offsets", lambda a: a[::-1].copy()),
    "fewer values": _array("values", lambda a: a[:-1]),
    "another type": _array("values", lambda a: a.astype(np.float64)),
    "two dimensions": _array("row_values", lambda a: a[None]),
    "an empty file": lambda chunk: (chunk / "offsets.npy").write_bytes(b""),
    "no header": lambda chunk: (chunk / "offsets.npy").write_bytes(b"\x93NUMPY\x01\x00\x04\x00((((" + bytes(90)),
    "a missing file": lambda chunk: (chunk / "rows.npy").unlink(),
    "sums of another shape": _sums(fx=lambda a: a[:-1]),
    "sums that are not finite": _sums(fx=lambda a: a * np.nan),
    "sums of another type": _sums(xx=lambda a: a.astype(np.float32)),
    "a file of no chunk": lambda chunk: (chunk.parent / "notes.txt").write_text("x"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_whatever_is_in_a_work_folder_the_build_ends_with_the_same_bytes(config, expected, place, monkeypatch, damage):
    bench = interrupted(config, place, monkeypatch)
    chunks = list(place.rglob("chunk-00001"))
    assert len(chunks) == 2
    for chunk in chunks:
        damage(chunk)
    bench.build(config)
    assert files(place) == expected


def test_a_chunk_elsewhere_is_taken_as_it_is_and_not_removed(config, expected, place, monkeypatch):
    bench = interrupted(config, place, monkeypatch)
    (place / "mine").mkdir()
    (place / "mine" / "note").write_text("keep")
    for chunk in place.rglob("chunk-00001"):
        shutil.rmtree(chunk)
        chunk.symlink_to(place / "mine")
    bench.build(config)
    assert (place / "mine" / "note").read_text() == "keep"
    shutil.rmtree(place / "mine")
    assert files(place) == expected


@pytest.mark.parametrize("name", ["TOKENS", "PER_CHUNK", "VALUES"])
def test_chunks_of_other_tiles_are_not_gone_on_from(config, place, monkeypatch, name):
    """What an earlier version left behind, for instance: its tiles had another size."""
    bench = interrupted(config, place, monkeypatch)
    monkeypatch.setattr(tiles, name, 3 * getattr(tiles, name))
    seen = []
    bench.build(config, lambda what, done, of: seen.append(done) if what == "running the model" else None)
    assert seen[0] == 0
    assert not list(place.rglob("*.work-*"))
    assert all(report.ok for report in bench.check())


def test_progress_goes_on_from_where_it_was(config, expected, place, monkeypatch):
    monkeypatch.setattr(tiles, "TOKENS", 96)
    monkeypatch.setattr(tiles, "PER_CHUNK", 2)
    bench, seen = Workbench(Settings(data=place, demo=None)), []

    def interrupt(what, done, of):
        if what == "running the model" and done > of / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.build(config, interrupt)
    bench.build(config, lambda what, done, of: seen.append((done, of)) if what == "running the model" else None)
    assert 0.3 < seen[0][0] / seen[0][1] < 0.6 and seen[-1][0] == seen[-1][1]
    assert files(place) == expected


def test_a_source_that_is_added_runs_alone_where_the_other_is_done(config, expected, place, monkeypatch):
    """The build is interrupted, and its configuration gets another source."""
    monkeypatch.setattr(tiles, "TOKENS", 96)
    monkeypatch.setattr(tiles, "PER_CHUNK", 2)
    bench = Workbench(Settings(data=place, demo=None))
    lines = config.read_text().splitlines(keepends=True)
    first = config.with_name("first.yaml")
    first.write_text("".join(line for line in lines if "neurons" not in line))

    def interrupt(what, done, of):
        if what == "running the model" and done > of / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.build(first, interrupt)
    bench.build(config)
    assert files(place) == expected


def test_two_builds_of_one_source_at_once(config, tmp_path):
    with opened(tmp_path / "tiny" / "1-res", {}), pytest.raises(NotAvailable, match="another process"):
        Workbench(Settings(data=tmp_path, demo=None)).build(config)
    shutil.rmtree(tmp_path / "tiny")
    assert Workbench(Settings(data=tmp_path, demo=None)).build(config).sources
