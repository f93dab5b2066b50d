"""What fires together with a feature, at work: the card on its page, and the whole on the page of similar features."""

from __future__ import annotations

import streamlit as st

from components import resources, search_panels, similar_panels, together_panels
from components.searching import AT_ONCE, EVERY
from components.similar_view import View
from core.errors import WorkbenchError
from core.records import FeatureRecord


def of_feature(record: FeatureRecord) -> str:
    """On a feature's page: read from what was kept, without a model."""
    try:
        found = resources.workbench().atlas.together(record.key, top=6, kept=True)
    except WorkbenchError:
        found = None
    return together_panels.glance(record, found)


def draw(asked: View) -> None:
    """On the page of similar features: every source with correlations, common tokens, and what avoids it."""
    place = st.empty()
    bench = resources.workbench()
    stamp = " ".join(bench.build_of(record.key) for record in bench.sources(model_id=asked.key.model_id))
    job = resources.together(str(asked.key), asked.window, stamp)
    if not job.wait(AT_ONCE):
        place.html(search_panels.waiting("Reading the activation stores…"))
        while not job.wait(EVERY):
            pass
    found = job.outcome()
    if isinstance(found, str):
        place.html(similar_panels.failed(asked, found))
        return
    live = any(one.live for one in found.sources)
    place.html(together_panels.controls(asked, live) + together_panels.whole(asked, found))
