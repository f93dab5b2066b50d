"""Explanations that came with an import, as the workbench's: `explanations.arrow` of a source, read row by row.

So do those that came alone and were attached to a source (`core.interchange.bulk.attach`).

Author, method, model and scores are kept as they came. A score whose kind the workbench has (Neuronpedia's names of
detection, fuzzing and embedding; `scoreV1` and `scoreV2` are simulations) is one of its scores, without an interval,
since exports have none; other kinds stay in the row and go out again with it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from core.errors import BadData, NotFound
from core.explain.records import ORDER, Brief, Explanation, Origin, Score
from core.interchange.bulk.assemble import EXPLANATIONS
from core.interchange.bulk.attach import attached
from core.interchange.explanations import SCORERS
from core.records import FeatureKey, SourceKey
from core.store.layout import Rows

if TYPE_CHECKING:
    from core.workbench import Workbench

PREFIX = "i-"
"""Ids of imported explanations begin so."""


class _Kept:
    """The explanations of one source, open."""

    def __init__(self, path: Path) -> None:
        self._rows = Rows(path)
        self.index = self._rows.column("index").to_numpy()

    def __len__(self) -> int:
        return len(self.index)

    def row(self, n: int) -> dict[str, Any]:
        found = orjson.loads(self._rows.row(n)["row"])
        return found if isinstance(found, dict) else {}

    def of(self, feature: int) -> range:
        """Rows of one feature."""
        first, last = np.searchsorted(self.index, [feature, feature + 1])
        return range(int(first), int(last))


class ImportedWords:
    """What imports say of features."""

    origin: Origin = "import"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._open: dict[Path, tuple[int, _Kept]] = {}
        self._lock = threading.Lock()  # guards _open

    def of(self, feature: FeatureKey) -> Sequence[Explanation]:
        """Those of one feature, in their order."""
        return [
            explanation(kept.row(n), feature) for kept in self._kept(feature.source) for n in kept.of(feature.index)
        ]

    def briefs(self, source: SourceKey) -> Sequence[Brief]:
        """Those of a whole source."""
        return [
            _brief(kept.row(n), source, int(kept.index[n])) for kept in self._kept(source) for n in range(len(kept))
        ]

    def mark(self, source: SourceKey) -> str:
        """When the files were written."""
        return "+".join(str(path.stat().st_mtime_ns) for path in self._paths(source))

    def rows(self, source: SourceKey) -> Sequence[dict[str, Any]]:
        """Every row as it came."""
        return [kept.row(n) for kept in self._kept(source) for n in range(len(kept))]

    def _paths(self, source: SourceKey) -> list[Path]:
        try:
            entry = self._bench.catalog.entry(source)
        except NotFound:
            return []
        own = entry.folder / EXPLANATIONS
        return [*([own] if own.is_file() else []), *attached(self._bench.catalog.roots, entry)]

    def _kept(self, source: SourceKey) -> list[_Kept]:
        found = [self._opened(path) for path in self._paths(source)]
        return [one for one in found if one is not None]

    def _opened(self, path: Path) -> _Kept | None:
        mark = path.stat().st_mtime_ns
        with self._lock:
            held = self._open.get(path)
            if held is None or held[0] != mark:
                try:
                    held = (mark, _Kept(path))
                except BadData:
                    return None
                self._open[path] = held
            return held[1]


def explanation(row: dict[str, Any], feature: FeatureKey) -> Explanation:
    """A row as an explanation."""
    author = row.get("author")
    return Explanation(
        id=PREFIX + str(row["id"]), feature=feature, text=" ".join(str(row.get("description") or "").split()),
        origin="import", method=str(row.get("typeName") or "import"), model=str(row.get("explanationModelName") or ""),
        author=str(row.get("authorId") or ""),
        author_name=str(author.get("name") or "") if isinstance(author, dict) else "",
        made=str(row.get("createdAt") or ""), scores=tuple(scores(row)),
    )  # fmt: skip


def scores(row: dict[str, Any]) -> list[Score]:
    """The scores that the workbench has a name for."""
    found = [one for one in row.get("scores") or [] if isinstance(one, dict)]
    for name in ("scoreV1", "scoreV2"):
        if isinstance(row.get(name), int | float) and row[name] != 0:
            found.append({"explanationScoreTypeName": "simulation", "value": row[name], "note": name})
    made = []
    for n, one in enumerate(found):
        kind = SCORERS.get(str(one.get("explanationScoreTypeName")), str(one.get("explanationScoreTypeName")))
        kind = "simulation" if kind.endswith("simulation") else kind
        value = one.get("value")
        if kind not in ORDER or not isinstance(value, int | float):
            continue
        low, high = one.get("low"), one.get("high")
        made.append(Score(
            id=PREFIX + str(one.get("id") or f"{row['id']}:{n}"), scorer=kind,
            judge=str(one.get("explanationScoreModelName") or ""), value=float(value),
            low=float(low) if isinstance(low, int | float) else math.nan,
            high=float(high) if isinstance(high, int | float) else math.nan, made=str(one.get("createdAt") or ""),
            note=str(one.get("note") or ""),
        ))  # fmt: skip
    return sorted(made, key=lambda score: ORDER.index(score.scorer))


def _brief(row: dict[str, Any], source: SourceKey, index: int) -> Brief:
    one = explanation(row, FeatureKey(source.model_id, source.source_id, index))
    score = one.scores[0] if one.scores else None
    return Brief(
        one.id, index, one.text, "import", one.method, one.model, one.author,
        score=score.value if score else math.nan, scorer=score.scorer if score else "",
    )  # fmt: skip
