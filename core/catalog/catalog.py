"""The catalog: every model, release, set and source of the data roots.

Reads the manifests and the figures of evaluations, and nothing else. The folders are looked at again once `FRESH`
seconds have passed, and a manifest is read again only when its file has changed, so asking costs next to nothing.
Where two roots hold the same source, the first root (the writable one) wins. A damaged manifest hides its source and
is listed under `damaged`, so that one bad file does not take the catalog down.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from core.catalog.manifest import ModelManifest, SourceManifest, read_model, read_source
from core.errors import BadData, NotFound, WorkbenchError
from core.evaluate.files import latest_figures
from core.records import ModelRecord, ReleaseRecord, SourceKey, SourceRecord

FRESH = 0.5
"""Seconds for which what was seen is taken to be still so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A source and where it lies."""

    manifest: SourceManifest
    record: SourceRecord
    """The manifest's record with the latest figures."""
    folder: Path
    root: Path

    @property
    def imported(self) -> bool:
        """Whether its dashboards came with an import: its prompts are of its own vocabulary, without BOS."""
        return "imported" in self.manifest.build


@dataclass(frozen=True, slots=True)
class _Snapshot:
    models: dict[str, tuple[ModelManifest, Path]]
    sources: dict[SourceKey, Entry]
    damaged: tuple[str, ...]


class Catalog:
    """A view of the data roots that follows what is built into them. Safe to share between threads."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self.roots = roots
        self._lock = threading.Lock()  # guards _cache and _snapshot
        self._cache: dict[Path, tuple[tuple[int, int], ModelManifest | SourceManifest | WorkbenchError]] = {}
        self._snapshot: tuple[tuple[object, ...], _Snapshot] | None = None
        self._seen = -FRESH

    def refresh(self) -> None:
        """Looks again at the next question: something was just written."""
        self._seen = -FRESH

    def entry(self, key: SourceKey) -> Entry:
        """The source `key`; raises `NotFound` with what there is."""
        sources = self._scan().sources
        if key not in sources:  # the last look may have met the instant in which a rebuilt source takes its place
            self.refresh()
            sources = self._scan().sources
        if key in sources:
            return sources[key]
        siblings = [k.source_id for k in sources if k.model_id == key.model_id]
        if siblings:
            raise NotFound(
                f"{key.model_id} has no source “{key.source_id}” here. It has: {', '.join(sorted(siblings))}."
            )
        raise NotFound(f"There is no model “{key.model_id}” here. {self._models_here()}")

    def model(self, model_id: str) -> tuple[ModelManifest, Path]:
        """(manifest, folder) of a model; raises `NotFound` with what there is."""
        snapshot = self._scan()
        if model_id in snapshot.models:
            return snapshot.models[model_id]
        if any(k.model_id == model_id for k in snapshot.sources):
            raise BadData(f"model.json of {model_id} is missing or damaged. Build one of its sources again.")
        raise NotFound(f"There is no model “{model_id}” here. {self._models_here()}")

    def models(self) -> tuple[ModelRecord, ...]:
        """Every model that has a source, by id; controls last."""
        snapshot = self._scan()
        used = {k.model_id for k in snapshot.sources}
        there = [(bool(m.spec.randomised), name, m.record) for name, (m, _) in snapshot.models.items() if name in used]
        return tuple(record for *_, record in sorted(there, key=lambda one: one[:2]))

    def sources(self) -> tuple[SourceRecord, ...]:
        """Every source, by model, set, layer and id."""
        records = [e.record for e in self._scan().sources.values()]
        return tuple(sorted(records, key=lambda r: (r.key.model_id, r.key.set_name, r.layer, r.key.source_id)))

    def source(self, key: SourceKey) -> SourceRecord:
        """One source's record, with its latest figures."""
        return self.entry(key).record

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """Every release that has a source here, by name."""
        found = {r.release.name: r.release for r in self.sources()}
        return tuple(found[name] for name in sorted(found))

    def damaged(self) -> tuple[str, ...]:
        """Messages about manifests that could not be read."""
        return self._scan().damaged

    def _models_here(self) -> str:
        names = sorted({k.model_id for k in self._scan().sources})
        return (
            f"There is: {', '.join(names)}." if names else "Nothing has been built yet: `python -m core build CONFIG`."
        )

    def _scan(self) -> _Snapshot:
        with self._lock:
            if self._snapshot is not None and time.monotonic() - self._seen < FRESH:
                return self._snapshot[1]
            stamps = self._look()
            mark = tuple(stamps)
            if self._snapshot is None or self._snapshot[0] != mark:
                self._snapshot = (mark, self._read(stamps))
            self._seen = time.monotonic()
            return self._snapshot[1]

    def _look(self) -> list[tuple[Path, Path, tuple[int, int]]]:
        """(root, file, stamp) of every manifest and figure file, in the roots' order."""
        stamps: list[tuple[Path, Path, tuple[int, int]]] = []
        for root in self.roots:
            for pattern in ("*/model.json", "*/*/source.json", "*/*/derived/eval-*/figures.json"):
                for path in sorted(root.glob(pattern)):
                    try:
                        stat = path.stat()
                    except OSError:  # replaced between the listing and here
                        continue
                    if not path.relative_to(root).parts[1].startswith("."):
                        stamps.append((root, path, (stat.st_mtime_ns, stat.st_size)))
        return stamps

    def _read(self, stamps: list[tuple[Path, Path, tuple[int, int]]]) -> _Snapshot:
        models: dict[str, tuple[ModelManifest, Path]] = {}
        sources: dict[SourceKey, Entry] = {}
        damaged: list[str] = []
        for root, path, stamp in stamps:
            if path.name == "figures.json":
                continue
            if path not in self._cache or self._cache[path][0] != stamp:
                try:
                    read = read_model(path) if path.name == "model.json" else read_source(path)
                    self._cache[path] = (stamp, read)
                except WorkbenchError as error:
                    self._cache[path] = (stamp, error)
            manifest = self._cache[path][1]
            if isinstance(manifest, WorkbenchError):
                damaged.append(str(manifest))
            elif isinstance(manifest, ModelManifest):
                if manifest.record.model_id != path.parent.name:
                    damaged.append(f"model.json of {path.parent.name} says that it is {manifest.record.model_id}.")
                    continue
                models.setdefault(manifest.record.model_id, (manifest, path.parent))
            elif (path.parent.parent.name, path.parent.name) == (
                manifest.record.key.model_id,
                manifest.record.key.source_id,
            ):
                key = manifest.record.key
                if key not in sources:
                    sources[key] = Entry(manifest, self._with_figures(manifest), path.parent, root)
            else:
                damaged.append(f"{path.parent.parent.name}/{path.parent.name} says that it is {manifest.record.key}.")
        return _Snapshot(models, sources, tuple(damaged))

    def _with_figures(self, manifest: SourceManifest) -> SourceRecord:
        key = manifest.record.key
        folders = [root / key.model_id / key.source_id for root in self.roots]
        figures = latest_figures(folders, str(manifest.build.get("weights_sha256")))
        return replace(manifest.record, figures=figures) if figures else manifest.record
