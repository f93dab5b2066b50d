"""The graph in the browser: one component that draws nodes by token and layer, and keeps what a person makes of it.

What is clicked, pinned, put together and renamed stands in the page's address, as Neuronpedia's links write it
(`clickedId`, `pinnedIds`, `supernodes`, `clerps`), and so do the shares that pruning keeps (`nodes`, `edges`). It fires
`prune` when these are moved, and `keep` ({slug, pinned, supernodes, labels, clicked}) when the graph is to be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
_part: Any = None


def part(data: dict[str, Any], *, key: str, on_prune: Callable[[], None], on_keep: Callable[[], None]) -> None:
    """Draw it; `data` holds `file` (circuit-tracer's JSON), `pages` (addresses by node), `keeps` and `prunes`."""
    global _part  # made at first need, and once
    if _part is None:
        _part = st.components.v2.component(
            "featurescope_graph",
            html="<div id='root'></div>",
            css=(HERE / "graph.css").read_text(encoding="utf-8"),
            js=(HERE / "graph.js").read_text(encoding="utf-8"),
        )
    _part(data=data, key=key, on_prune_change=on_prune, on_keep_change=on_keep)
