"""Direct feature attribution: how much each token that was attended to gave to a feature's value at another token.

For an SAE on the heads of an attention layer (`attn.hook_z`). With the pattern A, the values v and the encoder's column
w of the feature, cut into heads, the pre-activation at the target token t is linear in what attention moved there:

    pre(t) = Σ_heads Σ_s A[h, t, s] v[h, s]·w[h] + bias,   bias = b_enc - b_dec·w

so each term is what token s gave by head h, and they add up to the pre-activation exactly; nothing is estimated. (The
formula is Kissane, Krzyzanowski, Conmy and Nanda's, 2024; Neuronpedia's `dfaValues` are the sums over heads at the
token of the maximum.) A gated SAE's column is that of its magnitudes, w exp(r_mag). Where the SAE normalises its input
per token, the factor at t is taken as it is there, so that the sum stays exact. What attention's own pattern owes to
which token is another question, which this does not answer. Cost: a pass to the layer with its pattern, then one small
product a feature and text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import NotAvailable
from core.models.attention import Attention
from core.models.thread import computing
from core.records import Attribution
from core.sources.dictionary import Dictionary
from core.sources.heads import is_attributable
from core.sources.sae import Sae

EPSILON = 1e-5
"""SAELens's, in `layer_norm`."""


def unknown(architecture: str, hook: str) -> str:
    """Why a source has no attribution."""
    return (
        "Where a value came from is known of SAEs on attention heads (attn.hook_z) that have one encoder column a "
        f"feature; this is {architecture} at {hook}."
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of some features at some tokens of one text, float32."""

    terms: Float[Tensor, "k heads from_"]
    bias: Float[Tensor, " k"]

    def record(self, n: int, target: int, *, by_head: bool = False) -> Attribution:
        """One of them."""
        terms = self.terms[n].double()
        return Attribution(
            target=target, values=tuple(terms.sum(0).tolist()), heads=tuple(terms.sum(1).tolist()),
            bias=float(self.bias[n]),
            by_head=tuple(tuple(row) for row in terms.tolist()) if by_head else (),
        )  # fmt: skip


@computing
@torch.no_grad()
def attribute(
    source: Dictionary, attention: Attention, targets: Int[Tensor, " k"], features: Int[Tensor, " k"]
) -> Terms:
    """The terms of each (target token, feature) on the one text of `attention`.

    Raises:
        NotAvailable: the source does not read heads, or its values are no function of one product.
    """
    if not isinstance(source, Sae) or not is_attributable(source.architecture, source.hook):
        raise NotAvailable(unknown(source.architecture, source.hook))
    pattern, values = attention.pattern[0], attention.values[0]
    heads, d_head = values.shape[1], values.shape[2]
    column, bias, factor = columns(source, attention.z[0][targets], features)
    met = column.reshape(len(features), heads, d_head) * factor[:, None, None]
    given = torch.einsum("shd,khd->khs", values, met)
    return Terms(pattern[:, targets].transpose(0, 1) * given, bias)


def columns(
    source: Sae, z: Float[Tensor, "k d_in"], features: Int[Tensor, " k"]
) -> tuple[Float[Tensor, "k d_in"], Float[Tensor, " k"], Float[Tensor, " k"]]:
    """(column, bias, factor) of each pair: pre-activation = factor (z · column) + bias; z as its encoder gets it."""
    sae, cfg = source.sae, source.sae.cfg
    column = sae.W_enc[:, features].float().T
    bias = (sae.b_mag if source.architecture == "gated" else sae.b_enc)[features].float()
    if source.architecture == "gated":
        column = column * sae.r_mag[features].float().exp()[:, None]
    if getattr(cfg, "rescale_acts_by_decoder_norm", False):
        norm = sae.W_dec[features].float().norm(dim=1)
        column, bias = column * norm[:, None], bias * norm
    if cfg.apply_b_dec_to_input:
        bias = bias - column @ sae.b_dec.float()
    factor = torch.ones_like(bias)
    if cfg.normalize_activations == "constant_norm_rescale":
        factor = cfg.d_in**0.5 / z.norm(dim=-1)
    elif cfg.normalize_activations == "layer_norm":
        factor = 1 / (z.std(dim=-1) + EPSILON)
        column = column - column.mean(1, keepdim=True)
    return column, bias, factor


def attributions(
    source: Dictionary, attention: Attention, asked: Sequence[tuple[int, int]], *, by_head: bool = False
) -> list[Attribution]:
    """A record for each (target token, feature) of one text."""
    if not asked:
        return []
    device = attention.pattern.device
    targets, features = (torch.tensor(column, device=device) for column in zip(*asked, strict=True))
    found = attribute(source, attention, targets, features)
    return [found.record(n, target, by_head=by_head) for n, (target, _) in enumerate(asked)]
