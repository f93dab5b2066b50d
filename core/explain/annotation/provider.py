"""Annotations as explanations, and one by one: what `core.explain.door` asks. No torch, and no numba for reading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.catalog.catalog import Entry
from core.errors import BadData, NotAvailable, NotFound
from core.explain.annotation import files
from core.explain.records import Annotation, Brief, Explanation, Meaning, Origin, Score
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

METHOD = "annotation"
BEFORE, AFTER = 9, 5
"""Tokens of an example around its place."""


class Annotations:
    """The annotations of every source that has them."""

    origin: Origin = "data"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._open: dict[Path, tuple[int, files.Kept]] = {}
        self._lock = threading.Lock()  # guards _open

    def annotation(self, key: FeatureKey) -> Annotation:
        """One feature's.

        Raises:
            NotFound: there is no such feature.
            NotAvailable: its source was not annotated.
            BadData: the file is damaged.
        """
        entry = self._bench.catalog.entry(key.source)
        if key.index >= entry.record.width:
            raise NotFound(f"{key.source} has features 0 to {entry.record.width - 1}; there is no {key.index}.")
        kept = self._kept(entry)
        if kept is None:
            raise NotAvailable(
                f"{key.source} has no annotations: `python -m core annotate {key.source}` makes them where its "
                "activation store was kept, and a build does anyway."
            )
        promotes = self._bench._open.get(entry.folder).features.column("promotes")[key.index].as_py()
        found = kept.annotation(key, str(promotes or ""))
        return replace(found, meanings=tuple(self._drawn(key.source, meaning) for meaning in found.meanings))

    def _drawn(self, source: SourceKey, meaning: Meaning) -> Meaning:
        """A meaning whose examples have the tokens around them."""
        places = []
        for place in meaning.examples:
            tokens = self._bench.prompt(source, place.prompt)
            begin = max(0, place.position - BEFORE)
            near = tokens[begin : place.position + AFTER + 1]
            places.append(replace(place, tokens=near, at=place.position - begin))
        return replace(meaning, examples=tuple(places))

    def of(self, feature: FeatureKey) -> Sequence[Explanation]:
        """The feature's annotation as an explanation; nothing where there is none, or the feature never fires."""
        entry = self._bench.catalog.entry(feature.source)
        try:
            kept = self._kept(entry)
            if kept is None or feature.index >= entry.record.width:
                return ()
            found = kept.annotation(feature, "")
        except BadData:
            return ()
        return (explanation(found),) if found.train_active + found.test_active else ()

    def briefs(self, source: SourceKey) -> Sequence[Brief]:
        """Those of a whole source; dead features have none."""
        try:
            kept = self._kept(self._bench.catalog.entry(source))
            if kept is None:
                return ()
            columns = kept.columns(("line", "score", "train_active", "test_active"))
        except BadData:
            return ()
        lines, scores, train, test = (columns[n].to_pylist() for n in columns)
        return [
            Brief(identity(FeatureKey(source.model_id, source.source_id, n)), n, line, "data", METHOD, score=score,
                  scorer="rule" if score == score else "")
            for n, (line, score, a, b) in enumerate(zip(lines, scores, train, test, strict=True))
            if a + b
        ]  # fmt: skip

    def mark(self, source: SourceKey) -> str:
        """The annotations' folder and its time."""
        found = self._place(self._bench.catalog.entry(source))
        return f"{found[0].name}:{found[1]}" if found else ""

    def scores(self, source: SourceKey) -> dict[str, Sequence[Any]]:
        """Every feature's `score`, `control`, `kind` and counts of held-out tokens; empty without annotations."""
        kept = self._kept(self._bench.catalog.entry(source))
        if kept is None:
            return {}
        columns = kept.columns(
            ("score", "control", "test_active", "train_active", "kind", "found", "false", "test_tokens")
        )
        return {name: column.to_pylist() for name, column in columns.items()}

    def annotate(self, source: SourceKey, tell: Callable[[float, float], None] | None = None) -> Path:
        """Makes the annotations of a source from its store, into the writable root; returns their folder.

        Raises:
            NotFound: there is no such source.
            NotAvailable: it was kept without its store, or nothing can be written.
            BadData: its files are damaged.
        """
        from core.explain.annotation.source import annotate_folder

        entry = self._bench.catalog.entry(source)
        build, vocabulary = entry.manifest.build, self._bench._vocabulary(source.model_id)
        stored = self._bench._open.get(entry.folder).fitting_store(entry.record.width)
        target = self._bench.settings.data / source.model_id / source.source_id
        return annotate_folder(
            entry.folder, stored, vocabulary, build, active=entry.record.active, compact=bool(build.get("compact")),
            target=target, tell=tell,
        )  # fmt: skip

    def _place(self, entry: Entry) -> tuple[Path, int] | None:
        return files.opened(self._bench.catalog.roots, entry.manifest.build, entry.record.key)

    def _kept(self, entry: Entry) -> files.Kept | None:
        found = self._place(entry)
        if found is None:
            return None
        place, time = found
        with self._lock:
            held = self._open.get(place)
            if held is None or held[0] != time:
                try:
                    held = (time, files.Kept(place))
                except (OSError, ValueError) as error:
                    raise BadData(f"{place.name} of {place.parent.parent.name} cannot be read: {error}") from error
                self._open[place] = held
            return held[1]


def identity(key: FeatureKey) -> str:
    """The id of a feature's annotation as an explanation."""
    return f"annotation:{key}"


def explanation(found: Annotation) -> Explanation:
    """An annotation as an explanation, with its rule's score beside the control's."""
    scores: tuple[Score, ...] = ()
    if found.test_active:
        scores = (
            Score(
                id=f"{identity(found.feature)}:rule", scorer="rule", judge="",
                value=found.measures["balanced_accuracy"], low=found.low, high=found.high,
                measures={k: v for k, v in found.measures.items() if v == v},
                control=found.control if found.control == found.control else None, control_of=found.control_of,
                examples=found.test_tokens, made=found.made,
            ),
        )  # fmt: skip
    return Explanation(
        id=identity(found.feature), feature=found.feature, text=found.line, origin="data", method=METHOD,
        made=found.made, scores=scores,
    )  # fmt: skip
