"""How well dictionaries reconstruct: what they give back, how sparsely, and what it costs the model in loss.

Knows tensors and a model with hooks; where texts come from and where figures are kept is others' work, sums and
intervals are `core.evaluate.sums`. What is reconstructed, x below, is the activation at `hook_out`: for an SAE what it
reads, for a transcoder what it stands in for, the MLP's output. Every mean runs over *counted* tokens, in float64:

- l0: mean number of features other than zero a token; l1: of the sum of their absolute values.
- mse: E|x - x̂|², summed over coordinates; explained variance: 1 - E|x - x̂|² / (E|x|² - |E x|²), over all counted
  tokens of all batches at once.
- relative reconstruction bias: E|x̂|² / E[x · x̂]; l2 ratio: mean of |x̂| / |x|; cosine: mean cosine of x and x̂.
- dead fraction: features that no counted token activates.
- cross entropy, in nats, of the tokens that follow counted tokens: of the model as it is (own), with x̂ in place of x at
  every counted token (spliced), with zeros in place of x at every token, and with the mean of x over counted tokens in
  place of x at every counted token. Scores: (zero - spliced) / (zero - own), and the same with the mean for zeros: 1
  where nothing is lost, 0 where as much is lost as by zeros or by the mean.
- divergence: KL(own || changed) of the next token's distribution at every counted token, in nats, with the same three
  changes; scores: (zero - spliced) / zero, and with the mean.

Special tokens, BOS above all, are not counted and keep their own activation when x̂ or the mean is spliced in. With BOS,
all tokens are counted and replaced; a model without BOS or other special tokens has the same figures twice. These are
the definitions of SAELens's `evals` (its `exclude_special_tokens` on and off), but for the mean, which it does not
have, and the bias, which it averages over batches.

Cost: a pass of the model over the tokens for itself, zeros, and twice for the mean, and two more and one of the SAE for
each dictionary; several dictionaries of one `hook_out` share the first four.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.errors import BadInput
from core.evaluate.sums import Sums
from core.models.capture import per_token, switch_on
from core.records import Figures

Progress = Callable[[str, float, float], None]
_LOGITS = 32_000_000
"""Logits of one batch at most."""


@runtime_checkable
class Autoencoder(Protocol):
    """What is asked of a dictionary; `core.sources.sae.Sae` has it, and baselines have (`core.evaluate.baselines`)."""

    hook: str
    hook_out: str

    def reconstruct(
        self, x: Float[Tensor, "... d_in"]
    ) -> tuple[Float[Tensor, "... d_sae"], Float[Tensor, "... d_out"]]:
        """(values of all features, the reconstruction at `hook_out`) of the activation at `hook`."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """Prompts as tensors."""

    ids: Int[Tensor, "prompts pos"]
    """Padded on the right."""
    lengths: Int[Tensor, " prompts"]
    """Real tokens of each."""
    groups: Int[Tensor, " prompts"]
    """Of the document of each, 0 and up: what a bootstrap draws."""
    special: Collection[int]

    def to(self, device: Any) -> Tokens:
        """On a device."""
        return Tokens(self.ids.to(device), self.lengths.to(device), self.groups.to(device), self.special)

    def batches(self, vocabulary: int) -> list[slice]:
        """Slices of prompts with at most `_LOGITS` logits each, one prompt at least."""
        rows = max(1, _LOGITS // (self.ids.shape[1] * vocabulary))
        return [slice(start, start + rows) for start in range(0, len(self.ids), rows)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some prompts, no wider than they need to be."""

    ids: Int[Tensor, "batch pos"]
    real: Bool[Tensor, "batch pos"]
    counted: Bool[Tensor, "batch pos"]
    """Real and not special."""
    group: Int[Tensor, "batch pos"]

    @classmethod
    def of(cls, tokens: Tokens, rows: slice) -> Batch:
        """Those of `rows`."""
        lengths = tokens.lengths[rows]
        ids = tokens.ids[rows, : int(lengths.max())]
        real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        return cls(ids, real, real & ~special_mask(ids, tokens.special), tokens.groups[rows, None].expand_as(ids))


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

    The ones that a catalog shows: without the mean, divergences and intervals, which costs half the passes. Rows of
    `tokens` are prompts, padded on the right; `lengths` says how many tokens of each are real. `turn` is entered for
    each batch: between two, others may use the model.

    Raises:
        BadInput: no token is left to count, or none follows one that is.
    """
    given = Tokens(tokens, lengths, torch.zeros(len(tokens), dtype=torch.int64), special)
    (sums,) = measure(bridge, [source], given, progress=progress, turn=turn)
    return catalogue(sums[0], dataset), catalogue(sums[1], dataset)


@torch.no_grad()
def measure(
    bridge: Any,
    sources: Sequence[Autoencoder],
    tokens: Tokens,
    *,
    means: tuple[Float[Tensor, " d"], Float[Tensor, " d"]] | None = None,
    progress: Progress | None = None,
    turn: AbstractContextManager[None] | None = None,
) -> list[tuple[Sums, Sums]]:
    """(sums without special tokens, sums with them) of each of some dictionaries, all of one `hook_out`.

    `means` are those of the activation there, over counted tokens and over all; with them come what the mean costs and
    all divergences.
    """
    groups = int(tokens.groups.max()) + 1
    found = [(Sums(groups), Sums(groups)) for _ in sources]
    tokens = tokens.to(bridge.cfg.device)
    for rows in tokens.batches(int(bridge.cfg.d_vocab)):
        with turn or nullcontext():
            _batch(bridge, sources, Batch.of(tokens, rows), means, found)
        if progress is not None:
            progress("evaluating", float(min(rows.stop, len(tokens.ids))), float(len(tokens.ids)))
    return found


def catalogue(sums: Sums, dataset: str) -> Figures:
    """What a catalog shows of a dictionary."""
    values = sums.values()
    names = ("l0", "explained_variance", "ce_loss", "ce_loss_spliced", "ce_loss_zero", "ce_loss_score")
    return Figures(
        tokens=sums.tokens, dead_fraction=sums.dead_fraction, dataset=dataset, made=datetime.date.today().isoformat(),
        **{name: values[name] for name in names},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Own:
    """What the model does as it is."""

    ids: Int[Tensor, "batch pos"]
    losses: Float[Tensor, "batch next"]
    logprobs: Float[Tensor, "batch pos vocab"] | None
    """None where no divergence is wanted; so are the probabilities."""
    probabilities: Float[Tensor, "batch pos vocab"] | None

    def beside(self, logits: Float[Tensor, "batch pos vocab"]) -> tuple[Tensor, Tensor]:
        """(losses, divergences) of other logits; of divergences zeros where none is wanted."""
        losses = _losses(logits, self.ids)
        if self.logprobs is None:
            return losses, torch.zeros(self.ids.shape, dtype=torch.float64, device=losses.device)
        assert self.probabilities is not None
        rows = [
            (p * (own - other.float().log_softmax(-1))).sum(-1, dtype=torch.float64)
            for p, own, other in zip(self.probabilities, self.logprobs, logits, strict=True)
        ]
        return losses, torch.stack(rows)


def _batch(
    bridge: Any, sources: Sequence[Autoencoder], batch: Batch, means: tuple[Tensor, Tensor] | None,
    found: Sequence[tuple[Sums, Sums]],
) -> None:  # fmt: skip
    """Adds some prompts to the sums."""
    out = sources[0].hook_out
    assert all(source.hook_out == out for source in sources)
    held, own = _as_it_is(bridge, {out, *(source.hook for source in sources)}, batch.ids, means is not None)
    x, follows = held[out], batch.real[:, 1:]
    masks = (batch.counted, batch.real)
    zero = own.beside(_changed(bridge, out, batch.ids, torch.zeros_like))
    middle = [zero, zero] if means is None else [
        own.beside(_changed(bridge, out, batch.ids, partial(_splice, mean.to(x).expand_as(x), mask)))
        for mean, mask in zip(means, masks, strict=True)
    ]  # fmt: skip
    for source, both in zip(sources, found, strict=True):
        features, rebuilt = source.reconstruct(held[source.hook])
        rebuilt = rebuilt.to(x.dtype)
        for sums, mask, mean in zip(both, masks, middle, strict=True):
            spliced = own.beside(_changed(bridge, out, batch.ids, partial(_splice, rebuilt, mask)))
            sums.add_tokens(x[mask], rebuilt[mask], features[mask], batch.group[mask])
            at = follows & mask[:, :-1]
            losses = torch.stack([own.losses, spliced[0], zero[0], mean[0]], -1)
            sums.add_losses(losses[at], batch.group[:, :-1][at])
            if means is not None:
                sums.add_divergences(torch.stack([spliced[1], zero[1], mean[1]], -1)[mask], batch.group[mask])


@torch.no_grad()
def moments(
    bridge: Any, hook: str, tokens: Tokens, *, progress: Progress | None = None,
    turn: AbstractContextManager[None] | None = None,
) -> Moments:  # fmt: skip
    """Means and the covariance of the activation at a hook. Cost: one pass to it."""
    tokens = tokens.to(bridge.cfg.device)
    sums: list[Tensor] = []
    for rows in tokens.batches(int(bridge.cfg.d_vocab)):
        with turn or nullcontext():
            batch = Batch.of(tokens, rows)
            x = held_at(bridge, [hook], batch.ids)[hook].double()
            counted, real = x[batch.counted], x[batch.real]
            new = [torch.tensor(float(len(counted))), counted.sum(0), counted.T @ counted,
                   torch.tensor(float(len(real))), real.sum(0)]  # fmt: skip
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        if progress is not None:
            progress("the mean activation", float(min(rows.stop, len(tokens.ids))), float(len(tokens.ids)))
    n, total, square, n_all, total_all = sums
    if not float(n):
        raise BadInput("There is nothing to evaluate: no token of the texts counts.")
    mean = total / n.to(total)
    return Moments(mean, total_all / n_all.to(total), square / n.to(total) - mean[:, None] * mean)


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the activation at a hook, float64."""

    mean: Float[Tensor, " d"]
    """Over counted tokens."""
    mean_with_bos: Float[Tensor, " d"]
    """Over all."""
    covariance: Float[Tensor, "d d"]
    """Over counted tokens."""


