"""A model made linear at one text: attention patterns and the norms' scales as they are there, MLPs as constants.

With patterns and scales frozen, every activation of the residual stream is a sum over what was written before it, each
term a constant matrix away. `Frozen` takes directions back along these matrices, many at a time: what a direction read
at one place has to do with what is written at every earlier place. (The local replacement model of Ameisen et al.,
"Circuit Tracing", 2025; circuit-tracer gets the same numbers by gradients.) That norms, heads and sums are what they
are taken for is checked on the text itself: an architecture that does more is refused. Cost of a step back through a
layer: two products with the attention's matrices, and one with its pattern, for each direction and token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import NotAvailable
from core.models.loading import LoadedModel
from core.models.thread import computing
from core.techniques.circuits.norm import read_norm
from core.techniques.circuits.trace import FIRST

NEAR = {"float32": 1e-3, "bfloat16": 5e-2}
"""How far a part may be from what it is taken for, as a share of its length."""

Directions = Float[Tensor, "n pos d_model"]


@dataclass(frozen=True, slots=True)
class Norm:
    """A LayerNorm or RMSNorm with the scale that it had: y = γ (x - c mean(x)) s + β."""

    gamma: Float[Tensor, " d"]
    beta: Float[Tensor, " d"]
    centred: bool
    scale: Float[Tensor, " pos"]

    def back(self, g: Directions) -> Directions:
        """A direction in what comes out, as one in what goes in."""
        g = g * (self.gamma * self.scale[:, None])
        return g - g.mean(-1, keepdim=True) if self.centred else g

    def constant(self, g: Directions) -> Float[Tensor, " n"]:
        """What β adds along each direction."""
        return (g @ self.beta).sum(1)


@dataclass(frozen=True, slots=True)
class Heads:
    """An attention layer with its pattern: what it adds is linear in what it reads."""

    pattern: Float[Tensor, "heads to from_"]
    W_V: Float[Tensor, "d d_mixed"]
    b_V: Float[Tensor, " d_mixed"]
    W_O: Float[Tensor, "d_mixed d"]
    b_O: Float[Tensor, " d"]
    norm: Norm
    after: Norm | None
    """A norm between the heads and the residual stream, as Gemma 2 has."""

    def back(self, g: Directions) -> tuple[Directions, Float[Tensor, " n"]]:
        """(a direction in what it adds as one in what it reads, what its biases add along it)."""
        n, pos, _ = g.shape
        constant = torch.zeros(n, device=g.device)
        if self.after is not None:
            constant = constant + self.after.constant(g)
            g = self.after.back(g)
        constant = constant + (g @ self.b_O).sum(1)
        heads = len(self.pattern)
        z = (g @ self.W_O.T).reshape(n, pos, heads, -1).permute(2, 1, 0, 3).reshape(heads, pos, -1)
        v = (self.pattern.transpose(1, 2) @ z).reshape(heads, pos, n, -1).permute(2, 1, 0, 3).reshape(n, pos, -1)
        constant = constant + (v @ self.b_V).sum(1)
        read = v @ self.W_V.T
        return self.norm.back(read), constant + self.norm.constant(read)


@dataclass(frozen=True, slots=True)
class Block:
    """One layer; the MLP itself stands for whatever replaces it."""

    heads: Heads
    norm: Norm
    """Before the MLP."""
    parallel: bool
    """Whether the MLP reads what the attention reads (GPT-NeoX, Phi), and not what it leaves."""
    read: Float[Tensor, "pos d"]
    """What the MLP's norm is given."""
    normed: Float[Tensor, "pos d"]
    """What it gives."""
    added: Float[Tensor, "pos d"]
    """What the MLP adds to the residual stream."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The whole model at one text."""

    blocks: tuple[Block, ...]
    token: Float[Tensor, "pos d"]
    """What the residual stream begins with that is the tokens' own."""
    place: Float[Tensor, "pos d"]
    """And what is their positions'; zeros where there is no such thing."""
    end: Norm
    x: dict[str, Float[Tensor, "pos d"]]
    """What passes at the hooks that were asked for."""


@computing
@torch.no_grad()
def freeze(model: LoadedModel, ids: Int[Tensor, " pos"], hooks: Sequence[str]) -> Frozen:
    """The model at a text, and what passes at some hooks; use it under the model's lock.

    Raises:
        NotAvailable: the architecture is none that is linear when patterns and scales are frozen.
    """
    layers = model.manifest.record.layers
    seen = _seen(model, ids, hooks)
    blocks = tuple(_block(model, n, seen) for n in range(layers))
    first, place, token = seen[FIRST], seen.get("hook_pos_embed"), seen.get("hook_embed")
    if place is None or token is None or not _near(token + place, first, model):
        token, place = first, torch.zeros_like(first)
    end = _norm(model, model.bridge.ln_final, seen, "ln_final")
    return Frozen(blocks, token, place, end, {hook: seen[hook] for hook in hooks})


def _seen(model: LoadedModel, ids: Int[Tensor, " pos"], hooks: Sequence[str]) -> dict[str, Tensor]:
    """What passes, float32, a row a token; patterns [heads, to, from]."""
    wanted = {*hooks, FIRST, "hook_embed", "hook_pos_embed", "ln_final.hook_in", "ln_final.hook_out"}
    for layer in range(model.manifest.record.layers):
        parts = (
            "hook_resid_pre", "hook_resid_post", "hook_attn_out", "attn.hook_pattern", "attn.hook_v", "attn.hook_z",
            "mlp.hook_in", *(f"{norm}.hook_{side}" for norm in ("ln1", "ln1_post", "ln2") for side in ("in", "out")),
        )  # fmt: skip
        wanted |= {f"blocks.{layer}.{part}" for part in parts}
    wanted &= set(model.bridge.hook_dict)
    _, cache = model.bridge.run_with_cache(ids[None].to(model.device), names_filter=sorted(wanted), return_type=None)
    found = {}
    for name in wanted:
        if name in cache:
            value = cache[name].detach().float()
            found[name] = value[0] if name.endswith("_pattern") else value.reshape(1, -1, len(ids), *_rest(value))[0, 0]
    return found


