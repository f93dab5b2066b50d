"""The strongest features of each token of a text, in one source.

Works on codes and on what the build knows of each feature; no model is run here. Each token's active features are
sorted by value (by size, if the source is signed), ties by index; the first of them are kept. Then every feature that
was kept anywhere is counted: for how many tokens, and where it is strongest among them.

Cost: a sort of each token's active features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from core.records import FeatureKey, Recurring, Token, TokenHit, TokenHits
from core.sources.codes import Codes
from core.techniques.search import Facts


def by_token(
    facts: Facts, codes: Codes, tokens: Sequence[Token], *, top: int, densest: float | None, bos: bool
) -> tuple[tuple[TokenHits, ...], tuple[Recurring, ...]]:
    """(the tokens with their `top` features, these features counted); `bos`: special tokens are looked at too."""
    rows = tuple(
        TokenHits(position=position, hits=tuple(_strongest(facts, codes, position, top, densest)))
        for position, token in enumerate(tokens)
        if bos or not token.special
    )
    return rows, _counted(rows)


def _strongest(facts: Facts, codes: Codes, position: int, top: int, densest: float | None) -> Iterator[TokenHit]:
    features, values = codes.at(position)
    if densest is not None:
        kept = facts.density[features] <= densest
        features, values = features[kept], values[kept]
    source = facts.record.key
    for n in np.lexsort((features, -np.abs(values)))[:top]:
        feature = int(features[n])
        yield TokenHit(
            key=FeatureKey(source.model_id, source.source_id, feature),
            value=float(values[n]),
            label=facts.label(feature),
            density=float(facts.density[feature]),
        )


def _counted(rows: Sequence[TokenHits]) -> tuple[Recurring, ...]:
    met: dict[FeatureKey, list[tuple[int, TokenHit]]] = {}
    for row in rows:
        for hit in row.hits:
            met.setdefault(hit.key, []).append((row.position, hit))
    found = []
    for key, places in met.items():
        position, best = max(places, key=lambda place: abs(place[1].value))  # the first, of several
        found.append(
            Recurring(
                key=key, frequency=len(places), strength=best.value, position=position, label=best.label,
                density=best.density,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.frequency, -abs(one.strength), one.key)))
