"""The standard scores of attention heads: previous token, duplicate token, induction.

On random tokens that are repeated once, so that nothing but the repetition tells what comes: the mean attention that
goes, from every token

    previous token    to the token before it
    duplicate token   from a token's second time to its first
    induction         from a token's second time to the token after its first (Olsson et al., "In-context Learning and
                      Induction Heads", 2022)

a head that does just that scores 1. The first two of the text are left out of `previous`: there is one place to look
at. What position alone gives is measured on the same first half with another second half: `control`; and equal
attention to every token so far gives `shaping.uniform`. On ordinary text the same three as TransformerLens's
`head_detector` with its `mul`: Σ attention × mask / Σ attention, its masks written anew here. Cost: two passes over
some short texts.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from core.models.loading import LoadedModel
from core.models.thread import computing
from core.techniques.heads.pattern import patterns

PERIOD, SEQUENCES, SEED = 50, 8, 0
"""Random tokens that are repeated, texts of them, and what they are drawn from."""


def period(context: int, bos: bool, vocabulary: int) -> int:
    """Random tokens that a model can read twice."""
    return max(2, min(PERIOD, (context - bos) // 2, vocabulary // 2))


def random_texts(
    model: LoadedModel, *, sequences: int = SEQUENCES, seed: int = SEED
) -> tuple[Int[Tensor, "texts pos"], Int[Tensor, "texts pos"]]:
    """(texts of random tokens twice, the same with another second half); none twice in a half, none special."""
    special = set(model.manifest.special)
    usual = np.array([i for i in range(len(model.vocabulary)) if i not in special], np.int64)
    length = period(model.manifest.record.context, model.bos is not None, len(usual))
    random = np.random.default_rng(seed)
    drawn = np.stack([random.permutation(usual)[: 2 * length] for _ in range(sequences)])
    first, other = drawn[:, :length], drawn[:, length:]
    begin = np.full((sequences, 0 if model.bos is None else 1), model.bos or 0, np.int64)
    twice, once = (np.concatenate([begin, first, second], 1) for second in (first, other))
    return torch.from_numpy(twice), torch.from_numpy(once)


@computing
def scores(model: LoadedModel) -> NDArray[np.float64]:
    """[layers × heads, 3 kinds, (value, control)] on random texts; use it under the model's lock."""
    made = []
    for ids in random_texts(model):
        masks = repeated(ids.shape[1], int(model.bos is not None))
        each = [[_mean(layer, mask) for mask in masks] for layer in patterns(model, ids)]
        made.append(torch.stack([torch.stack(kinds, 1) for kinds in each]))  # [layers, heads, kinds]
    return torch.stack(made, -1).flatten(0, 1).double().cpu().numpy()


def repeated(tokens: int, bos: int) -> list[Float[Tensor, "to from_"]]:
    """Where each kind of head looks in a text of random tokens twice, of its length, in the order of `KINDS`."""
    length = (tokens - bos) // 2
    second = torch.arange(bos + length, tokens)
    previous = torch.arange(bos + 1, tokens)
    places = ((previous, previous - 1), (second, second - length), (second, second - length + 1))
    masks = []
    for to, source in places:
        mask = torch.zeros(tokens, tokens)
        mask[to, source] = 1.0
        masks.append(mask)
    return masks


def _mean(pattern: Float[Tensor, "texts heads to from_"], mask: Float[Tensor, "to from_"]) -> Float[Tensor, " heads"]:
    mask = mask.to(pattern.device)
    return torch.einsum("bhts,ts->h", pattern, mask) / (mask.sum() * len(pattern))


def masks(ids: Int[Tensor, " pos"]) -> Float[Tensor, "kinds to from_"]:
    """Where each kind of head looks in a text, as `transformer_lens.head_detector` has it, in the order of `KINDS`."""
    tokens = len(ids)
    previous = torch.diag(torch.ones(tokens - 1), -1) if tokens > 1 else torch.zeros(tokens, tokens)
    same = (ids[:, None] == ids[None, :]).float().tril(-1)
    after = torch.zeros_like(same)
    after[:, 1:] = same[:, :-1]
    return torch.stack([previous, same, after.tril()])


def detected(pattern: Float[Tensor, "heads to from_"], ids: Int[Tensor, " pos"]) -> Float[Tensor, "heads kinds"]:
    """Σ attention × mask / Σ attention of each head and kind, on one text."""
    found = torch.einsum("hts,kts->hk", pattern, masks(ids).to(pattern.device))
    return found / pattern.sum((1, 2))[:, None]
