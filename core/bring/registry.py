"""SAELens's registry of published SAEs, read without SAELens: which releases there are, of which model, what they hold.

The file is the installed package's own. Cost: a second to read 1.5 MB of YAML, once a process. Torch-free.
"""

from __future__ import annotations

import difflib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from core.errors import NotAvailable, NotFound


@cache
def releases() -> dict[str, dict[str, Any]]:
    """Every release by name: `model`, `repo_id`, `saes` and more; raises `NotAvailable` where SAELens is not here."""
    found = importlib.util.find_spec("sae_lens")
    if found is None or not found.submodule_search_locations:
        raise NotAvailable("SAELens is not installed here, so its registry cannot be read.")
    path = Path(found.submodule_search_locations[0]) / "pretrained_saes.yaml"
    try:
        with path.open(encoding="utf-8") as file:
            data = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # both are safe
    except (OSError, yaml.YAMLError) as error:
        raise NotAvailable(f"SAELens's registry cannot be read: {error}") from error
    return {str(name): one for name, one in data.items() if isinstance(one, dict) and one.get("saes")}


def release(name: str) -> dict[str, Any]:
    """One release; raises `NotFound` with those whose names are near."""
    known = releases()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f" Near it: {', '.join(near)}." if near else ""
        raise NotFound(f"SAELens knows no release “{name[:96]}”.{hint}")
    return known[name]


def saes(name: str) -> dict[str, dict[str, Any]]:
    """The SAEs of a release by their id; empty for a release that SAELens does not know."""
    return {str(one["id"]): one for one in releases().get(name, {}).get("saes", ()) if "id" in one}


def sae(name: str, sae_id: str) -> dict[str, Any]:
    """One SAE of a release; raises `NotFound` with those whose ids are near."""
    release(name)
    known = saes(name)
    if sae_id not in known:
        near = difflib.get_close_matches(sae_id, known, n=3, cutoff=0.3) or list(known)[:3]
        raise NotFound(f"The release {name} has no SAE “{sae_id[:96]}”. It has {len(known):,}: {', '.join(near)}, ….")
    return known[sae_id]
