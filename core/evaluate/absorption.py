"""First-letter absorption: words on which the features that tell a letter are silent and others do their work.

After Chanin et al. 2024 (https://arxiv.org/abs/2409.14507) and SAEBench's `absorption`, with its thresholds. A linear
probe a letter reads the activation. The letter's own features are those that fire more for it than for others (by the
difference of means, then a logistic regression on the first k of them): one, and one more as long as it raises F1 on
held-out words by more than `JUMP`. A held-out use of a word that the probe gets right is *absorbed* where none of these
features is active and the feature that carries most of the probe's direction (value × decoder row · probe) is turned to
it (cosine above `COSINE`) and carries more than `SHARE` of what x itself has along the probe. The *fraction* also
counts words where they are active and carry less than x has: what at most `ABSORBERS` others (cosine above `NEAR`)
carry, divided by that and what the letter's features carry, where these others carry more than `SHARE` of x's; else 0.

Adapted to byte-level tokens and small models. SAEBench asks a model to spell words in a prompt with examples, which a
small model cannot do. Here a word is a token that is a space and three or more Latin letters, and it is read where it
stands in the texts: `USES` times at most, at the activation of that token. Words are held out whole, two of five. Upper
and lower case are one letter. Letters with fewer than `WORDS` words on either side are left out, and those of which the
probe's F1 on held-out words is below `PROBE`, as SAEBench does: without a direction nothing can be absorbed. Where x
and the decoder belong to different hook points (transcoders), the probe reads where the decoder writes.

Cost: a pass to the hook, and the codes of some ten thousand tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from core.errors import NotAvailable
from core.evaluate import bootstrap
from core.evaluate.logistic import Probes, f1, fit
from core.evaluate.reconstruction import Batch, Progress, Tokens, held_at
from core.evaluate.records import Absorption, LetterAbsorption, TokenSet
from core.evaluate.shape import Encodes

JUMP, COSINE, NEAR, SHARE, PROBE = 0.03, 0.025, 0.1, 0.4, 0.6
ABSORBERS, SPLITS, USES, WORDS = 3, 10, 6, 5
_WORD = re.compile(rb" ([A-Za-z])[A-Za-z]{2,}")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Uses:
    """Where words stand in the texts."""

    word: Int64[np.ndarray, " uses"]
    """The token's id."""
    letter: Int64[np.ndarray, " uses"]
    """0 for a."""
    held_out: Bool[np.ndarray, " uses"]
    at: dict[int, list[int]]
    """Of each prompt, the positions of its words."""


def uses(rows: Sequence[Sequence[int]], pieces: Sequence[bytes]) -> Uses:
    """Words in the prompts, in order: `USES` times each at most. Words are held out by their id, two of five."""
    letters = {n: m[1].lower()[0] - 97 for n, piece in enumerate(pieces) if (m := _WORD.fullmatch(piece))}
    left = dict.fromkeys(letters, USES)
    found: list[int] = []
    at: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        for position, token in enumerate(row):
            if left.get(token, 0) > 0:
                left[token] -= 1
                found.append(token)
                at.setdefault(number, []).append(position)
    words = np.array(found, np.int64)
    order = np.random.default_rng(0).permutation(len(pieces))
    return Uses(words, np.array([letters[w] for w in found], np.int64), order[words] % 5 < 2, at)


@dataclass(frozen=True, slots=True)
class Samples:
    """The activation and the codes at each use."""

    x: Float64[np.ndarray, "uses d"]
    codes: list[Float32[np.ndarray, "uses _"]]


