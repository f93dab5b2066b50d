"""How few nodes carry the difference between two prompts: faithfulness and completeness of the first n.

(Marks et al., "Sparse feature circuits", 2024, section 3; there nodes of all layers together, here one source at a
time, whose hook is a cut through the model.) The clean run with the first n nodes as they are, and every other set to
its value in the corrupted run at all aligned tokens:

    faithfulness = (L(kept) - L(none kept)) / (L(clean) - L(none kept)).

The error of the source is a node of its own: the curve is made with it corrupted and with it kept. Completeness leaves
the first n out and keeps the others and the error. With all nodes and the error kept nothing is changed, so that
faithfulness is 1; with none it is 0 by definition, and at a hook through which the whole residual stream passes L is
then that of the corrupted run. As many random nodes, drawn several times, say what any n nodes would give. Cost: for
some ten values of n, three passes and as many as there are draws.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.errors import BadInput
from core.models.cache import Arrays
from core.models.loading import LoadedModel
from core.models.thread import computing
from core.techniques.circuits.ablation import TOKENS
from core.techniques.circuits.aim import Aim
from core.techniques.circuits.trace import values
from core.techniques.pairs.differences import Differences, Runs

MOST = 2**26
"""Numbers that all nodes' vectors may take together: 256 MiB."""


def counts(nodes: int) -> tuple[int, ...]:
    """The values of n: none, powers of 2, and all."""
    return tuple(dict.fromkeys([0, *(2**k for k in range(nodes.bit_length()) if 2**k < nodes), nodes]))


@computing
def lines(
    model: LoadedModel, ids: Int[Tensor, " pos"], aim: Aim, hook: str, runs: Runs, nodes: Differences,
    order: Int[Tensor, " n"], draws: int, seed: int, done: Callable[[int], None],
) -> Arrays:  # fmt: skip
    """L of each run: `alone`, `error`, `without` [counts], `random` [draws, counts]; use it under the model's lock.

    Raises:
        BadInput: there are too many nodes.
    """
    if len(order) * runs.change.shape[1] > MOST:
        raise BadInput(f"{len(order):,} nodes differ, which is too many for a curve: shorten the prompts.")
    parts = [runs.vectors(part) for part in nodes.parts()]
    vectors = torch.cat(parts) if parts else runs.change[:0]
    features = torch.zeros_like(runs.change).index_add_(0, nodes.at, vectors)
    error = runs.change - features  # and bias: all that is no feature
    ns, total = counts(len(order)), len(order)
    every = [(_first(order, n), False) for n in ns] + [(_first(order, n), True) for n in ns]
    every += [(~_first(order, n), True) for n in ns]
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        shuffled = torch.from_numpy(rng.permutation(total)).to(order.device)
        every += [(_first(shuffled, n), False) for n in ns]
    found: list[float] = []
    some = max(1, TOKENS // len(ids))
    for begin in range(0, len(every), some):
        rows = torch.stack([
            torch.zeros_like(error).index_add_(0, nodes.at[kept], vectors[kept]) + (error if whole else 0.0)
            for kept, whole in every[begin : begin + some]
        ])  # fmt: skip
        changes = {hook: lambda x, rows=rows: _kept(x, runs, rows)}
        found += values(model, ids.expand(len(rows), -1), aim, changes).tolist()  # type: ignore[arg-type]
        done(len(found))
    made = np.array(found).reshape(3 + draws, len(ns))
    return {"alone": made[0], "error": made[1], "without": made[2], "random": made[3:]}


def _first(order: Int[Tensor, " n"], count: int) -> Bool[Tensor, " n"]:
    kept = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    kept[order[:count]] = True
    return kept


def _kept(x: Tensor, runs: Runs, rows: Float[Tensor, "batch pairs d"]) -> Tensor:
    """The activation with the aligned tokens as in the corrupted run, plus what each row keeps of the difference."""
    batch, (clean, corrupted) = len(rows), runs.pairs.T
    out = x.clone().reshape(batch, -1, rows.shape[-1])
    out[:, clean] = (runs.corrupted.out[corrupted] + rows).to(x.dtype)
    return out.reshape(x.shape)


def ranked(effects: Float[Tensor, "2 n"], nodes: Differences, by: str) -> Int[Tensor, " n"]:
    """The nodes in an order, the largest in size first."""
    keys: dict[str, Tensor] = {
        "attribution": effects.mean(0), "denoising": effects[0], "noising": effects[1],
        "difference": (nodes.clean - nodes.corrupted).double(),
    }  # fmt: skip
    return keys[by].abs().argsort(descending=True, stable=True)
