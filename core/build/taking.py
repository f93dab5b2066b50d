"""What each source takes of a tile, by whoever runs it: this process here, others in `core.build.cluster`.

A tile's work is to run the model and to encode; it needs nothing of the tiles before it, so it may be done anywhere and
at once with others. Adding up is the build's own, in the order of the tiles, so that the bytes of a source are the same
wherever its tiles were run. Only the tails of a dense source come from the first tile: it goes ahead of the rest.

Cost: the model's pass and the encoders' products.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch

from core.build.nonzeros import Rows, joined, outside, positive, to_numpy
from core.build.tiles import Tiles, pieces
from core.errors import BadConfig
from core.kernel import F32, U32
from core.models.loading import LoadedModel
from core.models.memory import by_halves
from core.sources.dictionary import Dictionary

LOWER_TAIL, UPPER_TAIL = 0.005, 0.98
"""Quantiles, over the first tile's counted tokens, beyond which the store keeps a dense source's values."""

Tails: TypeAlias = tuple[F32, F32]
"""[width] each: values below the first or above the second are kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """A tile, and which sources still need it, by their place among all."""

    chunk: int
    begin: int
    end: int
    """Prompts: the first, and the one after the last."""
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one source takes of a tile."""

    entries: Rows
    batches: list[F32]
    """What its sums are of: the hook's coordinates [n, d_in], or a dense source's values, some tokens at a time."""
    tails: Tails | None


Engine: TypeAlias = Callable[[Sequence[Job], Callable[[int], Tails | None]], Generator[tuple[U32, Taken]]]
"""Runs jobs: for each, in their order, and each of its sources, the tile's counted tokens and what the source takes.
It asks for a source's tails when it needs them."""


def take(source: Dictionary, x: torch.Tensor, tails: Tails | None, name: str, *, half: bool = False) -> Taken:
    """What a source takes of a tile's activations `x` [n, d_in]; `half`: the encoder's products are of bfloat16.

    Raises:
        BadConfig: a value is no finite number.
    """
    parts, batches = [], []
    for acts in _encoded(source, x, half):
        if not source.signed:
            parts.append(positive(acts))
            _finite(name, parts[-1].values)
            continue
        batches.append(to_numpy(acts))
        _finite(name, batches[-1])
        if tails is None:
            tails = _tails(source, acts)
        parts.append(outside(acts, *(torch.from_numpy(tail).to(acts.device) for tail in tails)))
    return Taken(joined(parts), batches if source.signed else [to_numpy(x)], tails)


def _encoded(source: Dictionary, x: torch.Tensor, half: bool) -> Iterator[torch.Tensor]:
    """The values of some tokens after others; of fewer at a time where memory does not suffice."""
    for _, some in pieces(x, source.width):
        yield from by_halves(partial(_rows_of, source, some, half), len(some))


def _rows_of(source: Dictionary, x: torch.Tensor, half: bool, rows: slice) -> torch.Tensor:
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        return source.encode(x[rows])


def _tails(source: Dictionary, acts: torch.Tensor) -> Tails:
    if source.kind == "sae":  # both signs, and zero nearly everywhere: all that is not
        zeros = np.zeros(source.width, np.float32)
        return zeros, zeros
    ordered = acts.sort(dim=0).values
    last = len(ordered) - 1
    low, high = (to_numpy(ordered[int(part * last)]).copy() for part in (LOWER_TAIL, UPPER_TAIL))
    return low, high


def _finite(name: str, values: F32) -> None:
    if not np.isfinite(values).all():
        raise BadConfig(f"{name}: its values on these texts are not finite numbers: its weights are too large.")


def here(
    model: LoadedModel, sources: Sequence[Dictionary], names: Sequence[str], tiles: Tiles, *, half: bool = False
) -> Engine:
    """The engine of this process."""

    @torch.no_grad()
    def run(jobs: Sequence[Job], tails: Callable[[int], Tails | None]) -> Generator[tuple[U32, Taken]]:
        for job in jobs:
            hooks = sorted({sources[n].hook for n in job.sources})
            tile = tiles.tile(job.begin, job.end)
            flat = tile.run(model, hooks)
            for n in job.sources:
                yield tile.tokens, take(sources[n], flat[sources[n].hook], tails(n), names[n], half=half)

    return run
