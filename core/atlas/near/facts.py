"""What a list of features shows beside each: its label, density and largest value, from the built files.

No torch. A source without dashboards has none, and its features are shown by their numbers. Cost: a column of a
source's table, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.atlas.near.records import SimilarHit
from core.errors import WorkbenchError
from core.records import FeatureKey, LeftOut, SourceKey, SourceRecord

if TYPE_CHECKING:
    from core.workbench import Workbench


def hit(bench: Workbench, key: FeatureKey, value: float) -> SimilarHit:
    """A feature as a list shows it."""
    try:
        entry = bench.catalog.entry(key.source)
        features = bench._open.get(entry.folder).features
        label, active = (features.column(name)[key.index].as_py() for name in ("label", "active"))
    except (WorkbenchError, ValueError, IndexError):  # no dashboards, or damaged ones: what is asked for is the value
        return SimilarHit(feature=key, value=value)
    density = active / max(1, entry.record.tokens)
    return SimilarHit(feature=key, value=value, label=str(label or ""), density=float(density))


def reach(bench: Workbench, key: FeatureKey) -> float | None:
    """A feature's largest value on the build's texts; None where that is not known."""
    try:
        features = bench._open.get(bench.catalog.entry(key.source).folder).features
        return float(features.column("maximum")[key.index].as_py())
    except (WorkbenchError, ValueError, IndexError):
        return None


def sources(
    bench: Workbench, model_id: str, asked: Sequence[SourceKey | str], by: str = "decoder"
) -> tuple[list[SourceRecord], list[LeftOut]]:
    """(the sources of a model that are asked for, all without any; of all, those that lack rows for a measure here).

    Raises `BadInput` for what names no source, `NotFound` for one that is not here.
    """
    if asked:
        keys = dict.fromkeys(named(model_id, one) for one in asked)
        return [bench.source(key) for key in keys], []
    found = bench.sources(model_id=model_id)
    rows = "encoder rows" if by == "encoder" else "decoder vectors"
    lost = [
        LeftOut(key=one.key, why=f"{one.key} was imported without its weights, and without {rows}.")
        for one in found
        if not usable(one, by)
    ]
    return [one for one in found if usable(one, by)], lost


def usable(record: SourceRecord, by: str = "decoder") -> bool:
    """Whether a source has rows for a measure: its weights, or decoder vectors that came along with an import."""
    return "weights" in record.has or (by != "encoder" and "vectors" in record.has)


def loads(bench: Workbench, record: SourceRecord) -> bool:
    """Whether its weights have to be loaded before its rows can be had."""
    return "weights" in record.has and bench._source_slot(record).value is None


def named(model_id: str, source: SourceKey | str) -> SourceKey:
    """A source by `2-res` or `<model>/2-res`."""
    if isinstance(source, SourceKey):
        return source
    return SourceKey.parse(source) if "/" in source else SourceKey(model_id, source.strip())
