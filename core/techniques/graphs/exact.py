"""The graph of transcoders: the direct effect of every node on every feature and logit, exactly.

With patterns and norms' scales frozen (`frozen`) and every MLP taken as its transcoder's features plus its error, a
feature's pre-activation is a sum over features, errors and tokens before it, plus biases; a logit less the mean of all
logits likewise. A term is the activation-scaled decoder row (error, embedding) times the encoder column (unembedding)
taken back to where that was written. (Ameisen et al., "Circuit Tracing", 2025; circuit-tracer's `attribute`.)
Positions' embeddings count as biases: they are the same whatever the tokens are. That each row adds up to the model's
own value is looked at for every row. Cost: of each layer below a target two products with its attention's matrices and
one with its pattern, for each target and token; targets go together. With more active features than are asked for,
those most influential on the logits are taken, found as they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from core.errors import NotAvailable
from core.models.cache import Arrays
from core.models.thread import computing
from core.techniques.graphs.frozen import Block, Frozen
from core.techniques.graphs.influence import partial
from core.techniques.graphs.reading import Level

TOGETHER = 4 * 2**20
"""Numbers of the directions that are taken back at once: 16 MiB."""
ROUNDS = 6
"""Times that the most influential features are looked for anew."""
LARGEST = 64 * 2**20
"""Edges of one graph before pruning."""


@dataclass(frozen=True, slots=True)
class Logits:
    """The next tokens that are nodes."""

    ids: tuple[int, ...]
    chances: tuple[float, ...]
    vectors: Float[Tensor, "n d_model"]
    """Rows of the unembedding less the mean of all."""
    constants: Float[Tensor, " n"]
    """What the unembedding's biases add."""
    values: Float[Tensor, " n"]
    """The model's own logits less the mean of all."""


