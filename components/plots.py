"""Plots of figures as HTML: points over two axes with their Pareto front, values with intervals, histograms in rows.

Pure functions over plain values, of boxes that stand in percent, as in `charts`: they cost nothing to load, keep their
labels sharp at any width, follow the theme, and each point is a link that tells itself to mouse and keyboard. What a
mark looks like says whose it is (`SHAPES`), so that no plot needs colour to be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from components.markup import Html, esc, join, number, tip
from core.evaluate.board import pareto

SHAPES: Mapping[str, str] = {
    "source": "this source", "here": "measured here", "pca": "PCA", "neurons": "neurons", "coordinates": "coordinates",
    "random": "random dictionary", "control": "control", "kept": "control, embeddings kept", "other": "control, other",
    "bench": "SAEBench", "full": "all of the activation", "shuffled": "shuffled labels",
}  # fmt: skip
"""Classes of marks, and what a legend calls them."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what lies where, from 0 to 1."""

    name: str
    """HTML."""
    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies, in percent of the way; outside of it at the end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        part = (self._scaled(value) - low) / (high - low) if high > low else 0.5
        return min(100.0, max(0.0, part * 100))

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along it."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            found = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
            inside = [x for x in found if self.low * 0.999 <= x <= self.high * 1.001]
            decades = [x for x in inside if math.isclose(math.log10(x) % 1, 0, abs_tol=1e-9)]
            if len(inside) > 2:
                return decades if len(inside) > most and len(decades) > 1 else inside
        span = self.high - self.low
        step = 10 ** math.floor(math.log10(span / most)) if span > 0 else 1.0
        step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= most)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value


def axis(name: str, values: Iterable[float], *, log: bool = False) -> Axis:
    """An axis that has room for some values."""
    found = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not found:
        return Axis(name, 1.0 if log else 0.0, 10.0 if log else 1.0, log)
    low, high = min(found), max(found)
    if log:
        room = max(1.15, (high / low) ** 0.06)
        return Axis(name, low / room, high * room, log=True)
    room = 0.06 * (high - low) or 0.05 * max(abs(high), 0.1)
    floor = max(0.0, low - room) if low >= 0 else low - room
    return Axis(name, floor, high + room)


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a plot."""

    x: float
    y: float
    shape: str
    """Of `SHAPES`."""
    about: str
    """What hovering says."""
    href: str = ""
    label: str = ""
    """Written beside it."""
    group: str = ""
    """Points of one group have a front of their own; of none they have none."""

    @property
    def at(self) -> tuple[float, float]:
        """Where it lies."""
        return float(self.x), float(self.y)


def scatter(
    marks: Sequence[Mark], x: Axis, y: Axis, *, less_x: bool | None = None, less_y: bool | None = None
) -> Html:
    """Points over two axes. Where both directions are given, each group's Pareto front is drawn through them.

    `about` of every mark is its tooltip; those with an address are links.
    """
    lines: list[str] = []
    fronts: set[int] = set()
    if less_x is not None and less_y is not None:
        for group in dict.fromkeys(mark.group for mark in marks if mark.group):
            own = [n for n, mark in enumerate(marks) if mark.group == group]
            found = [own[n] for n in pareto([marks[n].at for n in own], less_x=less_x, less_y=less_y)]
            fronts |= set(found)
            lines += _steps([marks[n] for n in found], x, y)
    grid = [f'<i class="v" style="left:{x.at(t):.2f}%"><b>{tick(t)}</b></i>' for t in x.ticks()]
    grid += [f'<i class="h" style="bottom:{y.at(t):.2f}%"><b>{tick(t)}</b></i>' for t in y.ticks(5)]
    named = _named(marks, fronts, x, y)
    dots = join(
        _dot(mark, x, y, on=n in fronts, named=n in named)
        for n, mark in sorted(enumerate(marks), key=lambda m: _depth(m[1]))
    )
    said = f"{len(marks)} points"
    return Html(
        f'<div class="fs-xy"><span class="y">{y.name}</span><div class="fs-xy-in" role="group" aria-label="{said}">'
        f'<div class="fs-xy-grid" aria-hidden="true">{join(grid)}{join(lines)}</div>{dots}</div>'
        f'<span class="x">{x.name}</span></div>'
    )


def _named(marks: Sequence[Mark], fronts: set[int], x: Axis, y: Axis) -> set[int]:
    """The points that have their name beside them: where names would run into each other those of the front."""
    found: list[int] = []
    for n in sorted((n for n, mark in enumerate(marks) if mark.label), key=lambda n: (n not in fronts, n)):
        at = x.at(marks[n].x), y.at(marks[n].y)
        if all(abs(x.at(marks[m].x) - at[0]) > 14 or abs(y.at(marks[m].y) - at[1]) > 4 for m in found):
            found.append(n)
    return set(found)


def _depth(mark: Mark) -> int:
    """What is measured of sources lies above what it is compared with."""
    return {"source": 3, "here": 3, "bench": 2}.get(mark.shape, 1)


def _dot(mark: Mark, x: Axis, y: Axis, *, on: bool, named: bool) -> Html:
    left, bottom = x.at(mark.x), y.at(mark.y)
    side = " left" if left > 72 else ""
    label = f"<small>{esc(mark.label)}</small>" if named else ""
    style = f'style="left:{left:.2f}%;bottom:{bottom:.2f}%"'
    cls = f'class="fs-xy-dot{" on" if on else ""}{side}" {style}'
    drawn = f'<i class="fs-mk {mark.shape}"></i>'
    if mark.href:
        return Html(f'<a {cls} href="{esc(mark.href)}" data-tip="{esc(mark.about)}">{drawn}{label}</a>')
    return Html(f"<span {cls} {tip(mark.about)}>{drawn}{label}</span>")


def _steps(front: Sequence[Mark], x: Axis, y: Axis) -> list[str]:
    """The edge of what is attained, as boxes: along at one point's height, and up or down to the next's."""
    found = []
    for a, b in pairwise(front):
        left, right = sorted((x.at(a.x), x.at(b.x)))
        low, high = sorted((y.at(a.y), y.at(b.y)))
        found.append(f'<u style="left:{left:.2f}%;width:{right - left:.2f}%;bottom:{y.at(a.y):.2f}%"></u>')
        found.append(f'<u class="v" style="left:{x.at(b.x):.2f}%;bottom:{low:.2f}%;height:{high - low:.2f}%"></u>')
    return found


def tick(value: float) -> str:
    """A value at an axis."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value / 1000:g}k".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")


