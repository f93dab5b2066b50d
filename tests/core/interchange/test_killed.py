"""An import that is stopped or killed goes on with the same command, and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.interchange.bulk import assemble, spill
from core.settings import Settings
from core.workbench import Workbench
from tests.core.interchange.conftest import lines, tree, write

ROOT = Path(__file__).resolve().parents[3]
MOMENTS = 20


class Stopped(BaseException):
    """Stands for a kill: nothing that catches errors catches it."""


@pytest.fixture(scope="module")
def several(small_exported, tmp_path_factory):
    """The small export in more batches."""
    import shutil

    folder = Path(shutil.copytree(small_exported, tmp_path_factory.mktemp("several") / "tiny" / "1-res"))
    (folder / "featurescope.json").unlink()
    for kind, size in (("features", 2), ("activations", 40), ("explanations", 2)):
        rows = lines(folder / kind / "batch-0.jsonl.gz")
        for n, begin in enumerate(range(0, len(rows), size)):
            write(folder / kind / f"batch-{n}.jsonl.gz", rows[begin : begin + size])
    return folder


@pytest.fixture(scope="module")
def wanted(several, tmp_path_factory):
    """What an import without interruption gives."""
    root = tmp_path_factory.mktemp("wanted")
    Workbench(Settings(data=root, demo=None)).exchange.bring_in(several)
    return tree(root)


def at_most(monkeypatch, writes: int) -> list[int]:
    """Lets so many writes happen, of whatever kind, and stops at the next."""
    count = [0]

    def counted(function):
        def call(*args, **kwargs):
            count[0] += 1
            if count[0] > writes:
                raise Stopped
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(spill._Sink, "add", counted(spill._Sink.add))
    monkeypatch.setattr(spill._Sink, "close", counted(spill._Sink.close))
    monkeypatch.setattr(spill.os, "replace", counted(os.replace))
    monkeypatch.setattr(assemble._Sink, "__enter__", counted(assemble._Sink.__enter__))
    monkeypatch.setattr(assemble.Assembly, "_figures", counted(assemble.Assembly._figures))
    monkeypatch.setattr(os, "rename", counted(os.rename))
    return count


def test_twenty_random_moments(several, wanted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        count = at_most(patch, 10**9)
        Workbench(Settings(data=tmp_path / "count", demo=None)).exchange.bring_in(several)
        total = count[0]
    moments = sorted(random.Random(7).sample(range(1, total - 1), MOMENTS - 4)) + list(range(total - 4, total))
    for n, moment in enumerate(moments):
        bench = Workbench(Settings(data=tmp_path / str(n), demo=None))
        with monkeypatch.context() as patch:
            at_most(patch, moment)
            with pytest.raises(Stopped):
                bench.exchange.bring_in(several)
        bench.catalog.refresh()
        assert all(one.alive for one in bench.sources()), "what is visible is whole"
        assert all(report.ok for report in bench.check())
        bench.exchange.bring_in(several)
        assert tree(tmp_path / str(n)) == wanted, f"stopped at write {moment} of {total}"


def test_what_was_read_is_not_read_again(several, tmp_path, monkeypatch):
    bench = Workbench(Settings(data=tmp_path, demo=None))
    with monkeypatch.context() as patch:
        patch.setattr(assemble.Assembly, "write", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            bench.exchange.bring_in(several)
    with monkeypatch.context() as patch:
        patch.setattr(spill, "writing", None)
        bench.exchange.bring_in(several)
    assert bench.sources()


@pytest.mark.parametrize("seconds", [0.3, 0.6])
def test_killed(several, wanted, tmp_path, seconds):
    """SIGKILL once the import has begun to write."""
    command = [sys.executable, "-m", "core", "import", str(several), "--data", str(tmp_path / "root")]
    env = os.environ | {"FEATURESCOPE_DEMO": ""}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = tmp_path / "root" / ".import"
    while process.poll() is None and not list(parts.glob("*/parts/*")):
        time.sleep(0.005)
    time.sleep(seconds / 10)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    assert tree(tmp_path / "root") == wanted


def test_two_at_once(several, tmp_path):
    from core.errors import Busy
    from core.interchange.bulk.bring import working

    bench = Workbench(Settings(data=tmp_path, demo=None))
    with working(tmp_path, str(several)), pytest.raises(Busy, match="another process"):
        bench.exchange.bring_in(several)
