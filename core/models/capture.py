"""One forward pass, and the activations at some hooks.

Stops after the last hooked layer, so that neither later layers nor the unembedding are computed. Texts of unequal
length are padded on the right: with causal attention nothing before the padding sees it, and the caller cuts it off.
Activations of several heads come flattened, head after head, as SAELens flattens them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BadConfig
from core.models.loading import LoadedModel
from core.models.thread import computing


def hook_layer(hook: str) -> int:
    """The layer of a hook name, `8` of `blocks.8.hook_resid_pre`."""
    match = re.match(r"blocks\.(\d+)\.", hook)
    if match is None:
        raise BadConfig(f"“{hook}” is no hook of a block; it is written like blocks.8.hook_resid_pre.")
    return int(match[1])


def check_hooks(model: LoadedModel, hooks: Sequence[str]) -> None:
    """Raises `BadConfig` for a hook that the model lacks."""
    for hook in hooks:
        hook_layer(hook)
        if hook in model.bridge.hook_dict:
            continue
        own = [h.split(".", 2)[2] for h in model.bridge.hook_dict if h.startswith("blocks.0.")]
        raise BadConfig(
            f"{model.manifest.spec.id} has no hook “{hook}”: it has {model.manifest.record.layers} layers, and in each "
            f"{', '.join(h for h in own if h.startswith('hook_resid') or 'mlp.hook' in h)}, …"
        )


@computing
def capture(
    model: LoadedModel, ids: Int[Tensor, "batch pos"], hooks: Sequence[str]
) -> dict[str, Float[Tensor, "batch pos d"]]:
    """The activations of `ids` at each hook, [batch, pos, d], in the model's dtype and on its device.

    Raises:
        BadConfig: nothing passes through a hook, or what does is no vector a token.
    """
    end = max(map(_stop, hooks))
    switch_on(model.bridge, hooks)
    ids = ids.to(model.device)
    last, cache = model.bridge.run_with_cache(ids, names_filter=list(hooks), stop_at_layer=end, return_type=None)
    cache = dict(cache.items())
    found = {}
    for hook in hooks:
        if _stop(hook) == hook_layer(hook) == end:
            cache[hook] = last  # what stopped the pass is its result
        if hook not in cache:
            raise BadConfig(
                f"{model.manifest.spec.id} names a hook “{hook}”, but in its architecture nothing passes through it."
            )
        found[hook] = per_token(cache[hook], ids, hook)
    return found


def _stop(hook: str) -> int:
    """The first layer that need not be run; what goes into a layer is there before it runs."""
    return hook_layer(hook) + (not hook.endswith((".hook_resid_pre", f"{hook_layer(hook)}.hook_in")))


def per_token(value: Tensor, ids: Int[Tensor, "batch pos"], hook: str) -> Float[Tensor, "batch pos d"]:
    """One vector a token: heads flattened, and batch and position told apart where the model runs them as one.

    Raises:
        BadConfig: the values are not of tokens (attention patterns, for instance).
    """
    batch, pos = ids.shape
    if value.ndim >= 3 and value.shape[:2] == ids.shape:
        return value.reshape(batch, pos, -1)
    if value.ndim == 2 and len(value) == batch * pos:  # OPT's MLP works on all tokens in one row
        return value.reshape(batch, pos, -1)
    raise BadConfig(
        f"What passes at “{hook}” is no vector a token: its shape is {list(value.shape)} for {[*ids.shape]}."
    )


def switch_on(bridge: Any, hooks: Sequence[str]) -> None:
    """TransformerLens lets `hook_mlp_in` fire only when asked to; that changes no value."""
    if any(hook.endswith("hook_mlp_in") for hook in hooks) and not bridge.cfg.use_hook_mlp_in:
        bridge.set_use_hook_mlp_in(True)


def pad(rows: Sequence[Sequence[int] | NDArray[np.int64]]) -> Int[Tensor, "batch pos"]:
    """Rows of ids as one tensor, zeros on the right."""
    longest = max(map(len, rows))
    out = torch.zeros(len(rows), longest, dtype=torch.int64)
    for n, row in enumerate(rows):
        out[n, : len(row)] = torch.as_tensor(row, dtype=torch.int64)
    return out
