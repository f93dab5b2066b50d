"""Steering the slow and obvious way: Hugging Face's model alone, plain forward hooks, a token at a time, no cache.

Nothing here comes from `core`. `Hand` runs a whole text with functions at some places; `edit` is each method's formula
for one token, as the documentation has it; SAELens's own SAEs encode and decode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

Edit = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]
"""[pos, d] at a hook and what was read at others before; gives what stands in for it."""


@dataclass(frozen=True)
class Pushed:
    """A decoder row and its strength; `sae` is SAELens's, None for neurons and for a direction."""

    hook: str
    hook_out: str
    row: torch.Tensor
    index: int
    strength: float
    sae: Any = None
    neuron: bool = False


class Hand:
    """A model as Hugging Face has it: GPT-2, Llama or Gemma 2."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        kind = self.model.config.model_type
        self._normed = kind == "gemma2"
        body = self.model.transformer if kind == "gpt2" else self.model.model
        self._blocks = body.h if kind == "gpt2" else body.layers
        self._names = ("attn", "c_proj", "c_proj") if kind == "gpt2" else ("self_attn", "o_proj", "down_proj")

    @torch.no_grad()
    def __call__(self, ids: Sequence[int], edits: dict[str, Edit] | None = None) -> torch.Tensor:
        """[pos, vocab]: the logits of a text."""
        handles: list[Any] = []
        seen: dict[str, torch.Tensor] = {}
        for hook, edit in (edits or {}).items():
            handles += self._hang(hook, edit, seen)
        try:
            return self.model(torch.tensor([list(ids)])).logits[0]
        finally:
            for handle in handles:
                handle.remove()

    def seen(self, ids: Sequence[int], hook: str, edits: dict[str, Edit] | None = None) -> torch.Tensor:
        """[pos, d]: what passes at a hook, after it was edited."""
        found = []
        before = (edits or {}).get(hook, lambda h, seen: h)

        def keep(h: torch.Tensor, seen: dict[str, torch.Tensor]) -> torch.Tensor:
            found.append(before(h, seen))
            return found[0]

        self(ids, {**(edits or {}), hook: keep})
        return found[0]

    def _hang(self, hook: str, edit: Edit, seen: dict[str, torch.Tensor]) -> list[Any]:
        layer, name = int(hook.split(".")[1]), hook.split(".", 2)[2]
        block = self._blocks[layer]
        attention, joined, down = self._names
        attn = getattr(block, attention)

        def edited(x: torch.Tensor) -> torch.Tensor:
            seen[hook] = x[0].clone()
            return edit(x[0].clone(), seen)[None]

        def on_input(module: Any) -> Any:
            def change(m: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                return (edited(args[0]), *args[1:]), kwargs

            return module.register_forward_pre_hook(change, with_kwargs=True)

        def on_output(module: Any) -> Any:
            def change(m: Any, args: Any, out: Any) -> Any:
                return (edited(out[0]), *out[1:]) if isinstance(out, tuple) else edited(out)

            return module.register_forward_hook(change)

        if name == "hook_resid_pre":
            return [on_input(block)]
        if name == "hook_resid_post":
            return [on_output(block)]
        if name == "hook_mlp_out":
            return [on_output(block.post_feedforward_layernorm if self._normed else block.mlp)]
        if name == "attn.hook_z":
            return [on_input(getattr(attn, joined))]
        if name == "mlp.hook_post":
            return [on_input(getattr(block.mlp, down))]
        if name == "mlp.hook_in":
            return [on_input(block.mlp)]
        if name == "attn.hook_v":  # GPT-2's: the last third of what one matrix gives

            def third(m: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
                some = out.shape[-1] // 3
                return torch.cat([out[..., : 2 * some], edited(out[..., 2 * some :])], -1)

            return [attn.c_attn.register_forward_hook(third)]
        assert name == "hook_resid_mid", hook
        return self._between(block, block.post_attention_layernorm if self._normed else attn, edited)

    def _between(self, block: Any, attn: Any, edited: Callable[[torch.Tensor], torch.Tensor]) -> list[Any]:
        """The stream before the MLP is the sum of the layer's input and of the attention's output: edit that sum."""
        entered: list[torch.Tensor] = []

        def enter(m: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            entered[:] = [args[0]]

        def leave(m: Any, args: Any, out: Any) -> Any:
            first = out[0] if isinstance(out, tuple) else out
            new = edited(entered[0] + first) - entered[0]
            return (new, *out[1:]) if isinstance(out, tuple) else new

        return [block.register_forward_pre_hook(enter, with_kwargs=True), attn.register_forward_hook(leave)]


def edits(method: str, pushed: Sequence[Pushed], at: Sequence[bool], *, unit: bool = False) -> dict[str, Edit]:
    """What to do at every hook; `at` says which tokens."""
    made: dict[str, Edit] = {}
    for one in pushed:
        if method in ("clamp", "ablate") and one.hook != one.hook_out:
            made.setdefault(one.hook, lambda h, seen: h)  # so that it is seen
    for place in dict.fromkeys(one.hook_out for one in pushed):
        own = [one for one in pushed if one.hook_out == place]

        def change(h: torch.Tensor, seen: dict[str, torch.Tensor], own: list[Pushed] = own) -> torch.Tensor:
            out = h.clone()
            for n in range(len(h)):
                if n < len(at) and at[n]:
                    read = {hook: x[n] for hook, x in seen.items()}
                    out[n] = edit(method, h[n], read, own, unit)
            return out

        made[place] = change
    return made


def edit(
    method: str, h: torch.Tensor, read: dict[str, torch.Tensor], pushed: Sequence[Pushed], unit: bool
) -> torch.Tensor:
    """[d]: one token at one hook."""
    rows = [one.row / one.row.norm() if unit else one.row for one in pushed]
    if method == "add":
        for one, v in zip(pushed, rows, strict=True):
            h = h + one.strength * v
        return h
    if method in ("orthogonal", "cap"):
        for one, v in zip(pushed, rows, strict=True):
            v = v / v.norm()
            along = torch.dot(h, v)
            if method == "orthogonal":
                h = (h - along * v) + one.strength * along * v
            elif along > one.strength:
                h = (h - along * v) + one.strength * v
        return h
    change = torch.zeros_like(h)
    done = []
    for one, v in zip(pushed, rows, strict=True):
        strength = 0.0 if method == "ablate" else one.strength
        if one.neuron:
            change += (strength - read[one.hook][one.index]) * one.row
        elif one.sae is None:
            change += (strength - torch.dot(h, v)) * v / torch.dot(v, v)
        elif not any(one.sae is sae for sae in done):  # the dictionary once, all its features together
            done.append(one.sae)
            same = [other for other in pushed if other.sae is one.sae]
            change += _decoded(one.sae, read[one.hook], {o.index: o.strength * (method == "clamp") for o in same})
    return h + change


def _decoded(sae: Any, x: torch.Tensor, wanted: dict[int, float]) -> torch.Tensor:
    """dec(a') - dec(a) by SAELens, whose `encode` keeps of the input what its `decode` takes away again."""
    without = sae.decode(sae.encode(x[None]))
    other = sae.encode(x[None]).clone()
    for index, value in wanted.items():
        other[:, index] = value
    return (sae.decode(other) - without)[0]


def logprobs(logits: torch.Tensor) -> np.ndarray:
    """In float64, by NumPy."""
    x = logits.double().numpy()
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))
