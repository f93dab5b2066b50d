"""Choosing and ordering rows of the leaderboard, and which none beats. No torch.

The page and the API give the same for the same address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from core.errors import BadInput
from core.evaluate.records import FIGURES, LeaderboardRow

FIXED = ("name", "hook", "width")
"""Columns that are no figures, to sort by."""
COLUMNS = (*FIXED, *(figure.key for figure in FIGURES))


def chosen(
    rows: Iterable[LeaderboardRow],
    *,
    models: Collection[str] = (),
    kinds: Collection[str] = (),
    sets: Collection[str] = (),
    q: str = "",
    elsewhere: bool = True,
    unmeasured: bool = False,
    sort: str = "",
) -> list[LeaderboardRow]:
    """The rows that fit, by a column of `COLUMNS` (a minus before it: the largest first) or as they stand.

    `q`: words that a row's name, set, hook, architecture or release has to have. `elsewhere`: also what other programs
    measured. `unmeasured`: also sources without figures. A row without the figure that orders comes last.

    Raises:
        BadInput: there is no such column.
    """
    column, turned = sort.removeprefix("-"), sort.startswith("-")
    if column and column not in COLUMNS:
        raise BadInput(f"“{column[:60]}” is no column to sort by: {', '.join(COLUMNS)} are.")
    words = q.casefold().split()
    kept = []
    for row in rows:
        named = {row.model_id, row.of.model_id} if row.of else {row.model_id}
        if models and not named & set(models):
            continue
        if (kinds and row.kind not in kinds) or (sets and row.set_name not in sets):
            continue
        if (row.source is None and not elsewhere) or (row.source is not None and not row.figures and not unmeasured):
            continue
        text = f"{row.name}\n{row.set_name}\n{row.hook}\n{row.architecture}\n{row.release}".casefold()
        if all(word in text for word in words):
            kept.append(row)
    if not column:
        return kept
    with_value = [(value(row, column), row) for row in kept]
    have = [(found, row) for found, row in with_value if found is not None]
    have.sort(key=lambda one: one[0], reverse=turned)
    return [row for _, row in have] + [row for found, row in with_value if found is None]


def value(row: LeaderboardRow, column: str) -> tuple[float, str] | None:
    """What a row is ordered by; None where it has no such figure."""
    if column in ("name", "hook"):
        return 0.0, getattr(row, column)
    if column == "width":
        return (float(row.width), "") if row.width else None
    one = row.figures.get(column)
    return (one.value, "") if one is not None and one.value == one.value else None


def pareto(points: Sequence[tuple[float, float]], *, less_x: bool = True, less_y: bool = False) -> list[int]:
    """Which of some points no other beats: none is at least as good on both axes and better on one. By x, best first.

    `less_x`, `less_y`: whether less is better. Points that are equal are all in.
    """
    good = [(x if less_x else -x, -y if less_y else y) for x, y in points]
    order = sorted(range(len(points)), key=lambda n: (good[n][0], -good[n][1], n))
    front: list[int] = []
    for n in order:
        if not front or good[n][1] > good[front[-1]][1] or good[n] == good[front[-1]]:
            front.append(n)
    return front
