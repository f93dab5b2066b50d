"""A model of the same architecture and size of weights that learned nothing: what a control's SAE is trained on.

Knows a PyTorch model; training the SAE is others' work. After Heap, Lawson, Farnik and Aitchison, "Sparse Autoencoders
Can Interpret Randomly Initialized Transformers" (2025): every weight matrix is drawn again from a normal distribution
with its own mean and standard deviation, layer by layer, so that activations keep about the scale that training gave
them, which a fresh initialisation would not. They have the same two kinds: with the embeddings drawn again too, where
not even the likeness of tokens is left, and with token embedding, position embedding and unembedding kept, where what
is left is the vocabulary's.

What the paper leaves open, here: the fused matrix of queries, keys and values in GPT-2 is three matrices, each with a
mean and a deviation of its own. Vectors (biases, gains of norms) have few entries, some of them far from the others, so
they are permuted rather than drawn: their values stay and what they belonged to is gone. Buffers stay.

Cost: a copy of the model and one draw a weight.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import torch
from torch import Tensor, nn

_FUSED = ("attn.c_attn.weight", "attn.c_attn.bias")
"""GPT-2's parameters whose last axis is queries, keys and values side by side, by the end of their names."""


@torch.no_grad()
def randomised(model: nn.Module, keep_embeddings: bool, seed: int) -> nn.Module:
    """A copy of a Hugging Face language model with its weights randomised; the one that is given stays as it is.

    The same seed gives the same weights, whatever else is drawn meanwhile: each tensor has a generator of its own, of
    the seed and its name. Tied weights stay tied. With `keep_embeddings`, every `nn.Embedding` (tokens and positions)
    and the output embedding stay exactly as they are.
    """
    made = copy.deepcopy(model)
    kept = _embeddings(made) if keep_embeddings else set()
    for name, parameter in made.named_parameters():
        if id(parameter) not in kept:
            parameter.copy_(_again(name, parameter.detach(), seed))
    return made


def _embeddings(model: nn.Module) -> set[int]:
    """Ids of the parameters that read tokens and positions in, and write tokens out."""
    found = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    output: Any = getattr(model, "get_output_embeddings", None)
    out = output() if output is not None else None
    if isinstance(out, nn.Module):
        found |= {id(p) for p in out.parameters()}
    return found


def _again(name: str, tensor: Tensor, seed: int) -> Tensor:
    """The tensor drawn again (a matrix) or permuted (a vector); queries, keys and values each by themselves."""
    if not tensor.ndim:  # a single number has none to change places with
        return tensor
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    fused = name.endswith(_FUSED) and tensor.shape[-1] % 3 == 0
    parts = tensor.float().cpu().chunk(3 if fused else 1, dim=-1)
    return torch.cat([_part(p, generator) for p in parts], dim=-1).to(tensor)


def _part(tensor: Tensor, generator: torch.Generator) -> Tensor:
    if tensor.ndim < 2:
        return tensor[torch.randperm(len(tensor), generator=generator)]
    exact = tensor.double()
    return torch.randn(tensor.shape, generator=generator) * exact.std(correction=0).item() + exact.mean().item()
