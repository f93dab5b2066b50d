"""Activation × gradient for every active feature, source by source, and the sums that must hold.

With x = Σ a r + bias + e at a source's hook (`splice`), and g = dL/dx there (`trace`),

    Σ a (r · g)  +  bias · g  +  e · g  =  x · g

at every token, exactly: nothing is estimated in that sum. That a (r · g) is what removing the feature would take from L
is a first-order estimate; `ablation` measures it. (The reconstruction with its error kept as a node, and activation ×
gradient, are those of OpenAI's transformer debugger and of Marks et al., "Sparse feature circuits", 2024; the gradient
here is the model's own, so each source is a decomposition by itself, and several do not add up.) With L's direction u
in the residual stream in place of g, at the last token alone, the same sum is direct logit attribution by feature.
Cost: of each source one encoding, and a row for every active feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from core.models.cache import Arrays
from core.models.thread import computing
from core.sources.codes import Codes
from core.techniques.circuits.splice import Entries, Splice, chunks, entries

KEPT = 20_000
"""Nodes of one source that are kept, those of largest effect; all count in the sums."""


@dataclass(frozen=True, slots=True)
class Found:
    """One source on one text; arrays, so that they can be kept."""

    positions: NDArray[np.int64]
    """Of the nodes, the largest effects in size first."""
    features: NDArray[np.int64]
    values: NDArray[np.float64]
    effects: NDArray[np.float64]
    norms: NDArray[np.float64]
    direct: NDArray[np.float64]
    """NaN where there is none."""
    errors: NDArray[np.float64]
    """Of each token."""
    sums: NDArray[np.float64]
    """(features, error, bias, total), the same four of the direct effects or NaN, and how many nodes there are."""

    def arrays(self) -> Arrays:
        """For the cache."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@computing
def attribute(
    splice: Splice, codes: Codes, gradient: Float[Tensor, "pos d_out"], direct: Float[Tensor, " d_out"] | None
) -> Found:
    """A source's decomposition; `direct` is L's direction where the source writes."""
    found = entries(codes, gradient.device)
    g, last = gradient.float(), len(gradient) - 1
    effects, norms, directs, written = _terms(splice, found, g, direct)
    error = splice.out - splice.bias - written
    by_token = (error.double() * g.double()).sum(1)
    sums = [effects.sum(), by_token.sum(), _dot(splice.bias, g), _dot(splice.out, g)]
    if direct is None:
        sums += [torch.tensor(float("nan"))] * 4
    else:
        u = direct.double()
        sums += [directs.sum(), *(part[last].double() @ u for part in (error, splice.bias, splice.out))]
    order = effects.abs().argsort(descending=True, stable=True)[:KEPT].cpu().numpy()

    def floats(part: Tensor) -> NDArray[np.float64]:
        return part.cpu().numpy().astype(np.float64)[order]

    def whole(part: Tensor) -> NDArray[np.int64]:
        return part.cpu().numpy().astype(np.int64)[order]

    return Found(
        whole(found.positions), whole(found.features), floats(found.values), floats(effects), floats(norms),
        floats(directs), by_token.cpu().numpy(), np.array([*map(float, sums), float(len(effects))]),
    )  # fmt: skip


def _terms(
    splice: Splice, found: Entries, g: Tensor, direct: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(effect, norm, direct effect of each entry, float64; Σ a r at every token)."""
    effects, norms, directs = [], [], []
    written, last = torch.zeros_like(splice.out), len(g) - 1
    for part in chunks(found):
        rows = part.values[:, None] * splice.rows(part.positions, part.features)
        written.index_add_(0, part.positions, rows)
        effects.append((rows * g[part.positions]).sum(1).double())
        norms.append(rows.norm(dim=1).double())
        if direct is None:
            directs.append(torch.full((len(rows),), float("nan"), dtype=torch.float64))
        else:
            at_last = (part.positions == last).double()
            directs.append((rows @ direct.float()).double() * at_last + 0.0)  # not -0
    if not effects:
        none = torch.zeros(0, dtype=torch.float64)
        return none, none, none, written
    return torch.cat(effects), torch.cat(norms), torch.cat(directs), written


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum()
