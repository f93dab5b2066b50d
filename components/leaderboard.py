"""The leaderboard at work: reads its view from the URL, fetches the rows, draws plot and table."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import streamlit as st

from components import controls, leaderboard_panels, leaderboard_view, resources, source_panels
from components.leaderboard_view import View
from core.errors import WorkbenchError
from core.evaluate.records import Evaluation, LeaderboardRow

MOST = 60
"""Sources whose baselines and controls are drawn at most."""


def rows() -> list[LeaderboardRow]:
    """Sources here, and then what other programs measured."""
    quality = resources.workbench().quality
    return [*quality.leaderboard(), *quality.elsewhere()]


def view(every: list[LeaderboardRow]) -> View:
    """The view that the URL names; says what it names wrongly."""
    found, wrong = leaderboard_view.read(st.query_params.to_dict(), every)
    for message in wrong:
        controls.say(message)
    return found


def draw(asked: View, every: list[LeaderboardRow]) -> None:
    """The choices, the plot, the table."""
    st.html(source_panels.title("Leaderboard", leaderboard_panels.LEAD, actions=source_panels.COPY))
    some = any(row.figures for row in every)
    if not some and not asked.unmeasured:
        asked = replace(asked, unmeasured=True)  # then the table is the way to measure them
    st.html(leaderboard_panels.tools(asked, every))
    shown = leaderboard_view.chosen(asked, every)
    if not shown:
        st.html(leaderboard_panels.nothing(asked, any_rows=bool(every)))
        return
    with st.container(key="fs-leaderboard"):
        if some:
            st.html(leaderboard_panels.plot(asked, shown, _beside(asked, shown)))
        else:
            st.html(leaderboard_panels.nothing(asked, any_rows=False))
        st.html(leaderboard_panels.table(asked, shown))


def _beside(asked: View, shown: list[LeaderboardRow]) -> list[Evaluation]:
    found: list[Evaluation] = []
    keys = [row.source for row in shown if row.source is not None and row.figures] if asked.beside else []
    for key in keys[:MOST]:
        with suppress(WorkbenchError):  # figures of the catalog alone have nothing beside them
            found.append(resources.workbench().quality.of(key))
    return found
