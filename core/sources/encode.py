"""Encodes texts with a source: exact codes, by eight-bit products where these are faster (core.sources.screen).

What is returned is what SAELens gives in float32, up to the order of a sum. BOS is the same activation before every
text, up to rounding, and in many models a huge one, which no screen is fit for: its codes are computed once and kept.

Cost: one look at the encoder for all tokens.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.models.loading import LoadedModel
from core.models.thread import computing
from core.sources.codes import Codes, Dense, Sparse, merged, sparse
from core.sources.dictionary import Dictionary
from core.sources.sae import Sae
from core.sources.screen import Screen, is_worth_it

VALUES = 6 * 2**20
"""Values that are made at once: 24 MiB in float32."""
SAME = 4e-6
"""How far a BOS may be from the one that was kept, as a share of its length: what rounding does."""


class Encoder:
    """A source and what is kept beside its weights to encode quickly."""

    def __init__(self, source: Dictionary, model: LoadedModel | None = None) -> None:
        """`model`: whose own weights the source's are, if it is neurons."""
        self.source = source
        self.part_of = weakref.ref(model) if model is not None and source.kind == "neurons" else None
        self._screen = Screen(source) if isinstance(source, Sae) and is_worth_it(source) else None
        self._bos: tuple[Tensor, Sparse] | None = None

    @property
    def bytes(self) -> int:
        """Memory beyond the model's."""
        return self.source.bytes + (0 if self._screen is None else self._screen.bytes)

    @computing
    def __call__(self, x: Float[Tensor, "n d_in"], bos: Sequence[int] = ()) -> Codes:
        """The codes of n tokens; `bos` says which of them are the model's BOS before a text."""
        if self.source.signed:
            return Dense(self.source.encode(x).cpu().numpy())
        if self._screen is None or not bos:
            return self._pieces(x)
        first = self._first(x[bos[0]])
        begins = torch.tensor(bos)
        same = (x[begins] - first[0]).norm(dim=1) <= SAME * first[0].norm()
        kept = begins[same].numpy()
        others = np.ones(len(x), np.bool_)
        others[kept] = False
        parts = [(np.array([n]), first[1]) for n in kept]
        if others.any():
            parts.append((np.flatnonzero(others), self._pieces(x[torch.from_numpy(others)])))
        return merged(len(x), parts)

    def _first(self, x: Float[Tensor, " d_in"]) -> tuple[Tensor, Sparse]:
        """BOS and its codes, computed once, or anew where it is another."""
        held = self._bos
        if held is None or not (x - held[0]).norm() <= SAME * held[0].norm():
            held = self._bos = (x.clone(), sparse(self.source.encode(x[None]).cpu().numpy()))
        return held

    def _pieces(self, x: Float[Tensor, "n d_in"]) -> Sparse:
        some = max(1, VALUES // self.source.width)
        begins = range(0, len(x), some)
        made = [self._piece(x[begin : begin + some]) for begin in begins]
        if len(made) == 1:
            return made[0]
        return merged(len(x), [(np.arange(b, b + m.tokens), m) for b, m in zip(begins, made, strict=True)])

    def _piece(self, x: Tensor) -> Sparse:
        if self._screen is None:
            return sparse(self.source.encode(x).cpu().numpy())
        return self._screen(x)
