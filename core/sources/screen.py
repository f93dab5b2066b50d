"""Encodes exactly at the cost of eight-bit products: every feature that could be active is computed again in float32.

For SAEs whose features do not compete (standard, JumpReLU). Encoder rows w and activations x are rounded to eight bits,
w̃ = s q with a scale for each feature and x̃ = t p with one for each token; the products q·p are whole numbers, so exact.
Whatever x and w are, Cauchy and Schwarz give

    |x·w - x̃·w̃| ≤ |x| |w - w̃| + |x - x̃| |w̃|,

and all four lengths are known. Where the bound lets a feature be active on a token, their product is taken in float32
over the row itself; all others are zero in float32 too. So the result is SAELens's, up to the order of a sum. Only the
part of x beyond a fixed centre (`b_dec`) is rounded, since what all tokens share would make the bound loose; a token
for which it is loose all the same (BOS in many models) is encoded in float32 as a whole.

Cost: a read of the encoder in eight bits instead of 32 (a quarter of its memory, kept beside it), a look at each
product, and a float32 row for each feature that is computed again: some hundreds a text and source.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from jaxtyping import Float
from numba import prange
from torch import Tensor

from core.kernel import F32, I32, I64, Bool, compiled, no_type_check
from core.sources.codes import Sparse, merged, sparse
from core.sources.sae import Sae

SCREENED = ("standard", "jumprelu")
LEVELS = 127
"""Of an activation: it is shifted to 1 to 255."""
PAIRS = 63
"""Of a weight where the CPU adds two products in sixteen bits, which hold 2 × 255 × 63 and not 2 × 255 × 127."""
ROWS = 16
"""Tokens that the eight-bit encoder is laid out for; others are as right."""
LEAST = 2.0**-100
"""Of a scale, so that what is divided by it is a number."""
COLUMNS = 512
"""Features that one thread looks at together."""
LOOSE = COLUMNS // 4
"""Features among these that may be active on a token, beyond which it is encoded in float32."""
SLACK = 2.0**-14
"""Rounding of the lengths and of the bound itself, in float32, is far less."""
ROUNDED = 2.0**-20
"""Of a sum's parts: so much rounding each in float32 is far less."""


def is_worth_it(source: Sae) -> bool:
    """Whether a source can be screened faster: an encoder of some size, on a CPU that multiplies bytes (VNNI).

    Two cores with AVX-512 and VNNI, 12 encoders of 24,576 features, 16 tokens: the products take 148 ms in float32,
    87 ms in bfloat16, 20 ms in eight bits (`python -m benchmarks.search` has the whole).
    """
    fits = source.architecture in SCREENED and source.width * source.d_in >= 2**22
    on_cpu = source.sae.W_enc.device.type == "cpu"
    return fits and on_cpu and source.d_in < 2**16 and bool(torch.cpu._is_vnni_supported())


