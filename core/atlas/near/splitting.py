"""Feature splitting across widths: what becomes of the features of a narrow dictionary in a wider one of the same hook.

Every living feature of the wider one is given the living feature of the narrow one whose decoder row is nearest, by
cosine, if that reaches the threshold: its parent. A narrow feature with two children or more splits, with one it
persists, without any it is gone; a wide feature without a parent is new. Dead features count too where that is asked
for. The threshold is 0.7 unless told otherwise, as in Leask et al., Sparse Autoencoders Do Not Find Canonical Units of
Analysis (arXiv 2502.04878), which tells latents that reconstruct the smaller dictionary from novel ones by it.

A wide dictionary has something near any direction, so the same is asked with random directions in place of the narrow
rows, as many of them: the share of wide features that would have a parent by chance.

Cost: two products of the wide rows with as many rows as the narrow dictionary has, in blocks that are not kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.atlas.near import facts, products
from core.atlas.near.records import SimilarHit, SplittingParent, SplittingRecord
from core.atlas.vectors import Rows
from core.errors import BadInput, NotAvailable
from core.records import FeatureKey, SourceKey, SourceRecord, Step, Tell

if TYPE_CHECKING:
    from core.atlas.door import Atlas
    from core.workbench import Workbench

THRESHOLD = 0.7
BLOCK = 512
"""Wide rows of one product."""
BINS = 40
"""Of the histograms of best cosines, from 0 to 1."""
MANY = 6
"""Narrow features with so many children or more are counted together."""
CHILDREN = 12
"""Children of a feature that are listed."""
MOST = 200
"""Features of one answer."""
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


def widths(bench: Workbench, key: SourceKey) -> list[SourceRecord]:
    """The SAEs or transcoders of other widths over the same hook as a source, itself among them, narrow ones first."""
    own = bench.source(key)
    if own.kind not in ("sae", "transcoder"):
        return []
    same = [
        one
        for one in bench.sources(model_id=key.model_id)
        if (one.kind, one.hook, one.hook_out) == (own.kind, own.hook, own.hook_out) and "weights" in one.has
    ]
    return sorted(same, key=lambda one: (one.width, one.key)) if len({one.width for one in same}) > 1 else []


def splitting(
    bench: Workbench, atlas: Atlas, narrow: SourceKey, wide: SourceKey, *, threshold: float, living: bool, top: int,
    offset: int, tell: Tell | None,
) -> SplittingRecord:  # fmt: skip
    """See `core.atlas.door.Atlas.splitting`."""
    if not 0 < threshold <= 1:
        raise BadInput("threshold is a cosine above 0 and at most 1.")
    if not 1 <= top <= MOST or offset < 0:
        raise BadInput(f"top is 1 to {MOST}, and offset 0 or more.")
    if narrow == wide:
        raise BadInput(f"{narrow} is named twice: name a wider source of its hook.")
    if narrow.model_id != wide.model_id:
        raise BadInput(f"{narrow} and {wide} are of two models, so that their decoder rows cannot be compared.")
    if bench.source(narrow).width > bench.source(wide).width:
        narrow, wide = wide, narrow
    spaces = []
    for n, key in enumerate((narrow, wide)):
        if tell is not None and facts.loads(bench, bench.source(key)):
            tell(Step(doing="loading", what=str(key), done=n, of=2))
        spaces.append(atlas.spaces.of(key, "decoder"))
    own, there = spaces
    if (own.name, own.rows.shape[1]) != (there.name, there.rows.shape[1]):
        raise BadInput(f"The decoder rows of {narrow} and {wide} are directions of different spaces.")
    parents, children = _taken(bench, own, living), _taken(bench, there, living)
    if not len(parents) or not len(children):
        raise NotAvailable(f"{narrow if not len(parents) else wide} has no living feature, so nothing can be compared.")
    where, best = nearest(own, there, parents, children)
    _, by_chance = nearest(_random(own, len(parents)), there, np.arange(len(parents)), children)
    return _record(bench, own, there, (parents, children), (where, best, by_chance), (threshold, top, offset))


def nearest(own: products.Space, there: products.Space, parents: I64, children: I64) -> tuple[I64, F32]:
    """(of each of `children` the one of `parents` whose row is nearest, its cosine); of equal ones the first."""
    among = replace(own, rows=np.ascontiguousarray(own.rows[parents]), lengths=own.lengths[parents])
    where, best = np.zeros(len(children), np.int64), np.zeros(len(children), np.float32)
    for begin in range(0, len(children), BLOCK):
        part = slice(begin, begin + BLOCK)
        found = products.cosines(among, there.query(np.ascontiguousarray(there.rows[children[part]])))
        at = found.argmax(1)
        where[part], best[part] = parents[at], found[np.arange(len(at)), at]
    return where, best


def _record(
    bench: Workbench, own: products.Space, there: products.Space, living: tuple[I64, I64],
    found: tuple[I64, F32, F32], asked: tuple[float, int, int],
) -> SplittingRecord:  # fmt: skip
    (parents, children), (where, best, by_chance), (threshold, top, offset) = living, found, asked
    near = best >= threshold - 1e-6
    counts = np.bincount(where[near], minlength=len(own.rows))[parents]
    order = np.lexsort((parents, -counts))[offset : offset + top]
    rows = []
    for at in order:
        its = np.flatnonzero(near & (where == parents[at]))
        its = its[np.argsort(-best[its], kind="stable")]
        hits = tuple(_hit(bench, there.key, int(children[n]), float(best[n])) for n in its[:CHILDREN])
        rows.append(
            SplittingParent(hit=_hit(bench, own.key, int(parents[at]), 1.0), children=len(its), listed=hits)
        )
    return SplittingRecord(
        narrow=own.key, wide=there.key, threshold=threshold, parents=len(parents), children=len(children),
        split=int((counts > 1).sum()), persist=int((counts == 1).sum()), gone=int((counts == 0).sum()),
        new=int((~near).sum()), chance=float((by_chance >= threshold - 1e-6).mean()),
        counts=tuple(int(n) for n in np.bincount(np.minimum(counts, MANY), minlength=MANY + 1)),
        best=_histogram(best), best_by_chance=_histogram(by_chance), rows=tuple(rows), offset=offset,
    )  # fmt: skip


def _hit(bench: Workbench, source: SourceKey, index: int, value: float) -> SimilarHit:
    return facts.hit(bench, FeatureKey(source.model_id, source.source_id, index), value)


def _histogram(values: F32) -> tuple[int, ...]:
    counts, _ = np.histogram(np.clip(values, 0, 1), BINS, (0.0, 1.0))
    return tuple(int(n) for n in counts)


def _taken(bench: Workbench, space: products.Space, living: bool) -> I64:
    """Features whose row has a direction; if `living`, only those that some text of the build activates."""
    found = np.flatnonzero(space.lengths > 1e-9)
    if living and "dashboards" in bench.source(space.key).has:
        found = np.intersect1d(found, bench._living(space.key))
    return np.asarray(found, np.int64)


def _random(like: products.Space, count: int) -> products.Space:
    """Random directions in place of a source's rows, by a fixed seed."""
    rows: Rows = np.random.default_rng(0).standard_normal((count, like.rows.shape[1]), dtype=np.float32)
    return replace(like, rows=rows, lengths=products.lengths(rows))
