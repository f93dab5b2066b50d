"""Builds again and again, each time killed at some moment, until it is done: run by test_build_killed.py.

    python -m tests.core.killed CONFIG ROOT SEED KILLS      a build that is killed KILLS times at random moments
    python -m tests.core.killed CONFIG ROOT SEED KILLS ray  the same, with a Ray cluster of this machine
    python -m tests.core.killed CONFIG ROOT limit BYTES     a build on a disk that takes no file larger than BYTES

A moment is an event that Python's audit hooks see: a file opened, renamed or removed, a folder made. A run is a fork of
this process, which has imported everything already. After each kill the catalog must show complete sources only.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
from pathlib import Path

import sae_lens  # noqa: F401  # imported once, before the forks
import transformer_lens.model_bridge  # noqa: F401

from core.build import run, tiles
from core.errors import WorkbenchError
from core.settings import Settings
from core.store.write import checksums
from core.workbench import Workbench

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


def build(config: Path, root: Path, moment: int | None, limit: int | None = None, engine: run.Where = "local") -> int:
    """The exit status of a build in a child that is killed at its `moment`-th event; 100 where it came to no end."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 3, -signal.SIGKILL), status
        return status
    tiles.TOKENS, tiles.PER_CHUNK = 96, 2
    seen = 0

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in EVENTS and str(arguments[0]).startswith(str(root)):
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    if moment is not None:
        sys.addaudithook(audit)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        report = Workbench(Settings(data=root, demo=None)).build(config, engine=engine)
        print("built", *(s.key.source_id for s in report.sources), flush=True)
        os._exit(0)
    except WorkbenchError as error:
        print(error, flush=True)
        os._exit(3)
    finally:
        sys.stderr.flush()
        os._exit(4)


def whole(root: Path) -> None:
    """Everything that can be seen is complete."""
    bench = Workbench(Settings(data=root, demo=None))
    for source in bench.sources():
        entry = bench.catalog.entry(source.key)
        assert run.read_source(entry.folder / "source.json").checksums == checksums(entry.folder), source.key
        assert bench.feature(f"{source.key}/0")


def main() -> None:
    """The command."""
    config, root, what, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if what == "limit":
        print("status", build(config, root, None, count))
        return whole(root)
    engine: run.Where = "ray" if sys.argv[5:] == ["ray"] else "local"
    draw = random.Random(int(what))
    killed = 0
    while killed < count:
        status = build(config, root, draw.randrange(90), engine=engine)
        whole(root)
        if status == 0:  # it ended before its moment: from the beginning
            shutil.rmtree(root)
        else:
            killed += 1
    print("killed", killed)
    while build(config, root, None, engine=engine) != 0:
        pass
    return whole(root)


if __name__ == "__main__":
    main()
