"""Decoder rows as the residual stream sees them: what logit effects multiply with the unembedding.

An SAE on a layer's output writes there itself. One on the attention's heads (`attn.hook_z`) writes through W_O, one on
MLP neurons through W_out. Elsewhere, before a norm or between query and key, a row has no one effect on the residual
stream, and there are no logit effects to show. Norms that follow (the final one; Gemma 2's after the MLP) are left out.
Cost: one product of the decoder with the model's matrix.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from core.models.capture import hook_layer
from core.models.loading import LoadedModel
from core.sources.dictionary import Dictionary

_DIRECT = (
    "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_mlp_out", "hook_attn_out", "mlp.hook_out",
    "attn.hook_out", "hook_in", "hook_out",
)  # fmt: skip
"""What stands after `blocks.8.` at hooks of the residual stream, and of what is added to it."""


@torch.no_grad()
def residual_rows(source: Dictionary, model: LoadedModel) -> Float[Tensor, "d_sae d_model"] | None:
    """The decoder rows in the residual stream, or None where they do not write to it."""
    rows = source.W_dec.float()
    layer, name = hook_layer(source.hook_out), source.hook_out.split(".", 2)[2]
    if name in _DIRECT:
        return rows
    block = model.bridge.blocks[layer]
    matrix = None
    if name == "attn.hook_z":
        matrix = getattr(block.attn, "W_O", None)  # [heads, d_head, d_model]
    elif name == "mlp.hook_post":
        matrix = getattr(block.mlp, "W_out", None)  # [d_mlp, d_model]
    if matrix is None:
        return None
    through = matrix.detach().float().reshape(-1, matrix.shape[-1])
    return rows @ through.to(rows.device) if through.shape[0] == rows.shape[1] else None
