"""What every head attends to over a corpus: shares, distance, scores on text, and the pairs of tokens.

One pass over prompts, layer by layer: of each token but the first (there is nowhere else to look), the share of
attention on BOS, on itself, on the token before, the mean distance, and TransformerLens's three scores a text. Of the
pairs, what each token attends to most, BOS and itself left out, if that has at least `LEAST` of its attention; they are
added up by (token, token attended to). Cost: the model's passes with their patterns, and 26 bytes a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from core.models.capture import pad
from core.models.loading import LoadedModel
from core.models.thread import computing
from core.techniques.heads.pattern import batches, patterns
from core.techniques.heads.scores import detected

PAIRS = 12
"""That are kept of each head."""
LEAST = 0.1
"""Of a token's attention that its first choice must have to count as a pair."""
VALUES = 12 * 2**20
"""Of patterns that are held at once."""
SHARES = ("bos", "itself", "before", "distance", "previous", "duplicate", "induction", "covered")


@dataclass(slots=True)
class _Layer:
    """One layer's sums over the texts so far."""

    sums: NDArray[np.float64]
    """[heads, SHARES + the attention that is not on BOS]."""
    query: list[NDArray[np.int32]]
    """Token ids of pairs, and where they are: (text, position, source), and how strong."""
    key: list[NDArray[np.int32]]
    head: list[NDArray[np.int16]]
    place: list[NDArray[np.int32]]
    weight: list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Arrays over [layers × heads], so that they can be kept."""

    shares: NDArray[np.float64]
    """[heads, SHARES]."""
    pairs: NDArray[np.float64]
    """[heads, PAIRS, (query, key, times, total, text, position, source, weight)]; NaN where there are fewer."""
    even: NDArray[np.float64]
    """[3 kinds]: what equal attention to every token so far gives of the three scores a text."""


def read(
    model: LoadedModel, texts: Sequence[Sequence[int]], one: Callable[[Callable[[], None]], None],
    done: Callable[[int], None],
) -> Corpus:  # fmt: skip
    """The corpus's figures. `one` runs each batch, under the model's lock say; `done` is told of tokens."""
    begin = 0 if model.bos is None else 1
    layers: list[_Layer] = []
    read_, count = 0, 0
    for group in batches([len(row) for row in texts], _heads(model), VALUES):
        rows = [list(texts[n]) for n in group]
        one(lambda rows=rows, group=group: _batch(model, rows, group, begin, layers))  # type: ignore[misc]
        count += sum(len(row) > begin + 1 for row in rows)
        read_ += sum(map(len, rows))
        done(read_)
    tokens = sum(max(0, len(row) - begin - 1) for row in texts)
    equal = [_equal(torch.tensor(row)) for row in texts if len(row) > begin + 1]
    return Corpus(
        np.concatenate([_shares(layer, tokens, count) for layer in layers]),
        np.concatenate([_pairs(layer) for layer in layers]),
        np.mean(equal, 0) if equal else np.full(3, np.nan),
    )


def _equal(ids: Int[Tensor, " pos"]) -> NDArray[np.float64]:
    even = torch.tril(torch.ones(len(ids), len(ids)))
    return detected((even / even.sum(1, keepdim=True))[None], ids)[0].double().numpy()


def _heads(model: LoadedModel) -> int:
    record = model.manifest.record
    return record.heads * record.layers


@computing
def _batch(
    model: LoadedModel, rows: list[list[int]], numbers: list[int], begin: int, layers: list[_Layer]
) -> None:
    ids = pad(rows)
    found = patterns(model, ids)
    while len(layers) < len(found):
        heads = found[len(layers)].shape[1]
        layers.append(_Layer(np.zeros((heads, len(SHARES) + 1)), [], [], [], [], []))
    for layer, pattern in zip(layers, found, strict=True):
        for n, row in enumerate(rows):
            if len(row) > begin + 1:
                _text(layer, pattern[n, :, : len(row), : len(row)], torch.tensor(row), numbers[n], begin)


def _text(
    layer: _Layer, pattern: Float[Tensor, "heads to from_"], ids: Int[Tensor, " pos"], n: int, begin: int
) -> None:
    """Adds one text; `begin` is 1 where it has a BOS. Destinations are those that have another token to look at."""
    size = len(ids)
    scores = detected(pattern, ids.to(pattern.device))
    rest = pattern[:, begin + 1 :].clone()  # from the first that has a choice
    at = torch.arange(begin + 1, size, device=rest.device)
    here = torch.arange(len(at), device=rest.device)
    bos = rest[:, :, 0].sum(1) * begin
    itself, before = rest[:, here, at].sum(1), rest[:, here, at - 1].sum(1)
    rest[:, :, :begin] = 0.0
    back = (at[:, None] - torch.arange(size, device=rest.device)[None]).clamp_min(0).float()
    distance, other = torch.einsum("hts,ts->h", rest, back), rest.sum((1, 2))
    rest[:, here, at] = 0.0
    weight, source = rest.max(2)
    kept = weight >= LEAST
    parts = [bos, itself, before, distance, *scores.T, kept.sum(1).float(), other]
    layer.sums += torch.stack(parts, 1).double().cpu().numpy()
    head, place = (one.cpu().numpy() for one in kept.nonzero(as_tuple=True))
    if not len(head):
        return
    sources, tokens = source[kept].cpu().numpy(), ids.numpy()
    positions = place + begin + 1
    layer.head.append(head.astype(np.int16))
    layer.query.append(tokens[positions].astype(np.int32))
    layer.key.append(tokens[sources].astype(np.int32))
    layer.place.append(np.stack([np.full(len(head), n), positions, sources], 1).astype(np.int32))
    layer.weight.append(weight[kept].cpu().numpy().astype(np.float32))


def _shares(layer: _Layer, tokens: int, texts: int) -> NDArray[np.float64]:
    """Of each head what `SHARES` says, from its sums."""
    sums = layer.sums
    by = np.array([tokens, tokens, tokens, 1, texts, texts, texts, tokens], np.float64)
    found = sums[:, : len(SHARES)] / np.maximum(by, 1)
    found[:, 3] /= np.maximum(sums[:, -1], 1e-12)
    return found


def _pairs(layer: _Layer) -> NDArray[np.float64]:
    heads = len(layer.sums)
    made = np.full((heads, PAIRS, 8), np.nan)
    if not layer.head:
        return made
    head, query, key = (np.concatenate(part) for part in (layer.head, layer.query, layer.key))
    place, weight = np.concatenate(layer.place), np.concatenate(layer.weight)
    for one in range(heads):
        own = np.flatnonzero(head == one)
        if not len(own):
            continue
        name = query[own].astype(np.int64) * 2**32 + key[own].astype(np.int64)
        names, of, times = np.unique(name, return_inverse=True, return_counts=True)
        total = np.bincount(of, weight[own])
        best = own[np.lexsort((-weight[own], of))]
        first = best[np.concatenate([[0], np.cumsum(times)[:-1]])]
        for row, n in enumerate(np.argsort(-total, kind="stable")[:PAIRS]):
            spot = first[n]
            made[one, row] = [*divmod(int(names[n]), 2**32), times[n], total[n], *place[spot], weight[spot]]
    return made
