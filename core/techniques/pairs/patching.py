"""Activation patching: L of one run with a part of it as it is in the other (Zhang and Nanda, 2023, on how to read it).

The residual stream is patched before one layer at one token, [layer, token] as a heat map, and at all aligned tokens of
a layer together, which gives the other run where all are aligned. Nothing changes at tokens before the first that
differs, since a token knows nothing of what follows; those are not run. Features are patched one at a time by
`core.techniques.circuits.ablation`: what is taken out there is here the difference of both runs, and what the source
does not reconstruct stays that of the run that is patched. Cost: a pass for each cell, in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Int
from torch import Tensor

from core.models.cache import Arrays
from core.models.loading import LoadedModel
from core.models.plain import capture
from core.techniques.circuits.ablation import TOKENS
from core.techniques.circuits.aim import Aim
from core.techniques.circuits.trace import values


def residual(
    model: LoadedModel, ids: Int[Tensor, " pos"], other: Int[Tensor, " pos_other"], aim: Aim,
    hooks: Sequence[str], pairs: Sequence[tuple[int, int]], done: Callable[[int], None],
) -> Arrays:  # fmt: skip
    """L less L of `ids` unpatched: `rows` [hooks, pairs] and `whole` [hooks]; use it under the model's lock.

    `pairs` are (position in `ids`, in `other`).
    """
    seen = capture(model, other[None], list(hooks))
    alike = next((n for n, (a, b) in enumerate(pairs) if a != b or ids[a] != other[b]), len(pairs))
    rows = np.zeros((len(hooks), len(pairs)))
    jobs: list[tuple[str, list[tuple[int, int]]]] = []
    for hook in hooks:
        jobs += [(hook, [pair]) for pair in pairs[alike:]] + [(hook, list(pairs))]
    found: list[float] = []
    some = max(1, TOKENS // len(ids) - 1)
    for begin in range(0, len(jobs), some):
        part = jobs[begin : begin + some]
        changes = {
            hook: partial(_patched, [(row + 1, at) for row, (h, at) in enumerate(part) if h == hook], seen[hook][0])
            for hook in dict.fromkeys(h for h, _ in part)
        }
        first, *patched = values(model, ids.expand(len(part) + 1, -1), aim, changes).tolist()  # type: ignore[arg-type]
        found += [one - first for one in patched]
        done(len(found))
    own = np.array(found).reshape(len(hooks), -1)
    rows[:, alike:] = own[:, :-1]
    return {"rows": rows, "whole": own[:, -1].copy()}


def _patched(jobs: Sequence[tuple[int, list[tuple[int, int]]]], other: Tensor, x: Tensor) -> Tensor:
    """The residual stream with each row's tokens as they are in the other run."""
    out = x.clone()
    for row, pairs in jobs:
        at, there = zip(*pairs, strict=True)
        out[row, list(at)] = other[list(there)].to(x.dtype)
    return out
