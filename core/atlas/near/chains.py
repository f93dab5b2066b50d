"""A feature through the layers: twins in the sources of its set, followed while the two are each other's best match.

From a feature at one layer the best match at the next layer of the set is looked up, and the best match of that one
back at the first. If they are each other's, and their cosine is not below the threshold, the chain goes on from there;
else it ends, and both lookups say why. Where a set has several sources at a layer, the one with the feature's own
suffix (a width, a seed) is taken, or else the first.

Cost: two products with the rows of a source for each layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.atlas.near import facts, products
from core.atlas.near.records import By, ChainLink, ChainMember, ChainRecord
from core.atlas.vectors import Rows
from core.errors import BadInput, NotAvailable, WorkbenchError
from core.records import FeatureKey, LeftOut, SourceKey, Step, Tell

if TYPE_CHECKING:
    from core.atlas.door import Atlas
    from core.workbench import Workbench

MEASURES = ("decoder", "encoder", "logits")


def chain(
    bench: Workbench, atlas: Atlas, key: FeatureKey, *, by: By, threshold: float, tell: Tell | None
) -> ChainRecord:
    """See `core.atlas.door.Atlas.chain`."""
    if by not in MEASURES:
        raise BadInput(f"A chain is by {', '.join(MEASURES)}; there is no “{by}”.")
    if not 0 < threshold <= 1:
        raise BadInput("threshold is a cosine above 0 and at most 1.")
    bench._source_of(key)
    keys = mates(bench, key.source, by)
    lost, usable, best = [], [], []
    for n, one in enumerate(keys):
        if tell is not None and facts.loads(bench, bench.source(one)):
            tell(Step(doing="loading", what=str(one), done=n, of=len(keys)))
        try:
            space = atlas.spaces.of(one, by)
            if one == key.source:
                own = space
            usable.append(one)
        except WorkbenchError as error:
            if one == key.source:
                raise
            lost.append(LeftOut(key=one, why=str(error)))
    here = usable.index(key.source)
    for one in usable:
        if one != key.source:
            best.append(np.median(atlas.spaces.chance(own, atlas.spaces.of(one, by), by)[1]))
    down = _follow(bench, atlas, key, usable[:here][::-1], by, threshold)
    up = _follow(bench, atlas, key, usable[here + 1 :], by, threshold)
    found = [link.best.feature for link in down[::-1] if link.held]
    found += [key, *(link.best.feature for link in up if link.held)]
    row = products.row_of(own, key)
    return ChainRecord(
        key=key, by=by, threshold=threshold, down=tuple(down), up=tuple(up), sources=tuple(usable),
        members=tuple(_member(bench, atlas, row, one, key, by) for one in found),
        random=float(np.median(best)) if best else 0.0, left_out=tuple(lost),
    )  # fmt: skip


def mates(bench: Workbench, key: SourceKey, by: str = "decoder") -> list[SourceKey]:
    """One source a layer, of the feature's set, by layer; those that have rows for the measure."""
    suffix = key.source_id.partition("__")[2]
    found: dict[int, SourceKey] = {}
    for one in sorted(bench.sources(model_id=key.model_id, set_name=key.set_name), key=lambda s: s.key):
        if not facts.usable(one, by) and one.key != key:
            continue
        if one.layer not in found or one.key.source_id.partition("__")[2] == suffix:
            found[one.layer] = one.key
    found[bench.source(key).layer] = key
    return [found[layer] for layer in sorted(found)]


def _follow(
    bench: Workbench, atlas: Atlas, key: FeatureKey, sources: list[SourceKey], by: By, threshold: float
) -> list[ChainLink]:
    """The steps through some sources, up to the one that does not hold."""
    links = []
    for source in sources:
        here, there = atlas.spaces.of(key.source, by), atlas.spaces.of(source, by)
        if here.name != there.name:
            raise NotAvailable(f"The rows of {key.source} and {source} are of different spaces.")
        forth = _best(here, there, key)
        back = _best(there, here, forth[0])
        held = back[0] == key and forth[1] >= threshold
        links.append(
            ChainLink(
                source=source, best=facts.hit(bench, *forth), back=facts.hit(bench, *back), held=held,
            )
        )  # fmt: skip
        if not held:
            break
        key = forth[0]
    return links


def _best(here: products.Space, there: products.Space, key: FeatureKey) -> tuple[FeatureKey, float]:
    values = products.cosines(there, there.query(products.row_of(here, key)))[0]
    at = int(products.nearest(values, 1)[0])
    return FeatureKey(there.key.model_id, there.key.source_id, at), float(values[at])


def _member(
    bench: Workbench, atlas: Atlas, row: Rows, key: FeatureKey, own: FeatureKey, by: By
) -> ChainMember:
    space = atlas.spaces.of(key.source, by)
    value = 1.0 if key == own else float(products.cosines(space, space.query(row))[0][key.index])
    return ChainMember(hit=facts.hit(bench, key, value), layer=bench.source(key.source).layer)
