"""From the arrays of heads, as they are kept, to records. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.models.vocabulary import Vocabulary
from core.records import FeatureKey, ModelRecord, SourceKey, SourceRecord, Token
from core.techniques.heads.keeping import Kept
from core.techniques.heads.records import (
    KINDS,
    HeadKey,
    HeadNode,
    HeadRecord,
    HeadScores,
    HeadsRecord,
    HeadTerms,
    Pair,
    PatternRecord,
    Score,
    Side,
)

if TYPE_CHECKING:
    from core.models.cache import Arrays
    from core.techniques.heads.features import Terms

BEFORE, AFTER = 12, 4
"""Tokens that are shown around the two of a pair."""
GAP = 40
"""Tokens between the two beyond which only those around the later one are shown."""
Known = Callable[[Sequence[FeatureKey]], list[tuple[str, float | None]]]
"""(label, density) of features."""


def heads(record: ModelRecord, kept: Kept, source: SourceKey | None) -> HeadsRecord:
    """Every head of a model, by layer and head."""
    period, sequences, prompts, tokens, bos = kept.counts.tolist()
    even = uniform(period, bos)
    made = [
        _scores(HeadKey(record.model_id, *divmod(n, record.heads)), kept, n, even) for n in range(len(kept.scores))
    ]
    return HeadsRecord(
        model_id=record.model_id, heads=tuple(made), period=period, sequences=sequences, source=source,
        prompts=prompts, tokens=tokens, made=kept.made,
    )  # fmt: skip


def uniform(period: int, bos: int) -> list[float]:
    """What equal attention gives each kind: 1 / (tokens so far) on average over where it is measured."""
    every = 1.0 / np.arange(bos + 2, 2 * period + bos + 1)
    second = 1.0 / np.arange(period + bos + 1, 2 * period + bos + 1)
    return [float(every.mean()), float(second.mean()), float(second.mean())]


def _scores(key: HeadKey, kept: Kept, n: int, even: Sequence[float]) -> HeadScores:
    shares = [None if math.isnan(one) else float(one) for one in kept.shares[n]]
    each = {
        kind: Score(
            float(kept.scores[n, at, 0]), None if kind == "previous" else float(kept.scores[n, at, 1]), even[at],
            shares[4 + at], None if math.isnan(kept.even[at]) else float(kept.even[at]),
        ) for at, kind in enumerate(KINDS)
    }  # fmt: skip
    bos = shares[0] if kept.counts[4] else None  # a model may have none
    return HeadScores(key=key, **each, bos=bos, itself=shares[1], before=shares[2], distance=shares[3])


def head(
    key: HeadKey, among: HeadsRecord, kept: Kept, prompt: Callable[[int], list[int]] | None,
    vocabulary: Vocabulary | None,
) -> HeadRecord:  # fmt: skip
    """One head with its pairs, each with the tokens around where it was strongest."""
    at = next(n for n, one in enumerate(among.heads) if one.key == key)
    pairs = []
    if prompt is not None and vocabulary is not None:
        rows = [row for row in kept.pairs[at].tolist() if not math.isnan(row[0])]
        pairs = [_pair(row, prompt(int(row[4])), vocabulary) for row in rows]
    covered = float(kept.shares[at, 7])
    return HeadRecord(
        scores=among.heads[at], pairs=tuple(pairs), covered=0.0 if math.isnan(covered) else covered, among=among
    )


def _pair(row: Sequence[float], ids: Sequence[int], vocabulary: Vocabulary) -> Pair:
    _, _, times, total, number, position, source, weight = row
    to, at = int(position), int(source)
    first = max(0, (at if to - at <= GAP else to) - BEFORE)
    tokens = vocabulary.draw(ids)
    return Pair(
        tokens[to], tokens[at], int(times), total / times, int(number), to, at, weight,
        tokens[first : to + AFTER + 1], first,
    )  # fmt: skip


def pattern(key: HeadKey, text: str, tokens: tuple[Token, ...], bos: bool, made: Arrays) -> PatternRecord:
    """A row a token, of as many values as there are tokens up to it."""

    def rows(name: str) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(row[: n + 1]) for n, row in enumerate(made[name].astype(np.float64).tolist()))

    return PatternRecord(key=key, text=text, tokens=tokens, bos=bos, pattern=rows("pattern"), moved=rows("moved"))


def terms(side: Side, source: SourceKey, found: Terms, top: int, known: Known) -> HeadTerms:
    """The largest of a sum, and what all of it is; of `output` there is no sum."""
    keys = [feature_key(source, int(i)) for i in found.features[:top]]
    rows = zip(keys, found.positions, found.activations, found.values, known(keys), strict=False)
    nodes = tuple(HeadNode(key, int(p), float(a), float(v), *about) for key, p, a, v, about in rows)
    sums = (None,) * 4 if side == "output" else (found.sum, found.error, found.bias, found.total)
    return HeadTerms(
        side=side, source=source, nodes=nodes, active=len(found.features), features=sums[0], error=sums[1],
        bias=sums[2], total=sums[3],
    )  # fmt: skip


def nearest(sources: Sequence[SourceRecord], layer: int) -> tuple[SourceRecord | None, SourceRecord | None]:
    """(the last source in the residual stream before a layer's heads read, the first that reads it after them)."""
    stream = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post")
    own = [(one, *_depth(one.hook)) for one in sources if one.kind == "sae" and one.hook.endswith(stream)]
    reads = (layer, 0)
    before = [one for one in own if one[1:] <= reads]
    after = [one for one in own if one[1:] > reads]
    return (
        max(before, key=lambda one: one[1:])[0] if before else None,
        min(after, key=lambda one: one[1:])[0] if after else None,
    )


def _depth(hook: str) -> tuple[int, int]:
    """(layer, step) of a hook of the residual stream; what leaves a layer is what enters the next."""
    layer = int(hook.split(".")[1])
    return (layer + 1, 0) if hook.endswith("post") else (layer, int(hook.endswith("mid")))


def feature_key(source: SourceKey, index: int) -> FeatureKey:
    """A feature of a source."""
    return FeatureKey(source.model_id, source.source_id, index)
