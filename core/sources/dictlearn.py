"""Reads a dictionary that dictionary_learning wrote: `config.json` and `ae.pt`, a dictionary of tensors.

`trainer.dict_class` says what it is; with x the activation and as the library's own classes compute it,

    AutoEncoder             relu(W (x - bias) + b)
    AutoEncoderNew          relu(W x + b)
    AutoEncoderTopK         the k largest of relu(W (x - b_dec) + b), token by token
    BatchTopKSAE            relu(W (x - b_dec) + b) where above `threshold`, which training kept for inference
    MatryoshkaBatchTopKSAE  the same
    GatedAutoEncoder        (W (x - b_d) + gate_bias > 0) relu(exp(r_mag) W (x - b_d) + mag_bias)
    JumpReluAutoEncoder     pre where pre = W x + b_enc > threshold

and each is one of SAELens's inference classes. Weights stay as they are on disk: the library's `from_pretrained` may
divide an AutoEncoder's decoder rows by their norms, which scales its features; that is not done here. `ae.pt` is a
pickle and is read with `weights_only=True`, which makes tensors and nothing else. Where the dictionary belongs is said
by `trainer.layer`, `trainer.submodule_name` and `buffer.io`; what they leave open is asked for, not guessed. Cost: the
weights in memory once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadConfig
from core.sources.folders import number, read_json

CONFIG, WEIGHTS = "config.json", "ae.pt"
_PLACES = (
    (r"resid(?:ual)?(?:_post)?(?:_layer)?_?(\d+)?", "hook_resid_post"),
    (r"resid_pre(?:_layer)?_?(\d+)?", "hook_resid_pre"),
    (r"mlp(?:_out)?(?:_layer)?_?(\d+)?", "mlp.hook_out"),
    (r"attn(?:_out)?(?:_layer)?_?(\d+)?", "attn.hook_out"),
)
"""How `submodule_name` is written, and the hook that it means."""
Tensors = dict[str, Tensor]


def load_dictlearn(folder: Path, device: str) -> Any:
    """The dictionary as one of SAELens's classes, in float32.

    Raises:
        BadConfig: the files do not say what the format says, or do not fit each other.
    """
    config = read_json(folder / CONFIG)
    trainer, buffer = config.get("trainer"), config.get("buffer")
    if not isinstance(trainer, dict):
        raise BadConfig(f"{CONFIG} has no trainer, so it does not say what the dictionary is.")
    kind = str(trainer.get("dict_class"))
    if kind == "CrossCoder":
        raise BadConfig("A crosscoder reads several activations at once, and sources here read one hook.")
    if kind not in _KINDS:
        raise BadConfig(f"{CONFIG}: trainer.dict_class is {kind}; known are {', '.join(_KINDS)}.")
    d_in, wide = number(trainer, "activation_dim", CONFIG), number(trainer, "dict_size", CONFIG)
    about = _about(trainer, buffer if isinstance(buffer, dict) else {})
    return _KINDS[kind](_Files(_tensors(folder), d_in, wide, trainer, about)).to(device)


class _Files:
    """What was read, and what makes a SAELens SAE of it."""

    def __init__(self, tensors: Tensors, d_in: int, wide: int, trainer: dict[str, Any], about: dict[str, Any]) -> None:
        self._tensors, self.d_in, self.wide, self.trainer, self._about = tensors, d_in, wide, trainer, about

    def encoder(self) -> Tensor:
        """[d_in, n]."""
        return self.one("encoder.weight", self.wide, self.d_in).T.contiguous()

    def decoder(self) -> Tensor:
        """[n, d_in]."""
        return self.one("decoder.weight", self.d_in, self.wide).T.contiguous()

    def one(self, name: str, *shape: int) -> Tensor:
        """A tensor of that shape, or a refusal."""
        found = self._tensors.get(name)
        if found is None:
            raise BadConfig(f"{WEIGHTS} has no {name}; it has {', '.join(sorted(self._tensors)) or 'nothing'}.")
        if tuple(found.shape) != shape:
            raise BadConfig(f"{WEIGHTS}: {name} is of shape {list(found.shape)}, and {CONFIG} says {list(shape)}.")
        return found

    def threshold(self) -> Tensor:
        """One number for all features, as one for each."""
        return self.one("threshold").expand(self.wide).clone()

    def made(self, kind: str, state: Tensors, **options: Any) -> Any:
        """An SAE of a SAELens architecture with these weights."""
        from sae_lens.registry import get_sae_class
        from sae_lens.saes.sae import SAEMetadata

        made, settings = get_sae_class(kind)
        sae = made(settings(d_in=self.d_in, d_sae=self.wide, metadata=SAEMetadata(**self._about), **options))
        sae.load_state_dict(state)
        return sae


def _autoencoder(f: _Files) -> Any:
    state = {"W_enc": f.encoder(), "b_enc": f.one("encoder.bias", f.wide), "W_dec": f.decoder()}
    return f.made("standard", state | {"b_dec": f.one("bias", f.d_in)})


def _autoencoder_new(f: _Files) -> Any:
    state = {"W_enc": f.encoder(), "b_enc": f.one("encoder.bias", f.wide), "W_dec": f.decoder()}
    return f.made("standard", state | {"b_dec": f.one("decoder.bias", f.d_in)}, apply_b_dec_to_input=False)


def _topk(f: _Files) -> Any:
    k = number(f.trainer, "k", CONFIG)
    if k > f.wide:
        raise BadConfig(f"{CONFIG}: trainer.k is {k}, and it has {f.wide} features.")
    return f.made("topk", _centred(f), k=k)


def _batchtopk(f: _Files) -> Any:
    return f.made("jumprelu", _centred(f) | {"threshold": f.threshold()})


def _matryoshka(f: _Files) -> Any:
    state = {
        "W_enc": f.one("W_enc", f.d_in, f.wide), "b_enc": f.one("b_enc", f.wide),
        "W_dec": f.one("W_dec", f.wide, f.d_in), "b_dec": f.one("b_dec", f.d_in), "threshold": f.threshold(),
    }  # fmt: skip
    return f.made("jumprelu", state)


def _centred(f: _Files) -> Tensors:
    state = {"W_enc": f.encoder(), "b_enc": f.one("encoder.bias", f.wide), "W_dec": f.decoder()}
    return state | {"b_dec": f.one("b_dec", f.d_in)}


def _gated(f: _Files) -> Any:
    state = {
        "W_enc": f.encoder(), "W_dec": f.decoder(), "b_dec": f.one("decoder_bias", f.d_in),
        "b_gate": f.one("gate_bias", f.wide), "b_mag": f.one("mag_bias", f.wide), "r_mag": f.one("r_mag", f.wide),
    }  # fmt: skip
    return f.made("gated", state)


def _jumprelu(f: _Files) -> Any:
    state = {
        "W_enc": f.one("W_enc", f.d_in, f.wide), "b_enc": f.one("b_enc", f.wide),
        "W_dec": f.one("W_dec", f.wide, f.d_in), "b_dec": f.one("b_dec", f.d_in),
        "threshold": f.one("threshold", f.wide),
    }  # fmt: skip
    return f.made("jumprelu", state, apply_b_dec_to_input=False)


_KINDS: dict[str, Callable[[_Files], Any]] = {
    "AutoEncoder": _autoencoder, "AutoEncoderNew": _autoencoder_new, "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batchtopk, "MatryoshkaBatchTopKSAE": _matryoshka, "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jumprelu,
}  # fmt: skip


def _about(trainer: dict[str, Any], buffer: dict[str, Any]) -> dict[str, Any]:
    """What the configuration says of the model."""
    found: dict[str, Any] = {}
    if trainer.get("lm_name"):
        found["model_name"] = str(trainer["lm_name"])
    if isinstance(buffer.get("ctx_len"), int):
        found["context_size"] = buffer["ctx_len"]
    io = buffer.get("io", "out")
    if io == "in_and_out":
        raise BadConfig(f"{CONFIG}: buffer.io is in_and_out, a transcoder, which is not read from this format.")
    hook = _hook(trainer) if io == "out" else None  # an input's place depends on the module: it is asked for
    return found | ({"hook_name": hook} if hook else {})


def _hook(trainer: dict[str, Any]) -> str | None:
    layer, name = trainer.get("layer"), trainer.get("submodule_name")
    if not isinstance(layer, int) or not isinstance(name, str):
        return None
    for pattern, place in _PLACES:
        match = re.fullmatch(pattern, name)
        if match is None:
            continue
        if match[1] is not None and int(match[1]) != layer:
            raise BadConfig(f"{CONFIG}: trainer.layer is {layer}, and trainer.submodule_name is {name}.")
        return f"blocks.{layer}.{place}"
    return None


def _tensors(folder: Path) -> Tensors:
    try:
        found = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch raise many kinds
        raise BadConfig(
            f"{WEIGHTS} holds more than tensors or is damaged, so it is not read: a pickle can run whatever it says."
        ) from error
    if not isinstance(found, dict):
        raise BadConfig(f"{WEIGHTS} holds no dictionary of tensors.")
    return {str(k): v.float() for k, v in found.items() if isinstance(v, Tensor)}
