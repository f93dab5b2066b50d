"""The neurons of one MLP as a dictionary: encoder the identity on `mlp.hook_post`, decoder the rows of `W_out`.

Values are those of `hook_post`: after the activation function, and in a gated MLP after the gate, so that
`hook_post @ W_dec` (+ bias) is what the MLP writes at `hook_out`. They are dense and signed. Cost: nothing beyond
the model.
"""

from __future__ import annotations

import re

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadConfig
from core.models.capture import check_hooks, hook_layer
from core.models.loading import LoadedModel
from core.records import Kind


class Neurons:
    """The neurons of one MLP.

    Raises:
        BadConfig: the hook is not one of neurons, or the model has experts there instead of one MLP.
    """

    kind: Kind = "neurons"
    architecture = "identity"
    signed = True

    def __init__(self, model: LoadedModel, hook: str, sha256: str) -> None:
        if not re.fullmatch(r"blocks\.\d+\.mlp\.hook_post", hook):
            check_hooks(model, [hook])  # a name that is no hook at all has a message of its own
            raise BadConfig(f"neurons: “{hook}” is not where neurons are; write blocks.<layer>.mlp.hook_post.")
        check_hooks(model, [hook])
        layer = hook_layer(hook)
        rows = getattr(model.bridge.blocks[layer].mlp, "W_out", None)
        if not isinstance(rows, Tensor) or rows.ndim != 2:
            raise BadConfig(
                f"neurons: layer {layer} of {model.manifest.spec.id} has no single output matrix (a mixture of "
                "experts, for instance), so its neurons have no decoder rows."
            )
        self.hook = hook
        self.sha256 = sha256
        self._rows: Tensor = rows.detach().float()
        self._widened = rows.dtype != torch.float32
        self.d_in = int(self._rows.shape[0])
        # Where a norm follows the MLP (Gemma 2), `hook_mlp_out` is after it, and the rows add up to what is before it.
        normed = hasattr(model.bridge.blocks[layer], "ln2_post")
        self.hook_out = f"blocks.{layer}.mlp.hook_out" if normed else f"blocks.{layer}.hook_mlp_out"

    @property
    def width(self) -> int:
        """`d_mlp`."""
        return self.d_in

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_out"]:
        """Rows of `W_out`, [d_mlp, d_model]."""
        return self._rows

    @property
    def bytes(self) -> int:
        """Memory beyond the model's: that of the rows if they had to be widened to float32."""
        return self._rows.numel() * self._rows.element_size() if self._widened else 0

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """The identity."""
        return x.float()

    @torch.no_grad()
    def values(self, x: Float[Tensor, "n d_in"], indices: Int[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """The identity, at some neurons."""
        return x[:, indices].float()

    @torch.no_grad()
    def written(
        self, x: Float[Tensor, "n d_in"], change: Float[Tensor, "n k"], indices: Int[Tensor, " k"]
    ) -> Float[Tensor, "n d_out"]:
        """The rows times the changes."""
        return change @ self._rows[indices]
