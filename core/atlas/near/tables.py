"""Nearest decoder rows in other sources, kept beside each source, so that its features' pages need no weights.

`derived/near-<hash>/near.arrow`, one row a feature, `index` and `value` [sources · `TOP`]: the nearest rows of every
other source of its model whose rows are in the same space. Indices are of the smallest whole type that does, values
float16 (within 0.0005 of the cosine; in a compact build thousandths, within 0.001); where a source has fewer rows the
value is NaN. `made.json` names the sources with what they were built from: a source that was built anew since is passed
over, and one that came later is missing until the table is made again.

Cost of making one: width × width × d_model for each pair of sources, once for both; a second for the demo's 13,312
features, some ten minutes for twelve sources of 24,576 (two cores).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.atlas.near import facts
from core.atlas.near.records import GlanceRecord
from core.errors import BadData, BadInput, WorkbenchError
from core.records import FeatureKey, SourceKey
from core.store import derived
from core.store.layout import DAMAGED, Rows, write_batches

if TYPE_CHECKING:
    from core.atlas.door import Atlas
    from core.atlas.near.products import Space
    from core.workbench import Workbench

KIND, FILE, FORMAT, TOP = "near", "near.arrow", 2, 5
FEW, MUCH = 1000, 4e12
"""Features of a model below which a build makes no table, and products above which it leaves them to be asked for."""
BLOCK = 2048
"""Rows of one product."""
Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
Told = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Table:
    """One source's table, open."""

    sources: tuple[tuple[SourceKey, int], ...]
    """Those that are as they were when it was made, and their columns."""
    every: int
    """Sources that it was made with."""
    rows: Rows

    def row(self, feature: int) -> tuple[NDArray[Any], NDArray[np.float16]]:
        """([sources, `TOP`] places, their values) of a feature; raises `BadData` if the file is damaged."""
        found = self.rows.row(feature)
        try:
            return found["index"].reshape(self.every, TOP), found["value"].reshape(self.every, TOP)
        except (*DAMAGED, AttributeError) as error:
            raise BadData(f"{FILE} does not fit its sources: {error}. Make it again.") from error


def make(bench: Workbench, atlas: Atlas, model_id: str, *, tell: Told | None = None) -> dict[SourceKey, Path]:
    """Makes the tables of all sources of a model that have weights.

    Raises:
        NotFound: there is no such model.
        NotAvailable: nothing can be written.
    """
    bench.model(model_id)
    spaces = []
    for record in facts.sources(bench, model_id, ())[0]:
        try:
            spaces.append(atlas.spaces.of(record.key, "decoder"))
        except WorkbenchError:
            continue  # its features keep what the others have
    found: dict[tuple[int, int], Found] = {}
    pairs = [(a, b) for a in range(len(spaces)) for b in range(a + 1, len(spaces))]
    sizes = [len(spaces[a].rows) * len(spaces[b].rows) for a, b in pairs]
    for n, (a, b) in enumerate(pairs):
        if tell:
            tell(f"{spaces[a].key.source_id} with {spaces[b].key.source_id}", float(sum(sizes[:n])), float(sum(sizes)))
        if spaces[a].name == spaces[b].name:
            found[a, b], found[b, a] = both(spaces[a], spaces[b])
    return {
        space.key: _write(bench, space, {spaces[b].key: found[a, b] for b in range(len(spaces)) if (a, b) in found})
        for a, space in enumerate(spaces)
    }


def after_build(bench: Workbench, atlas: Atlas, model_id: str, tell: Told | None) -> None:
    """See `core.atlas.door.Atlas.near_after_build`."""
    records = facts.sources(bench, model_id, ())[0]
    widths = [record.width for record in records]
    pairs = (sum(widths) ** 2 - sum(width**2 for width in widths)) / 2
    wide = max((record.d_in for record in records), default=0)
    if len(widths) < 2 or sum(widths) < FEW or pairs * wide > MUCH:
        return
    with suppress(WorkbenchError):
        make(bench, atlas, model_id, tell=tell)


def both(a: Space, b: Space) -> tuple[Found, Found]:
    """((places in b, cosines) of each row of a, the same of each row of b in a), [rows, `TOP`]; −1 for none."""
    forth, back = _empty(len(a.rows)), _empty(len(b.rows))
    for begin, values in _products(a, b):
        rows = slice(begin, begin + len(values))
        forth[0][rows], forth[1][rows] = _top(values)
        index, value = _top(np.ascontiguousarray(values.T))
        index = np.where(index >= 0, index + begin, -1)
        both_i, both_v = np.concatenate([back[0], index], 1), np.concatenate([back[1], value], 1)
        order = np.argsort(-both_v, axis=1, kind="stable")[:, :TOP]  # what came first has the smaller index
        back[0][:], back[1][:] = (np.take_along_axis(one, order, 1) for one in (both_i, both_v))
    return forth, back


def _empty(rows: int) -> Found:
    return np.full((rows, TOP), -1, np.int64), np.full((rows, TOP), -np.inf, np.float32)


def _products(a: Space, b: Space) -> Iterator[tuple[int, NDArray[np.float32]]]:
    from core.atlas.near import products

    for begin in range(0, len(a.rows), BLOCK):
        yield begin, products.cosines(b, b.query(np.ascontiguousarray(a.rows[begin : begin + BLOCK])))


