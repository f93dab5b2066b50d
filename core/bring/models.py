"""Which model a name means, whether its weights are on this machine, and how large they are.

A model that has sources in the catalog is taken as it is there. Otherwise a name without a slash is TransformerLens's,
one with a slash the hub's, and a path a Hugging Face folder. Torch-free; a model that is not here costs a listing of
the hub, or nothing where that is away.
"""

from __future__ import annotations

import importlib.util
import re
import runpy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from core import hub
from core.bring.records import ModelFound
from core.catalog.catalog import Catalog
from core.catalog.manifest import ModelSpec
from core.errors import WorkbenchError
from core.records import LONGEST

Finder = Callable[[str], ModelFound]
WEIGHTS = (".safetensors", ".bin")


class Models:
    """Models by name, over a catalog. `allowed` gives a path of the server, or refuses it."""

    def __init__(self, catalog: Catalog, allowed: Callable[[str], Path]) -> None:
        self._catalog, self._allowed = catalog, allowed

    def find(self, name: str) -> ModelFound:
        """The model that `name` means; raises `NotAllowed` and `NotFound` for a path that is none of ours."""
        name = name.strip()
        for record in self._catalog.models():
            manifest, folder = self._catalog.model(record.model_id)
            spec = manifest.spec
            if name in known_as(spec, record.name):
                path = str((folder.parent / spec.path).resolve()) if spec.path else ""
                found = ModelFound(
                    id=spec.id, said=name, transformer_lens=spec.transformer_lens or "", hub=spec.hub or "", path=path,
                    revision=spec.revision or "", built=True,
                )  # fmt: skip
                return self._sized(found)
        if name.startswith((".", "/", "~")):
            path = str(self._allowed(name))
            return self._sized(ModelFound(id=slug(Path(path).name), said=name, path=path))
        if "/" in name:
            repository, _, revision = name.partition("@")
            return self._sized(
                ModelFound(id=slug(repository.split("/")[-1]), said=name, hub=repository, revision=revision)
            )
        return self._sized(ModelFound(id=slug(name), said=name, transformer_lens=name))

    def ids(self) -> Sequence[str]:
        """The models that have sources here."""
        return [record.model_id for record in self._catalog.models()]

    def _sized(self, found: ModelFound) -> ModelFound:
        if found.path:
            files = [path for path in Path(found.path).glob("*") if path.suffix in WEIGHTS]
            return replace(found, here=bool(files), bytes=sum(path.stat().st_size for path in files) or None)
        repository = found.hub or official(found.transformer_lens)
        here = cached(repository, found.revision or None)
        return replace(found, here=here, bytes=None if here else _bytes(repository, found.revision or None))


def known_as(spec: ModelSpec, name: str) -> set[str]:
    """The names by which an SAE may call a model of the catalog."""
    names = {spec.id, name, spec.hub or "", spec.transformer_lens or ""}
    for one in (spec.hub, spec.transformer_lens):
        if one:
            names |= {official(one), *aliases().get(official(one), ())}
    return names - {""}


@cache
def aliases() -> dict[str, list[str]]:
    """TransformerLens's own names of models, by the hub's; read without TransformerLens, which brings torch."""
    found = importlib.util.find_spec("transformer_lens")
    for place in found.submodule_search_locations or () if found else ():
        path = Path(place) / "supported_models.py"
        if path.is_file():
            known = runpy.run_path(str(path)).get("MODEL_ALIASES", {})
            return {str(name): [str(one) for one in others] for name, others in known.items()}
    return {}


def official(name: str) -> str:
    """The hub's name of a model that TransformerLens may call otherwise."""
    lower = name.lower()
    for repository, others in aliases().items():
        if lower == repository.lower() or lower in {one.lower() for one in others}:
            return repository
    return name


def cached(repository: str, revision: str | None) -> bool:
    """Whether a model's weights are in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    try:
        return any(isinstance(try_to_load_from_cache(repository, one, revision=revision), str) for one in names)
    except (OSError, ValueError):  # no name of a repository
        return False


def _bytes(repository: str, revision: str | None) -> int | None:
    """To download: the safetensors where there are some."""
    from huggingface_hub import HfApi

    try:
        with hub.said(repository, revision):
            files = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=10).siblings or []
    except WorkbenchError:  # whether it is there is seen when it is loaded
        return None
    for ending in WEIGHTS:
        kept = [one for one in files if one.rfilename.endswith(ending)]
        if kept:
            return hub.size(kept)
    return None


def slug(name: str) -> str:
    """A name as a model's id, or a part of a source's: letters, digits, “.”, “_” and “-”."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[: LONGEST - 16] or "model"
