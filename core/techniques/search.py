"""Which features a text activates, over many sources: ranked, filtered and counted.

Works on codes and on what the build knows of each feature; no model is run here, so another order, filter or page of
the same text costs no pass. A feature's score is its measure at its strongest token, or the sum of its measures at
every token that is looked at and on which it is active. These are the chosen tokens, or else all but special ones:

- value: as it is. Layers differ in scale (late ones are larger), so that it favours some.
- fraction: of the feature's own largest value on the build's texts.
- percentile: the share of the feature's active tokens on which it is weaker.
- surprise: -log10 of the share of all tokens on which it is as strong: how rare so strong an activation is.

Ties go to the larger fraction, then by source and index. Cost: some milliseconds for ten thousand activations; a sum
looks at each of them and not only at the features' strongest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from core.records import Combine, FeatureKey, Measure, SearchHit, SearchRecord, SourceCount, SourceRecord, Token
from core.sources.codes import Codes
from core.store.layout import SourceData
from core.store.rarity import Rarity

BEST = 25
"""Of a source's hits, how many are looked at for whether they name their token."""


class Facts:
    """What a search asks of one source's features, each column read once."""

    def __init__(self, record: SourceRecord, data: SourceData) -> None:
        def column(name: str) -> Float64[np.ndarray, " width"]:
            found: Float64[np.ndarray, " width"] = data.features.column(name).to_numpy().astype(np.float64)
            return found

        self.record = record
        self.rarity = Rarity(data, record)
        self.density = column("active") / max(1, record.tokens)
        self.maximum, self.minimum = column("maximum"), column("minimum")
        self._labels, self._promotes = (_whole(data.features.column(name)) for name in ("label", "promotes"))

    def label(self, feature: int) -> str:
        """Tokens over-represented where it is strong."""
        return self.labels(np.array([feature]))[0]

    def labels(self, features: NDArray[np.int64]) -> list[str]:
        """Of each feature the tokens over-represented where it is strong; many at once cost little more than one."""
        return _taken(self._labels, features)

    def promoted(self, features: NDArray[np.int64]) -> list[str]:
        """Of each feature the tokens that it raises most."""
        return _taken(self._promotes, features)

    def fraction(self, features: NDArray[np.int64], values: NDArray[np.float32]) -> Float64[np.ndarray, " n"]:
        """Of the largest value on the build's texts, in size if the source is signed; 0 for a feature that has none."""
        reach = self.maximum[features]
        if self.record.signed:
            reach = np.maximum(reach, -self.minimum[features])
        return np.divide(np.abs(values), reach, out=np.zeros(len(features)), where=reach > 0)

    def measured(
        self, measure: Measure, features: NDArray[np.int64], values: NDArray[np.float32]
    ) -> Float64[np.ndarray, " n"]:
        """What a search ranks by."""
        if measure == "value":
            return np.abs(values.astype(np.float64)) if self.record.signed else values.astype(np.float64)
        if measure == "fraction":
            return self.fraction(features, values)
        if measure == "percentile":
            return self.rarity.percentile(features, values)
        return -np.log10(self.rarity.share(features, values))


@dataclass(frozen=True, slots=True)
class Asked:
    """How to rank, and what to leave out."""

    measure: Measure = "value"
    combine: Combine = "max"
    """The strongest token, or the sum over all that are looked at."""
    positions: tuple[int, ...] = ()
    """Tokens to look at; all if there are none."""
    densest: float | None = None
    """Features active on a larger share of tokens are left out."""
    bos: bool = False
    """Whether special tokens are looked at too."""
    top: int = 25
    offset: int = 0


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The best of one source's features in their order, and how many there are."""

    total: int

    features: Int64[np.ndarray, " n"]
    values: NDArray[np.float32]
    positions: Int64[np.ndarray, " n"]
    scores: Float64[np.ndarray, " n"]
    fractions: Float64[np.ndarray, " n"]


def search(
    text: str,
    tokens: Sequence[Token],
    codes: Mapping[Facts, Codes],
    asked: Asked,
    *,
    model_id: str,
    bos: bool,
) -> SearchRecord:
    """The best hits of one text from `asked.offset` on."""
    special = np.array([t.special for t in tokens])
    where = np.ones(len(tokens), bool) if asked.bos else ~special
    if asked.positions:
        chosen = np.zeros(len(tokens), bool)
        chosen[list(asked.positions)] = True
        where &= chosen
    most = max(BEST, asked.offset + asked.top)
    ranked = {facts: _rank(facts, found, where, asked, most) for facts, found in codes.items()}
    order = _merged(list(ranked.values()), most)
    sources = list(ranked)
    among = np.bincount(np.array([s for s, _ in order[:BEST]], int), minlength=len(sources))
    hits = _hits(order[asked.offset :][: asked.top], sources, list(ranked.values()), codes, tokens)
    return SearchRecord(
        model_id=model_id, text=text, tokens=tuple(tokens), bos=bos, measure=asked.measure, combine=asked.combine,
        positions=asked.positions, hits=hits, total=sum(r.total for r in ranked.values()), offset=asked.offset,
        sources=tuple(
            SourceCount(
                key=facts.record.key, kind=facts.record.kind, layer=facts.record.layer, active=r.total,
                among=int(among[n]), own=_own_count(facts, r, tokens),
            )
            for n, (facts, r) in enumerate(ranked.items())
        ),
        exact=all(facts.rarity.exact for facts in sources),
    )  # fmt: skip


