"""The one interface over a dictionary (encode, decoder rows, hooks, width), and loading whatever a manifest names.

A module a kind knows the rest: `sae` what SAELens's SAEs and transcoders compute, `saelens` where they are read from,
`neurons` and `directions` the dense ones, `residual` what decoder rows are in the residual stream. Cost of loading: the
weights in memory once.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig
from core.models.capture import capture, check_hooks
from core.models.loading import LOADING, LoadedModel
from core.records import Kind
from core.sources.directions import Directions, load_directions
from core.sources.neurons import Neurons
from core.sources.sae import Sae
from core.sources.saelens import load_sae
from core.sources.said import is_centred

__all__ = ["Dictionary", "Directions", "Neurons", "Sae", "check", "load"]


@runtime_checkable
class Dictionary(Protocol):
    """What techniques and the build see of a source."""

    kind: Kind
    architecture: str
    hook: str
    """TransformerLens's name of the activation that `encode` reads."""
    hook_out: str
    """Where the decoder rows belong: `hook` of an SAE, the output of the MLP for a transcoder of it."""
    signed: bool
    """Whether values are dense and below zero as meaningful as above."""
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

    @property
    def bytes(self) -> int:
        """Memory of its weights; 0 where they are the model's own."""
        ...

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Values of all features, float32."""
        ...

    def values(self, x: Float[Tensor, "n d_in"], indices: Int[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """Values of some features, float32."""
        ...

    def written(
        self, x: Float[Tensor, "n d_in"], change: Float[Tensor, "n k"], indices: Int[Tensor, " k"]
    ) -> Float[Tensor, "n d_out"]:
        """What comes out more where the values of some features on x change by so much."""
        ...


def load(
    spec: WeightsSpec, model: LoadedModel, *, hook: str | None = None, device: str = "cpu", model_sha256: str = ""
) -> Dictionary:
    """Loads a source's weights; no pass is run.

    `hook` stands in for that of `spec` where it has none: for neurons of a manifest that does not name their hook.

    Raises:
        NotAvailable: the weights are not where the manifest says.
        BadConfig: they are there, but cannot be read as what `spec` says, or the model lacks their hook.
    """
    hook = spec.hook or hook
    source: Dictionary
    if spec.kind == "neurons":
        if hook is None:
            raise BadConfig("neurons: the manifest names no hook; build the source again.")
        source = Neurons(model, hook, model_sha256)
    elif spec.kind == "directions":
        source = load_directions(spec, hook, device)
    else:
        with LOADING:
            source = load_sae(spec, device)
    check_hooks(model, [source.hook, source.hook_out])
    if isinstance(source, Sae) and is_centred(source.said, source.hook, model):
        source.centre()
    return source


@torch.no_grad()
def check(source: Dictionary, model: LoadedModel) -> None:
    """Runs one token and compares shapes, so that what does not fit fails before any work. Cost: that pass.

    Raises:
        BadConfig: the encoder or the decoder is not as wide as the model's activation at its hook.
    """
    found = capture(model, torch.zeros(1, 1, dtype=torch.int64), sorted({source.hook, source.hook_out}))
    name = model.manifest.spec.id
    wide = found[source.hook].shape[-1]
    if wide != source.d_in:
        raise BadConfig(f"its encoder takes {source.d_in} numbers, but {source.hook} of {name} has {wide}.")
    wide, rows = found[source.hook_out].shape[-1], source.W_dec.shape[1]
    if wide != rows:
        raise BadConfig(f"its decoder writes {rows} numbers, but {source.hook_out} of {name} has {wide}.")