def _top(values: NDArray[np.float32]) -> Found:
    """([rows, `TOP`] places of the largest values, the values), the first of equals first."""
    index, value = _empty(len(values))
    count = min(TOP, values.shape[1])
    if count:
        some = np.argpartition(-values, count - 1, axis=1)[:, :count] if count < values.shape[1] else None
        some = np.broadcast_to(np.arange(count), (len(values), count)) if some is None else np.sort(some, 1)
        held = np.take_along_axis(values, some, 1)
        order = np.argsort(-held, axis=1, kind="stable")
        index[:, :count], value[:, :count] = (np.take_along_axis(one, order, 1) for one in (some, held))
    return index, value


def _write(
    bench: Workbench, space: Space, found: dict[SourceKey, Found]
) -> Path:
    keys = sorted(found)
    made_from = {"format": FORMAT, "top": TOP, "own": _stamp(bench, space.key)}
    made_from["others"] = {str(key): _stamp(bench, key) for key in keys}
    widest = max((bench.source(key).width for key in keys), default=1)
    kind = np.uint16 if widest <= 2**16 else np.uint32
    root, compact = bench.settings.data, bool(bench.catalog.entry(space.key).manifest.build.get("compact"))
    with derived.making(root, space.key, KIND, made_from, {"sources": [str(key) for key in keys]}) as folder:
        shape = (len(space.rows), len(keys), TOP)
        index, value = np.zeros(shape, kind), np.full(shape, np.nan, np.float32)
        for n, key in enumerate(keys):
            there = found[key][0] >= 0
            index[:, n][there], value[:, n][there] = found[key][0][there], found[key][1][there]
        write(folder / FILE, index, value, compact=compact)
    return root / space.key.model_id / space.key.source_id / "derived" / derived.folder_name(KIND, made_from)


def write(path: Path, index: NDArray[Any], value: NDArray[np.float32], *, compact: bool) -> None:
    """Writes a table of [features, sources, `TOP`] as a file."""
    flat = [index, (np.round(value, 3) if compact else value).astype(np.float16)]
    each = max(1, index[0].size)  # without another source in its space there are no rows
    columns = [pa.FixedSizeListArray.from_arrays(pa.array(a.reshape(-1)), each) for a in flat]
    batch = pa.record_batch(columns, ["index", "value"])
    write_batches(path, batch.schema, [batch], compact=compact)


def _stamp(bench: Workbench, key: SourceKey) -> dict[str, Any]:
    return derived.stamp(bench.catalog.entry(key).manifest.build)


def read(bench: Workbench, key: SourceKey) -> Table | None:
    """The table of a source that has most of the sources that are here now; None without any."""
    now = {str(one.key): _stamp(bench, one.key) for one in bench.sources(model_id=key.model_id)}
    best: Table | None = None
    for root in bench.settings.roots():
        for folder in sorted((root / key.model_id / key.source_id / "derived").glob(f"{KIND}-*")):
            found = _open(folder, now, str(key))
            if found is not None and (best is None or len(found.sources) > len(best.sources)):
                best = found
    return best


def _open(folder: Path, now: dict[str, dict[str, Any]], key: str) -> Table | None:
    made = derived.read_made(folder)
    was = made.get("from")
    if not isinstance(was, dict) or was.get("format") != FORMAT or was.get("own") != now.get(key):
        return None
    try:
        rows, names = Rows(folder / FILE), made["sources"]
        kept = tuple((SourceKey.parse(n), at) for at, n in enumerate(names) if was["others"].get(n) == now.get(n, 0))
    except (*DAMAGED, BadInput, BadData, TypeError, AttributeError):
        return None  # as if it had not been made
    return Table(kept, len(names), rows)


def glance(bench: Workbench, key: FeatureKey, top: int) -> GlanceRecord | None:
    """See `core.atlas.door.Atlas.glance`."""
    bench._source_of(key)
    table = read(bench, key.source)
    if table is None:
        return None
    try:
        index, value = table.row(key.index)
    except BadData:
        return None  # as if it had not been made
    widths = {one.key: one.width for one in bench.sources(model_id=key.model_id)}
    first, rest = [], []
    for source, column in table.sources:
        pairs = zip(index[column].tolist(), value[column].tolist(), strict=True)
        its = [(v, FeatureKey(*_ids(source), i)) for i, v in pairs if v == v and i < widths.get(source, 0)]
        first += its[:1]
        rest += its[1:]
    spare = max(0, top - len(first))
    chosen = [*sorted(first, key=_order)[:top], *sorted(rest, key=_order)[:spare]]
    has = {source for source, _ in table.sources} | {key.source}
    return GlanceRecord(
        key=key, hits=tuple(facts.hit(bench, one, value) for value, one in sorted(chosen, key=_order)),
        missing=tuple(one for one in widths if one not in has),
    )  # fmt: skip


def _order(one: tuple[float, FeatureKey]) -> tuple[float, FeatureKey]:
    return -one[0], one[1]


def _ids(source: SourceKey) -> tuple[str, str]:
    return source.model_id, source.source_id
