"""Reads and writes, from weights alone: direct paths through the residual stream between features of two sources.

What a feature writes, its decoder row d, stays in the stream, and a later feature reads it with its encoder row e: a
unit of the one adds d·e to the other before its bias (Elhage et al. 2021, “A Mathematical Framework for Transformer
Circuits”: virtual weights). Rows are compared by cosine, since neurons and features have rows of any length; beside
each stands the product, and the product at the writer's largest value, where no norm is in between. Behind a norm
(neurons, most transcoders) the encoder row is taken with the norm's gain, and the norm's scale, which differs from
token to token, is left out: there a path has a direction and no unit. Paths through attention or other layers are not
in it.

What chance gives is the largest cosine, in size, that other features of the same source and random directions have.

Cost: a product with the rows of each source; the first time two sources are compared, 128 of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.atlas.near import facts, products, stream
from core.atlas.near.records import Wire, WirePlace, WiringRecord
from core.errors import NotAvailable, WorkbenchError
from core.records import FeatureKey, LeftOut, SourceKey, SourceRecord, Step, Tell

if TYPE_CHECKING:
    from core.atlas.door import Atlas
    from core.workbench import Workbench


def wiring(bench: Workbench, atlas: Atlas, key: FeatureKey, *, top: int, tell: Tell | None) -> WiringRecord:
    """See `core.atlas.door.Atlas.wiring`."""
    bench._bounds(top)
    bench._source_of(key)
    out, into = stream.writing(bench, key.source), _reading(bench, key.source)
    silent = [] if out.at is not None else [f"It writes at {out.space}, which is not the residual stream."]
    if isinstance(into, NotAvailable):
        silent.append(str(into))
    elif into.at is None:
        silent.append("It reads one layer’s part alone, so that no earlier feature is read through the stream.")
    chosen, lost = facts.sources(bench, key.model_id, ())
    reads, writes = [], []
    for n, one in enumerate(chosen):
        if tell is not None and facts.loads(bench, one):
            tell(Step(doing="loading", what=str(one.key), done=n, of=len(chosen)))
        try:
            there = stream.writing(bench, one.key), _reading(bench, one.key)
        except WorkbenchError as error:
            lost.append(LeftOut(key=one.key, why=str(error)))
            continue
        if not isinstance(into, NotAvailable) and _passes(there[0], into):
            place = _place(bench, atlas, key, one, into, there[0], top, reads=True)
            reads.append((-(there[0].at or 0), one.key, place))
        if not isinstance(there[1], NotAvailable) and _passes(out, there[1]):
            place = _place(bench, atlas, key, one, out, there[1], top, reads=False)
            writes.append((there[1].at or 0, one.key, place))
    return WiringRecord(
        key=key, silent=" ".join(silent), left_out=tuple(lost),
        reads=tuple(place for *_, place in sorted(reads, key=lambda found: found[:2])),
        writes=tuple(place for *_, place in sorted(writes, key=lambda found: found[:2])),
    )  # fmt: skip


def _reading(bench: Workbench, key: SourceKey) -> stream.Side | NotAvailable:
    try:
        return stream.reading(bench, key)
    except NotAvailable as error:
        return error


def _passes(writer: stream.Side, reader: stream.Side) -> bool:
    """Whether what the one writes is in the stream where the other reads."""
    return writer.at is not None and reader.at is not None and writer.at <= reader.at


def _place(
    bench: Workbench, atlas: Atlas, key: FeatureKey, one: SourceRecord, own: stream.Side, there: stream.Side, top: int,
    *, reads: bool,
) -> WirePlace:  # fmt: skip
    """The strongest paths between a feature and the features of a source; `own` and `there` are the two sides."""
    side, other = ("encoder", "decoder") if reads else ("decoder", "encoder")
    mine, space = atlas.spaces.of(key.source, side), atlas.spaces.of(one.key, other)
    row = products.row_of(mine, key)
    values = products.cosines(space, space.query(row))[0]
    others, random = atlas.spaces.strongest(mine, space, f"{side} {other}")
    exact = own.exact and there.exact
    wires = []
    for at in products.nearest(np.abs(values), top):
        found = FeatureKey(one.key.model_id, one.key.source_id, int(at))
        weight = float(values[at] * space.lengths[at] * mine.lengths[key.index]) if exact else None
        most = facts.reach(bench, found if reads else key)
        wires.append(
            Wire(
                hit=facts.hit(bench, found, float(values[at])), weight=weight,
                adds=None if weight is None or most is None else weight * most,
            )
        )  # fmt: skip
    reader = own if reads else there
    return WirePlace(
        key=one.key, kind=one.kind, chance=float(np.median(others)), random=float(np.median(random)),
        norm=reader.norm, wires=tuple(wires),
    )  # fmt: skip
