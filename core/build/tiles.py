"""The pass's unit of work: a tile, a fixed number of prompts padded to one length.

What a matrix product gives for a row may depend on the shape of the whole product. All tiles of a build therefore have
one shape, which follows from the prompts alone, and the encoders are given equal pieces of a tile: the bytes of a
source do not depend on how many tiles are run together, by whom, or after which interruption (only where memory does
not suffice for a tile is it run by halves, which may move last digits). A chunk is `PER_CHUNK` tiles: what is written
at once, and the most that an interruption loses.

Cost: padding. With prompts of one length there is none but in the last tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.build.examples import Texts
from core.errors import BadConfig
from core.kernel import I64, U32, Bool
from core.models.capture import capture
from core.models.loading import LoadedModel
from core.models.memory import by_halves, values_at_once

TOKENS, PER_CHUNK = 2048, 16
"""Places for tokens in a tile, and tiles in a chunk. The temporaries of a larger tile are no longer kept by the C
library (`core.models.memory`), and those of a smaller one make thin products."""
VALUES = 6 * 2**20
"""Values that an encoder makes at once on a CPU: 24 MiB in float32, for the same reason. A card has room for more."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The prompts of a build in tiles."""

    texts: Texts
    counted: Bool
    """[total]: tokens that count in the statistics."""
    longest: int
    rows: int
    """Prompts in a tile."""

    @classmethod
    def of(cls, texts: Texts, counted: Bool) -> Tiles:
        """The tiles that these prompts are run in."""
        longest = int(np.diff(texts.starts).max())
        return cls(texts, counted, longest, max(1, TOKENS // longest))

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-(len(self.texts.starts) - 1) // (self.rows * PER_CHUNK))

    def begin(self, chunk: int) -> int:
        """The number of the first token of a chunk; that of the chunk after the last is the number of tokens."""
        prompts = len(self.texts.starts) - 1
        return int(self.texts.starts[min(chunk * PER_CHUNK * self.rows, prompts)])

    def of_chunk(self, chunk: int) -> Iterator[tuple[int, int]]:
        """(first prompt, prompt after the last) of each tile of a chunk."""
        prompts = len(self.texts.starts) - 1
        first = chunk * PER_CHUNK * self.rows
        for begin in range(first, min(first + PER_CHUNK * self.rows, prompts), self.rows):
            yield begin, min(begin + self.rows, prompts)

    def ids(self, begin: int, end: int) -> torch.Tensor:
        """[rows, longest] ids of a tile's prompts, zeros where there are none."""
        out = torch.zeros(self.rows, self.longest, dtype=torch.int64)
        starts = self.texts.starts
        for n, prompt in enumerate(range(begin, end)):
            ids = self.texts.tokens[starts[prompt] : starts[prompt + 1]].astype(np.int64)
            out[n, : len(ids)] = torch.from_numpy(ids)
        return out

    def tile(self, begin: int, end: int) -> Tile:
        """The tile of some prompts."""
        first, last = self.texts.starts[begin], self.texts.starts[end]
        tokens = np.flatnonzero(self.counted[first:last]) + first
        prompt = self.texts.prompt[tokens].astype(np.int64)
        places = (prompt - begin) * self.longest + tokens - self.texts.starts[prompt]
        return Tile(self.ids(begin, end).numpy(), tokens.astype(np.uint32), places)


@dataclass(frozen=True, slots=True)
class Tile:
    """What is run at once: it needs nothing else of the texts."""

    ids: I64
    """[rows, longest]"""
    tokens: U32
    """The numbers of its counted tokens."""
    places: I64
    """Where these stand among its places."""

    def run(self, model: LoadedModel, hooks: Sequence[str]) -> dict[str, torch.Tensor]:
        """Of each hook the activations `[n, d]` of the counted tokens.

        Where memory does not suffice for all its prompts they are run by halves.

        Raises:
            BadConfig: the model's activations are not finite.
        """
        ids, places, flat = torch.from_numpy(self.ids), torch.from_numpy(self.places), {}
        parts = by_halves(lambda rows: capture(model, ids[rows], list(hooks)), len(ids))
        for hook in hooks:
            value = torch.cat([part[hook] for part in parts]) if len(parts) > 1 else parts[0][hook]
            flat[hook] = value.flatten(0, 1)[places.to(value.device)]
            if not flat[hook].isfinite().all():
                raise BadConfig(f"model: its activations at {hook} are not finite numbers: its weights are damaged.")
        return flat


def pieces(x: torch.Tensor, width: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(first row, rows) of `x` as an encoder of `width` features is given them."""
    size = max(64, values_at_once(x.device, VALUES) // width)
    for begin in range(0, len(x), size):
        yield begin, x[begin : begin + size]