def legend(shapes: Iterable[str], names: Mapping[str, str] | None = None) -> Html:
    """What the marks of a plot are."""
    called = {**SHAPES, **(names or {})}
    each = join(f'<span><i class="fs-mk {esc(one)}"></i>{esc(called[one])}</span>' for one in dict.fromkeys(shapes))
    return Html(f'<div class="fs-marks">{each}</div>')


# -- values with intervals ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a line, with the ends of its interval; NaN on both sides where there is none."""

    value: float
    low: float
    high: float
    shape: str
    about: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart of values."""

    name: str
    """HTML."""
    values: tuple[Value, ...]
    said: str = ""
    """Behind it; HTML. The first value where there is nothing."""


def lines(rows: Sequence[Line], scale: Axis) -> Html:
    """Values on one scale, a line each, with their intervals."""
    if not rows:
        return Html("")
    body = join(
        f'<span class="n">{row.name}</span><span class="t">{join(_value(v, scale) for v in row.values)}</span>'
        f'<span class="v">{row.said or (number(row.values[0].value) if row.values else "–")}</span>'
        for row in rows
    )
    edges = f"<span>{tick(float(f'{scale.low:.2g}'))}</span><span>{tick(float(f'{scale.high:.2g}'))}</span>"
    foot = f'<span></span><span class="fs-axis" aria-hidden="true">{edges}</span><span></span>'
    return Html(f'<div class="fs-values">{body}{foot}</div>')


def _value(one: Value, scale: Axis) -> Html:
    bar = ""
    if math.isfinite(one.low) and math.isfinite(one.high):
        left, right = scale.at(one.low), scale.at(one.high)
        bar = f'<em class="{one.shape}" style="left:{left:.2f}%;width:{max(0.0, right - left):.2f}%"></em>'
    return Html(f'{bar}<i class="fs-mk {one.shape}" style="left:{scale.at(one.value):.2f}%" {tip(one.about)}></i>')


# -- histograms in rows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shares:
    """One histogram; `counts` has one fewer than `edges`."""

    name: str
    """HTML."""
    shape: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    middle: float
    """The median, which is marked."""


def ridge(rows: Sequence[Shares], *, decades: bool = False) -> Html:
    """Histograms over one axis, a row each, by share so that different widths compare; each is as high as its peak.

    `decades`: the axis is a power of ten, drawn as percent.
    """
    some = [row for row in rows if row.counts and sum(row.counts)]
    if not some:
        return Html('<p class="fs-soft">Nothing to draw: no feature has a value.</p>')
    ends = [edge for row in some for a, b, n in _spans(row) if n for edge in (a, b)]
    scale = Axis("", min(ends), max(ends))
    body = join(_row(row, scale, decades) for row in some)
    ticks = join(
        f'<b{" class=last" * (scale.at(t) > 93)} style="left:{scale.at(t):.2f}%">'
        f"{_percent(t) if decades else tick(t)}</b>"
        for t in scale.ticks(5) if not decades or float(t).is_integer()
    )  # fmt: skip
    return Html(f'<div class="fs-ridge">{body}<span></span><div class="a" aria-hidden="true">{ticks}</div></div>')


def _spans(row: Shares) -> list[tuple[float, float, int]]:
    """(from, to, count) of each bin."""
    return [(a, b, n) for (a, b), n in zip(pairwise(row.edges), row.counts, strict=True)]


def _row(row: Shares, scale: Axis, decades: bool) -> Html:
    total = sum(row.counts)
    spans = [(a, b, n) for a, b, n in _spans(row) if n]
    peak = max((n / max(b - a, 1e-12) for a, b, n in spans), default=1) or 1
    bars = []
    for a, b, n in spans:
        left, right = scale.at(a), scale.at(b)
        height = max(2.0, n / max(b - a, 1e-12) / peak * 100)
        where = f"{_percent(a)} to {_percent(b)}" if decades else f"{number(a)} to {number(b)}"
        bars.append(
            f'<i style="left:{left:.2f}%;width:{max(0.3, right - left):.2f}%;height:{height:.1f}%" '
            f'data-tip="{esc(f"{where}: {n:,} features, {n / total * 100:.3g} %")}"></i>'
        )
    middle = _percent(row.middle) if decades else number(row.middle)
    said = f"Histogram of {total:,} features, median {middle}"
    return Html(
        f'<span class="n">{row.name}</span><div class="r {row.shape}" role="img" aria-label="{esc(said)}">'
        f'{"".join(bars)}<u style="left:{scale.at(row.middle):.2f}%" {tip(f"median {middle}")}></u></div>'
    )


def _percent(power: float) -> str:
    share = 10**power * 100
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"
