"""From the arrays that techniques compute, and the cache keeps, to records. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.records import FeatureKey, SourceKey, SourceRecord
from core.techniques.pairs.records import CurvePoint, CurveRecord, Pair, PairFeatures, PairNode, PairSums, Rank

if TYPE_CHECKING:
    from core.models.cache import Arrays

Known = Callable[[SourceKey, Sequence[int]], list[tuple[str, float | None]]]
"""(label, density) of some features of a source."""


def features(
    pair: Pair, parts: Mapping[SourceKey, Arrays], hooks: Mapping[SourceKey, str], by: Rank, top: int, known: Known
) -> PairFeatures:
    """The first nodes over all sources, and each source's sums."""
    each = list(parts)
    chosen: list[tuple[float, SourceKey, int]] = []
    for key, made in parts.items():
        sizes = np.abs(_size(made, by))
        chosen += [(-float(sizes[n]), key, int(n)) for n in np.argsort(-sizes, kind="stable")[:top]]
    chosen.sort(key=lambda one: (one[0], each.index(one[1])))
    return PairFeatures(
        pair=pair, by=by, nodes=_nodes(pair, parts, [(key, n) for _, key, n in chosen[:top]], known),
        active=sum(int(made["nodes"]) for made in parts.values()),
        sources=tuple(
            PairSums(
                key=key, hook=hooks[key], nodes=int(made["nodes"]), denoising=tuple(made["sums"][0].tolist()),
                noising=tuple(made["sums"][1].tolist()),
            )
            for key, made in parts.items()
        ),
    )  # fmt: skip


def nodes(
    pair: Pair, parts: Mapping[SourceKey, Arrays], asked: Sequence[tuple[FeatureKey, int]], known: Known
) -> tuple[PairNode, ...]:
    """Those that are asked for, by their position in the clean prompt.

    Raises:
        BadInput: a position has no counterpart, or a feature is as active at both.
    """
    place = {a: n for n, (a, _) in enumerate(pair.alignment.pairs)}
    chosen = []
    for key, position in asked:
        if position not in place:
            raise BadInput(f"Token {position} of the clean prompt has no counterpart, so nothing can be patched there.")
        made = parts[key.source]
        at = np.flatnonzero((made["features"] == key.index) & (made["at"] == place[position]))
        if not len(at):
            raise BadInput(f"{key} is as active in both prompts at token {position}: there is nothing to patch.")
        chosen.append((key.source, int(at[0])))
    return _nodes(pair, parts, chosen, known)


def curve(pair: Pair, source: SourceRecord, by: Rank, made: Arrays, draws: int, seed: int) -> CurveRecord:
    """L of each run as faithfulness."""
    empty, full = float(made["alone"][0]), float(made["error"][-1])

    def share(values: NDArray[np.float64]) -> list[float]:
        found: list[float] = ((values - empty) / (full - empty)).tolist()
        return found

    random = made["random"]
    columns = [
        share(one)
        for one in (made["alone"], made["error"], made["without"], random.mean(0), random.min(0), random.max(0))
    ]
    points = []
    for n, alone, error, without, mean, low, high in zip(made["counts"].tolist(), *columns, strict=True):
        least, most = min(low, high), max(low, high)  # the gap may be below 0
        points.append(CurvePoint(n, alone, error, without, mean, least, most))
    return CurveRecord(
        pair=pair, key=source.key, hook=source.hook, by=by, nodes=int(made["nodes"]), empty=empty, full=full,
        points=tuple(points), draws=draws, seed=seed,
    )  # fmt: skip


def _size(made: Arrays, by: Rank) -> NDArray[np.float64]:
    if by == "difference":
        found: NDArray[np.float64] = (made["clean"] - made["corrupted"]).astype(np.float64)
        return found
    effects: NDArray[np.float64] = made["effects"]
    return {"attribution": effects.mean(0), "denoising": effects[0], "noising": effects[1]}[by]


def _nodes(
    pair: Pair, parts: Mapping[SourceKey, Arrays], chosen: Sequence[tuple[SourceKey, int]], known: Known
) -> tuple[PairNode, ...]:
    """Nodes by (source, place in its arrays), in the order in which they are given."""
    own: dict[SourceKey, list[int]] = {}
    for key, n in chosen:
        own.setdefault(key, []).append(n)
    said = {key: iter(known(key, parts[key]["features"][rows].tolist())) for key, rows in own.items()}
    made = []
    for key, n in chosen:
        found, (label, density) = parts[key], next(said[key])
        position, counterpart = pair.alignment.pairs[int(found["at"][n])]
        made.append(
            PairNode(
                FeatureKey(key.model_id, key.source_id, int(found["features"][n])), position, counterpart,
                float(found["clean"][n]), float(found["corrupted"][n]), float(found["effects"][0][n]),
                float(found["effects"][1][n]), None, None, label, density,
            )
        )  # fmt: skip
    return tuple(made)
