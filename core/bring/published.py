"""Figures that come with an SAE: what SAELens's registry says of it, or files that lie beside its weights.

    pretrained_saes.yaml of SAELens        `l0`, `variance_explained`
    eval_results.json (dictionary_learning, SAEBench)   `l0`, `frac_variance_explained`, `frac_recovered`
    sparsity.safetensors (SAELens)         log10 of each feature's density in training, whose sum is L0

They are of other texts than those at hand, so they are there to compare with, not to be met. Torch-free.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from core.bring import registry
from core.bring.records import Published

RESULTS, SPARSITY = "eval_results.json", "sparsity.safetensors"
FILES = (RESULTS, SPARSITY)
"""Beside the weights."""
LARGEST = 2**20
"""Bytes of figures that are read."""


def of_registry(release: str, sae_id: str) -> Published:
    """What SAELens's registry says; nothing for an SAE that it does not know."""
    entry = registry.saes(release).get(sae_id, {})
    return Published(
        l0=_number(entry, "l0"), explained_variance=_number(entry, "variance_explained"), by="SAELens’s registry"
    )


def of_folder(folder: Path) -> Published:
    """What files beside the weights say."""
    try:
        path = folder / RESULTS
        data = json.loads(path.read_bytes()[:LARGEST]) if path.is_file() else None
        if isinstance(data, dict):
            return Published(
                l0=_number(data, "l0"), explained_variance=_number(data, "frac_variance_explained"),
                ce_loss_score=_number(data, "frac_recovered"), by=f"its {RESULTS}",
            )  # fmt: skip
    except (OSError, ValueError):
        pass
    l0 = _from_sparsity(folder / SPARSITY)
    return Published() if l0 is None else Published(l0=l0, by=f"its {SPARSITY}")


def of_hub(repository: str, folder: str | None, revision: str | None) -> Published:
    """The same of a hub repository's folder; nothing where they are not there or the hub is away."""
    from huggingface_hub import hf_hub_download

    prefix = f"{folder.strip('/')}/" if folder else ""
    for name in FILES:
        try:
            path = hf_hub_download(repository, prefix + name, revision=revision)
        except Exception:  # of many kinds; none of them is worth a word, since nobody promised figures
            continue
        if found := of_folder(Path(path).parent):
            return found
    return Published()


def _from_sparsity(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        import numpy as np
        from safetensors.numpy import load_file

        values = next(iter(load_file(path).values())).astype(np.float64)
        found = float((10.0**values).sum())
    except Exception:  # a damaged file is no figure
        return None
    return found if math.isfinite(found) and found > 0 else None


def _number(data: Mapping[str, object], name: str) -> float | None:
    value = data.get(name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good and value else None  # type: ignore[arg-type]
