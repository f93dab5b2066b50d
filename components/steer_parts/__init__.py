"""The three parts of the steering page that live in the browser: what steers, the prompt, and the two texts.

They share `shared.js`, `parts.css` and the token strip's script and look. Tokens and labels travel as data and are set
as text, never as HTML. `setup` and `prompt` ask the server small questions by `call`; an answer comes as data.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
STRIP = HERE.parent / "token_strip"


def _read(*paths: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


PAGE_CSS = _read(HERE / "page.css")
_CSS = _read(STRIP / "strip.css", STRIP / "panel.css", HERE / "parts.css")


def _part(name: str) -> Any:
    script = _read(STRIP / "strip.js", HERE / "shared.js", HERE / f"{name}.js")
    return st.components.v2.component(f"featurescope_steer_{name}", html="<div id='root'></div>", css=_CSS, js=script)


_setup, _prompt, _texts = (_part(name) for name in ("setup", "prompt", "texts"))


def setup(data: dict[str, Any], *, key: str, on_call: Callable[[], None]) -> None:
    """Features with their strengths, method, sampling; fires `call` ({n, what, …}), and is told in `data["answer"]`."""
    _setup(data=data, key=key, on_call_change=on_call)


def prompt(data: dict[str, Any], *, key: str, on_call: Callable[[], None]) -> None:
    """The prompt or chat, and which tokens are steered; the same."""
    _prompt(data=data, key=key, on_call_change=on_call)


def texts(data: dict[str, Any], *, key: str, on_act: Callable[[], None]) -> None:
    """Both texts; fires `act` ({what: stop, again or share})."""
    _texts(data=data, key=key, on_act_change=on_act)
