"""A feature's family: near-duplicates in its own source, and the features of other sources that it splits into.

Near-duplicates are those whose decoder rows have a cosine of at least the threshold with its row. How it splits is
found by orthogonal matching pursuit with weights of 0 or more: the row of the other source that points most along what
is left of the feature's unit row is taken, the weights of all that were taken are fitted again (non-negative least
squares), and so on, up to `PARTS` rows or until a row would explain less than `GAIN` more. What is explained is 1 −
|row − sum|² / |row|². Enough rows reconstruct anything, so the same is done for other features of the source and for
random directions, with as many parts.

Cost: a product with the other source's rows for each part; the first time two sources are compared, 64 such products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.atlas.near import facts, products
from core.atlas.near.records import FamilyRecord, Part, Split
from core.atlas.vectors import Rows
from core.errors import BadInput, WorkbenchError
from core.records import FeatureKey, LeftOut, SourceKey, Step, Tell

if TYPE_CHECKING:
    from core.atlas.door import Atlas
    from core.workbench import Workbench

PARTS, GAIN = 6, 0.02
SAMPLE = 32
MOST = 100
"""Near-duplicates that are listed."""


def family(
    bench: Workbench, atlas: Atlas, key: FeatureKey, *, threshold: float, sources: Sequence[SourceKey | str],
    tell: Tell | None,
) -> FamilyRecord:  # fmt: skip
    """See `core.atlas.door.Atlas.family`."""
    if not 0 < threshold <= 1:
        raise BadInput("threshold is a cosine above 0 and at most 1.")
    bench._source_of(key)
    own = atlas.spaces.of(key.source, "decoder")
    row = products.row_of(own, key)
    values = products.cosines(own, own.query(row))[0]
    here = [int(at) for at in products.nearest(values, MOST, key.index)]
    hits = [facts.hit(bench, FeatureKey(*_names(key.source), at), float(values[at])) for at in here[:1]]
    alike = [
        facts.hit(bench, FeatureKey(*_names(key.source), at), float(values[at]))
        for at in here
        if values[at] >= threshold - 1e-6
    ]
    chosen, lost = facts.sources(bench, key.model_id, sources)
    others = [one for one in chosen if one.key != key.source and (sources or one.kind in ("sae", "transcoder"))]
    splits = []
    for n, one in enumerate(sorted(others, key=lambda s: (-s.width, s.key))):
        if tell is not None and facts.loads(bench, one):
            tell(Step(doing="loading", what=str(one.key), done=n, of=len(others)))
        try:
            there = atlas.spaces.of(one.key, "decoder")
            if (there.name, there.rows.shape[1]) != (own.name, own.rows.shape[1]) or one.key.model_id != key.model_id:
                raise BadInput(f"The decoder rows of {one.key} are directions of another space.")
            splits.append(_split(bench, atlas, key, own, there, row, one.width))
        except WorkbenchError as error:
            if len(sources) == 1:
                raise
            lost.append(LeftOut(key=one.key, why=str(error)))
    return FamilyRecord(
        key=key, threshold=threshold, duplicates=tuple(alike), nearest=hits[0] if hits else None,
        splits=tuple(splits), left_out=tuple(lost),
    )  # fmt: skip


def _names(source: SourceKey) -> tuple[str, str]:
    return source.model_id, source.source_id


def _split(
    bench: Workbench, atlas: Atlas, key: FeatureKey, own: products.Space, there: products.Space, row: Rows, width: int
) -> Split:
    query = there.query(row)
    taken, weights, explained = pursue(there, query[0])
    first = products.cosines(there, query)[0]
    order = sorted(range(len(taken)), key=lambda n: -weights[n])
    parts = tuple(
        Part(
            hit=facts.hit(bench, FeatureKey(*_names(there.key), taken[n]), float(first[taken[n]])),
            weight=float(weights[n]),
        )
        for n in order
    )
    others, random = atlas.spaces.between("pursuit", own, there, lambda: usual(own, there))
    count = max(1, len(taken)) - 1
    return Split(
        source=there.key, width=width, parts=parts, explained=explained[-1] if explained else 0.0,
        single=max(0.0, float(first.max())) ** 2,
        chance=float(np.median(others[:, count])), random=float(np.median(random[:, count])),
    )  # fmt: skip


def pursue(
    there: products.Space, target: NDArray[np.float32], *, gain: float = GAIN
) -> tuple[list[int], NDArray[np.float64], list[float]]:
    """(rows taken, weights of their unit rows, what the first, first two, … explain) of a unit target [d]."""
    from scipy.optimize import nnls

    taken: list[int] = []
    weights, explained = np.zeros(0), list[float]()
    left = target.astype(np.float64)
    while len(taken) < PARTS:
        values = products.cosines(there, left[None].astype(np.float32))[0]  # of the residual, which need not be a unit
        values[taken] = -1
        at = int(products.nearest(values, 1)[0])
        if values[at] <= 0:
            break
        rows = there.rows[[*taken, at]].astype(np.float64) / there.lengths[[*taken, at], None]
        fitted, _ = nnls(rows.T, target.astype(np.float64))
        rest = target - fitted @ rows
        now = 1 - float(rest @ rest)
        if explained and now - explained[-1] < gain:
            break
        taken, weights, left = [*taken, at], fitted, rest
        explained.append(now)
    return taken, weights, explained


def usual(own: products.Space, there: products.Space) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What 1, 2, … `PARTS` rows explain of other features' rows and of random directions, [sample, PARTS] each."""
    chosen, made = products.samples(own.rows)
    rows = np.ascontiguousarray(own.rows[chosen[:: max(1, len(chosen) // SAMPLE)]])

    def each(targets: Rows) -> NDArray[np.float64]:
        found = np.zeros((len(targets), PARTS))
        for n, target in enumerate(there.query(targets)):
            explained = pursue(there, target, gain=0.0)[2]
            found[n] = np.pad(explained, (0, PARTS - len(explained)), mode="edge") if explained else 0.0
        return found

    return each(rows), each(made[:SAMPLE])
