"""How what a source writes reaches the residual stream, and what the model adds beside neurons' rows.

Norms that follow a layer's output (Gemma 2) are left out: there is no direct effect of what stands before one. Cost: a
product of L's direction with one matrix of the model.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from core.models.capture import hook_layer
from core.models.loading import LoadedModel
from core.sources.dictionary import Dictionary

_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_in", "hook_out")
_ADDED = ("hook_attn_out", "hook_mlp_out", "attn.hook_out", "mlp.hook_out")


def direct_row(hook: str, model: LoadedModel, u: Float[Tensor, " d_model"]) -> Float[Tensor, " d_out"] | None:
    """L's direction as what is written at `hook` meets it; None where that is not added to the residual stream."""
    layer, name = hook_layer(hook), hook.split(".", 2)[2]
    block = model.bridge.blocks[layer]
    normed = {"attn": "ln1_post", "mlp": "ln2_post"}
    side = "attn" if "attn" in name else "mlp"
    if name in _STREAM or name in ("hook_attn_out", "hook_mlp_out"):
        return u
    if hasattr(block, normed[side]):
        return None
    if name in _ADDED:
        return u
    matrix = {"attn.hook_z": "W_O", "mlp.hook_post": "W_out"}.get(name)
    found = None if matrix is None else getattr(getattr(block, side, None), matrix, None)
    if not isinstance(found, torch.Tensor) or found.shape[-1] != len(u):
        return None
    return found.detach().double().reshape(-1, len(u)) @ u


def neuron_bias(source: Dictionary, model: LoadedModel) -> Float[Tensor, " d_model"] | None:
    """b_out of the MLP whose neurons a source is."""
    if source.kind != "neurons":
        return None
    found = getattr(model.bridge.blocks[hook_layer(source.hook)].mlp, "b_out", None)
    return found.detach() if isinstance(found, torch.Tensor) else None
