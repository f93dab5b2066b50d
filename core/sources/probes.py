"""Probes as they are kept: what was trained on which texts, how well it does, and the direction that it is known by.

The direction itself is a user's direction like any (`core.community.local`), under the same key, so that it is tested
and steered with as those are. What else is known of it is in `<model_id>/.probes/` of the data root.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.errors import BadData, NotAvailable
from core.records import FeatureKey
from core.sources.probe_records import ProbeRecord

FOLDER = ".probes"


_PROBE = TypeAdapter(ProbeRecord)


def keep(data: Path, record: ProbeRecord) -> None:
    """Writes a probe beside its place and renames it; the direction is kept elsewhere.

    Raises:
        NotAvailable: the data root cannot be written.
    """
    path = _path(data, record.key)
    told = asdict(record) | {"values": (), "key": asdict(record.key)}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise NotAvailable(f"The probe cannot be kept: {error.strerror or error}. Set FEATURESCOPE_DATA.") from error


def kept(data: Path, key: FeatureKey, values: tuple[float, ...]) -> ProbeRecord | None:
    """A probe with its direction's `values`; None if that direction is none.

    Raises:
        BadData: what was kept cannot be read.
    """
    path = _path(data, key)
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return _PROBE.validate_python(found | {"values": values})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise BadData(f"The probe {key} cannot be read: it is damaged, or another version kept it.") from error


def _path(data: Path, key: FeatureKey) -> Path:
    return data / key.model_id / FOLDER / f"{key.source_id}-{key.index}.json"
