"""The test box of a feature: what is to be tested, when, and what came of it.

Runs as a fragment after the rest of the page is drawn. A shared link's texts are tested at once if the model is loaded;
else the component asks for them when the page stands, so that nothing waits for the model but the box itself.
"""

from __future__ import annotations

import streamlit as st

from components import resources, token_strip
from components.markup import card
from core.errors import WorkbenchError
from core.records import FeatureRecord, TestRecord


@st.fragment
def box(record: FeatureRecord, linked: tuple[str, ...], kept: int) -> None:
    """Draw the test box; `linked` are the texts of the page's link, the first `kept` of them pinned."""
    if "weights" not in record.source.has:
        st.html(
            card('<span class="fs-soft">This source came without its weights, so it cannot be run on new text.</span>')
        )
        return
    name = f"tester-{record.key}"
    ready = resources.ready(record.key.model_id)
    asked = st.session_state.get(f"{name}-asked")
    if asked is not None and asked["linked"] not in (linked, asked["texts"]) and linked != asked["texts"]:
        asked = None  # the visitor went to another link of the same feature
    texts, kept, echo = (asked["texts"], asked["kept"], asked["n"]) if asked else (linked, kept, 0)
    pending = bool(texts) and asked is None and not ready
    done, message = ((), "") if pending else _test(record, texts)

    def run() -> None:
        value = st.session_state[name].run or {}
        st.session_state[f"{name}-asked"] = {
            "texts": tuple(str(t) for t in value.get("texts", ())),
            "kept": int(value.get("kept", 0)),
            "n": int(value.get("n", 0)),
            "linked": linked,
        }

    def warm() -> None:
        resources.workbench().warm(record.key.model_id)

    token_strip.tester(
        record,
        done,
        key=name,
        wanted=texts,
        kept=kept,
        pending=pending,
        ready=ready or bool(done),
        message=message,
        echo=echo,
        on_run=run,
        on_warm=warm,
    )


def _test(record: FeatureRecord, texts: tuple[str, ...]) -> tuple[tuple[TestRecord, ...], str]:
    """The tests that can be done, and a message about the others: one bad text does not take the good ones with it."""
    if not texts:
        return (), ""
    stamp = f"{record.source.built} {record.source.dataset_sha256}"
    try:
        return resources.tests(record.key, texts, stamp), ""
    except WorkbenchError as error:
        message = str(error)
    if len(texts) == 1:
        return (), message
    done = []
    for text in texts[: resources.workbench().settings.max_texts]:
        try:
            done += resources.tests(record.key, (text,), stamp)
        except WorkbenchError as error:
            message = str(error)
    return tuple(done), message
