"""The leaderboard: every source's newest figures, a row each. Reads what is kept; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.evaluate.records import Evaluation, LeaderboardRow, Measured, TokenSet
from core.records import Figures, SourceRecord

HERE = "measured here"
_CATALOGUE = ("l0", "explained_variance", "dead_fraction", "ce_loss_score")
"""Figures that the catalog has of an evaluation without the rest, with no interval."""


def rows(
    sources: Iterable[SourceRecord], evaluation: Callable[[SourceRecord], Evaluation | None]
) -> tuple[LeaderboardRow, ...]:
    """A row a source, in the order of `sources`; what nobody measured has no figures."""
    return tuple(_row(source, evaluation(source)) for source in sources)


def _row(source: SourceRecord, found: Evaluation | None) -> LeaderboardRow:
    figures: dict[str, Measured] = {}
    on: dict[str, TokenSet] = {}
    made = ""
    if source.figures is not None:
        figures, made = _of_catalogue(source.figures), source.figures.made
    if found is not None:
        measured = [(part, found.own.on(part)) for part in found.own.parts()]
        on |= {part: one[0] for part, one in measured if one}
        made = max(one[1] for _, one in measured if one)
        figures |= found.own.figures()
    return LeaderboardRow(
        name=str(source.key), source=source.key, kind=source.kind, architecture=source.architecture, hook=source.hook,
        layer=source.layer, width=source.width, release=source.release.name, set_name=source.key.set_name,
        model_id=source.key.model_id, figures=figures, on=on, made=made, provenance=HERE if figures else "",
    )  # fmt: skip


def _of_catalogue(figures: Figures) -> dict[str, Measured]:
    return {name: Measured(float(getattr(figures, name))) for name in _CATALOGUE}
