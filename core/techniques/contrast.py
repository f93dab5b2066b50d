"""Which features tell two texts apart, over many sources.

Works on codes and on what the build knows of each feature; no model is run here. A feature's score on a text is its
measure (see `core.techniques.search`) at the token of it on which the feature is strongest, and 0 if it is active on
none; features are ranked by the first score minus the second, in both directions. A feature that is as strong on both,
wherever in them, is in neither list: it says nothing about what differs. Ties go to the larger difference of fractions
of the feature's maximum, then by source and index.

Cost: that of two searches, and a sort of the features that are active on either text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from core.records import Contrast, ContrastRecord, FeatureKey, Measure, Token
from core.sources.codes import Codes
from core.techniques.search import Facts

Pair = tuple[Codes, Codes]
"""One source's codes of the two texts."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """The features of one source that are active on either text; columns are the texts."""

    features: Int64[np.ndarray, " n"]
    values: Float64[np.ndarray, "n 2"]
    positions: Int64[np.ndarray, "n 2"]
    """-1 where the feature is not active."""
    scores: Float64[np.ndarray, "n 2"]
    fractions: Float64[np.ndarray, "n 2"]


def contrast(
    texts: tuple[str, str],
    tokens: tuple[Sequence[Token], Sequence[Token]],
    codes: Mapping[Facts, Pair],
    *,
    model_id: str,
    has_bos: bool,
    measure: Measure,
    densest: float | None,
    bos: bool,
    top: int,
    offset: int,
) -> ContrastRecord:
    """`top` features in each direction from `offset` on.

    `bos`: special tokens are looked at too; `densest`: features active on a larger share of tokens are left out.
    """
    where = [np.array([bos or not t.special for t in one]) for one in tokens]
    compared = [_compare(facts, pair, where, measure, densest) for facts, pair in codes.items()]
    lists, totals = [], []
    for sign in (1, -1):
        order, total = _ranked(compared, sign, offset + top)
        lists.append(_records(order[offset:], list(codes), list(codes.values()), compared))
        totals.append(total)
    return ContrastRecord(
        model_id=model_id, texts=texts, tokens=(tuple(tokens[0]), tuple(tokens[1])), bos=has_bos, measure=measure,
        first=lists[0], second=lists[1], totals=(totals[0], totals[1]), offset=offset,
        exact=all(facts.rarity.exact for facts in codes),
    )  # fmt: skip


def _compare(
    facts: Facts, pair: Pair, where: Sequence[NDArray[np.bool_]], measure: Measure, densest: float | None
) -> _Compared:
    peaks = [codes.peaks(looked) for codes, looked in zip(pair, where, strict=True)]
    features = np.union1d(peaks[0].features, peaks[1].features)
    if densest is not None:
        features = features[facts.density[features] <= densest]
    shape = (len(features), 2)
    values, scores, fractions = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    positions = np.full(shape, -1, np.int64)
    for n, peak in enumerate(peaks):
        kept = np.isin(peak.features, features)
        own, found = peak.features[kept], peak.values[kept]
        rows = np.searchsorted(features, own)
        values[rows, n], positions[rows, n] = found, peak.positions[kept]
        scores[rows, n] = facts.measured(measure, own, found)
        fractions[rows, n] = facts.fraction(own, found)
    return _Compared(features, values, positions, scores, fractions)


def _ranked(compared: Sequence[_Compared], sign: int, most: int) -> tuple[list[tuple[int, int]], int]:
    """((source, row) of the best in one direction, how many there are)."""
    source = np.concatenate([np.full(len(c.features), n) for n, c in enumerate(compared)])
    row = np.concatenate([np.arange(len(c.features)) for c in compared])
    difference, fraction = (
        sign * np.concatenate([columns[:, 0] - columns[:, 1] for columns in each])
        for each in ([c.scores for c in compared], [c.fractions for c in compared])
    )
    order = np.lexsort((row, source, -fraction, -difference))
    total = int((difference > 0).sum())
    chosen = order[: min(most, total)]
    return list(zip(source[chosen].tolist(), row[chosen].tolist(), strict=True)), total


def _records(
    order: Sequence[tuple[int, int]], sources: Sequence[Facts], pairs: Sequence[Pair], compared: Sequence[_Compared]
) -> tuple[Contrast, ...]:
    made: dict[tuple[int, int], Contrast] = {}
    for n, (facts, pair, found) in enumerate(zip(sources, pairs, compared, strict=True)):
        rows = [row for source, row in order if source == n]
        if not rows:
            continue
        features = found.features[rows]
        strips = [codes.of(features) for codes in pair]
        labels, promoted = facts.labels(features), facts.promoted(features)
        key = facts.record.key
        for i, row in enumerate(rows):
            feature = int(features[i])
            reach = float(facts.maximum[feature])
            if facts.record.signed:
                reach = max(reach, -float(facts.minimum[feature]))
            first, second = (int(p) for p in found.positions[row])
            made[n, row] = Contrast(
                key=FeatureKey(key.model_id, key.source_id, feature), layer=facts.record.layer,
                values=(tuple(strips[0][i].tolist()), tuple(strips[1][i].tolist())),
                maxima=(float(found.values[row, 0]), float(found.values[row, 1])),
                positions=(first if first >= 0 else None, second if second >= 0 else None),
                scores=(float(found.scores[row, 0]), float(found.scores[row, 1])),
                difference=float(found.scores[row, 0] - found.scores[row, 1]), reach=max(0.0, reach),
                density=float(facts.density[feature]), label=labels[i], promotes=promoted[i],
            )  # fmt: skip
    return tuple(made[one] for one in order)
