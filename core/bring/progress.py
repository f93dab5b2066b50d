"""How far a long command is, in a small file that others read: `python -m core build CONFIG --progress FILE`.

The file is JSON, replaced as a whole, at most three times a second: what is being done, how much of it, its rate, and
in the end what came of it. It is all that connects a build in the background with who looks after it, so that neither
needs the other to live. Where a file `stop.json` lies beside it, the work ends at its next step as an interrupt ends
it: what is finished is kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import WorkbenchError

Tell = Callable[[str, float, float], None]
"""Called with (what, done, of)."""
EVERY = 0.3
"""Seconds between two writes of one part of the work."""
STOP = "stop.json"
FAULT = "Something went wrong that nobody expected; the log says what."


class Written:
    """Called with (what, done, of); `answer` is what goes into the file once the work is done."""

    def __init__(self, path: Path | None, also: Tell) -> None:
        self._path, self._also = path, also
        self._stop = path.with_name(STOP) if path else None
        self._kept = {k: v for k, v in (read(path) if path else {}).items() if k in ("for", "step")}
        self._began = self._since = time.time()
        self._what, self._first, self._wrote = "", 0.0, 0.0
        self.answer: Any = None

    def __call__(self, what: str, done: float, of: float) -> None:
        """Reports that `done` of `of` is done of `what`; raises `KeyboardInterrupt` where it is to stop."""
        self._also(what, done, of)
        if self._path is None or self._stop is None:
            return
        now = time.time()
        if what != self._what:
            self._what, self._since, self._first, self._wrote = what, now, done, 0.0
        if now - self._wrote < EVERY and done < of:
            return
        self._wrote = now
        if self._stop.exists():
            raise KeyboardInterrupt
        passed = now - self._since
        rate = (done - self._first) / passed if passed > 0 else 0.0
        self.write("running", what=what, done=float(done), of=float(of), rate=rate)

    def write(self, state: str, **more: Any) -> None:
        """Replaces the file."""
        if self._path is not None:
            now = {"state": state, "pid": os.getpid(), "began": self._began, "at": time.time()}
            write(self._path, self._kept | now | more)


@contextmanager
def written(path: Path | None, also: Tell) -> Iterator[Written]:
    """A `Written` whose end stands in the file too: done, stopped by an interrupt, or failed and why."""
    one = Written(path, also)
    one.write("running", what="starting", done=0.0, of=0.0)
    try:
        yield one
    except KeyboardInterrupt:
        one.write("stopped")
        raise
    except WorkbenchError as error:
        findings = [str(finding) for finding in getattr(error, "findings", ())]
        one.write("failed", message=str(error), **({"findings": findings} if findings else {}))
        raise
    except BaseException:
        one.write("failed", message=FAULT)
        raise
    one.write("done", answer=one.answer)


def write(path: Path, data: Any) -> None:
    """JSON, written beside and renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
    os.replace(beside, path)


def read(path: Path) -> dict[str, Any]:
    """What such a file holds; nothing where it is not there or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