class Screen:
    """A standard or JumpReLU SAE with its encoder in eight bits beside it."""

    def __init__(self, source: Sae) -> None:
        sae = source.sae
        self._source = source
        weights = sae.W_enc.detach().float()
        self._rows = weights.T.contiguous()  # [d_sae, d_in]: a feature's weights lie together
        own = torch.nn.Parameter(self._rows.T, requires_grad=False)  # the same numbers, held once
        sae._parameters = sae._parameters | {"W_enc": own}  # which it shares with the caller's SAE
        self._scale, numbers = _rounded(self._rows, LEVELS if torch.cpu._is_vnni_supported() else PAIRS)
        self._bytes = torch.ops.onednn.qlinear_prepack(numbers, [ROWS, source.d_in])
        rounded = numbers.float() * self._scale[:, None]
        self._zeros = torch.zeros(source.width, dtype=torch.int64)
        self._missed = (self._rows - rounded).norm(dim=1)
        self._length = rounded.norm(dim=1)
        self._bias = sae.b_enc.detach().float()
        centred = bool(sae.cfg.apply_b_dec_to_input) or len(sae.b_dec) != source.d_in
        self._centre = torch.zeros(source.d_in) if centred else sae.b_dec.detach().float()
        self._offset = (self._rows.double() @ self._centre.double() + self._bias.double()).float()
        threshold = getattr(sae, "threshold", None)
        self._cut = (torch.zeros_like(self._bias) if threshold is None else threshold.detach().float()).clamp_min(0)
        self._beyond = self._offset - self._cut + ROUNDED * (self._offset.abs() + self._cut)

    @property
    def bytes(self) -> int:
        """Of what is kept beside the weights."""
        return self._rows.numel() + 4 * 6 * len(self._bias)

    def __call__(self, x: Float[Tensor, "n d_in"]) -> Sparse:
        """The codes of n tokens."""
        met = self._source.process(x).float()
        beyond = met - self._centre
        scale, rounded = _rounded(beyond)
        products = self._products(rounded)
        length = beyond.norm(dim=1)
        missed = (beyond - rounded.float() * scale[:, None]).norm(dim=1) + 2.0**-23 * met.norm(dim=1)
        n, width = products.shape
        acts, active = np.empty((n, width), np.float32), np.zeros((n, width), np.bool_)
        blocks = (width + COLUMNS - 1) // COLUMNS
        counts, rough = np.zeros((n, blocks), np.int64), np.zeros((n, blocks), np.bool_)
        with _LOOKING:
            _look(
                products.numpy(), scale.numpy(), ((1 + SLACK) * length).numpy(), ((1 + SLACK) * missed).numpy(),
                self._missed.numpy(), self._length.numpy(), self._beyond.numpy(), self._cut.numpy(),
                met.contiguous().numpy(), self._rows.numpy(), self._bias.numpy(), acts, active, counts, rough,
            )  # fmt: skip
            again = np.flatnonzero(rough.any(1) | ~np.isfinite(length.numpy()))
            counts[again] = 0
            begins = np.cumsum(counts).reshape(counts.shape) - counts
            total = int(counts.sum())
            found = Sparse(n, width, np.empty(total, np.int32), np.empty(total, np.int32), np.empty(total, np.float32))
            _gather(acts, active, counts, begins, found.positions, found.features, found.values)
        if not len(again):
            return found
        whole = sparse(self._source.encode(x[torch.from_numpy(again)]).numpy())
        return merged(n, [(np.arange(n), found), (again, whole)])

    def _products(self, rounded: Tensor) -> Float[Tensor, "n d_sae"]:
        """Whole numbers times each feature's row and scale: the sum is exact, the scale rounds once."""
        shifted = (rounded.to(torch.int16) + 128).to(torch.uint8)
        found: Tensor = torch.ops.onednn.qlinear_pointwise(
            shifted, 1.0, 128, self._bytes, self._scale, self._zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return found


def _rounded(rows: Float[Tensor, "n d"], levels: int = LEVELS) -> tuple[Float[Tensor, " n"], Tensor]:
    """(scale, whole numbers of eight bits) of each row; what is no number becomes 0, and is found by its length."""
    scale = rows.abs().amax(1).nan_to_num(nan=1.0).clamp(LEAST, 2.0**100) / levels
    return scale, (rows / scale[:, None]).nan_to_num(nan=0.0).round().clamp(-levels, levels).to(torch.int8)


_LOOKING = threading.Lock()
"""Where there is no OpenMP, numba ends the process if two threads begin a parallel loop at once."""


@compiled(parallel=True, reorder=True)
@no_type_check
def _look(
    products: F32, t: F32, length: F32, missed: F32, w_missed: F32, w_length: F32, beyond: F32, cut: F32,
    met: F32, rows: F32, bias: F32, acts: F32, active: Bool, counts: I64, rough: Bool,
) -> None:  # fmt: skip
    """Sets `acts` and `active` where a feature is active, and `rough` where too many may be.

    The first inner loop has no branch, no count and one type, so that it runs on vectors: a third of the time.
    """
    n, width = products.shape
    for block in prange(counts.shape[1]):
        begin, end = block * COLUMNS, min(block * COLUMNS + COLUMNS, width)
        wm, wl, over = w_missed[begin:end], w_length[begin:end], beyond[begin:end]
        for r in range(n):
            row, may, t_r, long, miss = products[r, begin:end], active[r, begin:end], t[r], length[r], missed[r]
            for c in range(end - begin):
                product = row[c] * t_r
                most = product + np.float32(ROUNDED) * abs(product) + long * wm[c] + miss * wl[c] + over[c]
                may[c] = not most <= np.float32(0)  # so that what is no number stays
            count = 0
            for c in range(end - begin):
                count += may[c]
            rough[r, block] = count > LOOSE
        for c in range(begin, end):
            for r in range(n):
                if active[r, c] and not rough[r, block]:
                    exact = np.float32(0)
                    for d in range(rows.shape[1]):
                        exact += met[r, d] * rows[c, d]
                    exact += bias[c]
                    active[r, c] = exact > cut[c]
                    acts[r, c] = exact
                    counts[r, block] += active[r, c]


@compiled(parallel=True)
@no_type_check
def _gather(acts: F32, active: Bool, counts: I64, begins: I64, positions: I32, features: I32, values: F32) -> None:
    """The active ones, by token and then by feature."""
    n, width = acts.shape
    for r in prange(n):
        for block in range(counts.shape[1]):
            if counts[r, block]:
                at = begins[r, block]
                for c in range(block * COLUMNS, min(block * COLUMNS + COLUMNS, width)):
                    if active[r, c]:
                        positions[at], features[at], values[at] = r, c, acts[r, c]
                        at += 1
