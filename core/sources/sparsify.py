"""Reads a dictionary that EleutherAI's sparsify wrote: `cfg.json` and `sae.safetensors` in a folder named by its hook.

The format: `encoder.weight` [n, d], `encoder.bias` [n], `W_dec` [n, d], `b_dec` [d] and perhaps `W_skip` [d, d]. With
x what passes at the hookpoint (a module's output; its input for a transcoder),

    f = top k of relu(W (x - b_dec) + b),    x̂ = f W_dec + b_dec + W_skip x,

where a transcoder leaves b_dec out of its encoder, `activation: groupmax` keeps the largest of each of k groups, and
`signed: true` (older versions) keeps the k largest in size with their signs. SAELens's own loader of this format turns
W_dec around, leaves the encoder's b_dec out, and takes `layers.5.mlp` for the residual stream; so it is not used. What
the folder above says (`config.json`: model, ctx_len) is taken as said. Cost: the weights in memory once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadConfig
from core.sources.folders import hook_of, number, read_json

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
_TOKENS = {"embed_skip": "the embeddings of the tokens", "gram_lookup": "a table of n-grams"}
"""Settings by which what comes out depends on more than the activation, and on what."""


def load_sparsify(folder: Path, device: str) -> Any:
    """The dictionary as one of SAELens's classes, in float32.

    Raises:
        BadConfig: the files do not say what the format says, or do not fit each other.
    """
    config = read_json(folder / CONFIG)
    for name, what in _TOKENS.items():
        if config.get(name):
            raise BadConfig(f"{name}: it depends on {what}, and sources here are encoded from the activation alone.")
    activation = config.get("activation", "topk")
    if activation not in ("topk", "groupmax"):
        raise BadConfig(f"{CONFIG}: activation is {activation!r}; known are topk and groupmax.")
    tensors = _tensors(folder)
    d_in, k = number(config, "d_in", CONFIG), number(config, "k", CONFIG)
    wide = number(config, "num_latents", CONFIG) if config.get("num_latents") else None
    wide = wide or d_in * number(config, "expansion_factor", CONFIG)
    _fits(tensors, d_in, wide)
    if k > wide or (activation == "groupmax" and wide % k):
        raise BadConfig(f"{CONFIG}: k is {k}, which does not go with {wide} latents.")
    state = {
        "W_enc": tensors["encoder.weight"].T.contiguous(), "b_enc": tensors["encoder.bias"], "W_dec": tensors["W_dec"],
        "b_dec": tensors["b_dec"],
    }  # fmt: skip
    skip = tensors.get("W_skip")
    made = _transcoder if config.get("transcode") else _autoencoder
    sae = made(config, activation == "groupmax", d_in, wide, k, skip, _about(folder, bool(config.get("transcode"))))
    if skip is not None:
        if "W_skip" not in dict(sae.named_parameters()):  # sparsify lets an autoencoder have one too
            sae.W_skip = torch.nn.Parameter(torch.empty_like(skip))
        state["W_skip"] = skip
    sae.load_state_dict(state)
    return sae.to(device)


def _autoencoder(
    config: dict[str, Any], groups: bool, d_in: int, wide: int, k: int, skip: Tensor | None, about: dict[str, Any]
) -> Any:
    from sae_lens import AbsTopKSAE, AbsTopKSAEConfig, TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    from core.sources.kinds import GroupMaxSAE, GroupMaxSAEConfig

    if groups and config.get("signed"):
        raise BadConfig(f"{CONFIG}: signed goes with topk, not with groupmax.")
    kind, settings = (GroupMaxSAE, GroupMaxSAEConfig) if groups else (TopKSAE, TopKSAEConfig)
    if config.get("signed"):
        kind, settings = AbsTopKSAE, AbsTopKSAEConfig
    return kind(settings(d_in=d_in, d_sae=wide, k=k, apply_b_dec_to_input=True, metadata=SAEMetadata(**about)))


def _transcoder(
    config: dict[str, Any], groups: bool, d_in: int, wide: int, k: int, skip: Tensor | None, about: dict[str, Any]
) -> Any:
    from sae_lens.saes.sae import SAEMetadata

    from core.sources import kinds

    if config.get("signed"):
        raise BadConfig(f"{CONFIG}: signed goes with an autoencoder, not with a transcoder.")
    made: tuple[Any, Any] = (kinds.TopKTranscoder, kinds.TopKTranscoderConfig)
    if skip is not None:
        made = (kinds.TopKSkipTranscoder, kinds.TopKSkipTranscoderConfig)
    settings = {"d_in": d_in, "d_out": d_in, "d_sae": wide, "k": k, "groups": groups, "apply_b_dec_to_input": False}
    return made[0](made[1](**settings, metadata=SAEMetadata(**about)))


def _about(folder: Path, transcode: bool) -> dict[str, Any]:
    """What the folder's name and the configuration of the run above it say."""
    place = folder.parent if re.fullmatch(r"seed\d+", folder.name) else folder
    found: dict[str, Any] = {}
    hooks = hook_of(place.name)
    if hooks is not None:
        found = {"hook_name": hooks[0] if transcode else hooks[1], "hook_name_out": hooks[1]}
    run = place.parent / "config.json"
    if run.is_file():
        said = read_json(run)
        found |= {ours: said[theirs] for theirs, ours in (("model", "model_name"), ("ctx_len", "context_size"))
                  if theirs in said}  # fmt: skip
    return found


def _tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        found = load_file(folder / WEIGHTS)
    except Exception as error:  # safetensors' own errors derive from Exception alone
        raise BadConfig(f"{WEIGHTS} cannot be read: {error}") from error
    return {name: value.float() for name, value in found.items()}


def _fits(tensors: dict[str, Tensor], d_in: int, wide: int) -> None:
    shapes = {
        "encoder.weight": (wide, d_in), "encoder.bias": (wide,), "W_dec": (wide, d_in), "b_dec": (d_in,),
        "W_skip": (d_in, d_in),
    }  # fmt: skip
    for name, shape in shapes.items():
        if name not in tensors:
            if name == "W_skip":
                continue
            raise BadConfig(f"{WEIGHTS} has no {name}; it has {', '.join(sorted(tensors)) or 'nothing'}.")
        if tuple(tensors[name].shape) != shape:
            raise BadConfig(
                f"{WEIGHTS}: {name} is of shape {list(tensors[name].shape)}, and {CONFIG} says {list(shape)}."
            )
    if unknown := sorted(set(tensors) - set(shapes)):
        raise BadConfig(f"{WEIGHTS} has {', '.join(unknown)}, of which sparsify's format knows nothing.")
