"""The folders of sources on their way in: `<data root>/.jobs/<id>/`. What they hold says everything; nobody remembers.

    job.json      what was found and is planned                                     (whoever began it)
    build.yaml    the configuration: `python -m core build build.yaml` does the same
    wanted.json   the step that is to be done, and since when; gone when it is done
    stop.json     that it is to end: paused or cancelled
    check.json    how far the check is, and what came of it                         (the process that does it)
    build.json    the same of the build, or import.json of an import
    asked.json    what an import is told
    log           what the processes wrote
    lock          held (flock) while a process is at work; the kernel lets go of it however that ends

So a page, a server and a machine may come and go: a job whose step is wanted, while nobody holds its lock and no worker
is there to take it up, was interrupted, and can go on.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.bring.progress import STOP, read, write
from core.bring.records import Imported, JobRecord, Look, Plan, Progress, State, Step, Tried
from core.errors import BadData, NotFound
from core.interchange.bulk.findings import Finding

FOLDER = ".jobs"
STEPS: tuple[Step, ...] = ("check", "build", "import")
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
STARTING = 20.0
"""Seconds that a worker may take to begin before a job that waits is said to be interrupted."""
_LOOK, _PLAN, _TRIED = TypeAdapter(Look), TypeAdapter(Plan), TypeAdapter(Tried)
_AT_WORK: dict[Step, State] = {"check": "checking", "build": "building", "import": "importing"}
_ENDED: dict[Step, State] = {"check": "checked", "build": "done", "import": "done"}
_STOPPING: dict[str, State] = {"pause": "pausing", "cancel": "cancelling"}
_STOPPED: dict[str, State] = {"pause": "paused", "cancel": "cancelled"}


@dataclass(frozen=True, slots=True)
class Folder:
    """One job's."""

    path: Path

    @property
    def id(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def config(self) -> Path:
        """The build's configuration."""
        return self.path / "build.yaml"

    @property
    def log(self) -> Path:
        """What its processes wrote."""
        return self.path / "log"

    def progress(self, step: Step) -> Path:
        """Where a step writes how far it is."""
        return self.path / f"{step}.json"

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def want(self, step: Step) -> None:
        """Puts a step into the queue, at its end."""
        self.stop("")
        write(self.path / "wanted.json", {"step": step, "at": time.time_ns()})

    def wanted(self) -> tuple[Step, int] | None:
        """The step in the queue, and since when."""
        data = read(self.path / "wanted.json")
        step: Step | None = next((one for one in STEPS if one == data.get("step")), None)
        at = data.get("at")
        return (step, at) if step is not None and isinstance(at, int) else None

    def settle(self, wanted: tuple[Step, int]) -> None:
        """Takes the step out of the queue, unless another is wanted by now."""
        if self.wanted() == wanted:
            (self.path / "wanted.json").unlink(missing_ok=True)

    def stop(self, how: str) -> None:
        """Says that it is to end, `pause` or `cancel`; empty takes that back."""
        if how:
            write(self.path / STOP, {"how": how})
        else:
            (self.path / STOP).unlink(missing_ok=True)

    def stopping(self) -> str:
        """How it is to end; empty where it is not."""
        how = read(self.path / STOP).get("how")
        return how if how in _STOPPING else ""

    # -- who is at work ------------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[int]:
        """The lock, waited for; its descriptor, which a process that is started may share."""
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock.fileno()

    @property
    def alive(self) -> bool:
        """Whether a process is at work."""
        return _held(self.path / "lock")

    def finished(self, wanted: tuple[Step, int]) -> bool:
        """Whether the step that is wanted has come to its end, well or badly, although nobody settled that."""
        data = read(self.progress(wanted[0]))
        return data.get("for") == wanted[1] and data.get("state") in ("done", "failed")

    # -- the record ----------------------------------------------------------------------------------------------------

    def keep(self, look: Look, plan: Plan, by: str, config: str, made: str = "") -> None:
        """Writes what was found and is planned."""
        made = made or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.config.write_text(config, encoding="utf-8")
        write(self.path / "job.json", {"made": made, "by": by, "look": asdict(look), "plan": asdict(plan)})

    def ask(self, arguments: Sequence[str]) -> None:
        """Keeps what an import is told on its command line."""
        write(self.path / "asked.json", {"arguments": list(arguments)})

    def arguments(self, step: Step) -> list[str]:
        """What a step's command is told: its configuration, or the place of an import."""
        given = read(self.path / "asked.json").get("arguments") if step == "import" else None
        return [str(one) for one in given] if isinstance(given, list) else [str(self.config)]

    def outdate(self) -> None:
        """Forgets what came of steps before: the plan is another."""
        for step in STEPS:
            self.progress(step).unlink(missing_ok=True)
        (self.path / "wanted.json").unlink(missing_ok=True)
        self.stop("")

    def record(self, before: int = 0, *, tended: bool = True) -> JobRecord:
        """All that is known; `before` jobs are before it, and `tended` says whether a worker takes them up.

        Raises:
            NotFound: it is gone.
            BadData: its files are damaged.
        """
        data = read(self.path / "job.json")
        if not data:
            raise NotFound(f"There is no job {self.id} here.")
        state, step = self._state(tended=tended)
        told = read(self.progress(step)) if step else {}
        check = read(self.progress("check"))
        try:
            tried = _TRIED.validate_python(check["answer"]) if check.get("state") == "done" else None
            return JobRecord(
                id=self.id, made=data["made"], by=data["by"], look=_LOOK.validate_python(data["look"]),
                plan=_PLAN.validate_python(data["plan"]), state=state, step=step,
                before=before if state == "waiting" else 0, progress=_progress(step, told) if step else None,
                message=str(told.get("message", "")) if state == "failed" else "",
                config=self.config.read_text(encoding="utf-8"), tried=tried,
                sources=tuple(map(str, told.get("answer", {}).get("built", ()))) if state == "done" else (),
                imported=tuple(map(_imported, told.get("answer", {}).get("sources", ()))) if state == "done" else (),
                findings=tuple(map(str, told.get("findings") or ())) if state == "failed" else (),
            )  # fmt: skip
        except (OSError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise BadData(f"The job {self.id} is damaged: {error}. Remove {self.path}.") from error

    def _state(self, *, tended: bool) -> tuple[State, Step | None]:
        wanted, stop = self.wanted(), self.stopping()
        step = wanted[0] if wanted else self._last()
        if step is None:
            return (_STOPPED[stop] if stop else "found"), None
        if self.alive:
            return (_STOPPING[stop] if stop else _AT_WORK[step]), step
        over = wanted is None or self.finished(wanted)
        ended = read(self.progress(step)).get("state") if over else None
        if ended == "done":
            return _ENDED[step], step
        if stop:
            return _STOPPED[stop], step
        if wanted and not over:
            fresh = time.time_ns() - wanted[1] < STARTING * 1e9
            return ("waiting" if tended or fresh else "interrupted"), step
        return ("failed" if ended == "failed" else "interrupted"), step

    def _last(self) -> Step | None:
        """The step that was at work last."""
        found: list[tuple[float, Step]] = []
        for step in STEPS:
            at = read(self.progress(step)).get("at")
            if isinstance(at, int | float):
                found.append((float(at), step))
        return max(found)[1] if found else None


class Shelf:
    """All jobs of a data root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER

    def new(self) -> Folder:
        """An empty folder with a name that sorts by time."""
        name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        path = self.folder / name
        path.mkdir(parents=True)
        return Folder(path)

    def get(self, id: str) -> Folder:
        """By its id; raises `NotFound`."""
        if not _ID.fullmatch(id) or not (self.folder / id / "job.json").is_file():
            raise NotFound(f"There is no job “{id[:40]}” here.")
        return Folder(self.folder / id)

    def folders(self) -> list[Folder]:
        """Every job, the oldest first."""
        found = sorted(self.folder.glob("*")) if self.folder.is_dir() else []
        return [Folder(path) for path in found if _ID.fullmatch(path.name) and (path / "job.json").is_file()]

    def records(self) -> list[JobRecord]:
        """Every job, the newest first; a damaged one is left out."""
        tended, order, found = self.tended, [f.id for f in self.queue()], []
        for folder in reversed(self.folders()):
            try:
                before = order.index(folder.id) if folder.id in order else 0
                found.append(folder.record(before, tended=tended))
            except (BadData, NotFound):
                continue
        return found

    def record(self, id: str) -> JobRecord:
        """One job; raises `NotFound` and `BadData`."""
        order = [f.id for f in self.queue()]
        return self.get(id).record(order.index(id) if id in order else 0, tended=self.tended)

    def queue(self) -> list[Folder]:
        """What is wanted and not finished, in the order in which it is done; what is at work is the first."""
        waiting = [
            (wanted[1], folder.id, folder)
            for folder in self.folders()
            if (wanted := folder.wanted()) and not folder.finished(wanted) and not folder.stopping()
        ]
        return [folder for _, _, folder in sorted(waiting, key=lambda one: one[:2])]

    # -- the worker ----------------------------------------------------------------------------------------------------

    @property
    def tended(self) -> bool:
        """Whether a worker is there."""
        return _held(self.folder / ".worker")

    @contextmanager
    def tending(self, patience: float) -> Iterator[bool]:
        """Whether this process is the worker now; tried for so many seconds, since another may just be leaving."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".worker").open("w") as lock:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        yield False
                        return
                    time.sleep(0.05)
            yield True

    def forget(self, folder: Folder) -> None:
        """Removes a job's folder; what was built of it stays."""
        shutil.rmtree(folder.path, ignore_errors=True)


def _held(lock: Path) -> bool:
    """Whether a process holds a lock; asked with a shared one, so that nobody who waits for it is sent away."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _imported(told: dict[str, Any]) -> Imported:
    """A source that an import says it brought."""
    findings = (str(Finding(one["file"], one["line"], one["problem"])) for one in told["findings"])
    return Imported(
        key=f"{told['modelId']}/{told['sourceId']}", format=told["format"], features=told["features"],
        activations=told["activations"], explanations=told["explanations"], left_out=told["leftOut"],
        findings=tuple(findings), needs_weights=tuple(told["needsWeights"]),
    )  # fmt: skip


def _progress(step: Step, told: dict[str, Any]) -> Progress:
    seconds = float(told.get("at", 0.0)) - float(told.get("began", told.get("at", 0.0)))
    parts = {name: float(told.get(name) or 0.0) for name in ("done", "of", "rate")}
    return Progress(step=step, what=str(told.get("what", "")), seconds=max(0.0, seconds), **parts)