def _rank(facts: Facts, codes: Codes, where: NDArray[np.bool_], asked: Asked, most: int) -> _Ranked:
    """The best `most` of one source's features that are active where it is looked, and more where some are equal."""
    peaks = codes.peaks(where)
    features, values, positions = peaks.features, peaks.values, peaks.positions
    if asked.densest is not None:
        kept = facts.density[features] <= asked.densest
        features, values, positions = features[kept], values[kept], positions[kept]
    if asked.combine == "sum":
        scores = _sums(facts, codes, where, asked)[features]
    else:
        scores = facts.measured(asked.measure, features, values)
    total = len(features)
    if total > most:
        known = np.where(np.isnan(scores), -np.inf, scores)
        last = np.partition(known, total - most)[total - most]
        good = np.flatnonzero(known >= last)  # whoever ties with the last is still in
        features, values, positions, scores = features[good], values[good], positions[good], scores[good]
    fractions = facts.fraction(features, values)
    order = np.lexsort((features, -fractions, -scores))
    return _Ranked(total, features[order], values[order], positions[order], scores[order], fractions[order])


def _sums(facts: Facts, codes: Codes, where: NDArray[np.bool_], asked: Asked) -> Float64[np.ndarray, " width"]:
    """Of each feature the sum of its measures at the tokens where it is looked; of those left out as dense, 0."""
    features, values = codes.entries(where)
    if asked.densest is not None:
        kept = facts.density[features] <= asked.densest
        features, values = features[kept], values[kept]
    measures = facts.measured(asked.measure, features, values)
    return np.bincount(features, measures, minlength=codes.width).astype(np.float64)  # of nothing, they are integers


def _merged(ranked: Sequence[_Ranked], most: int) -> list[tuple[int, int]]:
    """(source, place in its ranking) of the best over all sources."""
    source = np.concatenate([np.full(len(r.features[:most]), n) for n, r in enumerate(ranked)])
    place = np.concatenate([np.arange(len(r.features[:most])) for r in ranked])
    scores = np.concatenate([r.scores[:most] for r in ranked])
    fractions = np.concatenate([r.fractions[:most] for r in ranked])
    order = np.lexsort((place, source, -fractions, -scores))[:most]
    return list(zip(source[order].tolist(), place[order].tolist(), strict=True))


def _hits(
    order: Sequence[tuple[int, int]],
    sources: Sequence[Facts],
    ranked: Sequence[_Ranked],
    codes: Mapping[Facts, Codes],
    tokens: Sequence[Token],
) -> tuple[SearchHit, ...]:
    """The records of some hits."""
    made: dict[tuple[int, int], SearchHit] = {}
    for n, facts in enumerate(sources):
        places = [place for source, place in order if source == n]
        if not places:
            continue
        features, values = ranked[n].features[places], ranked[n].values[places]
        strips = codes[facts].of(features)
        percentiles, shares = facts.rarity.ranks(features, values)
        surprises = -np.log10(shares)
        labels, promoted = facts.labels(features), facts.promoted(features)
        key = facts.record.key
        for i, place in enumerate(places):
            position, feature = int(ranked[n].positions[place]), int(features[i])
            made[n, place] = SearchHit(
                key=FeatureKey(key.model_id, key.source_id, feature), layer=facts.record.layer,
                values=tuple(strips[i].tolist()), maximum=float(values[i]), position=position,
                score=float(ranked[n].scores[place]), fraction=float(ranked[n].fractions[place]),
                percentile=float(percentiles[i]), surprise=float(surprises[i]), density=float(facts.density[feature]),
                label=labels[i], promotes=promoted[i], own=_own(labels[i], tokens[position]),
            )  # fmt: skip
    return tuple(made[one] for one in order)


def _own_count(facts: Facts, ranked: _Ranked, tokens: Sequence[Token]) -> int:
    best = zip(facts.labels(ranked.features[:BEST]), ranked.positions[:BEST].tolist(), strict=True)
    return sum(_own(label, tokens[position]) for label, position in best)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """In one piece: of hundreds, each look would search for its own."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _taken(column: pa.Array, features: NDArray[np.int64]) -> list[str]:
    found: list[str] = column.take(pa.array(features)).to_pylist()
    return found


def _own(label: str, token: Token) -> bool:
    """Whether a name's first token is this token, spaces aside."""
    return bool(token.text.strip()) and label.split(" · ")[0] == token.text.strip()
