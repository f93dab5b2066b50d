"""What the leaderboard shows, as a frozen value: from a link, changed into other links. Draws nothing.

Which sources, by what they are ordered, which figures the table has and what the plot's axes are: all of it is in the
address, so that a view can be sent. An axis is a figure's key or `width`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components import links
from core.evaluate import board
from core.evaluate.records import FIGURES, PARTS, LeaderboardRow, Measured, Part

WIDTH = "width"
NAMES = {figure.key: figure.name for figure in FIGURES} | {WIDTH: "width"}
LESS = {f.key: f.better == "lower" for f in FIGURES if f.better} | {"l0": True, WIDTH: True}
"""Of the axes that have a better end, whether that is the lower one. Fewer active features and fewer features at the
same quality count as better, which is what a Pareto front of the two means."""
LOG = frozenset({"l0", WIDTH, "mse"})
"""Axes that are logarithmic."""
AXES = (WIDTH, *(figure.key for figure in FIGURES))
PAIRS = (("l0", "ce_loss_score"), (WIDTH, "explained_variance"), ("l0", "explained_variance"), ("l0", "probing_k1"))
"""Axes that are offered together."""
KINDS = {"sae": "SAEs", "transcoder": "transcoders", "neurons": "neurons", "directions": "directions"}
LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    models: tuple[str, ...] = ()
    """Only these; all without any."""
    kinds: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    q: str = ""
    """Words that a source's name, set, hook, architecture or release has to have."""
    part: Part = "reconstruction"
    """Whose figures the table has."""
    sort: str = ""
    """A column, a minus before it for the largest first; as they stand without one."""
    x: str = "l0"
    y: str = "ce_loss_score"
    beside: bool = True
    """Whether baselines and controls are drawn too."""
    elsewhere: bool = True
    """Whether results of other programs are shown too."""
    unmeasured: bool = False
    """Whether the table has sources without figures too."""

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        usual = View()
        return {
            "models": ",".join(self.models), "kinds": ",".join(self.kinds), "sets": ",".join(self.sets), "q": self.q,
            "part": self.part if self.part != usual.part else "", "sort": self.sort,
            "x": self.x if self.x != usual.x else "", "y": self.y if self.y != usual.y else "",
            "beside": "" if self.beside else "0", "elsewhere": "" if self.elsewhere else "0",
            "unmeasured": "1" if self.unmeasured else "",
        }  # fmt: skip

    def to(self, **changes: Any) -> str:
        """The address of this view with changes."""
        return links.leaderboard(**replace(self, **changes).parameters())

    def toggled(self, field: str, value: str) -> str:
        """The address with one more of a choice, or one less."""
        held: tuple[str, ...] = getattr(self, field)
        return self.to(**{field: tuple(v for v in held if v != value) if value in held else (*held, value)})


def read(query: Mapping[str, str], rows: Sequence[LeaderboardRow]) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it; `rows` are all that could be shown."""
    wrong: list[str] = []
    sort = query.get("sort", "").strip()
    if sort and sort.removeprefix("-") not in board.COLUMNS:
        wrong.append(_no("sort", sort, board.COLUMNS))
        sort = ""
    usual = View()
    part = _one(query, "part", PARTS, usual.part, wrong)
    return View(
        models=_some(query, "models", {row.model_id for row in rows}, wrong),
        kinds=_some(query, "kinds", set(KINDS), wrong), sets=_some(query, "sets", {r.set_name for r in rows}, wrong),
        q=query.get("q", "").strip()[:LONGEST], part=part, sort=sort,  # type: ignore[arg-type]
        x=_one(query, "x", AXES, usual.x, wrong), y=_one(query, "y", AXES, usual.y, wrong),
        beside=_flag(query, "beside", usual.beside), elsewhere=_flag(query, "elsewhere", usual.elsewhere),
        unmeasured=_flag(query, "unmeasured", usual.unmeasured),
    ), wrong  # fmt: skip


def _one(query: Mapping[str, str], name: str, of: Sequence[str], usual: str, wrong: list[str]) -> str:
    value = query.get(name, "").strip()
    if value and value not in of:
        wrong.append(_no(name, value, of))
    return value if value in of else usual


def _some(query: Mapping[str, str], name: str, of: set[str], wrong: list[str]) -> tuple[str, ...]:
    named = dict.fromkeys(part.strip() for part in query.get(name, "").split(",") if part.strip())
    wrong += [_no(name, value, of) for value in named if value not in of]
    return tuple(value for value in named if value in of)


def _no(name: str, value: str, of: Iterable[str]) -> str:
    return f"“{value[:60]}” is not a value of “{name}” in a link: {', '.join(sorted(of)) or 'nothing'}."


def _flag(query: Mapping[str, str], name: str, usual: bool) -> bool:
    value = query.get(name, "").strip()
    return usual if not value else value not in ("0", "false")


# -- what is in it -----------------------------------------------------------------------------------------------------


def chosen(view: View, rows: Iterable[LeaderboardRow]) -> list[LeaderboardRow]:
    """The rows of a view, in its order."""
    return board.chosen(
        rows, models=view.models, kinds=view.kinds, sets=view.sets, q=view.q, elsewhere=view.elsewhere,
        unmeasured=view.unmeasured, sort=view.sort,
    )  # fmt: skip


def measured(row: LeaderboardRow, axis: str) -> Measured | None:
    """What a row has on an axis."""
    if axis == WIDTH:
        return Measured(float(row.width)) if row.width else None
    return row.figures.get(axis)
