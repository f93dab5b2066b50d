"""What is measured before anything is taken apart: the next token's logits, L, and that `End` is the model's end.

An architecture may do more at its end than a norm and an unembedding (a projection, a multiplier). Whether `End` gives
the model's own logits is looked at once a model, on a few tokens; where it does not, nothing here is offered for it.
Cost: a pass each.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from core.errors import NotAvailable
from core.models.cache import Arrays
from core.models.loading import LoadedModel
from core.models.plain import plain_of
from core.models.thread import computing
from core.techniques.circuits.aim import Aim, activation, tokens_of
from core.techniques.circuits.end import End
from core.techniques.circuits.norm import NEAR

TOKENS = 3


@computing
def checked_end(model: LoadedModel) -> End:
    """The model's end; use it under the model's lock.

    Raises:
        NotAvailable: the model makes its logits in another way.
    """
    hook = f"blocks.{model.manifest.record.layers - 1}.hook_resid_post"
    runner = plain_of(model).runner(model, [hook])
    ids = torch.arange(TOKENS)[None]
    end = End(model)
    theirs = runner.pass_(ids, {}, every=True)[0]
    ours = end(tokens_of(runner.until(ids, {}, hook), 1, TOKENS))
    if ours.shape != theirs.shape or not (ours - theirs).norm() <= 10 * NEAR[model.dtype] * theirs.norm():
        raise NotAvailable(
            f"{model.manifest.spec.id} makes its logits in another way than by a norm and an unembedding, so they "
            "cannot be taken apart here."
        )
    return end


@computing
def next_logits(model: LoadedModel, end: End, ids: Int[Tensor, " pos"]) -> Float32[np.ndarray, " d_vocab"]:
    """Of the token after the text, before a softcap; use it under the model's lock."""
    hook = f"blocks.{model.manifest.record.layers - 1}.hook_resid_post"
    x = plain_of(model).runner(model, [hook]).until(ids[None], {}, hook)
    found: Float32[np.ndarray, " d_vocab"] = end.uncapped(tokens_of(x, 1, len(ids)))[0, -1].cpu().numpy()
    return found


@computing
def measured(model: LoadedModel, aim: Aim, ids: Int[Tensor, " pos"]) -> Arrays:
    """`value`, and `activation` of a feature; use it under the model's lock."""
    x = plain_of(model).runner(model, [aim.hook]).until(ids[None], {}, aim.hook)
    end = tokens_of(x, 1, len(ids))[:, -1]
    found = {"value": np.array(float(aim(end)[0]))}
    active = activation(aim, end)
    return found if active is None else found | {"activation": np.array(active)}
