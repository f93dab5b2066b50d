"""What an attention layer mixed: its pattern and its values, of which `attn.hook_z` is the product.

Read at TransformerLens's hooks `attn.hook_pattern` (after the softmax) and `attn.hook_v`; a model with fewer key-value
heads than heads repeats each for its group, as its attention does. That the product is the layer's own `hook_z` is
checked at every pass, since an architecture may do more than that. Cost: a pass to that layer that keeps a pattern of
heads × tokens × tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadConfig
from core.models.capture import check_hooks
from core.models.loading import LoadedModel
from core.models.thread import computing

NEAR = {"float32": 1e-3, "bfloat16": 5e-2}
"""How far pattern × values may be from `hook_z`, as a share of its length."""


@dataclass(frozen=True, slots=True)
class Attention:
    """One layer on some texts, float32."""

    pattern: Float[Tensor, "batch heads to from_"]
    values: Float[Tensor, "batch from_ heads d_head"]
    """Each head's own, also where several share one."""

    @property
    def z(self) -> Float[Tensor, "batch to d"]:
        """What the heads put together, flattened head after head."""
        return torch.einsum("bhts,bshd->bthd", self.pattern, self.values).flatten(2)

    def text(self, row: int, tokens: int) -> Attention:
        """One text of so many tokens."""
        return Attention(self.pattern[row : row + 1, :, :tokens, :tokens], self.values[row : row + 1, :tokens])


@computing
@torch.no_grad()
def attend(model: LoadedModel, ids: Int[Tensor, "batch pos"], layer: int) -> Attention:
    """The attention of one layer on `ids`; use it under the model's lock.

    Raises:
        BadConfig: the layer has no pattern and values, or its heads are not the product of these.
    """
    names = {part: f"blocks.{layer}.attn.hook_{part}" for part in ("pattern", "v", "z")}
    check_hooks(model, list(names.values()))
    ids = ids.to(model.device)
    _, cache = model.bridge.run_with_cache(
        ids, names_filter=list(names.values()), stop_at_layer=layer + 1, return_type=None
    )
    if missing := [name for name in names.values() if name not in cache]:
        raise BadConfig(f"{model.manifest.spec.id} has no {missing[0]} to tell where a value came from.")
    batch, pos = ids.shape
    pattern, z = cache[names["pattern"]].float(), cache[names["z"]].float().reshape(batch, pos, -1)
    heads = pattern.shape[1]
    d_head = z.shape[-1] // heads
    values = cache[names["v"]].float().reshape(batch, pos, -1, d_head)
    found = Attention(pattern, values.repeat_interleave(heads // values.shape[2], dim=2))
    if not (found.z - z).norm() <= NEAR[model.dtype] * z.norm():
        raise BadConfig(
            f"The heads of layer {layer} of {model.manifest.spec.id} are not their pattern times their values alone, "
            "so a value cannot be told apart by source tokens."
        )
    return found
