"""The pass's unit of work: a tile, a fixed number of prompts padded to one length.

What a matrix product gives for a row may depend on the shape of the whole product. All tiles of a build therefore have
one shape, which follows from the prompts alone, and the encoders are given equal pieces of a tile: the bytes of a
source do not depend on how many tiles are run together, by whom, or after which interruption. A chunk is `PER_CHUNK`
tiles: what is written at once, and the most that an interruption loses.

Cost: padding. With prompts of one length there is none but in the last tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from core.build.examples import Texts
from core.errors import BadConfig
from core.kernel import U32, Bool
from core.models.capture import capture
from core.models.loading import LoadedModel

TOKENS, PER_CHUNK = 2048, 16
"""Places for tokens in a tile, and tiles in a chunk. The temporaries of a larger tile are no longer kept by the C
library (`core.models.memory`), and those of a smaller one make thin products."""
VALUES = 6 * 2**20
"""Values that an encoder makes at once: 24 MiB in float32, for the same reason."""


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

    def run(self, model: LoadedModel, begin: int, end: int, hooks: list[str]) -> tuple[U32, dict[str, torch.Tensor]]:
        """Runs a tile: the numbers of its counted tokens, and of each hook their activations `[n, d]`.

        Raises:
            BadConfig: the model's activations are not finite.
        """
        cache = capture(model, self.ids(begin, end), hooks)
        first, last = self.texts.starts[begin], self.texts.starts[end]
        tokens = np.flatnonzero(self.counted[first:last]) + first
        prompt = self.texts.prompt[tokens].astype(np.int64)
        places = torch.from_numpy((prompt - begin) * self.longest + tokens - self.texts.starts[prompt])
        flat = {}
        for hook, value in cache.items():
            flat[hook] = value.flatten(0, 1)[places.to(value.device)]
            if not flat[hook].isfinite().all():
                raise BadConfig(f"model: its activations at {hook} are not finite numbers: its weights are damaged.")
        return tokens.astype(np.uint32), flat


def pieces(x: torch.Tensor, width: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(first row, rows) of `x` as an encoder of `width` features is given them."""
    size = max(64, VALUES // width)
    for begin in range(0, len(x), size):
        yield begin, x[begin : begin + size]