class Exact:
    """One text's graph, row by row."""

    def __init__(self, frozen: Frozen, levels: Sequence[Level], logits: Logits) -> None:
        """`levels`: a transcoder for each layer, in order.

        Raises:
            NotAvailable: a transcoder does not read what its MLP reads, or writes elsewhere than the MLP.
        """
        self._frozen, self.levels, self._logits = frozen, levels, logits
        self._counts = [len(one.rows) for one in levels]
        self._normed = [_normed(block, one) for block, one in zip(frozen.blocks, levels, strict=True)]
        self.pos = len(frozen.token)

    @property
    def active(self) -> int:
        """Features that are active."""
        return sum(self._counts)

    @computing
    @torch.no_grad()
    def rows(self, layer: int, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(edges to some features of a layer from all features, errors and tokens; what biases add to each)."""
        one, which = self.levels[layer], torch.from_numpy(chosen)
        u, constant = one.reads(which)
        g = torch.zeros(len(chosen), self.pos, u.shape[1])
        g[torch.arange(len(chosen)), one.found.positions[which]] = u
        block = self._frozen.blocks[layer]
        if self._normed[layer]:
            constant = constant + block.norm.constant(g)
            g = block.norm.back(g)
        if not block.parallel:
            more, bias = block.heads.back(g)
            g, constant = g + more, constant + bias
        return self._down(g, constant, layer)

    @computing
    @torch.no_grad()
    def ends(self) -> tuple[Tensor, Tensor]:
        """The same of the logits."""
        g = torch.zeros(len(self._logits.ids), self.pos, self._logits.vectors.shape[1])
        g[:, -1] = self._logits.vectors
        end = self._frozen.end
        constant = self._logits.constants + end.constant(g)
        return self._down(end.back(g), constant, len(self.levels))

    def values(self) -> Tensor:
        """What each row must add up to: the features' activations, then the logits less their mean."""
        return torch.cat([*(one.found.values.float() for one in self.levels), self._logits.values])

    def _down(self, g: Tensor, constant: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """From directions before layer `top` to what was written below it."""
        n = len(g)
        features = [torch.zeros(n, count) for count in self._counts]
        errors = [torch.zeros(n, self.pos) for _ in self.levels]
        for layer in reversed(range(top)):
            one, block = self.levels[layer], self._frozen.blocks[layer]
            features[layer], errors[layer] = one.features(g), one.errors(g)
            constant = constant + one.constant(g)
            skipped = None
            if one.skip is not None:
                skipped, bias = self._skip(g, layer)
                constant = constant + bias
                g = g if block.parallel else g + skipped
            more, bias = block.heads.back(g)
            constant = constant + bias
            g = g + more + (skipped if block.parallel and skipped is not None else 0)
        tokens = (g * self._frozen.token).sum(-1)
        constant = constant + (g * self._frozen.place).sum((1, 2))
        return torch.cat([*features, *errors, tokens], dim=1), constant

    def _skip(self, g: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Directions where a transcoder writes, through its skip, where its MLP reads the stream."""
        one, norm = self.levels[layer], self._frozen.blocks[layer].norm
        assert one.skip is not None
        g = g @ one.skip
        if one.source.centred:
            g = g - g.mean(-1, keepdim=True)
        return (norm.back(g), norm.constant(g)) if self._normed[layer] else (g, torch.zeros(len(g)))


def build(
    exact: Exact, chances: Sequence[float], most: int, tell: Callable[[int, int], None] | None = None
) -> Arrays:
    """The whole graph as arrays.

    `rows` [features + logits, features + errors + tokens], the features by layer, token and number; `layer`,
    `position`, `index`, `activation` of the features that are kept, `active` how many there were; `value` of each row,
    and `sum`, what its edges (those of features that are left out too) and biases add up to.
    """
    offsets = np.cumsum([0, *(len(one.rows) for one in exact.levels)])
    active, logits = exact.active, len(chances)
    others = (len(exact.levels) + 1) * exact.pos
    most = max(1, min(most, active, LARGEST // max(1, active + others + logits) - logits)) if active else 0
    ends, constants = exact.ends()
    width = active + others
    edges = np.zeros((most + logits, width), np.float32)
    of = np.zeros(most + logits, np.int64)
    sums = np.zeros(most + logits)
    edges[:logits], of[:logits] = ends.numpy(), np.arange(width, width + logits)
    sums[:logits] = ends.double().sum(1).numpy() + constants.double().numpy()
    weights = np.zeros(width + logits)
    weights[width:] = chances
    done, seen = 0, np.zeros(active, np.bool_)
    while done < most:
        if most == active:
            wanted = np.arange(active)
        else:
            have = logits + done
            whole = np.zeros((have, width + logits))
            whole[:, :width] = edges[:have]
            ranked = np.argsort(-partial(whole, of[:have], weights)[:active], kind="stable")
            wanted = np.sort(ranked[~seen[ranked]][: min(-(-most // ROUNDS), most - done)])
        for layer, one in enumerate(exact.levels):
            own = wanted[(wanted >= offsets[layer]) & (wanted < offsets[layer + 1])]
            some = max(1, TOGETHER // (exact.pos * max(1, one.rows.shape[1])))
            for begin in range(0, len(own), some):
                part = own[begin : begin + some]
                made, constant = exact.rows(layer, part - offsets[layer])
                place = slice(logits + done, logits + done + len(part))
                edges[place], of[place] = made.numpy(), part
                sums[place] = made.double().sum(1).numpy() + constant.double().numpy()
                seen[part] = True
                done += len(part)
                if tell is not None:
                    tell(done, most)
    return _arrays(exact, edges, of, sums, logits, seen)


def _arrays(
    exact: Exact, edges: NDArray[np.float32], of: NDArray[np.int64], sums: NDArray[np.float64], logits: int,
    seen: NDArray[np.bool_],
) -> Arrays:  # fmt: skip
    """Rows in the order of nodes, and columns of what is kept."""
    active = exact.active
    columns = np.concatenate([np.flatnonzero(seen), np.arange(active, edges.shape[1])])
    order = np.argsort(of, kind="stable")
    values = exact.values().double().numpy()
    rows = edges[order][:, columns]
    found = [one.found for one in exact.levels]
    layers = np.repeat(np.arange(len(found)), [len(one.positions) for one in found])
    return {
        "rows": rows,
        "layer": layers[seen],
        "position": torch.cat([one.positions for one in found]).numpy()[seen],
        "index": torch.cat([one.features for one in found]).numpy()[seen],
        "activation": torch.cat([one.values for one in found]).float().numpy()[seen],
        "active": np.array(active),
        "value": np.concatenate([values[:active][seen], values[active:]]),
        "sum": sums[order],
        "size": np.abs(edges[order]).sum(1),
        "logits": np.array(logits),
    }


def _normed(block: Block, one: Level) -> bool:
    """Whether a transcoder reads what the MLP's norm gives, or what that is given.

    Raises:
        NotAvailable: neither, or it does not write what the MLP adds.
    """
    x, name = one.given, one.source.hook
    out = one.error + one.bias + torch.zeros_like(one.bias).index_add_(0, one.found.positions, one.rows)
    out = out if one.skip is None else out + one.given @ one.skip.T
    if not _same(out, block.added):
        raise NotAvailable(f"{one.source.hook_out} is not where the MLP adds to the residual stream: no exact graph.")
    for normed, candidate in ((True, block.normed), (False, block.read)):
        if _same(x, candidate - candidate.mean(-1, keepdim=True) if one.source.centred else candidate):
            return normed
    raise NotAvailable(f"{name} is neither what the MLP reads nor the residual stream before it: no exact graph.")


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).norm() <= 1e-2 * b.norm().clamp_min(1e-6))
