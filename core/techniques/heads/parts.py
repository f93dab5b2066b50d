"""One layer's heads as they are on a text: pattern, values, weights, and what each writes.

Read at TransformerLens's hooks; that they say what the layer does is checked at every pass, as an architecture may do
more than that. The norm before attention is read off by asking it (`core.techniques.circuits.norm`) and frozen at the
scale that it has at each token, so that what a head reads is linear in the residual stream. A model with fewer
key-value heads than heads repeats each for its group. (The split into QK and OV is Elhage et al.'s, "A Mathematical
Framework for Transformer Circuits", 2021.) Cost: a pass to that layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import NotAvailable
from core.models.capture import check_hooks
from core.models.loading import LoadedModel
from core.models.thread import computing
from core.techniques.circuits.norm import NEAR, read_norm


@dataclass(frozen=True, slots=True)
class Weights:
    """One head's, float64, with the norm's γ and centring folded in; no scale."""

    q: Float[Tensor, "d_model d_head"]
    k: Float[Tensor, "d_model d_head"]
    v: Float[Tensor, "d_model d_head"]
    o: Float[Tensor, "d_head d_model"]

    def reading(self, side: str) -> Float[Tensor, "d_model d_model"]:
        """What a direction of the residual stream becomes on its way into the head, in no basis of the head's own.

        query: what it looks for; key: by what it is found; value: what is written of it.
        """
        if side == "query":
            return self.q @ self.k.T
        return self.k @ self.q.T if side == "key" else self.v @ self.o


@dataclass(frozen=True, slots=True)
class Parts:
    """One head on one text, float64."""

    weights: Weights
    pattern: Float[Tensor, "pos pos"]
    x: Float[Tensor, "pos d_model"]
    """The residual stream that the layer reads."""
    inverse: Float[Tensor, " pos"]
    """1 / σ of the norm at each token."""
    q: Float[Tensor, "pos d_head"]
    k: Float[Tensor, "pos d_head"]
    v: Float[Tensor, "pos d_head"]
    scale: float | None
    """attention score = scale (q · k); None where scores are more than that, as with rotated positions."""

    @property
    def results(self) -> Float[Tensor, "pos d_model"]:
        """What the head writes at each token; all heads and the output's bias are the layer's attention."""
        return self.pattern @ self.v @ self.weights.o

    @property
    def moved(self) -> Float[Tensor, "pos pos"]:
        """‖attention × value · W_O‖."""
        return self.pattern * (self.v @ self.weights.o).norm(dim=1)


def heads_of(model: LoadedModel, layer: int) -> int:
    """Heads of a layer."""
    return int(getattr(model.bridge.cfg, "n_heads", 0)) or model.manifest.record.heads


@computing
def head_weights(model: LoadedModel, layer: int, head: int) -> Weights:
    """A head's matrices; no pass is run.

    Raises:
        NotAvailable: the architecture does not show them.
    """
    attn, (gamma, _, centred) = _attention(model, layer), _norm(model, layer)
    q, k, v, o = (_matrix(model, attn, name, head) for name in ("W_Q", "W_K", "W_V", "W_O"))

    def folded(matrix: Tensor) -> Tensor:
        made = gamma[:, None] * matrix
        return made - made.mean(0) if centred else made

    return Weights(folded(q), folded(k), folded(v), o)


@computing
def head_parts(model: LoadedModel, ids: Int[Tensor, " pos"], layer: int, head: int) -> Parts:
    """A head on one text; use it under the model's lock.

    Raises:
        NotAvailable: the architecture's heads are not pattern times value times W_O of the norm's output.
    """
    weights = head_weights(model, layer, head)
    names = {part: f"blocks.{layer}.attn.hook_{part}" for part in ("pattern", "q", "k", "v", "attn_scores")}
    names["x"] = f"blocks.{layer}.hook_resid_pre"
    names["z"] = f"blocks.{layer}.attn.hook_z"
    check_hooks(model, [names["pattern"], names["v"], names["z"], names["x"]])
    ids = ids.to(model.device)[None]
    _, cache = model.bridge.run_with_cache(
        ids, names_filter=[n for n in names.values() if n in model.bridge.hook_dict], stop_at_layer=layer + 1,
        return_type=None,
    )  # fmt: skip
    seen = {part: cache[name][0].double() for part, name in names.items() if name in cache}
    heads, d_head = seen["pattern"].shape[0], weights.o.shape[0]
    parts = {name: _own(seen[name], head, heads, d_head) for name in ("q", "k", "v", "z") if name in seen}
    pattern, x = seen["pattern"][head], seen["x"]
    near = NEAR[model.dtype] * 10
    inverse, said = _reads(model, layer, head, x, weights)
    if not (said - parts["v"]).norm() <= near * parts["v"].norm() + 1e-9:
        raise _unknown(model, layer)
    if not (pattern @ parts["v"] - parts["z"]).norm() <= near * parts["z"].norm() + 1e-9:
        raise _unknown(model, layer)
    q, k = parts.get("q", torch.zeros_like(parts["v"])), parts.get("k", torch.zeros_like(parts["v"]))
    scores = seen.get("attn_scores")
    return Parts(weights, pattern, x, inverse, q, k, parts["v"], _scale(q, k, scores, head, near, pattern))


def _scale(q: Tensor, k: Tensor, scores: Tensor | None, head: int, near: float, pattern: Tensor) -> float | None:
    """What q · k is multiplied with to be the score, checked by the pattern that it gives."""
    pos, product = len(q), q @ k.T
    if scores is None or not product.any():
        return None
    below = torch.tril(torch.ones(pos, pos, dtype=torch.bool, device=q.device))
    found = float((scores[head][below] @ product[below]) / product[below].square().sum())
    made = (found * product).masked_fill(~below, float("-inf")).softmax(-1)
    return found if bool((made - pattern).norm() <= near * pattern.norm()) else None


def _reads(
    model: LoadedModel, layer: int, head: int, x: Tensor, weights: Weights
) -> tuple[Float[Tensor, " pos"], Float[Tensor, "pos d_head"]]:
    """(1 / σ at each token, the values that the formula gives)."""
    norm = _norm_module(model, layer)
    gamma, beta, centred = _norm(model, layer)
    if norm is None:
        inverse = torch.ones(len(x), dtype=torch.float64, device=x.device)
    else:
        scaled = gamma * (x - x.mean(1, keepdim=True) if centred else x)
        y = norm(x.to(_dtype(model))).double() - beta
        inverse = (y * scaled).sum(1) / scaled.square().sum(1).clamp_min(1e-24)  # a token may be all zeros
    return inverse, inverse[:, None] * (x @ weights.v) + constant(model, layer, head, "V")


def constant(model: LoadedModel, layer: int, head: int, name: str) -> Float[Tensor, " d_head"]:
    """What is in a head's queries, keys or values (`Q`, `K`, `V`) whatever the text: β W + b."""
    attn, (_, beta, _) = _attention(model, layer), _norm(model, layer)
    matrix = _matrix(model, attn, f"W_{name}", head)
    return beta @ matrix + _bias(attn, f"b_{name}", head, matrix)


