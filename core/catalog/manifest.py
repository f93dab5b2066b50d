"""`source.json` and `model.json`: the two manifests of a data root, read and written.

`<root>/<model_id>/model.json` says where a model's weights are and what its vocabulary is; beside it stands
`vocabulary.arrow`. `<root>/<model_id>/<source_id>/source.json` describes one built source. A path inside a manifest is
relative to the data root where it lies near it, so that a root can be moved with its models.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.errors import BadData, WorkbenchError
from core.records import ModelRecord, SourceRecord
from core.store.layout import regular

FORMAT = 1
"""Version of the layout; a reader refuses another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Where a model comes from; exactly one of `path`, `hub` and `transformer_lens` is set."""

    id: str
    path: str | None = None
    """A local Hugging Face folder."""
    hub: str | None = None
    """A hub repository, `org/name`."""
    transformer_lens: str | None = None
    """A name that TransformerLens knows."""
    revision: str | None = None
    commit: str | None = None
    """The commit of the hub that the revision was when the model was first loaded; it is loaded from there on."""
    randomised: str | None = None
    """A control: `random`, its weights are drawn again; `kept`, but for the embeddings (core.models.randomised)."""
    seed: int = 0
    """Of that draw."""

    @property
    def origin(self) -> str:
        """As a person would write it."""
        place = self.path or self.hub or self.transformer_lens or ""
        return f"{place}@{self.revision}" if self.revision else place


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """Where a source's weights come from."""

    kind: str
    """`sae` (transcoders too), `neurons` or `directions`."""
    path: str | None = None
    """A SAELens folder, or a safetensors file of directions."""
    release: str | None = None
    sae_id: str | None = None
    hub: str | None = None
    folder: str | None = None
    revision: str | None = None
    commit: str | None = None
    """As of a model; a SAELens release is asked for at it too (`core.sources.pinned`)."""
    hook: str | None = None
    """Where it belongs; None leaves it to the SAE's own metadata."""
    hook_out: str | None = None
    """Where a transcoder writes; None leaves it to its own metadata."""
    tensor: str | None = None
    """The tensor of a file of directions; None takes all."""

    @property
    def origin(self) -> str:
        """As a person would write it."""
        if self.kind == "neurons":
            return "the model's own MLP"
        if self.release:
            return f"SAELens {self.release}/{self.sae_id}"
        if self.hub:
            place = f"{self.hub}/{self.folder}" if self.folder else str(self.hub)
            return f"{place}@{self.revision}" if self.revision else place
        return self.path or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelManifest:
    """`model.json`."""

    record: ModelRecord
    spec: ModelSpec
    bos: int | None
    """Token that every prompt begins with; None for a model that has none."""
    special: tuple[int, ...]
    """Tokens left out of every statistic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceManifest:
    """`source.json`."""

    record: SourceRecord
    weights: WeightsSpec
    build: dict[str, Any]
    """Parameters of the build, as the configuration gave them."""
    checksums: dict[str, str]
    """SHA-256 of each file beside the manifest."""


def relative(path: Path, root: Path) -> str:
    """`path` as a manifest of `root` writes it: relative if it lies within the folder above the root."""
    path, root = path.resolve(), root.resolve()
    near = path.is_relative_to(root.parent) and root.parent != Path(root.anchor)
    return os.path.relpath(path, root) if near else str(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadData(f"{path.name} of {path.parent.name} cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else None
        raise BadData(
            f"{path.name} of {path.parent.name} is of format {found}; this version reads format {FORMAT}. "
            "Build it again."
        )
    return data


T = TypeVar("T")


_MODEL, _SOURCE = TypeAdapter(ModelManifest), TypeAdapter(SourceManifest)


def _checked(adapter: TypeAdapter[T], path: Path, data: dict[str, Any]) -> T:
    """`data` as a record, every type checked; what the record does not know, a later version wrote, is left out."""
    try:
        return adapter.validate_python(data)
    except (ValidationError, WorkbenchError) as error:
        first = (
            f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
            if isinstance(error, ValidationError)
            else error
        )
        raise BadData(f"{path.name} of {path.parent.name} is damaged: {first}") from error


def read_model(path: Path) -> ModelManifest:
    """Reads `model.json`; raises `BadData` if it is damaged or of another format."""
    data = _read(path)
    return _checked(_MODEL, path, data | {"record": data.get("model")})


def write_model(path: Path, manifest: ModelManifest) -> None:
    """Writes `model.json` beside and renames it."""
    _write(path, {
        "format": FORMAT, "model": asdict(manifest.record), "spec": asdict(manifest.spec),
        "bos": manifest.bos, "special": list(manifest.special),
    })  # fmt: skip


def read_source(path: Path) -> SourceManifest:
    """Reads `source.json`; raises `BadData` if it is damaged or of another format."""
    data = _read(path)
    return _checked(_SOURCE, path, data | {"record": data.get("source")})


def write_source(path: Path, manifest: SourceManifest) -> None:
    """Writes `source.json`; its folder becomes visible only when it is renamed (`core.store.write`)."""
    _write(path, {
        "format": FORMAT, "source": asdict(manifest.record), "weights": asdict(manifest.weights),
        "build": manifest.build, "checksums": manifest.checksums,
    })  # fmt: skip


def _write(path: Path, data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
