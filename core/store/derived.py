"""What is made later from a source: `<root>/<model>/<source>/derived/<kind>-<hash>/`, whole or not visible.

The hash is of what it was made from, so that what was made from an earlier build, or from other sources, is never taken
for this one's. `made.json` in it says what that was, and when. Found in every data root, written to the writable one.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import NotAvailable
from core.records import SourceKey

MADE = "made.json"
STAMP = (
    "weights_sha256", "model_sha256", "model_settings_sha256", "dataset_sha256", "hook", "hook_out", "context", "dtype",
)  # fmt: skip
"""Of a build's stamp: what its weights, non-zeros and documents depend on."""


def stamp(build: Mapping[str, Any]) -> dict[str, Any]:
    """What of a build's stamp decides everything that is made from it; of an import its files."""
    imported = build.get("imported")
    own = {"imported": imported.get("stamp")} if isinstance(imported, dict) else {}
    return {name: build.get(name) for name in STAMP} | own


def folder_name(kind: str, made_from: Mapping[str, Any]) -> str:
    """`<kind>-<hash of what it was made from>`."""
    return f"{kind}-{hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:12]}"


def find(roots: Sequence[Path], key: SourceKey, kind: str, made_from: Mapping[str, Any]) -> Path | None:
    """The folder, from the first root that has it; None if it was not made."""
    places = (folder(root / key.model_id / key.source_id, kind, made_from) for root in roots)
    return next((place for place in places if (place / MADE).is_file()), None)


def read_made(place: Path) -> dict[str, Any]:
    """Its `made.json`; empty if that is damaged."""
    try:
        found = json.loads((place / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def making(
    root: Path, key: SourceKey, kind: str, made_from: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[Path]:
    """A folder to write files into; it gets its name when the block ends, and nothing stays of it if that fails.

    `facts` go into `made.json` and may still be added to within the block.

    Raises:
        NotAvailable: it cannot be written.
    """
    with making_in(root / key.model_id / key.source_id, kind, made_from, facts) as beside:
        yield beside


def folder(source: Path, kind: str, made_from: Mapping[str, Any]) -> Path:
    """Where it lies in a source's folder."""
    return source / "derived" / folder_name(kind, made_from)


@contextmanager
def making_in(source: Path, kind: str, made_from: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Path]:
    """`making` in the folder of a source, such as one that is still being built.

    Raises:
        NotAvailable: it cannot be written.
    """
    target = folder(source, kind, made_from)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        made = {"made": datetime.date.today().isoformat(), "from": dict(made_from), **facts}
        (beside / MADE).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(beside, target)
    except OSError as error:
        raise NotAvailable(f"{target} was not written: {error.strerror or error}. Set FEATURESCOPE_DATA.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
