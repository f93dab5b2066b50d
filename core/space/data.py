"""Copies the sources that a Space shows, with their weights, into its folder, so that nothing points out of it.

`built/` is a data root as any other (`core.catalog.manifest`), `weights/` stands beside it. What is on the hub stays a
reference: the Space fetches it there. The activation store stays behind, since pages and tests have what they show
without it; so do paths of the machine that it was built on. Costs reading and writing the files once.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.catalog.catalog import Entry
from core.catalog.manifest import ModelManifest, WeightsSpec, relative, write_model, write_source
from core.errors import NotAvailable
from core.settings import HERE
from core.space.licences import UNKNOWN, Licence, of_folder, of_hub

BUILT, WEIGHTS = "built", "weights"
MODEL_KINDS = frozenset({".json", ".safetensors", ".model", ".txt", ".jinja"})
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_TEXTS = frozenset({".txt", ".md", ".json", ".jsonl", ".csv", ".xz", ".gz", ".zst", ".bz2", ".parquet"})
LEFT = frozenset({"trainer_state.json", "all_results.json", "train_results.json", "eval_results.json"})
"""What training leaves beside a model."""


@dataclass(slots=True)
class Copied:
    """What was copied."""

    licences: list[Licence] = field(default_factory=list)
    hub: list[str] = field(default_factory=list)
    """Repositories of the hub that the Space fetches, `org/name`."""
    fetched: list[str] = field(default_factory=list)
    """The same as a person would write it, names of TransformerLens and SAELens too."""
    memory: int = 0
    """Bytes of all weights in float32."""


def copy_model(manifest: ModelManifest, folder: Path, space: Path, into: Copied) -> None:
    """Copies a model's manifest, vocabulary and weights; `folder` is where its manifest stands.

    Raises:
        NotAvailable: its weights are gone.
    """
    record, spec, part = manifest.record, manifest.spec, f"model {manifest.record.model_id}"
    target = space / BUILT / record.model_id
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "vocabulary.arrow", target / "vocabulary.arrow")
    if spec.path:
        place = (folder.parent / spec.path).resolve()
        if not (place / "config.json").is_file():
            raise NotAvailable(f"The weights of {record.model_id} are not at {place} any more.")
        weights = space / WEIGHTS / record.model_id / "model"
        _copy(_model_files(place), weights)
        spec = replace(spec, path=relative(weights, space / BUILT))
        into.licences.append(of_folder(part, place))
    elif spec.hub:
        into.hub.append(spec.hub)
        into.licences.append(of_hub(part, spec.hub))
    else:
        into.licences.append(Licence(part, "as its page on the hub says"))
    if not spec.path:
        into.fetched.append(spec.origin)
    into.memory += 4 * record.parameters
    write_model(
        target / "model.json", replace(manifest, record=replace(record, origin=_bare(record.origin)), spec=spec)
    )


def _model_files(folder: Path) -> list[Path]:
    """What loading a Hugging Face folder reads: configuration, tokenizer, weights; pickled ones for want of others."""
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name not in LEFT]
    found = [p for p in files if p.suffix in MODEL_KINDS or p.name.upper().startswith("LICEN")]
    if not any(p.suffix == ".safetensors" for p in found):
        found += [p for p in files if p.name.startswith("pytorch_model") and p.suffix == ".bin"]
    return found


def copy_source(entry: Entry, space: Path, into: Copied) -> None:
    """Copies a source's manifest, dashboards and weights.

    Raises:
        NotAvailable: its weights are gone.
    """
    manifest, key = entry.manifest, entry.record.key
    target = space / BUILT / key.model_id / key.source_id
    kept = {name: digest for name, digest in manifest.checksums.items() if "/" not in name}  # no store
    _copy([entry.folder / name for name in kept], target)
    weights = _copy_weights(entry, space, into)
    record = replace(
        entry.record, has=tuple(one for one in manifest.record.has if one != "store"),
        origin=_bare(entry.record.origin),
        dataset=_bare(entry.record.dataset),
    )  # fmt: skip
    write_source(target / "source.json", replace(manifest, record=record, weights=weights, checksums=kept))
    into.licences.append(_texts(entry))


def _copy_weights(entry: Entry, space: Path, into: Copied) -> WeightsSpec:
    """Copies what a source's weights are read from; where they then are."""
    spec, key, record = entry.manifest.weights, entry.record.key, entry.record
    part = f"{'directions' if spec.kind == 'directions' else 'dictionary'} {key}"
    if spec.kind == "neurons":
        return spec  # they are the model's own
    into.memory += 8 * record.width * record.d_in
    if spec.path:
        place = (entry.root / spec.path).resolve()
        target = space / WEIGHTS / key.model_id / key.source_id
        if place.is_file():
            _copy([place], target)
            into.licences.append(of_folder(part, place.parent))
            return replace(spec, path=relative(target / place.name, space / BUILT))
        if not place.is_dir():
            raise NotAvailable(f"The weights of {key} are not at {place} any more.")
        _copy([p for p in sorted(place.iterdir()) if p.suffix in MODEL_KINDS], target)
        into.licences.append(of_folder(part, place))
        return replace(spec, path=relative(target, space / BUILT))
    into.fetched.append(spec.origin)
    if spec.hub:
        into.hub.append(spec.hub)
        into.licences.append(of_hub(part, spec.hub))
    else:
        into.licences.append(Licence(part, f"as SAELens's release {spec.release} says"))
    return spec


def _texts(entry: Entry) -> Licence:
    """Of the texts whose passages are shown as examples."""
    dataset = entry.record.dataset
    part = f"passages of {_bare(dataset)}"
    folder = (entry.root.parent / dataset).parent
    if folder.resolve() != HERE and (found := of_folder(part, folder)).name != UNKNOWN:
        return found
    if _HUB.fullmatch(dataset) and Path(dataset).suffix not in _TEXTS:
        return of_hub(part, dataset, "datasets/")
    return Licence(part, UNKNOWN)


def _bare(origin: str) -> str:
    """An origin without the folders of somebody's machine."""
    return Path(origin).name if os.path.isabs(origin) or origin.startswith(("~", "..")) else origin


def _copy(files: Sequence[Path], target: Path) -> None:
    """Copies files of one folder.

    Raises:
        NotAvailable: one of them is missing or cannot be read.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        try:
            shutil.copyfile(path, target / path.name)
        except OSError as error:
            raise NotAvailable(f"{path} cannot be copied ({error.strerror}).") from error
