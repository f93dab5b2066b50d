"""The map in the browser: one component around what `core.atlas.map.view` draws, which a saved map uses as well.

Points and texts are fetched from this server's API, by an address that names their state, so that Streamlit sends only
that address. It fires `pick` ({key}) for a feature to look at, and `keep` ({features, name}) for a list to be made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from core.workbench import Workbench

HERE = Path(__file__).parent
PAGE_CSS = (HERE / "page.css").read_text(encoding="utf-8")
_part: Any = None


def part(
    bench: Workbench, data: dict[str, Any], *, key: str, on_pick: Callable[[], None], on_keep: Callable[[], None]
) -> None:
    """Draw it; `data` holds `points` and `texts` (addresses), the view to begin with, and whether lists are kept."""
    global _part  # made at first need, and once
    if _part is None:
        _part = st.components.v2.component(
            "featurescope_map",
            html="<div id='root'></div>",
            css=bench.atlas.map_style(),
            js=bench.atlas.map_script() + "\n" + (HERE / "map.js").read_text(encoding="utf-8"),
        )
    _part(data=data, key=key, on_pick_change=on_pick, on_keep_change=on_keep)
