"""The look every page shares: colours, cards, tooltips, and the small script that keeps links inside the app.

Knows nothing about features. `dress` is called once by the router, before the page runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core import __version__

HERE = Path(__file__).parent
LOGO_FILE = str(HERE / "logo.svg")
STRIP_CSS = (HERE.parent / "token_strip" / "strip.css").read_text()
_STYLE = f"<style>\n{(HERE / 'look.css').read_text()}\n{STRIP_CSS}\n</style>"
_EMBEDDED = f"<style>\n{(HERE / 'embed.css').read_text()}\n</style>"

_shell = st.components.v2.component(
    "featurescope_shell",
    html="<i hidden></i>",
    js=(HERE / "shell.js").read_text(),
)


def dress(warm: Callable[[str], None], *, embedded: bool = False) -> None:
    """Put the style sheet and the shell script on the page; both take no room. `embedded`: for a small frame.

    `warm` is called at the first letter typed into a box with `data-warm`, with what that says.
    """
    st.html(_STYLE)
    if embedded:
        st.html(_EMBEDDED)
    with st.container(key="fs-shell"):
        _shell(key="shell", on_warm_change=lambda: warm(str(st.session_state["shell"].warm or "")))


def foot() -> None:
    """Draw what stands below every page."""
    st.html(
        f'<footer class="fs-foot"><span>Featurescope {__version__}</span><a href="/server">About this server</a>'
        '<a href="/api/docs">For programs</a></footer>'
    )
