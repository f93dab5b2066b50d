"""Direct logit attribution: L as a sum over what each part of the model wrote into the residual stream.

The residual stream at the last token is the sum of the embedding, the position's embedding, every head, every MLP and
the attention's output biases; L is x · u + constant there, the final norm's scale frozen (`end`). So each part's share
is its product with u, and all add up to L. What a part does by way of later layers is not in it. (Elhage et al., "A
Mathematical Framework for Transformer Circuits", 2021.) A head's share is split once more by the token that it attended
to: pattern × (value · W_O · u). Where the hooks of an architecture do not tell a layer's heads apart, its attention is
one part; what they leave untold is `rest`. Cost: a pass through the bridge that keeps patterns, and small products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.models.cache import Arrays
from core.models.capture import hook_layer
from core.models.loading import LoadedModel
from core.models.thread import computing
from core.techniques.circuits.aim import Aim
from core.techniques.circuits.records import Part
from core.techniques.circuits.trace import FIRST

PARTS: tuple[Part, ...] = ("embedding", "position", "head", "attention", "mlp", "bias", "rest")
NEAR = {"float32": 1e-4, "bfloat16": 3e-2}
"""How far heads may be from their layer's output, as a share of its length; what is further is not told apart."""


@dataclass(slots=True)
class _Sum:
    """Components as they are found, and each head's row of attention."""

    u: Float[Tensor, " d_model"]
    tokens: int
    """Of the text."""
    rows: list[tuple[int, int, int, float]]
    """(part, layer, head, value); -1 for none."""
    patterns: list[Tensor]
    given: list[Tensor]

    def add(self, part: Part, vector: Tensor, layer: int = -1) -> None:
        self.rows.append((PARTS.index(part), layer, -1, float(vector.double() @ self.u)))


@computing
def direct(model: LoadedModel, ids: Int[Tensor, " pos"], aim: Aim) -> Arrays | None:
    """Arrays of the sum; None where L is no direction in the residual stream. Use it under the model's lock.

    `rows` [parts, 4] are (part, layer, head, value), `pattern` and `given` [heads, pos] by the order of heads.
    """
    seen = _seen(model, ids, aim.hook)
    x = seen.get(aim.hook)
    found = None if x is None else aim.direction(x)
    if x is None or found is None:
        return None
    made = _Sum(found.u, len(ids), [], [], [])
    _embeddings(made, seen)
    for layer in range(_ends(aim.hook)[0]):
        _attention(made, model, layer, seen)
        made.add("mlp", seen[f"blocks.{layer}.hook_mlp_out"], layer)
    layer, half = _ends(aim.hook)
    if half:
        _attention(made, model, layer, seen)
    known = sum(value for *_, value in made.rows)
    whole = float(x.double() @ made.u)
    rounding = NEAR[model.dtype] * sum(abs(value) for *_, value in made.rows)
    if abs(whole - known) > rounding:
        made.rows.append((PARTS.index("rest"), -1, -1, whole - known))
    made.rows.append((PARTS.index("bias"), -1, -1, found.constant))
    none = torch.zeros(0, len(ids))
    return {
        "rows": np.array(made.rows, np.float64),
        "pattern": (torch.stack(made.patterns) if made.patterns else none).float().cpu().numpy(),
        "given": (torch.stack(made.given) if made.given else none).double().cpu().numpy(),
    }


def _ends(hook: str) -> tuple[int, bool]:
    """(whole layers that write before a hook of the residual stream, whether half of the next one does)."""
    name = hook.split(".", 2)[2]
    return hook_layer(hook) + (name in ("hook_resid_post", "hook_out")), name == "hook_resid_mid"


def _seen(model: LoadedModel, ids: Int[Tensor, " pos"], hook: str) -> dict[str, Tensor]:
    """What the parts wrote at the last token, float32; of patterns and values all of it."""
    layers = min(model.manifest.record.layers, _ends(hook)[0] + _ends(hook)[1])
    wanted = {"hook_embed", "hook_pos_embed", FIRST, hook}
    for layer in range(layers):
        wanted |= {f"blocks.{layer}.{name}" for name in ("hook_attn_out", "hook_mlp_out")}
        wanted |= {f"blocks.{layer}.attn.hook_{name}" for name in ("z", "v", "pattern")}
    wanted &= set(model.bridge.hook_dict)
    _, cache = model.bridge.run_with_cache(ids[None].to(model.device), names_filter=sorted(wanted), return_type=None)
    found = {}
    for name in wanted:
        if name in cache:
            value = cache[name].float()
            found[name] = value[0] if name.endswith(("_pattern", "_v")) else value.reshape(1, len(ids), -1)[0, -1]
    return found


def _embeddings(made: _Sum, seen: dict[str, Tensor]) -> None:
    first, position = seen[FIRST], seen.get("hook_pos_embed")
    embedded = seen.get("hook_embed")
    if position is None or embedded is None or not (embedded + position - first).norm() <= 1e-4 * first.norm():
        made.add("embedding", first)
        return
    made.add("embedding", embedded)
    made.add("position", position)


def _attention(made: _Sum, model: LoadedModel, layer: int, seen: dict[str, Tensor]) -> None:
    """A layer's heads and its bias, or where they are not its output, the output."""
    out, z = seen[f"blocks.{layer}.hook_attn_out"], seen.get(f"blocks.{layer}.attn.hook_z")
    attn: Any = getattr(model.bridge.blocks[layer], "attn", None)
    matrix, bias = getattr(attn, "W_O", None), getattr(attn, "b_O", None)
    if not isinstance(matrix, Tensor) or matrix.ndim != 3 or z is None or matrix.shape[0] * matrix.shape[1] != len(z):
        return made.add("attention", out, layer)
    matrix = matrix.detach().float()
    z = z.reshape(matrix.shape[:2])
    rest = bias.detach().float() if isinstance(bias, Tensor) else torch.zeros_like(out)
    if not (torch.einsum("hd,hdm->m", z, matrix) + rest - out).norm() <= NEAR[model.dtype] * out.norm():
        return made.add("attention", out, layer)
    toward = matrix.double() @ made.u  # [heads, d_head]
    shares = (z.double() * toward).sum(1)
    for head, value in enumerate(shares.tolist()):
        made.rows.append((PARTS.index("head"), layer, head, value))
    if isinstance(bias, Tensor):
        made.add("bias", rest, layer)
    patterns, given = _rows(seen, layer, toward, shares, made.tokens)
    made.patterns += patterns
    made.given += given


def _rows(
    seen: dict[str, Tensor], layer: int, toward: Tensor, shares: Tensor, tokens: int
) -> tuple[list[Tensor], list[Tensor]]:
    """(the last token's row of each head's pattern, the head's share by each token); NaN where hooks do not show it."""
    heads = len(toward)
    pattern, v = (seen.get(f"blocks.{layer}.attn.hook_{name}") for name in ("pattern", "v"))
    if pattern is None or v is None:
        none = torch.full((tokens,), float("nan"))
        return [none] * heads, [none] * heads
    row = pattern[:, -1]  # [heads, pos]
    v = v.reshape(row.shape[1], -1, toward.shape[1]).repeat_interleave(heads * toward.shape[1] // v[0].numel(), dim=1)
    given = row.double() * torch.einsum("phd,hd->hp", v.double(), toward)
    if not (given.sum(1) - shares).abs().max() <= 1e-3 * shares.abs().max().clamp_min(1e-6):
        given = torch.full_like(given, float("nan"))
    return list(row), list(given)
