"""How well an SAE reconstructs: L0, explained variance, dead features and what the reconstruction costs in loss.

Knows tensors and a model with hooks; where texts come from and where figures are kept is others' work. What is
reconstructed, x below, is the activation at `hook_out`: for an SAE what it reads, for a transcoder what it stands in
for, the MLP's output. Every mean runs over *counted* tokens, summed in float64:

- l0: mean number of features above zero a token.
- explained variance: 1 - E|x - x̂|² / (E|x|² - |E x|²), over all counted tokens of all batches at once.
- dead fraction: features that no counted token activates.
- cross entropy, in nats, of the tokens that follow counted tokens: of the model as it is, of the model with x̂ in place
  of x at every counted token, and of the model with zeros in place of x at every token.
- score: (zero - spliced) / (zero - own); 1 where nothing is lost, 0 where as much is lost as by zeros.

Special tokens, BOS above all, are not counted and keep their own activation when x̂ is spliced in. With BOS, all tokens
are counted and replaced; a model without BOS or other special tokens has the same figures twice. These are the
definitions of SAELens's `evals` (its `exclude_special_tokens` on and off).

Cost: four passes of the model over the tokens and one of the SAE for each but the last.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.errors import BadInput
from core.models.capture import per_token, switch_on
from core.records import Figures

Progress = Callable[[str, float, float], None]
_LOGITS = 64_000_000
"""Logits of one batch at most."""


@runtime_checkable
class Autoencoder(Protocol):
    """What is asked of a dictionary; `core.sources.sae.Sae` has it."""

    hook: str
    hook_out: str

    def reconstruct(
        self, x: Float[Tensor, "... d_in"]
    ) -> tuple[Float[Tensor, "... d_sae"], Float[Tensor, "... d_out"]]:
        """(values of all features, the reconstruction at `hook_out`) of the activation at `hook`."""
        ...


def special_mask(tokens: Int[Tensor, "batch pos"], special: Collection[int]) -> Bool[Tensor, "batch pos"]:
    """Where `tokens` are special."""
    return torch.isin(tokens, torch.tensor(sorted(special), dtype=tokens.dtype, device=tokens.device))


@torch.no_grad()
def reconstruction(
    bridge: Any,
    source: Autoencoder,
    tokens: Int[Tensor, "prompts pos"],
    lengths: Int[Tensor, " prompts"],
    *,
    special: Collection[int],
    dataset: str,
    progress: Progress | None = None,
    turn: AbstractContextManager[None] | None = None,
) -> tuple[Figures, Figures]:
    """(figures without special tokens, figures with them) of a dictionary of a TransformerLens model.

    Rows of `tokens` are prompts, padded on the right; `lengths` says how many tokens of each are real. `turn` is
    entered for each batch: between two, others may use the model.

    Raises:
        BadInput: no token is left to count, or none follows one that is.
    """
    plain, whole = _Sums(), _Sums()
    tokens, lengths = tokens.to(bridge.cfg.device), lengths.to(bridge.cfg.device)
    rows = max(1, _LOGITS // (tokens.shape[1] * int(bridge.cfg.d_vocab)))
    for start in range(0, len(tokens), rows):
        with turn or nullcontext():
            _batch(bridge, source, tokens[start : start + rows], lengths[start : start + rows], special, plain, whole)
        if progress is not None:
            progress("evaluating", float(min(start + rows, len(tokens))), float(len(tokens)))
    return plain.figures(dataset), whole.figures(dataset)


def _batch(
    bridge: Any,
    source: Autoencoder,
    tokens: Int[Tensor, "batch pos"],
    lengths: Int[Tensor, " batch"],
    special: Collection[int],
    plain: _Sums,
    whole: _Sums,
) -> None:
    """Adds some prompts to the sums without special tokens and to those with them."""
    switch_on(bridge, [source.hook, source.hook_out])
    ids = tokens[:, : int(lengths.max())]
    real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]  # [batch, pos]
    counted = real & ~special_mask(ids, special)
    follows = real[:, 1:]

    held, own = _activations_and_loss(bridge, {source.hook, source.hook_out}, ids)
    x = held[source.hook_out]
    zero = _loss_with(bridge, source.hook_out, ids, torch.zeros_like)
    features, reconstructed = source.reconstruct(held[source.hook])
    reconstructed = reconstructed.to(x.dtype)
    for sums, mask in ((plain, counted), (whole, real)):
        spliced = _loss_with(bridge, source.hook_out, ids, partial(_splice, reconstructed, mask))
        sums.add_tokens(x[mask], reconstructed[mask], features[mask])
        at = follows & mask[:, :-1]
        sums.add_losses(own[at], spliced[at], zero[at])


class _Sums:
    """The running sums behind one `Figures`."""

    def __init__(self) -> None:
        self.tokens = self.predictions = 0
        self.active = self.error = self.square = 0.0
        self.total: Tensor | None = None
        """Sum of x, float64."""
        self.fired: Tensor | None = None
        self.losses = torch.zeros(3, dtype=torch.float64)
        """Own, spliced, zero."""

    def add_tokens(
        self, x: Float[Tensor, "tok d"], reconstructed: Float[Tensor, "tok d"], features: Float[Tensor, "tok d_sae"]
    ) -> None:
        exact = x.double()
        on = features != 0  # SAEs that fire with both signs are active with either
        self.tokens += len(x)
        self.active += float(on.sum())
        self.error += float((exact - reconstructed.double()).square().sum())
        self.square += float(exact.square().sum())
        self.total = exact.sum(0) if self.total is None else self.total + exact.sum(0)
        self.fired = on.any(0) if self.fired is None else self.fired | on.any(0)

    def add_losses(
        self, own: Float[Tensor, " pred"], spliced: Float[Tensor, " pred"], zero: Float[Tensor, " pred"]
    ) -> None:
        self.predictions += len(own)
        self.losses += torch.stack([part.double().sum() for part in (own, spliced, zero)]).cpu()

    def figures(self, dataset: str) -> Figures:
        if self.total is None or self.fired is None or not self.tokens or not self.predictions:
            raise BadInput("There is nothing to evaluate: no token of the texts counts and has a token after it.")
        n = self.tokens
        variance = self.square / n - float((self.total / n).square().sum())
        own, spliced, zero = (self.losses / self.predictions).tolist()
        return Figures(
            tokens=n,
            l0=self.active / n,
            explained_variance=1 - (self.error / n) / variance if variance > 0 else float("nan"),
            dead_fraction=1 - float(self.fired.double().mean()),
            ce_loss=own,
            ce_loss_spliced=spliced,
            ce_loss_zero=zero,
            ce_loss_score=(zero - spliced) / (zero - own) if zero != own else float("nan"),
            dataset=dataset,
            made=datetime.date.today().isoformat(),
        )


def _losses(logits: Float[Tensor, "batch pos vocab"], ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch next"]:
    """Cross entropy of each token after the first, given those before it."""
    scores = logits[:, :-1].float()
    return scores.logsumexp(-1) - scores.gather(-1, ids[:, 1:, None])[..., 0]


def _activations_and_loss(
    bridge: Any, hooks: Collection[str], ids: Int[Tensor, "batch pos"]
) -> tuple[dict[str, Float[Tensor, "batch pos d"]], Float[Tensor, "batch next"]]:
    """The activations at `hooks`, heads flattened, and the model's own losses, from one pass."""
    held: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor, hook: Any) -> None:
        held[name] = per_token(value.detach(), ids, name)

    logits = bridge.run_with_hooks(ids, return_type="logits", fwd_hooks=[(h, partial(keep, h)) for h in hooks])
    return held, _losses(logits, ids)


def _loss_with(
    bridge: Any, hook: str, ids: Int[Tensor, "batch pos"], replace: Callable[[Tensor], Tensor]
) -> Float[Tensor, "batch next"]:
    """The losses with the activation at `hook` replaced.

    `hook_resid_mid` is replaced in place: it is the residual stream itself and what the next norm reads, one tensor,
    and a hook of the bridge that returns another one would change the norm's input alone.
    """
    in_place = hook.endswith(".hook_resid_mid")

    def change(value: Tensor, hook: Any) -> Tensor:
        new = replace(value)
        return value.copy_(new) if in_place else new

    return _losses(bridge.run_with_hooks(ids, return_type="logits", fwd_hooks=[(hook, change)]), ids)


def _splice(reconstructed: Float[Tensor, "batch pos d"], mask: Bool[Tensor, "batch pos"], own: Tensor) -> Tensor:
    """`reconstructed` where `mask` holds, else `own`, in the shape of `own`: with heads, if it has them."""
    flat = own.reshape(reconstructed.shape)
    return torch.where(mask[..., None], reconstructed, flat).reshape(own.shape)
