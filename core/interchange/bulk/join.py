"""Gives an imported source its weights: from then on it is tested, searched and steered as one that was built here.

Where they are says a build configuration, by `model:` and by the source of the same id; `dataset:` may be missing.
Before anything is written the weights are loaded and compared with what was imported: the width, the hook, and the
values that the model gives on the texts of some examples. What was made from other weights or another layer is refused.
Cost: loading the model and the dictionary, and one pass of some short texts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from pydantic import ValidationError

from core.catalog.catalog import Entry
from core.catalog.manifest import WeightsSpec, relative, write_model, write_source
from core.errors import BadConfig, Conflict, NotFound
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.build.config import BuildConfig, SourceConfig
    from core.models.loading import LoadedModel
    from core.sources.dictionary import Dictionary
    from core.workbench import Workbench

EXAMPLES = 16
"""Texts that are run to compare values."""
NEAR = 0.1
"""How far a value may be from the imported one, as a share of it: exports round, and some ran in half precision."""
ENOUGH = 0.5
"""The share of examples that must come out so: an export may show the end of a text alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A source that has its weights now."""

    key: SourceKey
    origin: str
    compared: int
    """Texts that were run."""
    agreed: int
    """Of them, those whose maximum is within a tenth of the imported one's."""


def read(path: Path) -> BuildConfig:
    """A build configuration of which `dataset` may be missing.

    Raises:
        BadConfig: it cannot be read, or names what is not there.
    """
    from core.build.config import BuildConfig, read_config

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadConfig(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict) or "dataset" in data:
        return read_config(path)
    try:
        return BuildConfig.model_validate(data | {"dataset": {"hub": "none"}, "folder": path.resolve().parent})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadConfig(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def join(bench: Workbench, config: BuildConfig, only: tuple[SourceKey, ...], *, anyway: bool) -> tuple[Joined, ...]:
    """Joins the sources of a configuration that were imported; see `core.interchange.bulk.door.Exchange.join`."""
    made, lacking = [], []
    for source in config.sources:
        key = SourceKey(config.model.id, source.id)
        try:
            entry = bench.catalog.entry(key)
        except NotFound:
            lacking.append(str(key))
            continue
        if "weights" not in entry.record.has and (not only or key in only):
            made.append((entry, source))
    if not made:
        here = f" There is no {', '.join(lacking)} here." if lacking else ""
        raise NotFound(f"No source of the configuration was imported and lacks its weights.{here}")
    model = _model(bench, config)
    return tuple(_one(bench, config, entry, source, model, anyway=anyway) for entry, source in made)


def _model(bench: Workbench, config: BuildConfig) -> LoadedModel:
    """The model: the one that is here if it has a place, else the configuration's."""
    from core.models import loading

    manifest, _ = bench.catalog.model(config.model.id)
    spec = manifest.spec
    if spec.path or spec.hub or spec.transformer_lens:
        return bench._model_slot(config.model.id).get()
    model = loading.load(
        config.model_spec(), device=bench.settings.device, name=config.model.name, description=config.model.description
    )
    loading.lay_out(model)
    return model


def _one(
    bench: Workbench, config: BuildConfig, entry: Entry, source: SourceConfig, model: LoadedModel, *, anyway: bool
) -> Joined:
    from core.sources import dictionary

    key, record = entry.record.key, entry.record
    if entry.root.resolve() != bench.settings.data.resolve():
        raise Conflict(f"{key} is in a folder that is only read: {entry.root}.")
    spec = config.weights_spec(source)
    found = dictionary.load(spec, model, hook=record.hook or None, device=bench.settings.device)
    _fits(key, entry, found)
    compared, agreed = _compare(bench, key, found, model)
    if compared and agreed < ENOUGH * compared and not anyway:
        raise BadConfig(
            f"These are not the weights of {key}, or not its model: of {compared} examples the strongest value is near "
            f"the imported one in {agreed}. --anyway takes them nevertheless."
        )
    _write(bench, entry, spec, found, model)
    return Joined(key=key, origin=config.weights_origin(source), compared=compared, agreed=agreed)


def _fits(key: SourceKey, entry: Entry, found: Dictionary) -> None:
    record = entry.record
    if found.width != record.width:
        raise BadConfig(f"The weights have {found.width:,} features, and {key} was imported with {record.width:,}.")
    if record.hook and found.hook != record.hook:
        raise BadConfig(f"The weights belong at {found.hook}, and {key} was made at {record.hook}.")


def _compare(bench: Workbench, key: SourceKey, found: Dictionary, model: LoadedModel) -> tuple[int, int]:
    """(examples that were run, those whose strongest value is near the imported one)."""
    from core.techniques.reading import token_ids

    texts, wanted = [], []
    for index in np.linspace(0, bench.source(key).width - 1, EXAMPLES).astype(int).tolist():
        record = bench.feature(FeatureKey(key.model_id, key.source_id, index))
        tops = [e for group in record.groups if group.kind in ("raw", "diverse") for e in group.examples if e.value > 0]
        if tops:
            texts.append("".join(t.text for t in tops[0].tokens if not t.special))
            wanted.append((index, tops[0].value))
    if not texts:
        return 0, 0
    rows = token_ids(model, texts)
    return len(texts), sum(_near(found, model, *one) for one in zip(rows, wanted, strict=True))


def _near(found: Dictionary, model: LoadedModel, ids: list[int], wanted: tuple[int, float]) -> bool:
    """Whether the strongest value on a text is about the imported one."""
    import torch

    from core.models.capture import capture

    index, value = wanted
    with torch.no_grad():
        hidden = capture(model, torch.tensor([ids]), [found.hook])[found.hook][0]
        values = found.values(hidden.float(), torch.tensor([index]))[:, 0].tolist()
    best = max((v for v, i in zip(values, ids, strict=True) if i not in model.manifest.special), default=0.0)
    return abs(best - value) <= NEAR * abs(value)


def _write(bench: Workbench, entry: Entry, spec: WeightsSpec, found: Dictionary, model: LoadedModel) -> None:
    """The two manifests, each replaced at once."""
    root, key = bench.settings.data, entry.record.key
    manifest, folder = bench.catalog.model(key.model_id)
    if not (manifest.spec.path or manifest.spec.hub or manifest.spec.transformer_lens):
        place = model.manifest.spec
        place = replace(place, path=relative(Path(place.path), root)) if place.path else place
        model.vocabulary.write(folder / "vocabulary.arrow")
        write_model(folder / "model.json", replace(model.manifest, spec=place))
    if spec.path:
        spec = replace(spec, path=relative(Path(spec.path), root))
    has = ("dashboards", "weights", *(one for one in entry.manifest.record.has if one not in ("dashboards", "weights")))
    record = replace(
        entry.manifest.record, has=has, hook=found.hook, kind=found.kind, architecture=found.architecture,
        d_in=found.d_in, hook_out=found.hook_out if found.hook_out != found.hook else "", origin=spec.origin,
    )  # fmt: skip
    write_source(entry.folder / "source.json", replace(entry.manifest, record=record, weights=spec))
    bench.catalog.refresh()
