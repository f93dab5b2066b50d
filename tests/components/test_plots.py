"""Plots of figures: a Pareto front is what no point beats, axes hold what they are made for, and text is data."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import plots
from components.plots import Line, Mark, Shares, Value
from core.evaluate.board import pareto

NASTY = '<img src=x onerror="alert(1)">'
coordinate = st.integers(-20, 20).map(float)


def beats(a, b, less_x: bool, less_y: bool) -> bool:
    x = (a[0] <= b[0], a[0] < b[0]) if less_x else (a[0] >= b[0], a[0] > b[0])
    y = (a[1] <= b[1], a[1] < b[1]) if less_y else (a[1] >= b[1], a[1] > b[1])
    return x[0] and y[0] and (x[1] or y[1])


@given(st.lists(st.tuples(coordinate, coordinate), max_size=12), st.booleans(), st.booleans())
def test_a_front_is_what_no_point_beats(points, less_x, less_y):
    found = pareto(points, less_x=less_x, less_y=less_y)
    free = {n for n, one in enumerate(points) if not any(beats(other, one, less_x, less_y) for other in points)}
    assert set(found) == free and len(found) == len(free)
    xs = [points[n][0] for n in found]
    assert xs == sorted(xs, reverse=not less_x)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8), st.booleans())
def test_an_axis_holds_its_values_and_its_ticks(values, log):
    axis = plots.axis("", values, log=log)
    for value in values:
        assert 0 <= axis.at(value) <= 100 and axis.low <= value <= axis.high
    ticks, slack = axis.ticks(), 0.01 * axis.high
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in ticks) and len(ticks) < 14
    if max(values) > min(values) * 1.01:
        assert axis.at(max(values)) > axis.at(min(values))


def test_a_scatter_draws_every_point_and_the_front_of_each_group():
    marks = [
        Mark(10, 0.5, "here", "one", "/quality?source=a", "a", "m"), Mark(20, 0.8, "here", "two", group="m"),
        Mark(30, 0.7, "here", NASTY, label=NASTY, group="m"), Mark(5, 0.9, "control", "beside"),
    ]  # fmt: skip
    drawn = plots.scatter(
        marks, plots.axis("L0", [5, 30], log=True), plots.axis("score", [0.5, 0.9]), less_x=True, less_y=False
    )
    assert drawn.count('class="fs-xy-dot') == 4 and drawn.count("fs-xy-dot on") == 2
    assert drawn.count("<u ") == 2, "one step, along and up"
    assert 'href="/quality?source=a"' in drawn and NASTY not in drawn
    assert "<u " not in plots.scatter(marks, plots.axis("", [1]), plots.axis("", [1])), "no better end, no front"


def test_values_stand_where_their_scale_puts_them():
    line = Line(plots.esc(NASTY), (Value(0.75, 0.5, 1.0, "source", NASTY), Value(0.25, math.nan, math.nan, "pca", "")))
    drawn = plots.lines([line], plots.Axis("", 0.0, 1.0))
    assert NASTY not in drawn
    assert 'fs-mk source" style="left:75.00%"' in drawn and 'fs-mk pca" style="left:25.00%"' in drawn
    assert drawn.count("<em") == 1 and 'left:50.00%;width:50.00%' in drawn, "no interval, no bar"
    assert plots.lines([], plots.Axis("", 0.0, 1.0)) == ""


def test_histograms_in_rows_share_one_axis():
    rows = [
        Shares(plots.esc("own"), "source", (0.0, 1.0, 2.0), (3, 1), 0.5),
        Shares(plots.esc("other"), "control", (2.0, 3.0, 4.0), (0, 8), 3.5),
    ]
    drawn = plots.ridge(rows)
    lefts = [float(x) for x in re.findall(r'<i style="left:([\d.]+)%', drawn)]
    assert lefts == [0.0, 25.0, 75.0] and "8 features, 100 %" in drawn
    assert "Nothing to draw" in plots.ridge([Shares(plots.esc("none"), "source", (0.0, 1.0), (0,), 0.0)])


@pytest.mark.parametrize("shape", sorted(plots.SHAPES))
def test_every_mark_has_a_name(shape):
    assert plots.SHAPES[shape] in plots.legend([shape])
