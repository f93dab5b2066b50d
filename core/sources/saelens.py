"""Reads a SAELens SAE from a folder, a hub repository or a release, in float32 and with nothing folded.

SAELens's own loaders do the reading, also of folders that versions before 6 wrote. A BatchTopK or matryoshka SAE as a
training run saves it is taken in the form that SAELens gives it for inference: JumpReLU with the threshold that
training kept, and decoder norms folded if it rescales by them. A release for which SAELens knows a norm scaling factor
comes with that factor folded, as `SAE.from_pretrained` gives it; a folder that still says `expected_average_only_in` is
encoded as SAELens encodes it, without any factor. Cost: the weights in memory once, a hash over them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig, NotAvailable
from core.sources.sae import Sae

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_TRAINING = ("batchtopk", "matryoshka_batchtopk")
"""Architectures that SAELens has for training alone."""


def load_sae(spec: WeightsSpec, device: str) -> Sae:
    """The SAE that `spec` names.

    Raises:
        NotAvailable: the weights are not where the manifest says.
        BadConfig: they are there, but are no SAE that can be a source; the message says why.
    """
    try:
        if spec.path:
            sae = _from_folder(Path(spec.path), device)
        elif spec.release:
            from sae_lens import SAE

            sae = SAE.from_pretrained(spec.release, str(spec.sae_id), device=device)
        else:
            sae = _from_folder(_download(spec), device)
    except (NotAvailable, BadConfig):
        raise
    except Exception as error:  # SAELens raises many kinds; all mean that these weights are no SAE it knows
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"The SAE {spec.origin} cannot be loaded: {first}") from error
    for name, value in sae.state_dict().items():
        if not value.sum(dtype=torch.float64).isfinite():  # float32 cannot overflow it, and NaN and inf stay
            raise BadConfig(f"The SAE {spec.origin} is damaged: {name} holds numbers that are not finite.")
    sae.eval().requires_grad_(False)
    try:
        return Sae(sae, _sha256(sae), hook=spec.hook, hook_out=spec.hook_out)
    except BadConfig as error:
        raise BadConfig(f"The SAE {spec.origin}: {error}") from None


def _from_folder(folder: Path, device: str) -> Any:
    """The SAE of a SAELens folder."""
    from sae_lens import SAE

    if not (folder / CONFIG).is_file():
        raise NotAvailable(f"The SAE is not at {folder} any more (no {CONFIG} there).")
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
    """Fetches an SAE's two files from the hub, or finds them in the cache."""
    from huggingface_hub import errors, snapshot_download

    prefix = f"{spec.folder.strip('/')}/" if spec.folder else ""
    wanted = [prefix + CONFIG, prefix + WEIGHTS]
    place = f"{spec.hub}@{spec.revision}" if spec.revision else str(spec.hub)
    try:
        root = Path(snapshot_download(str(spec.hub), revision=spec.revision, allow_patterns=wanted))
    except errors.RepositoryNotFoundError:
        raise BadConfig(
            f"The SAE {spec.origin} cannot be loaded: the hub has no {spec.hub}, or it is private."
        ) from None
    except errors.RevisionNotFoundError:
        raise BadConfig(f"The SAE {spec.origin} cannot be loaded: the hub has no {place}.") from None
    if not (root / prefix / CONFIG).is_file():
        raise BadConfig(f"The SAE {spec.origin} cannot be loaded: {place} has no {prefix}{CONFIG}.")
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
