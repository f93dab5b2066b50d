"""Reads an SAE from a folder, a hub repository or a release of SAELens's, in float32 and with nothing folded.

A folder is SAELens's, sparsify's or dictionary_learning's (`core.sources.folders`); the latter two have readers of
their own. SAELens's own loaders read the first, also what versions before 6 wrote. A BatchTopK or matryoshka SAE as a
training run saves it is taken in the form that SAELens gives it for inference: JumpReLU with the threshold that
training kept, and decoder norms folded if it rescales by them. A release for which SAELens knows a norm scaling factor
comes with that factor folded, as `SAE.from_pretrained` gives it; a folder that still says `expected_average_only_in` is
encoded as SAELens encodes it, without any factor. Cost: the weights in memory once, a hash over them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core import hub
from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig, NotAvailable, WorkbenchError
from core.sources import pinned
from core.sources.folders import EXPECTED, FILES, format_of, read_json
from core.sources.sae import Sae
from core.sources.said import said, translated

CONFIG = "cfg.json"
_TRAINING = ("batchtopk", "matryoshka_batchtopk")
"""Architectures that SAELens has for training alone."""


def load_sae(spec: WeightsSpec, device: str) -> Sae:
    """The SAE that `spec` names.

    Raises:
        NotAvailable: the weights are not where the manifest says.
        BadConfig: they are there, but are no SAE that can be a source; the message says why.
    """
    raw: Mapping[str, Any] | None = None
    commit: str | None = None
    try:
        if spec.release:
            sae, commit = _of_release(spec, device)
        else:
            folder = Path(spec.path) if spec.path else _download(spec)
            commit = None if spec.path else hub.commit_of(folder)
            sae = _from_folder(folder, device)
            raw = read_json(folder / CONFIG) if format_of(folder) == "saelens" else None
    except WorkbenchError:
        raise
    except Exception as error:  # SAELens raises many kinds; all mean that these weights are no SAE it knows
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"The SAE {spec.origin} cannot be loaded: {first}") from error
    for name, value in sae.state_dict().items():
        if not value.sum(dtype=torch.float64).isfinite():  # float32 cannot overflow it, and NaN and inf stay
            raise BadConfig(f"The SAE {spec.origin} is damaged: {name} holds numbers that are not finite.")
    sae.eval().requires_grad_(False)
    try:
        metadata = sae.cfg.metadata
        hook, out = (translated(metadata, name) for name in ("hook_name", "hook_name_out"))
        hook, out, about = spec.hook or hook, spec.hook_out or out, said(metadata, raw)
        return Sae(sae, _sha256(sae), hook=hook, hook_out=out, said=about, commit=commit)
    except BadConfig as error:
        raise BadConfig(f"The SAE {spec.origin}: {error}") from None


def _of_release(spec: WeightsSpec, device: str) -> tuple[Any, str | None]:
    """(the SAE of a release, the commit of its repository), at what the manifest or the build names, or the newest."""
    from sae_lens import SAE
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    known = get_pretrained_saes_directory().get(str(spec.release))
    repository = known.repo_id if known else str(spec.release)
    revision = spec.commit or spec.revision
    with hub.said(repository, revision, f"The SAE {spec.origin} cannot be loaded: "), pinned.at(repository, revision):
        sae = SAE.from_pretrained(str(spec.release), str(spec.sae_id), device=device)
    return sae, hub.newest(repository, revision or "main")


def _from_folder(folder: Path, device: str) -> Any:
    """The SAE of a folder."""
    from sae_lens import SAE

    kind = format_of(folder)
    if kind is None:
        raise NotAvailable(f"The SAE is not at {folder} any more (no {EXPECTED} there).")
    if kind == "sparsify":
        from core.sources.sparsify import load_sparsify

        return load_sparsify(folder, device)
    if kind == "dictionary_learning":
        from core.sources.dictlearn import load_dictlearn

        return load_dictlearn(folder, device)
    if json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("architecture") in _TRAINING:
        return _for_inference(folder, device)
    return SAE.load_from_disk(folder, device=device, dtype="float32")


def _for_inference(folder: Path, device: str) -> Any:
    """What SAELens's `save_inference_model` makes of an SAE that was saved in training."""
    from sae_lens import SAE, TrainingSAE

    trained = TrainingSAE.load_from_disk(folder, device=device, dtype="float32")
    state = {name: value.detach().clone() for name, value in trained.state_dict().items()}
    trained.process_state_dict_for_saving_inference(state)
    sae = SAE.from_dict(trained.cfg.get_inference_sae_cfg_dict() | {"metadata": trained.cfg.metadata.to_dict()})
    sae.load_state_dict(state)
    return sae


def _download(spec: WeightsSpec) -> Path:
    """Fetches an SAE's files from the hub, in whatever format, or finds them in the cache; the folder of a commit."""
    from huggingface_hub import snapshot_download

    prefix = f"{spec.folder.strip('/')}/" if spec.folder else ""
    wanted = sorted({prefix + name for names in FILES.values() for name in names})
    above = prefix.rstrip("/").rpartition("/")[0]
    if prefix:
        wanted.append(f"{above}/config.json" if above else "config.json")  # what sparsify says of the whole run
    place = f"{spec.hub}@{spec.revision}" if spec.revision else str(spec.hub)
    revision = spec.commit or spec.revision
    with hub.said(str(spec.hub), spec.revision, f"The SAE {spec.origin} cannot be loaded: "):
        root = Path(snapshot_download(str(spec.hub), revision=revision, allow_patterns=wanted))
    if format_of(root / prefix) is None:
        missing = f"{prefix}{CONFIG}, nor {prefix}{' and '.join(FILES['dictionary_learning'])}"
        raise BadConfig(f"The SAE {spec.origin} cannot be loaded: {place} has no {missing}.")
    return root / prefix


def _sha256(sae: Any) -> str:
    """Of the weights in name order, and of whatever the configuration changes in what they compute."""
    digest = hashlib.sha256()
    for name, value in sorted(sae.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().reshape(-1).data)
    places = ("d_in", "d_sae", "d_out", "dtype", "device", "metadata", "reshape_activations")
    unusual = {
        f.name: getattr(sae.cfg, f.name)
        for f in dataclasses.fields(sae.cfg)
        if f.name not in places and getattr(sae.cfg, f.name) != f.default
    }
    if unusual:
        digest.update(json.dumps(unusual, sort_keys=True).encode())
    return digest.hexdigest()
