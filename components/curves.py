"""Lines over two axes as HTML, with a band: boxes that are cut out of the plot, since a page's HTML has no SVG.

Pure functions over plain values, in the frame of `components.plots`. Each point tells itself to mouse and keyboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.markup import Html, esc, join, tip
from components.plots import Axis, tick


@dataclass(frozen=True, slots=True)
class Curve:
    """One line; `shape` is the class of its marks and its colour, of `components.plots.SHAPES`."""

    name: str
    shape: str
    values: tuple[float, ...]
    about: tuple[str, ...]
    """What hovering over each point says."""
    band: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """(least, most) at each point."""


def curves(names: Sequence[str], each: Sequence[Curve], x: str, y: Axis) -> Html:
    """Lines over places that are evenly apart, named by `names`; `x` is HTML."""
    last = max(1, len(names) - 1)
    at = [2 + 96 * n / last for n in range(len(names))]
    grid = [f'<i class="v" style="left:{at[n]:.2f}%"><b>{esc(name)}</b></i>' for n, name in enumerate(names)]
    grid += [f'<i class="h" style="bottom:{y.at(t):.2f}%"><b>{tick(t)}</b></i>' for t in y.ticks(5)]
    drawn = join(_band(one, at, y) for one in each if one.band) + join(_line(one, at, y) for one in each)
    dots = join(
        f'<span class="fs-xy-dot" style="left:{at[n]:.2f}%;bottom:{y.at(value):.2f}%" {tip(one.about[n])}>'
        f'<i class="fs-mk {one.shape}"></i></span>'
        for one in reversed(each)
        for n, value in enumerate(one.values)
    )
    said = f"{len(each)} lines of {len(names)} points"
    return Html(
        f'<div class="fs-xy fs-curves"><span class="y">{y.name}</span><div class="fs-xy-in" role="group" '
        f'aria-label="{said}"><div class="fs-xy-grid" aria-hidden="true">{join(grid)}{drawn}</div>{dots}</div>'
        f'<span class="x">{x}</span></div>'
    )


def _line(one: Curve, at: Sequence[float], y: Axis) -> str:
    above = [f"{x:.2f}% calc({100 - y.at(v):.2f}% - 1.2px)" for x, v in zip(at, one.values, strict=True)]
    below = [f"{x:.2f}% calc({100 - y.at(v):.2f}% + 1.2px)" for x, v in zip(at, one.values, strict=True)]
    return f'<s class="{one.shape}" style="clip-path:polygon({",".join([*above, *reversed(below)])})"></s>'


def _band(one: Curve, at: Sequence[float], y: Axis) -> str:
    assert one.band is not None
    low, high = ([f"{x:.2f}% {100 - y.at(v):.2f}%" for x, v in zip(at, side, strict=True)] for side in one.band)
    return f'<s class="band {one.shape}" style="clip-path:polygon({",".join([*high, *reversed(low)])})"></s>'
