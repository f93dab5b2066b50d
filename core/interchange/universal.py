"""Features that two models have in common, as JSON and CSV; a feature is `{modelId, layer, index}`, its index text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from core.atlas.universal.records import Match, MatchesRecord, PairRecord, UniversalRecord
from core.interchange.table import guarded
from core.records import FeatureKey, SourceKey

Json = dict[str, Any]
COLUMNS = ("feature", "match", "correlation", "bound", "p", "universal", "mutual", "token", "token_correlation")


def feature(key: FeatureKey, matches: Sequence[Match]) -> Json:
    """The best matches of one feature, a source of another model each."""
    return _feature(key) | {"matches": [match(one) for one in matches]}


def match(one: Match) -> Json:
    """A match: `bound` is what 99 of 100 stay below by chance, `p` the share of those by chance that are as good."""
    return {
        "feature": _feature(one.of), "match": _feature(one.feature), "correlation": one.value, "bound": one.bound,
        "p": one.p, "universal": one.universal, "mutual": one.mutual,
        "token": {"id": one.token.id, "text": one.token.text, "correlation": one.token_value},
    }  # fmt: skip


def source(key: SourceKey, records: Sequence[UniversalRecord]) -> Json:
    """What a source has in common with other models."""
    return _source(key) | {"models": [record(one) for one in records]}


def record(one: UniversalRecord) -> Json:
    """With one other model: in any of its sources, and in each."""
    return {
        "model": one.model_id, "bytes": one.bytes, "documents": one.documents, "shifts": one.draws, "made": one.made,
        "compared": one.compared, "universal": one.universal, "share": one.share, "expectedShare": one.expected,
        "sources": [pair(one) for one in one.pairs],
    }  # fmt: skip


def pair(one: PairRecord) -> Json:
    """Two sources. `counts` and `chanceCounts` are of best correlations, in equal bins from 0 to 1."""
    return {
        "source": _source(one.key), "other": _source(one.other), "width": one.width, "compared": one.compared,
        "universal": one.universal, "share": one.share, "expectedShare": one.expected, "mutual": one.mutual,
        "betterThanToken": one.better_than_token, "median": one.median, "chanceMedian": one.chance,
        "counts": list(one.counts), "chanceCounts": list(one.chance_counts),
    }  # fmt: skip


def matches(found: MatchesRecord) -> Json:
    """A page of the matches of two sources."""
    return {
        "pair": pair(found.pair), "by": found.by, "results": [match(one) for one in found.matches],
        "resultsCount": len(found.matches), "total": found.total, "hasMore": found.next_offset is not None,
        "nextOffset": found.next_offset,
    }  # fmt: skip


def to_csv(found: Sequence[Match]) -> str:
    """A row a match."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in found:
        row = (
            str(one.of), str(one.feature), one.value, one.bound, one.p, str(one.universal), str(one.mutual),
            one.token.text, one.token_value,
        )  # fmt: skip
        writer.writerow([guarded(cell) for cell in row])
    return out.getvalue()


def _feature(key: FeatureKey) -> Json:
    return _source(key.source) | {"index": str(key.index)}


def _source(key: SourceKey) -> Json:
    return {"modelId": key.model_id, "layer": key.source_id}
