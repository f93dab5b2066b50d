"""The page of a substitution scan at work: reads it from the URL, begins it, and says how far it is.

The page stands before the slow part begins, as the search page does.
"""

from __future__ import annotations

import streamlit as st

from components import controls, resources, scan_panels, searching
from components.markup import card, note
from components.scan_panels import ORDERS, Scan
from core.records import FeatureKey, FeatureRecord


def view(key: FeatureKey) -> Scan:
    """What the URL asks of the feature."""
    order = controls.choice("order", tuple(ORDERS), "written")
    return Scan(
        key=key,
        sentence=st.query_params.get("sentence", ""),
        words=scan_panels.words_of(st.query_params.get("words", "")),
        order=next(name for name in ORDERS if name == order),
    )


def results(asked: Scan, record: FeatureRecord) -> None:
    """Draw the heat map, or where it will be, or what keeps it from being made."""
    if "weights" not in record.source.has:
        said = "This source came without its weights, so it cannot be run on new text."
        st.html(card(f'<span class="fs-soft">{said}</span>'))
        return
    if not asked.sentence.strip() and not asked.words:
        st.html(scan_panels.empty())
        return
    stamp = f"{record.source.built} {record.source.dataset_sha256}"
    job = resources.substitution(str(asked.key), asked.sentence, asked.words, stamp)
    place, found = searching.follow(job, asked.key.model_id, st.container(key="fs-scan"))
    place.html(note(found) if isinstance(found, str) else scan_panels.heat(asked, found, record))
