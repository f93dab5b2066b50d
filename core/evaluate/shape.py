"""What a dictionary's features are like as a set: how often they fire, and how their rows lie to each other.

- dead: features that no counted token activates; dense, frequent: those active on more than a tenth, a hundredth.
- encoder–decoder cosine: of each feature's encoder column and decoder row, as SAELens's `encoder_decoder_cosine_sim`;
  for a dictionary that reads and writes at one hook point.
- redundancy: the largest cosine of each decoder row with another one. The product is made in blocks, so memory is
  bounded. As many random directions in as many dimensions have `redundancy_chance`, from a sample of `SAMPLE` of them.

Cost: a pass to the hook, and width² × d products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from core.evaluate import bootstrap
from core.evaluate.reconstruction import Batch, Progress, Tokens, held_at
from core.evaluate.records import Distribution, Shape, TokenSet

DENSE, FREQUENT = 0.1, 0.01
_BLOCK, SAMPLE = 1024, 512
_DENSITIES = np.arange(-7.0, 0.01, 0.25)
_COSINES = np.linspace(-1.0, 1.0, 41)


@runtime_checkable
class Encodes(Protocol):
    """What is asked of a dictionary that is measured as a set."""

    hook: str

    @property
    def width(self) -> int:
        """Number of features."""
        ...

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Values of all features."""
        ...


@torch.no_grad()
def activity(
    bridge: Any, sources: Sequence[Encodes], tokens: Tokens, *, progress: Progress | None = None,
    turn: AbstractContextManager[None] | None = None,
) -> tuple[list[Int64[np.ndarray, " _"]], int]:  # fmt: skip
    """(of each source, the counted tokens on which each feature is other than zero; counted tokens)."""
    tokens = tokens.to(bridge.cfg.device)
    counts = [torch.zeros(source.width, dtype=torch.int64) for source in sources]
    total = 0
    hooks = {source.hook for source in sources}
    for rows in tokens.batches(max(int(bridge.cfg.d_vocab), *(s.width for s in sources))):
        with turn or nullcontext():
            batch = Batch.of(tokens, rows)
            held = held_at(bridge, hooks, batch.ids)
            for source, count in zip(sources, counts, strict=True):
                count += (source.encode(held[source.hook])[batch.counted] != 0).sum(0).cpu()
            total += int(batch.counted.sum())
        if progress is not None:
            progress("how often features fire", float(min(rows.stop, len(tokens.ids))), float(len(tokens.ids)))
    return [count.numpy() for count in counts], total


def shape(
    counts: Int64[np.ndarray, " d_sae"], total: int, decoder: Float[Tensor, "d_sae d"],
    encoder: Float[Tensor, "d d_sae"] | None, on: TokenSet, made: str,
) -> Shape:  # fmt: skip
    """The record of a dictionary; `encoder` is None where it reads elsewhere than it writes, or has none."""
    density = counts / total
    width = len(counts)
    own = None if encoder is None else cosines(encoder.T, decoder)
    nearest = redundancy(decoder)
    return Shape(
        on=on, made=made, width=width,
        dead_fraction=bootstrap.share(int((counts == 0).sum()), width),
        dense_fraction=bootstrap.share(int((density > DENSE).sum()), width),
        frequent_fraction=bootstrap.share(int((density > FREQUENT).sum()), width),
        density=distribution(np.log10(density[counts > 0]), _DENSITIES),
        encoder_decoder=None if own is None else distribution(own, _COSINES),
        encoder_decoder_cosine=None if own is None else bootstrap.mean(own),
        redundancy=distribution(nearest, _COSINES), redundancy_cosine=bootstrap.mean(nearest),
        redundancy_chance=chance(width, decoder.shape[1]),
    )  # fmt: skip


def cosines(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float64[np.ndarray, " n"]:
    """Row by row; 0 where one is a row of zeros."""
    products = (a.double() * b.double()).sum(-1) / (a.double().norm(dim=-1) * b.double().norm(dim=-1)).clamp_min(1e-30)
    return np.asarray(products.cpu().numpy(), np.float64)


def redundancy(rows: Float[Tensor, "n d"]) -> Float64[np.ndarray, " n"]:
    """The largest cosine of each row with another; rows of zeros have 0 with all."""
    unit = _unit(rows.float())
    found = []
    for start in range(0, len(unit), _BLOCK):
        products = unit[start : start + _BLOCK] @ unit.T
        own = torch.arange(len(products), device=unit.device)
        products[own, own + start] = -math.inf
        found.append(products.max(-1).values)
    best = torch.cat(found)
    return np.asarray(best.double().clamp(-1, 1).cpu().numpy(), np.float64)


def chance(width: int, d: int) -> float:
    """The mean of `redundancy` for random directions, from a sample of them."""
    draw = torch.Generator().manual_seed(0)
    unit = _unit(torch.randn(width, d, generator=draw))
    few = min(SAMPLE, width)
    products = unit[:few] @ unit.T
    products[torch.arange(few), torch.arange(few)] = -math.inf
    return float(products.max(-1).values.double().mean())


def distribution(values: Float64[np.ndarray, " n"], edges: Float64[np.ndarray, " bins"]) -> Distribution:
    """A histogram, what is beyond its ends in the outer bins, with mean, median and the middle nine tenths."""
    if not len(values):
        nan = math.nan
        empty = (0,) * (len(edges) - 1)
        return Distribution(
            edges=tuple(edges.tolist()), counts=empty, mean=nan, median=nan, low=nan, high=nan
        )
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    low, high = np.percentile(values, [5, 95])
    return Distribution(
        edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), mean=float(values.mean()),
        median=float(np.median(values)), low=float(low), high=float(high),
    )  # fmt: skip


def _unit(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-30)
