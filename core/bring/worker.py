"""Does what is wanted of the jobs of a data root, one step at a time: `python -m core.bring.worker DATA`.

A process of its own, begun by whoever puts something into the queue; it ends when the queue is empty, and one that
finds another at work leaves at once. Each step is a process again (`python -m core try` or `build`), so that its memory
is given back and nothing that happens to it harms others; it gives way to whatever else wants the processors. It holds
the job's lock together with this process: if this one is killed, the step goes on and is still seen to be alive.

Ending a step is an interrupt, as by Ctrl-C in a terminal: it keeps what is finished. If that is not enough it is ended
harder, which a build survives as well.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from core.bring.progress import read, write
from core.bring.records import Step
from core.bring.shelf import Folder, Shelf
from core.build.config import read_config
from core.errors import WorkbenchError

HERE = Path(__file__).resolve().parents[2]
NICE = 10
LOOK = 0.1
"""Seconds between two looks at whether to end."""
HARDER: tuple[tuple[float, int], ...] = ((0.0, signal.SIGINT), (20.0, signal.SIGTERM), (30.0, signal.SIGKILL))
"""Seconds after which a step that is to end is sent what."""
PROGRAM = ("-m", "core")
"""The command line, as an interpreter is told."""
VERBS: dict[Step, str] = {"check": "try", "build": "build", "import": "import"}
SECRET = ("SUPABASE_", "FEATURESCOPE_LLM_KEY", "FEATURESCOPE_EMBEDDER_KEY", "FEATURESCOPE_ENGINE_KEY")
"""What a build has no need to know."""


def begin(root: Path) -> None:
    """Starts a worker of its own, which outlives this process; does not wait."""
    import threading

    folder = Shelf(root).folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.bring.worker", str(root.resolve())], cwd=HERE, env=environment(os.environ),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True, name="worker-reaper").start()


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """This process's, without the secrets that are none of a build's business."""
    return {name: value for name, value in own.items() if not name.startswith(SECRET)}


def work(root: Path, patience: float = 3.0) -> None:
    """Does what is in the queue until it is empty, unless another worker does."""
    shelf = Shelf(root)
    with shelf.tending(patience) as mine:
        if not mine:
            return
        while waiting := shelf.queue():
            do(waiting[0], root)


def do(folder: Folder, root: Path) -> None:
    """The step that is wanted of a job, to its end."""
    with folder.held() as lock:  # waits for a step whose worker was killed
        wanted = folder.wanted()
        if wanted is None or folder.stopping() or folder.finished(wanted):
            return
        step, at = wanted
        path = folder.progress(step)
        write(path, {"for": at, "step": step, "state": "running", "began": time.time(), "at": time.time()})
        with folder.log.open("ab") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {VERBS[step]}\n".encode())
            log.flush()
            command = [sys.executable, *PROGRAM, VERBS[step], *folder.arguments(step), "--data", str(root)]
            process = subprocess.Popen(
                [*command, "--progress", str(path)], cwd=HERE, env=environment(os.environ), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=(lock,),
            )  # fmt: skip
            status = _until_it_ends(process, folder)
        told = read(path)
        how = folder.stopping()
        if told.get("state") == "done":  # before it could be stopped
            folder.stop("")
        elif how == "cancel":
            clean(folder, root)
        elif not how and told.get("state") != "failed":
            write(path, told | {"for": at, "state": "failed", "message": ended(status), "at": time.time()})
        folder.settle(wanted)


def _until_it_ends(process: subprocess.Popen[bytes], folder: Folder) -> int:
    harder, since = list(HARDER), 0.0
    while True:
        try:
            return process.wait(LOOK)
        except subprocess.TimeoutExpired:
            pass
        if folder.stopping() and harder:
            since = since or time.monotonic()
            if time.monotonic() - since >= harder[0][0]:
                process.send_signal(harder.pop(0)[1])


def ended(status: int) -> str:
    """Why a process that says nothing ended."""
    if status == -signal.SIGKILL:
        return (
            "Its process was killed, perhaps because memory ran out. What is finished is kept: resume it, with fewer "
            "other things at work."
        )
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return f"Its process ended {how} without a word; its log may say more. What is finished is kept: resume it."


def clean(folder: Folder, root: Path) -> None:
    """Removes what an unfinished build or import left; sources that stand are left alone."""
    if folder.record().look.export is not None:
        from core.interchange.bulk.bring import forget

        return forget(root, folder.arguments("import")[0])
    try:
        config = read_config(folder.config)
    except WorkbenchError:
        return
    for source in config.sources:
        place = root / config.model.id / source.id
        try:
            with place.with_name(f".{place.name}.lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in place.parent.glob(f".{place.name}.w*"):  # work-<hash>, writing
                    shutil.rmtree(left, ignore_errors=True)
        except OSError:  # nothing was begun, or somebody else builds it
            continue


if __name__ == "__main__":
    os.nice(NICE)
    work(Path(sys.argv[1]))
