"""`python -m core` in small tiles, each of which takes a moment: for a build that is to be met while it is at work."""

from __future__ import annotations

import sys
import time

from core.__main__ import main
from core.bring.progress import Written
from core.build import tiles

tiles.TOKENS, tiles.PER_CHUNK = 96, 2
tell = Written.__call__


def paced(self: Written, what: str, done: float, of: float) -> None:
    """As it is, and a moment's rest after each tile."""
    tell(self, what, done, of)
    if what == "running the model":
        time.sleep(0.05)


Written.__call__ = paced
sys.exit(main())
