"""Every head's attention pattern on some texts, exactly, from one pass.

What TransformerLens shows at `attn.hook_pattern`, after the softmax. Cost: a pass that keeps heads × tokens × tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float, Int
from torch import Tensor

from core.errors import NotAvailable
from core.models.loading import LoadedModel
from core.models.thread import computing


@computing
def patterns(model: LoadedModel, ids: Int[Tensor, "batch pos"]) -> list[Float[Tensor, "batch heads to from_"]]:
    """Of each layer; use it under the model's lock.

    Raises:
        NotAvailable: the architecture does not show them.
    """
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.manifest.record.layers)]
    missing = [name for name in names if name not in model.bridge.hook_dict]
    cache = {}
    if not missing:
        _, cache = model.bridge.run_with_cache(
            ids.to(model.device), names_filter=names, stop_at_layer=len(names), return_type=None
        )
        missing = [name for name in names if name not in cache]
    if missing:
        raise NotAvailable(f"{model.manifest.spec.id} does not show its attention ({missing[0]}).")
    found = [cache[name].float() for name in names]
    for layer, one in enumerate(found):
        if one.shape[0] != len(ids) or one.shape[-2:] != (ids.shape[1], ids.shape[1]) or one.ndim != 4:
            raise NotAvailable(f"Layer {layer} of {model.manifest.spec.id} has no pattern over the tokens of a text.")
    return found


def batches(lengths: list[int], heads: int, values: int) -> Iterator[list[int]]:
    """Texts in groups whose patterns have at most so many values together, each at least one text."""
    group: list[int] = []
    longest = 0
    for n, length in enumerate(lengths):
        longest = max(longest, length)
        if group and (len(group) + 1) * heads * longest**2 > values:
            yield group
            group, longest = [], length
        group.append(n)
    if group:
        yield group
