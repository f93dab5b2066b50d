"""Encodes texts with a source: exact codes, at the cost of half-precision products where that is faster.

A standard or JumpReLU SAE is screened: its encoder's product is taken in bfloat16, which reads half the memory, and
every entry that could be active within the rounding's bound is computed again in float32. What is returned is what
SAELens gives in float32, up to the order of a sum. Others are encoded as they are.

The bound, for x̃ = bfloat16(x), w̃ = bfloat16(w), u = 2⁻⁸ and s = bfloat16(x̃·w̃) summed in float32 over d terms:
|x·w - s| ≤ |x| |w - w̃| + (|x - x̃| + 2 d 2⁻²⁴ |x̃|) |w̃| + u/(1 - u) |s| (Cauchy-Schwarz for the first three, the
rounding of a sum and of its result for the others).

Cost: one product over the encoder, a look at each of its results, and some hundred rows of the encoder a text.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np
import torch
from jaxtyping import Float
from numba import prange
from torch import Tensor

from core.kernel import F32, Bool, compiled, no_type_check
from core.models.loading import LoadedModel
from core.sources.codes import Codes, Dense, Sparse, sparse
from core.sources.dictionary import Dictionary
from core.sources.sae import Sae

VALUES = 6 * 2**20
"""Values that are made at once: 24 MiB in float32."""
SCREENED = ("standard", "jumprelu")
ROUND = 2.0**-8
"""Unit roundoff of bfloat16."""


class Encoder:
    """A source and what is kept beside its weights to encode quickly."""

    def __init__(self, source: Dictionary, model: LoadedModel | None = None) -> None:
        """`model`: whose own weights the source's are, if it is neurons."""
        self.source = source
        self.part_of = weakref.ref(model) if model is not None and source.kind == "neurons" else None
        screened = isinstance(source, Sae) and source.architecture in SCREENED and half_is_fast(source)
        self._screen = Screen(source) if isinstance(source, Sae) and screened else None

    @property
    def bytes(self) -> int:
        """Memory beyond the model's."""
        return self.source.bytes + (0 if self._screen is None else self._screen.bytes)

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "n d_in"]) -> Codes:
        """The codes of n tokens."""
        if self.source.signed:
            return Dense(self.source.encode(x).cpu().numpy())
        some = max(1, VALUES // self.source.width)
        made = [self._piece(x[begin : begin + some]) for begin in range(0, len(x), some)]
        return made[0] if len(made) == 1 else joined(made)

    def _piece(self, x: Tensor) -> Sparse:
        if self._screen is None:
            return sparse(self.source.encode(x).cpu().numpy())
        return self._screen(x)


def half_is_fast(source: Sae) -> bool:
    """Whether screening is worth it: a CPU that has tiles for bfloat16, and an encoder of some size.

    Without tiles it is slower: 12 encoders of 24,576 features and 16 tokens took 148 ms screened and 104 ms in float32
    on two cores with AVX-512 alone.
    """
    on_cpu = source.sae.W_enc.device.type == "cpu"
    return on_cpu and bool(torch.cpu._is_amx_tile_supported()) and source.width * source.d_in >= 2**22


def joined(made: list[Sparse]) -> Sparse:
    """Codes of tokens one after another."""
    before = np.cumsum([0, *(one.tokens for one in made)])
    return Sparse(
        int(before[-1]),
        made[0].width,
        np.concatenate([one.positions + np.int32(b) for one, b in zip(made, before[:-1], strict=True)]),
        np.concatenate([one.features for one in made]),
        np.concatenate([one.values for one in made]),
    )


class Screen:
    """A standard or JumpReLU SAE, screened in bfloat16 and computed again in float32 where it may be active."""

    def __init__(self, source: Sae) -> None:
        self._sae = source.sae
        self._source = source
        weights = source.sae.W_enc.detach().float()
        self._rows = weights.T.contiguous()  # [d_sae, d_in]: a feature's weights lie together
        own = torch.nn.Parameter(self._rows.T, requires_grad=False)  # the same numbers, held once
        source.sae._parameters = source.sae._parameters | {"W_enc": own}  # which it shares with the caller's SAE
        self._half = self._rows.bfloat16()
        rounded = self._half.float()
        self._missed = _upward((self._rows - rounded).norm(dim=1))
        self._length = _upward(rounded.norm(dim=1))
        self._bias = source.sae.b_enc.detach().float()
        threshold = getattr(source.sae, "threshold", None)
        self._cut = (torch.zeros_like(self._bias) if threshold is None else threshold.detach().float()).clamp_min(0)

    @property
    def bytes(self) -> int:
        """Of the copies."""
        return self._half.numel() * 2 + 4 * 4 * len(self._bias)

    def __call__(self, x: Float[Tensor, "n d_in"]) -> Sparse:
        """The codes of n tokens."""
        x = self._source.process(x)
        half = x.bfloat16()
        screened = torch.nn.functional.linear(half, self._half).float()
        length = x.norm(dim=1)
        rounded = half.float()
        missed = (x - rounded).norm(dim=1) + 2 * x.shape[1] * 2.0**-24 * rounded.norm(dim=1)
        with _LOOKING:
            possible = _possible(
                _array(screened), _array(self._bias), _array(self._cut), _array(_upward(length)),
                _array(_upward(missed)), _array(self._missed), _array(self._length), ROUND / (1 - ROUND),
            )  # fmt: skip
        wanted = np.flatnonzero(possible)
        features = torch.from_numpy(wanted)
        exact = x @ self._rows[features].T + self._bias[features]
        acts = exact.relu() * (exact > self._cut[features])
        found = sparse(acts.cpu().numpy())
        return Sparse(len(x), len(self._bias), found.positions, wanted[found.features].astype(np.int32), found.values)


def _upward(x: Tensor) -> Tensor:
    """A little more than was computed, so that the rounding of a norm does not break the bound."""
    return x * (1 + 2.0**-16)


def _array(x: Tensor) -> F32:
    return x.cpu().numpy()


_LOOKING = threading.Lock()
"""Where there is no OpenMP, numba ends the process if two threads begin a parallel loop at once."""
COLUMNS = 512
"""Features that one thread looks at together."""


@compiled(parallel=True)
@no_type_check
def _possible(
    screened: F32, bias: F32, cut: F32, length: F32, missed: F32, w_missed: F32, w_length: F32, share: float
) -> Bool:
    """[d_sae]: whether a feature may be active on some row."""
    rows, width = screened.shape
    found = np.zeros(width, np.bool_)
    for part in prange((width + COLUMNS - 1) // COLUMNS):
        begin, end = part * COLUMNS, min(part * COLUMNS + COLUMNS, width)
        for r in range(rows):
            for c in range(begin, end):
                s = screened[r, c]
                bound = length[r] * w_missed[c] + missed[r] * w_length[c] + np.float32(share) * abs(s)
                bound += np.float32(2.0**-22) * (abs(s) + abs(bias[c]))
                found[c] |= not s + bias[c] + bound <= cut[c]  # so that what is no number stays
    return found
