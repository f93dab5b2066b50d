"""What a process holds, as one record: for whoever runs the server, and whoever waits for it.

Reads counters; waits for no model and imports no torch. A message that names a place on this machine's
disk is replaced: where things lie here is nobody's business over the web.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import __version__
from core.models.cache import Held
from core.models.turns import Turns
from core.records import Resident, ServerRecord
from core.settings import Settings

LIMITS = (
    "max_characters",
    "max_texts",
    "max_prompts",
    "max_sources",
    "max_results",
    "max_values",
    "requests_a_minute",
    "patience",
)
"""The settings that bound a request."""
MB = 2**20
_PATH = re.compile(r"(?<![\w.])[/\\]|\b[A-Za-z]:[/\\]")
"""How an absolute path begins."""
HIDDEN = "A file that it needs cannot be read. A test or a search that needs it says which."


def server(
    settings: Settings,
    residents: Iterable[Resident],
    held: Held | None,
    turns: Iterable[Turns[Any, Any]],
    *,
    since: float,
) -> ServerRecord:
    """The record; `held` is None before the first text was read, `since` when the workbench was opened."""
    turns = tuple(turns)
    held = held or Held(0, 0, None, 0, 0)
    return ServerRecord(
        version=__version__,
        seconds=time.monotonic() - since,
        device=settings.device,
        dtype=settings.dtype,
        process_megabytes=_resident(),
        residents=tuple(replace(one, message=HIDDEN) if _PATH.search(one.message) else one for one in residents),
        budget_megabytes=settings.memory() / MB,
        waiting=sum(one.waiting() for one in turns),
        at_work=sum(one.at_work() for one in turns),
        cache_entries=held.entries,
        cache_megabytes=held.bytes / MB,
        cache_most_megabytes=settings.cache_mb,
        cache_disk_megabytes=None if held.disk_bytes is None else held.disk_bytes / MB,
        cache_disk_most_megabytes=settings.cache_disk_mb,
        cache_hits=held.hits,
        cache_misses=held.misses,
        limits=tuple((name, getattr(settings, name)) for name in LIMITS),
    )


def _resident() -> float | None:
    """Megabytes that the process has in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):  # not Linux
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / MB
