"""Steerings to begin with, from `configs/steer.yaml`.

A list of `{name, note, model, features: [{id, strength}], prompt, method}`; whatever else a `SteerAsk` has (`length`,
`seed`, `unit`, …) may stand there too. Costs reading a small file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from core.errors import BadConfig, BadInput
from core.records import Preset, SteerAsk
from core.settings import HERE

FILE = HERE / "configs" / "steer.yaml"


def read_presets(path: Path = FILE) -> tuple[Preset, ...]:
    """Every one of the file; none where there is no file.

    Raises:
        BadConfig: the file cannot be read, or an entry is not one.
    """
    if not path.is_file():
        return ()
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path.name} cannot be read as YAML: {error}") from error
    if not isinstance(found, list):
        raise BadConfig(f"{path.name} is no list of presets.")
    return tuple(_preset(path.name, n, entry) for n, entry in enumerate(found, 1))


def _preset(name: str, number: int, entry: Any) -> Preset:
    try:
        more = dict(entry)
        of = {one["id"]: float(one.get("strength", 0)) for one in more.pop("features")}
        return Preset(
            name=more.pop("name"), note=more.pop("note", ""),
            ask=SteerAsk.of(more.pop("model"), more.pop("prompt", ""), of, **more),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, BadInput) as error:
        raise BadConfig(f"{name}: entry {number} is no preset: {error!r}") from error
