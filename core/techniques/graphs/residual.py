"""The graph of residual SAEs: activation × gradient between the SAEs of successive layers.

SAEs on the residual stream stand for all of an activation, not for what one layer adds, so that every path from one to
a later one goes through those between. With x = Σ a d + bias + e at a layer, e kept as error nodes, and g the gradient
there of a feature's pre-activation at the next layer (of a logit less the mean of all, after the last), a node adds a
d · g: together with bias and error that is x · g, exactly. Before the first SAE stand the tokens' embeddings.
Gradients are the model's own, through attention, norms and MLPs, so that a weight is a first-order estimate of what
removing the node does, and a row does not add up to the feature's value. (Marks et al., "Sparse feature circuits",
2024.) This is not circuit-tracer's graph, which needs transcoders, and says so. Cost: a pass and its gradient for
every target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from core.models.cache import Arrays
from core.models.loading import LoadedModel
from core.models.plain import Change, plain_of
from core.models.thread import computing
from core.techniques.circuits.aim import tokens_of
from core.techniques.circuits.end import End
from core.techniques.circuits.trace import FIRST
from core.techniques.dfa import columns
from core.techniques.graphs.influence import partial
from core.techniques.graphs.reading import Level

TOGETHER = 2048
"""Tokens of the texts that one pass takes."""


class Residual:
    """One text's graph; use it under the model's lock."""

    def __init__(
        self, model: LoadedModel, end: End, ids: Int[Tensor, " pos"], levels: Sequence[Level],
        x: dict[str, Float[Tensor, "pos d"]], token: Float[Tensor, "pos d"], targets: Sequence[int],
    ) -> None:  # fmt: skip
        """`levels` in the order of the model; `x`: what passes at their hooks and at the first; `token`: embeddings."""
        self._model, self._end, self._ids, self.levels, self._x = model, end, ids, levels, x
        self._token, self.targets = token, list(targets)
        self.pos = len(ids)

    @computing
    def gradients(self, level: int, chosen: NDArray[np.int64]) -> Float[Tensor, "n pos d"]:
        """Of some features of a level with respect to what passes at the one below, or at the beginning.

        With `level` one more than there are: of the logits, by place.
        """
        below = FIRST if level == 0 else self.levels[level - 1].source.hook
        own = None if level == len(self.levels) else self.levels[level]
        which = torch.from_numpy(chosen)
        if own is not None and own.source.hook == below:  # an SAE of embeddings
            u, _ = own.reads(which)
            g = torch.zeros(len(chosen), self.pos, u.shape[1])
            g[torch.arange(len(chosen)), own.found.positions[which]] = u
            return g
        last = f"blocks.{self._model.manifest.record.layers - 1}.hook_resid_post"
        hook = last if own is None else own.source.hook
        runner = plain_of(self._model).runner(self._model, sorted({below, hook}))
        with torch.enable_grad():
            leaf = self._x[below].to(self._model.device).expand(len(chosen), -1, -1).clone().requires_grad_()
            changes: dict[str, Change] = {below: lambda x: leaf.to(x.dtype).reshape(x.shape)}
            ids = self._ids.expand(len(chosen), -1)
            x = tokens_of(runner.until(ids, changes, hook), len(chosen), self.pos)
            if own is None:
                logits = self._end.uncapped(x[:, -1])
                value = logits[torch.arange(len(chosen)), torch.tensor(self.targets)[which]] - logits.mean(1)
            else:
                value = _pre(own, x, which)
            (found,) = torch.autograd.grad(value.sum(), [leaf])
        return found.float()

    @computing
    @torch.no_grad()
    def row(self, level: int, g: Float[Tensor, "n pos d"]) -> tuple[Tensor, Tensor, Tensor]:
        """(edges from all features, errors and tokens; what biases add; x · g, computed apart)."""
        n = len(g)
        features = [torch.zeros(n, len(one.rows)) for one in self.levels]
        errors = [torch.zeros(n, self.pos) for _ in self.levels]
        tokens = torch.zeros(n, self.pos)
        if level == 0:
            tokens = (g * self._token).sum(-1)
            constant = (g * (self._x[FIRST] - self._token)).sum((1, 2))
            whole = self._x[FIRST]
        else:
            one = self.levels[level - 1]
            features[level - 1], errors[level - 1] = one.features(g), one.errors(g)
            constant, whole = one.constant(g), self._x[one.source.hook]
        return torch.cat([*features, *errors, tokens], dim=1), constant, (g * whole).sum((1, 2))


@computing
@torch.no_grad()
def beginnings(
    model: LoadedModel, ids: Int[Tensor, " pos"], hooks: Sequence[str]
) -> tuple[dict[str, Float[Tensor, "pos d"]], Float[Tensor, "pos d"]]:
    """(what passes at some hooks, the tokens' own embeddings), float32; use it under the model's lock."""
    wanted = sorted({*hooks, FIRST, "hook_embed", "hook_pos_embed"} & set(model.bridge.hook_dict))
    _, cache = model.bridge.run_with_cache(ids[None].to(model.device), names_filter=wanted, return_type=None)
    x = {name: cache[name].detach().float().reshape(-1, cache[name].shape[-1]) for name in wanted if name in cache}
    token, place = x.get("hook_embed"), x.get("hook_pos_embed")
    if token is None or place is None or not (token + place - x[FIRST]).norm() <= 1e-3 * x[FIRST].norm():
        token = x[FIRST]
    return x, token


def _pre(level: Level, x: Tensor, which: Tensor) -> Tensor:
    """The pre-activation of each feature in its own text of a batch, with gradients."""
    positions, features = level.found.positions[which], level.found.features[which]
    given = level.source.given(x[torch.arange(len(which)), positions].float())
    column, bias, factor = columns(level.source, given, features)
    return factor * (given * column).sum(1) + bias


def build(
    graph: Residual, chances: Sequence[float], most: int, tell: Callable[[int, int], None] | None = None
) -> Arrays:
    """The whole graph as arrays, those of `exact.build`; `value` is x · g."""
    counts = [len(one.rows) for one in graph.levels]
    offsets, active, logits = np.cumsum([0, *counts]), sum(counts), len(chances)
    width = active + (len(graph.levels) + 1) * graph.pos
    most = min(most, active)
    edges, of = np.zeros((most + logits, width), np.float32), np.zeros(most + logits, np.int64)
    sums, values = np.zeros(most + logits), np.zeros(most + logits)
    weights = np.zeros(width + logits)
    weights[width:] = chances
    seen = np.zeros(active, np.bool_)

    def add(level: int, part: NDArray[np.int64], place: int, nodes: NDArray[np.int64]) -> None:
        some = max(1, TOGETHER // graph.pos)
        for begin in range(0, len(part), some):
            made, constant, whole = graph.row(level, graph.gradients(level, part[begin : begin + some]))
            rows = slice(place + begin, place + begin + len(made))
            edges[rows], of[rows] = made.numpy(), nodes[begin : begin + some]
            sums[rows] = made.double().sum(1).numpy() + constant.double().numpy()
            values[rows] = whole.double().numpy()

    add(len(graph.levels), np.arange(logits), 0, np.arange(width, width + logits))
    done = 0
    for level in reversed(range(len(graph.levels))):  # each from the last down has its share, or a chain would end
        have = logits + done
        whole = np.zeros((have, width + logits))
        whole[:, :width] = edges[:have]
        ranked = np.argsort(-partial(whole, of[:have], weights)[offsets[level] : offsets[level + 1]], kind="stable")
        own = offsets[level] + np.sort(ranked[: (most - done) // (level + 1)])
        add(level, own - offsets[level], logits + done, own)
        seen[own] = True
        done += len(own)
        if tell is not None:
            tell(done, most)
    own_rows = slice(logits + done)
    edges, of, sums, values = edges[own_rows], of[own_rows], sums[own_rows], values[own_rows]
    columns_ = np.concatenate([np.flatnonzero(seen), np.arange(active, width)])
    order = np.argsort(of, kind="stable")
    found = [one.found for one in graph.levels]

    def each(parts: list[Tensor]) -> NDArray[Any]:
        return torch.cat(parts).cpu().numpy()[seen]

    return {
        "rows": edges[order][:, columns_], "layer": np.repeat(np.arange(len(found)), counts)[seen],
        "position": each([one.positions for one in found]), "index": each([one.features for one in found]),
        "activation": each([one.values.float() for one in found]), "active": np.array(active),
        "value": values[order], "sum": sums[order], "size": np.abs(edges[order]).sum(1), "logits": np.array(logits),
    }  # fmt: skip