def _rest(value: Tensor) -> tuple[int, ...]:
    return (value[0, 0].numel(),)


def _near(a: Tensor, b: Tensor, model: LoadedModel) -> bool:
    return a.shape == b.shape and bool((a - b).norm() <= NEAR[model.dtype] * b.norm().clamp_min(1e-6))


def _block(model: LoadedModel, layer: int, seen: dict[str, Tensor]) -> Block:
    at = f"blocks.{layer}"
    pre, attended, post = (seen.get(f"{at}.hook_{name}") for name in ("resid_pre", "attn_out", "resid_post"))
    if pre is None or attended is None or post is None:
        raise _other(model, f"its hooks do not tell the parts of layer {layer}")
    into, name = seen.get(f"{at}.mlp.hook_in"), ""
    for candidate in ("ln2", "ln1"):
        given = seen.get(f"{at}.{candidate}.hook_out")
        if not name and given is not None and (into is None or _near(given, into, model)):
            name = candidate
    if not name:
        raise _other(model, f"what the MLP of layer {layer} reads is no norm of the residual stream")
    block = model.bridge.blocks[layer]
    read = seen[f"{at}.{name}.hook_in"]
    parallel = not _near(read, pre + attended, model)
    if parallel and not _near(read, pre, model):
        raise _other(model, f"what the MLP of layer {layer} reads is not the residual stream")
    norm = _norm(model, getattr(block, name), seen, f"{at}.{name}")
    heads = _heads(model, block, layer, seen)
    return Block(heads, norm, parallel, read, seen[f"{at}.{name}.hook_out"], post - pre - attended)


def _heads(model: LoadedModel, block: Any, layer: int, seen: dict[str, Tensor]) -> Heads:
    at = f"blocks.{layer}"
    attn = block.attn
    W_V, W_O = (getattr(attn, name, None) for name in ("W_V", "W_O"))
    pattern, v, z = (seen.get(f"{at}.attn.hook_{name}") for name in ("pattern", "v", "z"))
    if not (isinstance(W_V, Tensor) and isinstance(W_O, Tensor) and W_V.ndim == W_O.ndim == 3):
        raise _other(model, f"the attention of layer {layer} has no value and output matrices by head")
    if pattern is None or v is None or z is None or W_O.shape[0] % W_V.shape[0]:
        raise _other(model, f"the attention of layer {layer} does not show its pattern")
    norm = _norm(model, block.ln1, seen, f"{at}.ln1")
    W_V, W_O = W_V.detach().float(), W_O.detach().float()
    b_V, b_O = (getattr(attn, name, None) for name in ("b_V", "b_O"))
    b_V = torch.zeros(W_V.shape[0], W_V.shape[2]) if not isinstance(b_V, Tensor) else b_V.detach().float()
    b_O = torch.zeros(W_O.shape[2]) if not isinstance(b_O, Tensor) else b_O.detach().float()
    read = seen[f"{at}.ln1.hook_out"]
    made = torch.einsum("pd,hdk->phk", read, W_V) + b_V
    group = W_O.shape[0] // W_V.shape[0]
    each = made.repeat_interleave(group, dim=1)
    mixed = torch.einsum("hts,shk->thk", pattern, each)
    out = torch.einsum("thk,hkd->td", mixed, W_O) + b_O
    after = None
    if hasattr(block, "ln1_post"):
        after = _norm(model, block.ln1_post, seen, f"{at}.ln1_post")
        expected = seen[f"{at}.ln1_post.hook_in"]
    else:
        expected = seen[f"{at}.hook_attn_out"]
    if not _near(made.flatten(1), v, model) or not _near(mixed.flatten(1), z, model) or not _near(out, expected, model):
        raise _other(model, f"the heads of layer {layer} are not their pattern, values and outputs alone")
    wide = W_V.repeat_interleave(group, dim=0)
    return Heads(
        pattern, wide.permute(1, 0, 2).flatten(1).contiguous(), b_V.repeat_interleave(group, dim=0).flatten(),
        W_O.flatten(0, 1).contiguous(), b_O, norm, after,
    )  # fmt: skip


def _norm(model: LoadedModel, bridge: Any, seen: dict[str, Tensor], name: str) -> Norm:
    module = bridge._modules.get("_original_component", bridge)
    x, y = seen.get(f"{name}.hook_in"), seen.get(f"{name}.hook_out")
    if x is None or y is None:
        raise _other(model, f"its {name} does not show what it reads and gives")
    own = next((one.dtype for one in module.parameters()), torch.float32)  # a norm may have none
    read, moved, centred = read_norm(module, x[0].to(own), NEAR[model.dtype])
    gamma, beta = read.float(), moved.float()
    inner = x - x.mean(-1, keepdim=True) if centred else x
    scaled = gamma * inner
    scale = ((y - beta) * scaled).sum(-1) / scaled.square().sum(-1).clamp_min(1e-30)
    if not _near(scale[:, None] * scaled + beta, y, model):
        raise _other(model, f"its {name} is neither LayerNorm nor RMSNorm")
    return Norm(gamma, beta, centred, scale)


def _other(model: LoadedModel, why: str) -> NotAvailable:
    return NotAvailable(f"No exact graph can be made of {model.manifest.spec.id}: {why}.")
