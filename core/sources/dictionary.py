"""The one interface over a dictionary: encode, decoder rows, hook, width.

An SAE gives what SAELens's `encode` gives with the weights as they are on disk: nothing folded, and the SAE
unchanged. The MLP neurons are a dictionary too: their encoder is the identity on `mlp.hook_post`, their decoder the
rows of `W_out`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig, NotAvailable
from core.models.capture import hook_layer
from core.models.loading import LoadedModel
from core.records import Kind


@runtime_checkable
class Dictionary(Protocol):
    """What techniques and the build see of a source."""

    kind: Kind
    architecture: str
    hook: str
    signed: bool
    d_in: int
    sha256: str

    @property
    def width(self) -> int:
        """Number of features."""
        ...

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_out"]:  # the field's name
        """What each feature writes, one row a feature."""
        ...

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Values of all features, float32."""
        ...


class Sae:
    """A SAELens SAE."""

    kind: Kind = "sae"
    signed = False

    def __init__(self, sae: Any, sha256: str) -> None:
        self.sae = sae
        self.architecture = str(sae.cfg.architecture())
        self.hook = str(sae.cfg.metadata.hook_name)
        self.d_in = int(sae.cfg.d_in)
        self.sha256 = sha256

    @property
    def width(self) -> int:
        """`d_sae`."""
        return int(self.sae.cfg.d_sae)

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_out"]:
        """Rows as on disk, whatever their norm."""
        return self.sae.W_dec.detach()

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """`SAE.encode`; a sparse result is made dense."""
        acts: Tensor = self.sae.encode(x)
        return (acts.to_dense() if acts.layout != torch.strided else acts).float()


class Neurons:
    """The neurons of one MLP."""

    kind: Kind = "neurons"
    architecture = "identity"
    signed = True

    def __init__(self, model: LoadedModel, hook: str, sha256: str) -> None:
        if not hook.endswith("mlp.hook_post"):
            raise BadConfig(f"neurons: “{hook}” is not where neurons are; write blocks.<layer>.mlp.hook_post.")
        self.hook = hook
        self.sha256 = sha256
        self._rows: Tensor = model.bridge.blocks[hook_layer(hook)].mlp.W_out.detach().float()
        self.d_in = int(self._rows.shape[0])

    @property
    def width(self) -> int:
        """`d_mlp`."""
        return self.d_in

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_out"]:
        """Rows of `W_out`."""
        return self._rows

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """The identity."""
        return x.float()


def load(
    spec: WeightsSpec, model: LoadedModel, *, hook: str | None = None, device: str = "cpu", model_sha256: str = ""
) -> Dictionary:
    """Loads a source's weights. `hook` is needed for neurons, and otherwise checked by the caller.

    Raises:
        NotAvailable: the weights are not where the manifest says.
        BadConfig: they are there, but cannot be read as a SAELens SAE.
    """
    if spec.kind == "neurons":
        assert hook is not None
        return Neurons(model, hook, model_sha256)
    from sae_lens import SAE

    try:
        if spec.path:
            folder = Path(spec.path)
            if not (folder / "cfg.json").is_file():
                raise NotAvailable(f"The SAE is not at {folder} any more (no cfg.json there).")
            sae = SAE.load_from_disk(folder, device=device, dtype="float32")
        elif spec.release:
            sae = SAE.from_pretrained(spec.release, str(spec.sae_id), device=device)
        else:
            sae = SAE.load_from_disk(_download(spec), device=device, dtype="float32")
    except NotAvailable:
        raise
    except Exception as error:  # SAELens raises many kinds; all mean that these weights are no SAE it knows
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"The SAE {spec.origin} cannot be loaded: {first}") from error
    for name, value in sae.state_dict().items():
        if not value.isfinite().all():
            raise BadConfig(f"The SAE {spec.origin} is damaged: {name} holds numbers that are not finite.")
    sae.eval().requires_grad_(False)
    return Sae(sae, _sha256(sae))


def _download(spec: WeightsSpec) -> Path:
    """Fetches an SAE's folder from the hub, or finds it in the cache."""
    from huggingface_hub import snapshot_download

    pattern = f"{spec.folder}/*" if spec.folder else None
    root = Path(snapshot_download(str(spec.hub), revision=spec.revision, allow_patterns=pattern))
    return root / spec.folder if spec.folder else root


def _sha256(sae: Any) -> str:
    """Of the weights in name order."""
    digest = hashlib.sha256()
    for name, value in sorted(sae.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
