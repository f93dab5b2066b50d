"""The features that the home page shows: those picked by hand, or else a fixed draw of telling ones."""

from __future__ import annotations

import random

import streamlit as st

from components import resources
from components.controls import first_source
from core.errors import WorkbenchError
from core.records import FeatureRecord

COUNT = 6


def features() -> list[tuple[FeatureRecord, str]]:
    """Records with a few words by hand, if there are any."""
    bench = resources.workbench()
    found = []
    for pick in resources.featured():
        try:
            found.append((bench.feature(str(pick["id"])), str(pick.get("note", ""))))
        except WorkbenchError:
            continue  # picked for another build
    if not found:
        source = first_source()
        if source is None:
            return []
        for index in _draw(str(source.key), source.built):
            found.append((bench.feature(f"{source.key}/{index}"), ""))
    return found


@st.cache_data(show_spinner=False, max_entries=16)
def _draw(name: str, stamp: str) -> list[int]:
    """A fixed draw among features that fire rarely, but often enough to be seen."""
    frame = resources.workbench().features(name)
    fit = frame[(frame["density"] > 5e-4) & (frame["density"] < 1e-2) & (frame["label"] != "")]
    fit = fit if len(fit) >= COUNT else frame[frame["active"] > 0]
    indices = [int(i) for i in fit.sort_values("maximum", ascending=False)["index"].head(200)]
    return sorted(random.Random(0).sample(indices, min(COUNT, len(indices))))