def held_at(bridge: Any, hooks: Collection[str], ids: Int[Tensor, "batch pos"]) -> dict[str, Tensor]:
    """The activations at `hooks`, heads flattened, from a pass that stops after the last of their layers."""
    held: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor, hook: Any) -> None:
        held[name] = per_token(value.detach(), ids, name)

    switch_on(bridge, sorted(hooks))
    end = max(int(hook.split(".")[1]) for hook in hooks) + 1
    options = {"stop_at_layer": end} if end < int(bridge.cfg.n_layers) else {}
    bridge.run_with_hooks(ids, return_type=None, fwd_hooks=[(h, partial(keep, h)) for h in hooks], **options)
    return held


def _losses(logits: Float[Tensor, "batch pos vocab"], ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch next"]:
    """Cross entropy of each token after the first, given those before it."""
    scores = logits[:, :-1].float()
    return scores.logsumexp(-1) - scores.gather(-1, ids[:, 1:, None])[..., 0]


def _as_it_is(
    bridge: Any, hooks: Collection[str], ids: Int[Tensor, "batch pos"], divergences: bool
) -> tuple[dict[str, Float[Tensor, "batch pos d"]], _Own]:
    """The activations at `hooks`, heads flattened, and what the model makes of them, from one pass."""
    held: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor, hook: Any) -> None:
        held[name] = per_token(value.detach(), ids, name)

    switch_on(bridge, sorted(hooks))
    logits = bridge.run_with_hooks(ids, return_type="logits", fwd_hooks=[(h, partial(keep, h)) for h in hooks])
    logprobs = logits.float().log_softmax(-1) if divergences else None
    return held, _Own(ids, _losses(logits, ids), logprobs, None if logprobs is None else logprobs.exp())


def _changed(
    bridge: Any, hook: str, ids: Int[Tensor, "batch pos"], replace: Callable[[Tensor], Tensor]
) -> Float[Tensor, "batch pos vocab"]:
    """The logits with the activation at `hook` replaced.

    `hook_resid_mid` is replaced in place: it is the residual stream itself and what the next norm reads, one tensor,
    and a hook of the bridge that returns another one would change the norm's input alone.
    """
    in_place = hook.endswith(".hook_resid_mid")

    def change(value: Tensor, hook: Any) -> Tensor:
        new = replace(value)
        return value.copy_(new) if in_place else new

    logits: Tensor = bridge.run_with_hooks(ids, return_type="logits", fwd_hooks=[(hook, change)])
    return logits


def _splice(reconstructed: Float[Tensor, "batch pos d"], mask: Bool[Tensor, "batch pos"], own: Tensor) -> Tensor:
    """`reconstructed` where `mask` holds, else `own`, in the shape of `own`: with heads, if it has them."""
    flat = own.reshape(reconstructed.shape)
    return torch.where(mask[..., None], reconstructed, flat).reshape(own.shape)
