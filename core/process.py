"""The one workbench of this process: pages, API and embeds share it, so that a model is in memory once."""

from __future__ import annotations

from functools import cache

from core.workbench import Workbench


@cache
def workbench() -> Workbench:
    """Made on first use, from the settings in the environment."""
    return Workbench()
