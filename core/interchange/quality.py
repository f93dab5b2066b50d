"""Quality as JSON and CSV: an evaluation, and the leaderboard's rows. NaN, which JSON lacks, is null."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from core.evaluate.records import FIGURES, Evaluation, LeaderboardRow, Measured, Quality
from core.interchange.table import guarded

FACTS = ("name", "model", "source", "kind", "architecture", "hook", "width", "release", "measured", "provenance")


def evaluation(found: Evaluation) -> dict[str, Any]:
    """A source's quality, with its baselines and controls: all parts as they were measured."""
    return {
        "modelId": found.source.model_id, "sourceId": found.source.source_id, "own": _quality(found.own),
        "baselines": [_quality(one) for one in found.baselines], "controls": [_quality(one) for one in found.controls],
        "lacking": [{"part": part, "why": why} for part, why in found.lacking],
    }  # fmt: skip


def _quality(one: Quality) -> dict[str, Any]:
    made: dict[str, Any] = plain(asdict(one))
    return made | {"figures": {key: figure(value) for key, value in one.figures().items()}}


def leaderboard(rows: Iterable[LeaderboardRow]) -> dict[str, Any]:
    """Rows of the leaderboard, and what their figures are called."""
    return {
        "figures": [
            {"key": f.key, "name": f.name, "part": f.part, "better": f.better or None} for f in FIGURES
        ],
        "rows": [
            {
                "name": row.name, "modelId": row.model_id,
                "sourceId": row.source.source_id if row.source else None,
                "of": str(row.of) if row.of else None, "kind": row.kind, "architecture": row.architecture,
                "hook": row.hook, "layer": row.layer, "width": row.width, "release": row.release, "set": row.set_name,
                "figures": {key: figure(value) for key, value in row.figures.items()},
                "on": {part: asdict(one) for part, one in row.on.items()}, "made": row.made,
                "provenance": row.provenance,
            }
            for row in rows
        ],
    }  # fmt: skip


def leaderboard_csv(rows: Iterable[LeaderboardRow]) -> str:
    """The same as a table: each figure with the ends of its interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    names = [name for f in FIGURES for name in (f.key, f"{f.key}_low", f"{f.key}_high")]
    writer.writerow([*FACTS, *names])
    for row in rows:
        facts: tuple[str | int, ...] = (
            row.name, row.model_id, str(row.source or row.of or ""), row.kind, row.architecture, row.hook, row.width,
            row.release, row.made, row.provenance,
        )  # fmt: skip
        writer.writerow([*(guarded(cell) for cell in facts), *_cells(row.figures)])
    return out.getvalue()


def _cells(figures: Mapping[str, Measured]) -> list[object]:
    cells: list[object] = []
    for f in FIGURES:
        one = figures.get(f.key)
        found = (one.value, one.low, one.high) if one is not None else ()
        cells += [value if math.isfinite(value) else "" for value in found] or ["", "", ""]
    return cells


def figure(one: Measured) -> dict[str, float | None]:
    """A figure with its interval."""
    return {"value": _number(one.value), "low": _number(one.low), "high": _number(one.high)}


def plain(value: Any) -> Any:
    """The same without NaN and infinities."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
