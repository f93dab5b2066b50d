"""A build whose tiles a Ray cluster runs: the same bytes as alone, whoever dies meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from core.build import cluster, tiles
from core.build.run import Running
from core.errors import BadConfig, NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.test_build_killed import KILLS, files, killed

FEW = 3 if KILLS <= 5 else KILLS
"""Workers that are killed: each begins anew with its model."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Tiles so small that there are dozens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TOKENS", 96)
        patch.setattr(tiles, "PER_CHUNK", 2)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def expected(config: Path) -> dict[str, str]:
    root = config.parent / "alone"
    Workbench(Settings(data=root, demo=None)).build(config)
    return files(root)


@pytest.fixture(scope="module")
def ray() -> Iterator[object]:
    """One cluster of two workers for all tests of this process, as a notebook may have one already."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ.update(cluster.LOCAL)
    import ray

    ray.init(num_cpus=2, **cluster._alone(), log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()
    torch.set_num_threads(threads)


def built(config: Path, name: str) -> Path:
    root = config.parent / name
    Workbench(Settings(data=root, demo=None)).build(config, engine="ray")
    return root


def test_two_workers_give_the_same_bytes(ray, config, expected):
    assert files(built(config, "two")) == expected


def workers() -> list[psutil.Process]:
    """Ray's workers, which say in their title what they do."""
    return [one for one in psutil.process_iter() if "ray::" in titled(one)]


def titled(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.timeout(500 + 60 * FEW)
def test_workers_that_are_killed_lose_nothing(ray, config, expected):
    gone: list[int] = []
    over = threading.Event()

    def kill() -> None:
        """Kills workers while they run a tile."""
        while not over.is_set() and len(gone) < FEW:
            for process in workers():
                if "ray::_tile" in titled(process) and len(gone) < FEW:
                    process.send_signal(signal.SIGKILL)
                    gone.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        root = built(config, "worker")
    finally:
        over.set()
        killer.join()
    assert gone, "no worker was seen at work"
    assert files(root) == expected


@pytest.mark.timeout(500 + 60 * KILLS)
def test_a_driver_that_is_killed_at_random_moments_loses_nothing(ray, config, expected):
    """The machine that adds up; the cluster goes on without it."""
    root, count = config.parent / "driver", 2 if KILLS <= 5 else KILLS
    address = ray.get_runtime_context().gcs_address
    assert f"killed {count}" in killed(config, root, "5", count, "ray", RAY_ADDRESS=address, **cluster.LOCAL)
    assert files(root) == expected


def test_the_prompts_of_another_source_give_the_same_bytes_too(ray, config, expected):
    """`dataset: {like: …}` with both engines, beside copies of the same data."""
    more = config.with_name("like.yaml")
    more.write_text(
        "model: {id: tiny, path: model}\nsources:\n  - {id: 1-more, sae: {path: sae}}\n"
        "dataset: {like: 1-res}\nprompts: 40\ncontext: 48\nmap: none\nnear: false\n",
        encoding="utf-8",
    )
    roots = [Path(shutil.copytree(config.parent / "alone", config.parent / f"like-{n}")) for n in ("local", "ray")]
    for root, where in zip(roots, ("local", "ray"), strict=True):
        Workbench(Settings(data=root, demo=None)).build(more, engine=where)
        assert (root / "tiny" / "1-more" / "source.json").is_file()
    assert files(roots[0]) == files(roots[1])


def test_a_build_that_was_stopped_goes_on_with_another_engine(ray, config, expected, monkeypatch):
    for count in (3, 9):
        left, add = iter(range(count)), Running.add

        def some(self, *taken, left=left, add=add):
            if next(left, None) is None:
                raise KeyboardInterrupt
            add(self, *taken)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Running, "add", some)
            built(config, "stopped")
    Workbench(Settings(data=config.parent / "stopped", demo=None)).build(config)
    assert files(config.parent / "stopped") == expected


def test_a_worker_with_other_weights_is_refused(ray, config, monkeypatch):
    engine = cluster.engine
    monkeypatch.setattr(cluster, "engine", lambda plan, tiles: engine(replace(plan, model_sha256="0" * 64), tiles))
    with pytest.raises(BadConfig, match="other weights than this machine"):
        built(config, "other")
    assert not list((config.parent / "other").rglob("source.json"))


def test_a_cluster_that_is_too_small_says_so(ray, config, monkeypatch):
    torch.set_num_threads(3)
    try:
        with pytest.raises(NotAvailable, match="2 processors and 0 cards, and a tile takes 3"):
            built(config, "small")
    finally:
        torch.set_num_threads(1)


def test_a_cluster_that_is_not_there_is_said(config, tmp_path):
    """In a process of its own, which is not connected yet."""
    done = subprocess.run(
        [sys.executable, "-m", "core", "build", str(config), "--engine", "ray", "--data", str(tmp_path)],
        cwd=ROOT, env=os.environ | {"RAY_ADDRESS": "127.0.0.1:1"} | cluster.LOCAL,
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 2
    assert "There is no Ray cluster at RAY_ADDRESS=127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
