"""A feature for somebody else's page: what its own page shows in a frame, and the dialog that gives the lines to copy.

In a frame there is no way on: no navigation, no jump, no side column, and every link opens a tab of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from components import explicit, feature_panels, links, resources, steer_features, testing, token_strip
from components.markup import Html, esc, link, note, title
from core.records import FeatureRecord

HERE = Path(__file__).parent / "embed_dialog"
PARTS = {
    "explanation": "Title",
    "plots": "Numbers and plots",
    "test": "Test",
    "testfield": "Field for a text of the reader’s own",
    "activations": "Examples",
    "steer": "Link to steer with it",
    "link": "Link to the feature’s page",
}
"""Parts that the dialog offers to switch off, as it calls them."""
TESTED = "Text that is tested at once"
"""What the dialog calls the text of an embed that tests."""

_dialog = st.components.v2.component(
    "featurescope_embed",
    html="<div id='root'></div>",
    css=(HERE / "dialog.css").read_text(encoding="utf-8"),
    js=(HERE / "dialog.js").read_text(encoding="utf-8"),
)


def dialog(record: FeatureRecord) -> None:
    """Put the dialog on the page, closed; any element with `data-embed` opens it."""
    testable = "weights" in record.source.has
    kinds = [
        {
            "label": "Feature page",
            "about": "What the page of this feature shows, or some of it",
            "path": "/feature",
            "text": links.TEST_TEXT,
            "says": TESTED,
            "parts": True,
            "width": 540,
            "height": 300,
        },
    ]
    if testable:
        kinds += [
            {
                "label": "Tester",
                "about": "A line to write in, and what the feature makes of it: the lightest",
                "path": "/embed/tester",
                "text": "text",
                "says": TESTED,
                "parts": False,
                "width": 540,
                "height": 300,
            },
            {
                "label": "Steering",
                "about": "A prompt, a slider, and what the model writes without this feature pinned and with it",
                "path": "/embed/steer",
                "text": "prompt",
                "says": "Prompt that is gone on from at once",
                "strength": steer_features.usual(record),
                "parts": False,
                "width": 540,
                "height": 420,
            },
        ]
    parts = [[name, label] for name, label in PARTS.items() if testable or name not in ("test", "testfield", "steer")]
    data = {"id": str(record.key), "title": title(record), "kinds": kinds, "parts": parts}
    with st.container(key="fs-embed"):
        _dialog(data=data, key="embed")


def page(
    record: FeatureRecord, parts: frozenset[str], texts: tuple[str, ...], *, show: str, view: str, breaks: bool
) -> None:
    """Draw the parts of a feature's page that its link asks for; the test first, since a frame is small."""
    st.html(head(record, parts, texts))
    if not {"plots", "test", "activations"} & parts:
        st.html(note("The link of this embed switches everything off: plots, test and activations.", warn=False))
    field, testable = "testfield" in parts, "weights" in record.source.has
    test_box = st.container(key="fs-test")
    if record.dead and {"plots", "activations"} & parts:
        st.html(feature_panels.dead(record))
    if "plots" in parts:
        st.html(feature_panels.stats(record))
        st.html(feature_panels.plots(record))
    if "activations" in parts and not record.dead:
        prompt = partial(resources.workbench().prompt, record.key.source)
        can_test = testable and field and "test" in parts
        cover = explicit.hides()
        token_strip.examples(record, prompt, show=show, view=view, breaks=breaks, testable=can_test, cover=cover)
    if "test" in parts and (field or texts):
        with test_box:  # last, since it may have to wait for the model
            testing.box(record, texts, 0, field=field)


def head(record: FeatureRecord, parts: frozenset[str], texts: Sequence[str]) -> Html:
    """The feature's name, if it is to be told, its id, and the ways to steer with it and to its page."""
    named = f'<h1 class="fs-title">{esc(title(record))}</h1>' if "explanation" in parts else ""
    steers = "steer" in parts and "weights" in record.source.has
    ways = [link(links.steer(record.key), "Steer ↗", "fs-open")] if steers else []
    ways += [link(links.feature(record.key, *texts), "Open ↗", "fs-open")] if "link" in parts else []
    where = f'<span class="fs-where">{esc(record.key)}</span>'
    return Html(f'<div class="fs-embed-head">{named}{where}{"".join(ways)}</div>')


def elsewhere(name: str, address: str) -> None:
    """A page that is not made for a frame says so, and leads there."""
    st.html(
        '<h1 class="fs-title" style="margin-bottom:8px">This page is not for embedding</h1>'
        + note(
            f"{name} has no form that fits into another page. Embed a feature’s page or a list instead: their “Embed” "
            "buttons have the line to copy.",
            actions=link(address, f"{name} ↗", "fs-pill"),
        )
    )
