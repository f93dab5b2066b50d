"""Features by how their activations differ between two runs, and by attribution patching.

Where a source writes, Δx = Σ (a r in the clean run - a r in the corrupted one) + Δbias + Δerror at two tokens that
stand for each other, exactly (`core.techniques.circuits.splice`). Attribution patching (Nanda, 2023; Syed, Rager and
Conmy, 2023) multiplies each term by dL/dx of the run that is patched: of the corrupted run for denoising, of the clean
one for noising. It is a first-order estimate of what `patching` measures, and exact where L is linear in x. The terms
add up to Δx · dL/dx. Cost: of each source two encodings, and two rows for every node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from core.models.cache import Arrays
from core.models.thread import computing
from core.sources.codes import Codes
from core.techniques.circuits.splice import CHUNK, Entries, Splice, entries

KEPT = 20_000
"""Nodes of one source that are kept, those of largest mean attribution; all count in the sums."""


@dataclass(frozen=True, slots=True)
class Differences:
    """The nodes of one source whose activation is not alike in both runs, by aligned pair and then by feature."""

    at: Int[Tensor, " n"]
    """Which aligned pair."""
    features: Int[Tensor, " n"]
    clean: Float[Tensor, " n"]
    corrupted: Float[Tensor, " n"]

    def parts(self) -> Iterator[Differences]:
        """In pieces, so that not all rows are held at once."""
        fields = (self.at, self.features, self.clean, self.corrupted)
        for part in zip(*(torch.split(one, CHUNK) for one in fields), strict=True):
            yield Differences(*part)

    def some(self, chosen: Int[Tensor, " k"]) -> Differences:
        """Those at some places."""
        return Differences(self.at[chosen], self.features[chosen], self.clean[chosen], self.corrupted[chosen])


@dataclass(frozen=True, slots=True)
class Runs:
    """One source on both runs. `pairs` are the aligned positions, [pairs, 2]."""

    clean: Splice
    corrupted: Splice
    pairs: Int[Tensor, "pairs 2"]

    @property
    def change(self) -> Float[Tensor, "pairs d_out"]:
        """Δx at the aligned tokens."""
        return self.clean.out[self.pairs[:, 0]] - self.corrupted.out[self.pairs[:, 1]]

    @property
    def bias(self) -> Float[Tensor, "pairs d_out"]:
        """Δ of what the source adds whatever is active."""
        return self.clean.bias[self.pairs[:, 0]] - self.corrupted.bias[self.pairs[:, 1]]

    def vectors(self, nodes: Differences) -> Float[Tensor, "n d_out"]:
        """What each node writes in the clean run less what in the corrupted one."""
        one = self.clean.rows(self.pairs[nodes.at, 0], nodes.features)
        two = self.corrupted.rows(self.pairs[nodes.at, 1], nodes.features)
        return nodes.clean[:, None] * one - nodes.corrupted[:, None] * two


@computing
def differences(
    codes: tuple[Codes, Codes], pairs: Sequence[tuple[int, int]], width: int, device: torch.device
) -> Differences:
    """Of both runs' codes; activations at tokens that are not aligned are left out."""
    keys, values = [], []
    for side, one in enumerate(codes):
        found = entries(one, device)
        place = torch.full((one.tokens,), -1, dtype=torch.int64, device=device)
        place[[pair[side] for pair in pairs]] = torch.arange(len(pairs), device=device)
        at = place[found.positions]
        found = Entries(at[at >= 0], found.features[at >= 0], found.values[at >= 0])
        keys.append(found.positions * width + found.features)
        values.append(found.values.float())
    unique, inverse = np.unique(torch.cat(keys).cpu().numpy(), return_inverse=True)
    every, where = torch.from_numpy(unique).to(device), torch.from_numpy(inverse).to(device)
    both = torch.zeros(2, len(every), device=device)
    both[0, where[: len(keys[0])]] = values[0]
    both[1, where[len(keys[0]) :]] = values[1]
    unlike = both[0] != both[1]
    every, both = every[unlike], both[:, unlike]
    return Differences(every // width, every % width, both[0], both[1])


@computing
def attribution(
    runs: Runs, nodes: Differences, gradients: tuple[Float[Tensor, "clean d_out"], Float[Tensor, "corrupted d_out"]]
) -> Float[Tensor, "2 n"]:
    """(denoising, noising) of each node; `gradients` are dL/dx of the clean and of the corrupted run."""
    g = _at(runs, gradients)
    found = [torch.zeros(2, 0, dtype=torch.float64, device=nodes.at.device)]
    for part in nodes.parts():
        vectors = runs.vectors(part)
        found.append(torch.stack([(vectors * one[part.at]).sum(1).double() for one in g]))
    return torch.cat(found, 1)


@computing
def arrays(
    runs: Runs, nodes: Differences, effects: Float[Tensor, "2 n"], gradients: tuple[Tensor, Tensor]
) -> Arrays:
    """For the cache: nodes of largest effect, `effects` of each, and `sums` [2, 4] (features, error, bias, total)."""
    sums = []
    for own, g in zip(effects, _at(runs, gradients), strict=True):
        features, bias, total = own.sum(), _dot(runs.bias, g), _dot(runs.change, g)
        sums.append([float(one) for one in (features, total - features - bias, bias, total)])
    order = effects.mean(0).abs().argsort(descending=True, stable=True)[:KEPT].cpu()
    fields: dict[str, NDArray[np.generic]] = {
        name: getattr(nodes, name).cpu()[order].numpy() for name in ("at", "features", "clean", "corrupted")
    }
    return fields | {
        "effects": effects.cpu()[:, order].numpy(), "sums": np.array(sums), "nodes": np.array(len(nodes.at)),
    }  # fmt: skip


def _at(runs: Runs, gradients: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """dL/dx at the aligned tokens: of the run that is patched, the corrupted one for denoising."""
    clean, corrupted = gradients
    return corrupted[runs.pairs[:, 1]].float(), clean[runs.pairs[:, 0]].float()


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum()
