"""The page of templates at work: reads its view from the URL, begins the job, and draws what came of it."""

from __future__ import annotations

import streamlit as st

from components import resources, searching, template_panels, template_view
from components.circuit import stamp
from components.circuit_parts import STYLE
from components.pair_parts import STYLE as OWN
from components.template_view import MORE, View
from core.interchange import templates as shapes


def view() -> View | None:
    """The view that the URL names; says what it names wrongly. None, said, if nothing here can be run."""
    return searching.read_view(template_view.read, "no prompts can be read")


def page(asked: View) -> None:
    """Draw what features respond to, or where it will be, or what keeps the set from being made."""
    st.html(STYLE)
    st.html(OWN)
    if not asked.template:
        st.html(template_panels.examples(asked, resources.templates()))
        return
    job = resources.template(asked.ask(), MORE, stamp(asked.model_id))
    place, record = searching.follow(job, asked.model_id, st.container(key="fs-template"))
    if isinstance(record, str):
        place.html(template_panels.failed(asked, record))
        return
    parts = [template_panels.prompts(asked, record), template_panels.tools(asked, record)]
    parts += [template_panels.factor(asked, record, one) for one in record.factors]
    place.html("".join(parts))
    st.download_button(
        "CSV", shapes.table(record), f"{asked.model_id}-template.csv", "text/csv",
        key="fs-template-csv", on_click="ignore", help="Every response that is listed, with its figures",
    )  # fmt: skip
