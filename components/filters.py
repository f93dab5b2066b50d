"""The filter of a source's table: widgets bound to the URL, and the rows that pass."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from components import controls, resources, tables
from components.search_view import picked_in, short
from core.records import FeatureKey, SourceKey

LEAST = {"any": 0.0, "0.001 %": 1e-5, "0.01 %": 1e-4, "0.1 %": 1e-3, "1 %": 1e-2, "10 %": 1e-1, "all": 1.0}
"""Steps of the density slider and the fractions they mean."""
SORTS = tuple(sign + name for name, (_, _, sortable) in tables.COLUMNS.items() if sortable for sign in ("", "-"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader wants to see of a table."""

    q: str
    density: tuple[str, str]
    maximum: float
    active: int
    sort: str
    picked: tuple[FeatureKey, ...] = ()
    """Features that were picked; they stay over other filters, orders and pages."""

    def view(self) -> dict[str, str]:
        """The filter as URL parameters, for links that keep it."""
        view = {"q": self.q}
        if self.density[0] != "any":
            view["from"] = self.density[0]
        if self.density[1] != "all":
            view["to"] = self.density[1]
        if self.maximum:
            view["maximum"] = f"{self.maximum:g}"
        if self.active:
            view["active"] = str(self.active)
        if self.picked:
            view["picked"] = ",".join(map(short, self.picked))
        return view


def draw(key: SourceKey) -> Asked:
    """Draw the filter and read it and the order."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        q = st.text_input(
            "Tokens it fires on or promotes, or an index", key="q", bind="query-params", placeholder="France", width=330
        )
        low = st.selectbox("Density from", list(LEAST)[:-1], key="from", bind="query-params", width=120)
        high = st.selectbox("to", list(LEAST)[1:], index=5, key="to", bind="query-params", width=120)
        maximum = st.number_input(
            "Maximum at least",
            min_value=0.0,
            value=0.0,
            step=1.0,
            format="%g",
            key="maximum",
            bind="query-params",
            width=150,
        )
        active = st.number_input(
            "Active tokens at least", min_value=0, value=0, step=10, key="active", bind="query-params", width=170
        )
    sort = controls.choice("sort", SORTS, "index")
    wrong: list[str] = []
    source = [resources.workbench().source(key)]
    picked = picked_in(st.query_params.get("picked", ""), key.model_id, source, wrong)
    for message in wrong:
        controls.say(message)
    bounds = (low or "any", high or "all")
    return Asked((q or "").strip(), bounds, float(maximum or 0), int(active or 0), sort, picked)


def apply(frame: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    """The rows that pass."""
    low, high = (LEAST.get(step, 0.0) for step in asked.density)
    return tables.chosen(frame, asked.q, low, high, asked.maximum, asked.active)