def _norm(model: LoadedModel, layer: int) -> tuple[Tensor, Tensor, bool]:
    """(γ, β, whether the mean is taken off) of what attention reads through; γ up to a factor, which 1 / σ makes up."""
    norm = _norm_module(model, layer)
    width = model.manifest.record.d_model
    if norm is None:
        one = torch.ones(width, dtype=torch.float64, device=model.device)
        return one, torch.zeros_like(one), False
    like = torch.zeros(width, dtype=_dtype(model), device=model.device)
    return read_norm(norm, like, NEAR[model.dtype])


def _norm_module(model: LoadedModel, layer: int) -> Any:
    norm = getattr(model.bridge.blocks[layer], "ln1", None)
    return norm if norm is None else norm._modules.get("_original_component", norm)


def _dtype(model: LoadedModel) -> torch.dtype:
    found: torch.dtype = getattr(torch, model.dtype)
    return found


def _attention(model: LoadedModel, layer: int) -> Any:
    found = getattr(model.bridge.blocks[layer], "attn", None)
    if found is None:
        raise _unknown(model, layer)
    return found


def _matrix(model: LoadedModel, attn: Any, name: str, head: int) -> Float[Tensor, "a b"]:
    found = getattr(attn, name, None)
    if not isinstance(found, Tensor) or found.ndim != 3:
        raise NotAvailable(f"{model.manifest.spec.id} does not show its heads' {name}, so they cannot be told apart.")
    each = heads_of(model, 0) // found.shape[0]
    return found[head // each].detach().double()


def _bias(attn: Any, name: str, head: int, matrix: Tensor) -> Tensor:
    found = getattr(attn, name, None)
    width = matrix.shape[1]
    if not isinstance(found, Tensor) or found.numel() % width:
        return torch.zeros(width, dtype=torch.float64, device=matrix.device)
    rows = found.detach().double().reshape(-1, width)
    return rows[head * len(rows) // max(len(rows), _heads(attn))]


def _heads(attn: Any) -> int:
    return int(attn.W_Q.shape[0])


def _own(value: Tensor, head: int, heads: int, d_head: int) -> Float[Tensor, "pos d_head"]:
    """A head's own of [pos, heads or groups of them, d_head]."""
    value = value.reshape(len(value), -1, d_head)
    return value[:, head * value.shape[1] // heads]


def _unknown(model: LoadedModel, layer: int) -> NotAvailable:
    return NotAvailable(
        f"Layer {layer} of {model.manifest.spec.id} does more than pattern × value × W_O behind a LayerNorm or "
        "RMSNorm, so what its heads read and write is not known here. Their patterns are."
    )