@torch.no_grad()
def samples(
    bridge: Any, sources: Sequence[Encodes], hook: str, tokens: Tokens, where: Uses, *,
    progress: Progress | None = None, turn: AbstractContextManager[None] | None = None,
) -> Samples:  # fmt: skip
    """What the model and dictionaries have at each use of a word."""
    tokens = tokens.to(bridge.cfg.device)
    x: list[torch.Tensor] = []
    codes: list[list[torch.Tensor]] = [[] for _ in sources]
    hooks = {hook, *(source.hook for source in sources)}
    for rows in tokens.batches(max([int(bridge.cfg.d_vocab), *(s.width for s in sources)])):
        places = [(n - rows.start, p) for n in range(rows.start, rows.stop) for p in where.at.get(n, ())]
        if not places:
            continue
        with turn or nullcontext():
            held = held_at(bridge, hooks, Batch.of(tokens, rows).ids)
            index = tuple(torch.tensor(column) for column in zip(*places, strict=True))
            x.append(held[hook][index].double().cpu())
            for source, kept in zip(sources, codes, strict=True):
                kept.append(source.encode(held[source.hook][index]).cpu())
        if progress is not None:
            progress("words in the texts", float(min(rows.stop, len(tokens.ids))), float(len(tokens.ids)))
    if not x:
        raise NotAvailable("The texts have no word that is one token of a space and Latin letters.")
    return Samples(torch.cat(x).numpy(), [torch.cat(kept).numpy() for kept in codes])


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters that can be read from the activation, and the probes that do."""

    known: list[int]
    """0 for a."""
    labels: Bool[np.ndarray, "uses letters"]
    probes: Probes
    f1: list[float]
    """Of each probe, on held-out words."""


def letters(x: Float64[np.ndarray, "uses d"], where: Uses) -> Letters:
    """Those with enough words and a probe that tells them; dictionaries of one activation share them.

    Raises:
        NotAvailable: there are none.
    """
    known = [n for n in range(26) if min(_words(where, n, False), _words(where, n, True)) >= WORDS]
    if not known:
        raise NotAvailable(f"No letter begins {WORDS} words of the texts on either side.")
    labels, test = where.letter[:, None] == np.array(known), where.held_out
    probes = fit(x[~test], labels[~test])
    said = probes.logits(x[test]) > 0
    scores = [f1(said[:, n], labels[test, n]) for n in range(len(known))]
    told = [n for n, score in enumerate(scores) if score >= PROBE]
    if not told:
        raise NotAvailable(
            f"No letter can be read from the activation: the best probe's F1 on held-out words is {max(scores):.2f}, "
            f"and {PROBE} is needed."
        )
    return Letters(
        [known[n] for n in told], labels[:, told], Probes(probes.weights[:, told], probes.bias[told]),
        [scores[n] for n in told],
    )  # fmt: skip


def absorption(
    codes: Float32[np.ndarray, "uses d_sae"], x: Float64[np.ndarray, "uses d"], read: Letters,
    decoder: Float64[np.ndarray, "d_sae d"], where: Uses, names: Sequence[str], on: TokenSet, made: str,
) -> Absorption:  # fmt: skip
    """The record of one dictionary; `names` are what tokens read like."""
    told = [_letter(n, codes, x, decoder, where, read, names) for n in range(len(read.known))]
    return Absorption(
        on=on, made=made, letters=tuple(told), rate=bootstrap.mean([one.rate for one in told]),
        fraction=bootstrap.mean([one.fraction for one in told]),
        splitting=bootstrap.mean([float(len(one.features)) for one in told]),
        k1_f1=bootstrap.mean([one.f1 for one in told]), probe_f1=bootstrap.mean([one.probe_f1 for one in told]),
    )  # fmt: skip


def _words(where: Uses, letter: int, held_out: bool) -> int:
    return len(np.unique(where.word[(where.letter == letter) & (where.held_out == held_out)]))


def _letter(
    number: int, codes: Float32[np.ndarray, "uses d_sae"], x: Float64[np.ndarray, "uses d"],
    decoder: Float64[np.ndarray, "d_sae d"], where: Uses, read: Letters, names: Sequence[str],
) -> LetterAbsorption:  # fmt: skip
    truth, test, probes = read.labels[:, number], where.held_out, read.probes
    own, score = _own(codes, truth, test)
    said = probes.logits(x[test])[:, number] > 0
    right = np.flatnonzero(test)[said & truth[test]]
    direction = probes.weights[:, number] / max(float(np.linalg.norm(probes.weights[:, number])), 1e-30)
    along = decoder @ direction
    cosine = along / np.maximum(np.linalg.norm(decoder, axis=1), 1e-30)
    carried = codes[right] * along
    wanted = (x[right] - x[~test].mean(0)) @ direction
    mine = carried[:, own].sum(1)
    others = carried.copy()
    others[:, own] = -np.inf
    top = others.argmax(1)
    most = np.take_along_axis(others, top[:, None], 1)[:, 0]
    silent = (codes[right][:, own] == 0).all(1)
    absorbed = silent & (cosine[top] > COSINE) & (wanted > 0) & (most > SHARE * wanted)
    return LetterAbsorption(
        letter=chr(97 + read.known[number]), words=len(right), features=tuple(own.tolist()), f1=score,
        probe_f1=read.f1[number], absorbed=int(absorbed.sum()),
        rate=float(absorbed.mean()) if len(right) else 0.0,
        fraction=float(_fractions(others, cosine, mine, wanted).mean()) if len(right) else 0.0,
        absorbers=tuple(
            (names[int(where.word[use])], int(feature))
            for use, feature in zip(right[absorbed][:_SHOWN], top[absorbed][:_SHOWN], strict=True)
        ),
    )  # fmt: skip


def _own(
    codes: Float32[np.ndarray, "uses d_sae"], truth: Bool[np.ndarray, " uses"], test: Bool[np.ndarray, " uses"]
) -> tuple[Int64[np.ndarray, " k"], float]:
    """(the features that tell a letter, F1 of the first on held-out words)."""
    more = codes[truth & ~test].mean(0) - codes[~truth & ~test].mean(0)
    best = np.argsort(-more, kind="stable")[:SPLITS]
    scores: list[float] = []
    for k in range(1, len(best) + 1):
        some = codes[:, best[:k]].astype(np.float64)
        said = fit(some[~test], truth[~test, None]).logits(some[test])[:, 0] > 0
        scores.append(f1(said, truth[test]))
        if k > 1 and scores[-1] - scores[-2] <= JUMP:
            return best[: k - 1], scores[0]
    return best, scores[0]


def _fractions(
    others: Float64[np.ndarray, "uses d_sae"], cosine: Float64[np.ndarray, " d_sae"],
    mine: Float64[np.ndarray, " uses"], wanted: Float64[np.ndarray, " uses"],
) -> Float64[np.ndarray, " uses"]:  # fmt: skip
    """Of each use, the share of the letter's direction that absorbing features carry."""
    near = np.where(cosine > NEAR, np.maximum(others, 0), 0)
    few = min(ABSORBERS, near.shape[1])
    carried = np.partition(near, near.shape[1] - few, axis=1)[:, -few:].sum(1)
    lacks = (wanted > 0) & (mine < wanted) & (carried > SHARE * wanted)
    return np.where(lacks, carried / np.maximum(carried + np.maximum(mine, 0), 1e-30), 0.0)
