"""Where an evaluation's figures are kept: `<root>/<model>/<source>/derived/eval-<hash>/figures.json`.

Torch-free, so that the catalog can show figures without loading what measured them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from core.records import Figures

_FIGURES = TypeAdapter(Figures)


def latest_figures(folders: Sequence[Path], weights: str) -> Figures | None:
    """The newest figures under any of a source's folders that were measured with weights of this SHA-256, or None.

    A damaged file counts as absent.
    """
    found: list[Figures] = []
    for folder in folders:
        for path in folder.glob("derived/eval-*/figures.json"):
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
                if data["weights_sha256"] != weights:
                    continue
                found.append(_FIGURES.validate_python(data["figures"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return max(found, key=lambda f: f.made, default=None)


def write_figures(folder: Path, figures: Figures, weights: str, details: dict[str, Figures]) -> Path:
    """Writes figures of the source in `folder`, measured with weights of this SHA-256, and returns the file.

    `details` are figures of the same run that go beside them, such as those with BOS.
    """
    mark = hashlib.sha256(json.dumps([figures.dataset, figures.tokens, weights]).encode()).hexdigest()
    target = folder / "derived" / f"eval-{mark[:12]}"
    target.mkdir(parents=True, exist_ok=True)
    beside = target / f".figures.json.{os.getpid()}"
    beside.write_text(
        json.dumps(
            {"figures": asdict(figures), "weights_sha256": weights} | {k: asdict(v) for k, v in details.items()},
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    os.replace(beside, target / "figures.json")
    return target / "figures.json"
