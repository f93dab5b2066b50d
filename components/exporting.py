"""What of a feature can be taken along: the Python line, the API's address, JSON and CSV of what the page shows."""

from __future__ import annotations

import orjson
import streamlit as st

from components import feature_panels, resources, similar_panels
from core.interchange import neuronpedia, table
from core.records import FeatureRecord


def offer(record: FeatureRecord) -> None:
    """Draw the copy lines and the two downloads; a file is only made when it is asked for."""
    key = record.key
    name = f"{key.model_id}_{key.source_id}_{key.index}"
    st.html(feature_panels.taking(table.python_line(key), f"/api/feature/{key}"))
    if {"weights", "vectors"} & set(record.source.has):
        st.html(similar_panels.rows(key, encoder="weights" in record.source.has))
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "JSON",
            lambda: _json(record),
            f"{name}.json",
            "application/json",
            key=f"json-{key}",
            on_click="ignore",
            help="Everything on this page, in Neuronpedia’s form",
        )
        st.download_button(
            "CSV",
            lambda: table.feature_csv(record),
            f"{name}.csv",
            "text/csv",
            key=f"csv-{key}",
            on_click="ignore",
            help="The tables and examples of this page as rows",
        )


def _json(record: FeatureRecord) -> bytes:
    """Numbers that JSON lacks, such as the bounds of a score that came without, are null."""
    said = resources.workbench().words.of(record.key)
    return orjson.dumps(neuronpedia.feature(record, said=said), option=orjson.OPT_INDENT_2)
