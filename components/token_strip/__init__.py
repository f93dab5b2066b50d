"""The token strip: examples and tests of a feature, coloured on one scale, drawn by one script.

Two components share `strip.js` and `strip.css`: `examples.js` draws the page's examples and changes group, order and
length in the browser, `tester.js` is the test box. Tokens travel as data and are set as text, never as HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from components.token_strip import payload
from core.records import FeatureRecord, TestRecord, Token

HERE = Path(__file__).parent


def _read(*names: str) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


_examples = st.components.v2.component(
    "featurescope_examples",
    html="<div id='root'></div>",
    css=_read("strip.css", "panel.css"),
    js=_read("strip.js", "examples.js"),
)
_tester = st.components.v2.component(
    "featurescope_tester",
    html="<div id='root'></div>",
    css=_read("strip.css", "panel.css"),
    js=_read("strip.js", "tester.js"),
)


def examples(
    record: FeatureRecord,
    prompt: Callable[[int], Sequence[Token]],
    *,
    show: str,
    view: str,
    breaks: bool,
    testable: bool = True,
    cover: bool = False,
) -> bool:
    """All example groups of a feature; `show`, `view` and `breaks` are the link's choice to begin with.

    `testable`: there is a test box that an example can be copied into. `cover`: explicit text is hidden until it is
    asked for. Gives whether there is any.
    """
    data = payload.examples(record, prompt) | {"show": show, "view": view, "breaks": breaks, "testable": testable}
    _examples(data=data | {"cover": cover}, key=f"examples-{record.key}")
    return any("e" in text for text in data["texts"])


def tester(
    record: FeatureRecord,
    tests: Sequence[TestRecord],
    *,
    key: str,
    wanted: Sequence[str],
    kept: int,
    pending: bool,
    ready: bool,
    message: str,
    echo: int,
    stage: str = "",
    part: float | None = None,
    field: bool = True,
    on_run: Callable[[], None],
    on_warm: Callable[[], None],
) -> Any:
    """The test box with its results. It fires `run` ({texts, kept, n}) and, at the first letter typed, `warm`.

    `stage` says how far a test is that is at work, and `part` how much of it is done; what was shown stays meanwhile.
    `pending`: the texts of a link wait for the model; the component asks for them once it is drawn, so that the page is
    complete before the slow part begins. Without `field` only what the link asks for is tested.
    """
    data = payload.tests(record, tests) | {
        "wanted": list(wanted),
        "kept": kept,
        "pending": pending,
        "ready": ready,
        "message": message,
        "echo": echo,
        "stage": stage,
        "part": part,
        "field": field,
    }
    return _tester(data=data, key=key, on_run_change=on_run, on_warm_change=on_warm)
