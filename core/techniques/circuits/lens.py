"""The logit lens: what the model would say after each layer, by its own final norm and unembedding.

(nostalgebraist, "interpreting GPT: the logit lens", 2020.) Raw: no translator is trained and no bias added, so early
layers of some models say little. At the end of the last layer it is the model's own output, exactly. Cost: a pass, and
an unembedding of every token a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from core.models.cache import Arrays
from core.models.loading import LoadedModel
from core.models.plain import capture
from core.models.thread import computing
from core.techniques.circuits.end import End
from core.techniques.circuits.records import LENS


def hooks(layers: int) -> tuple[str, ...]:
    """Before every layer, and after the last."""
    return (*(f"blocks.{layer}.hook_resid_pre" for layer in range(layers)), f"blocks.{layers - 1}.hook_resid_post")


@computing
def lens(model: LoadedModel, end: End, ids: Int[Tensor, " pos"], target: Sequence[int]) -> Arrays:
    """The lens as arrays; use it under the model's lock.

    `top` and `probability` [layers + 1, pos, 5] are of the likeliest tokens, `share` and `rank` [layers + 1, pos] of
    the target's: their probability together, and the rank of the likeliest of them.
    """
    rows: dict[str, list[NDArray[Any]]] = {"top": [], "probability": [], "share": [], "rank": []}
    seen = capture(model, ids[None], hooks(model.manifest.record.layers))
    for hook in hooks(model.manifest.record.layers):
        logits = end(seen[hook])[0]
        chances = logits.softmax(-1)
        some = chances.topk(min(LENS, logits.shape[-1]))
        rows["top"].append(some.indices.cpu().numpy())
        rows["probability"].append(some.values.cpu().numpy())
        if target:
            mine = logits[:, list(target)]
            rows["share"].append(chances[:, list(target)].sum(1).cpu().numpy())
            rows["rank"].append(((logits > mine.max(1, keepdim=True).values).sum(1) + 1).cpu().numpy())
    return {name: np.stack(found) for name, found in rows.items() if found}
