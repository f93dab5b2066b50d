"""What texts are to a model and to dictionaries: the mean of each text's counted tokens, and who is held out.

A text is a prompt. Its kind is the file that it came from, which the corpus gives for free. Documents are held out
whole: of each kind a third of them, drawn with a fixed seed, so that no document is on both sides. At most `MOST`
prompts, at equal steps. Memory: prompts × (d + the widths) floats; cost: a pass to the last hook.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from core.evaluate.reconstruction import Batch, Progress, Tokens, held_at
from core.evaluate.shape import Encodes
from core.evaluate.texts import Texts

MOST, FEWEST = 4000, 4
"""Prompts at most; documents of a kind at least, on either side."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The labels of some prompts."""

    names: tuple[str, ...]
    labels: Bool[np.ndarray, "prompts kinds"]
    held_out: Bool[np.ndarray, " prompts"]
    documents: Int64[np.ndarray, " prompts"]
    rare: tuple[str, ...]
    """Kinds with too few documents to be told; their prompts are among the others."""


def kinds(texts: Texts, seed: int = 0) -> Kinds:
    """The kinds of prompts, and which prompts are held out."""
    parts = np.array(texts.parts, dtype=object)
    held_out = np.zeros(len(parts), dtype=np.bool_)
    names: list[str] = []
    rare: list[str] = []
    for number, part in enumerate(sorted(set(texts.parts))):
        own = np.unique(texts.documents[parts == part])
        shuffled = np.random.default_rng([seed, number]).permutation(own)
        test = shuffled[: len(own) // 3]
        held_out |= (parts == part) & np.isin(texts.documents, test)
        (names if len(test) >= FEWEST else rare).append(part)
    labels = np.stack([parts == name for name in names], -1) if names else np.zeros((len(parts), 0), np.bool_)
    return Kinds(tuple(names), labels.astype(np.bool_), held_out, texts.documents, tuple(rare))


@dataclass(frozen=True, slots=True)
class Pooled:
    """Means over the counted tokens of each prompt."""

    x: dict[str, Float64[np.ndarray, "prompts _"]]
    """The activation at each hook."""
    features: list[Float32[np.ndarray, "prompts _"]]
    """Of each dictionary."""


@torch.no_grad()
def pooled(
    bridge: Any, sources: Sequence[Encodes], hooks: Sequence[str], tokens: Tokens, *,
    progress: Progress | None = None, turn: AbstractContextManager[None] | None = None,
) -> Pooled:  # fmt: skip
    """The means of all prompts; of one without a counted token zeros."""
    tokens = tokens.to(bridge.cfg.device)
    x: dict[str, list[torch.Tensor]] = {hook: [] for hook in hooks}
    features: list[list[torch.Tensor]] = [[] for _ in sources]
    read = {*hooks, *(source.hook for source in sources)}
    for rows in tokens.batches(max([int(bridge.cfg.d_vocab), *(s.width for s in sources)])):
        with turn or nullcontext():
            batch = Batch.of(tokens, rows)
            held = held_at(bridge, read, batch.ids)
            share = batch.counted.double()
            share = share / share.sum(1, keepdim=True).clamp_min(1)
            for hook in hooks:
                x[hook].append(torch.einsum("bp,bpd->bd", share, held[hook].double()).cpu())
            for source, kept in zip(sources, features, strict=True):
                codes = source.encode(held[source.hook])
                kept.append(torch.einsum("bp,bpf->bf", share.to(codes), codes).cpu())
        if progress is not None:
            progress("texts as means", float(min(rows.stop, len(tokens.ids))), float(len(tokens.ids)))
    return Pooled(
        {hook: torch.cat(found).numpy() for hook, found in x.items()}, [torch.cat(kept).numpy() for kept in features]
    )
