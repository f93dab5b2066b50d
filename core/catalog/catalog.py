"""The catalog: every model, release, set and source of the data roots.

Reads the manifests and nothing else; a manifest is read again only when its file changes, so asking costs one directory
walk. Where two roots hold the same source, the first root (the writable one) wins. A damaged manifest hides its source
and is listed under `damaged`, so that one bad file does not take the catalog down.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from core.catalog.manifest import ModelManifest, SourceManifest, read_model, read_source
from core.errors import NotFound, WorkbenchError
from core.evaluate.files import latest_figures
from core.records import ModelRecord, ReleaseRecord, SourceKey, SourceRecord


@dataclass(frozen=True, slots=True)
class Entry:
    """A source and where it lies."""

    manifest: SourceManifest
    folder: Path
    root: Path


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

    def entry(self, key: SourceKey) -> Entry:
        """The source `key`; raises `NotFound` with what there is."""
        sources = self._scan().sources
        if key in sources:
            return sources[key]
        siblings = [k.source_id for k in sources if k.model_id == key.model_id]
        if siblings:
            raise NotFound(f"{key.model_id} has no source “{key.source_id}” here. It has: {', '.join(sorted(siblings))}.")
        raise NotFound(f"There is no model “{key.model_id}” here. {self._models_here()}")

    def model(self, model_id: str) -> tuple[ModelManifest, Path]:
        """(manifest, folder) of a model; raises `NotFound` with what there is."""
        models = self._scan().models
        if model_id not in models:
            raise NotFound(f"There is no model “{model_id}” here. {self._models_here()}")
        return models[model_id]

    def models(self) -> tuple[ModelRecord, ...]:
        """Every model that has a source, by id."""
        snapshot = self._scan()
        used = {k.model_id for k in snapshot.sources}
        return tuple(m.record for name, (m, _) in sorted(snapshot.models.items()) if name in used)

    def sources(self) -> tuple[SourceRecord, ...]:
        """Every source, by model, set, layer and id."""
        records = [self._with_figures(e) for e in self._scan().sources.values()]
        return tuple(sorted(records, key=lambda r: (r.key.model_id, r.key.set_name, r.layer, r.key.source_id)))

    def source(self, key: SourceKey) -> SourceRecord:
        """One source's record, with its latest figures."""
        return self._with_figures(self.entry(key))

    def releases(self) -> tuple[ReleaseRecord, ...]:
        """Every release that has a source here, by name."""
        found = {r.release.name: r.release for r in self.sources()}
        return tuple(found[name] for name in sorted(found))

    def damaged(self) -> tuple[str, ...]:
        """Messages about manifests that could not be read."""
        return self._scan().damaged

    def _with_figures(self, entry: Entry) -> SourceRecord:
        record = entry.manifest.record
        figures = latest_figures(
            [root / record.key.model_id / record.key.source_id for root in self.roots],
            str(entry.manifest.build.get("weights_sha256")),
        )
        return replace(record, figures=figures) if figures else record

    def _models_here(self) -> str:
        names = sorted({k.model_id for k in self._scan().sources})
        return f"There is: {', '.join(names)}." if names else "Nothing has been built yet: `python -m core build CONFIG`."

    def _scan(self) -> _Snapshot:
        files: list[tuple[Path, Path]] = []
        for root in self.roots:
            if root.is_dir():
                files += [(root, p) for p in sorted(root.glob("*/model.json"))]
                files += [(root, p) for p in sorted(root.glob("*/*/source.json")) if not p.parent.name.startswith(".")]
        stamps: list[tuple[Path, Path, tuple[int, int]]] = []
        for root, path in files:
            try:
                stat = path.stat()
            except FileNotFoundError:  # replaced between the listing and here
                continue
            stamps.append((root, path, (stat.st_mtime_ns, stat.st_size)))
        with self._lock:
            mark = tuple(stamps)
            if self._snapshot is None or self._snapshot[0] != mark:
                self._snapshot = (mark, self._read(stamps))
            return self._snapshot[1]

    def _read(self, stamps: list[tuple[Path, Path, tuple[int, int]]]) -> _Snapshot:
        models: dict[str, tuple[ModelManifest, Path]] = {}
        sources: dict[SourceKey, Entry] = {}
        damaged: list[str] = []
        for root, path, stamp in stamps:
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
                models.setdefault(manifest.record.model_id, (manifest, path.parent))
            elif (path.parent.parent.name, path.parent.name) == (manifest.record.key.model_id, manifest.record.key.source_id):
                sources.setdefault(manifest.record.key, Entry(manifest, path.parent, root))
            else:
                damaged.append(f"{path.parent.parent.name}/{path.parent.name} says that it is {manifest.record.key}.")
        return _Snapshot(models, sources, tuple(damaged))
