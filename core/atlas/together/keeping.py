"""What was kept of who fires with whom: `derived/together-<hash>/`, one folder for each other source of the model.

    together.arrow    one row a feature: its best partners in the other source and those that it avoids

Partners are the union of the most correlated and of the most evident ones, by correlation, with their common tokens;
all else follows from the counts. Made by a build while the non-zeros are there, and later by `python -m core relate`
where stores were kept. A build without stores can so still say who fires with whom. The hash is of both
sources' stamps.

Cost of making: that of `pairs.py` for each pair of sources, so it grows with the square of their number; 16
bytes of disk a non-zero meanwhile. Of reading: a row of a memory-mapped file.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.atlas.together import pairs
from core.atlas.together.coactivation import Found
from core.errors import BadData, NotAvailable
from core.kernel import F64, I32, I64, U32
from core.records import SourceKey
from core.store import derived, layout
from core.store.grouped import Grouped

FORMAT = 2
KIND, FILE = "together", "together.arrow"
PARTNERS, AVOIDED = 4, 2
"""Of each kind of partner, and of those that are avoided, how many are kept."""
ENTRY = ("index", "pearson", "both")
"""Of a partner: which feature, r, and on how many tokens both are active."""
ENTRY_OF = itemgetter(*ENTRY)
BLOCK = 2048
"""Rows of a block of a compact file: unpacked in a millisecond or two, and a tenth smaller than in the usual ones."""
SPAN = 65_536
"""Tokens of a part, where a store is cut into parts."""

Tell = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Member:
    """A source that takes part: its stamp, and how to get at its entries."""

    key: SourceKey
    build: dict[str, Any]
    side: Callable[[], pairs.Side]
    """Called once, when it is first needed."""


def made_from(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """What the lists of a source with the first build's stamp in one with the second's are made from."""
    return {"format": FORMAT, "source": derived.stamp(a), "other": derived.stamp(b)}


def find(roots: Sequence[Path], key: SourceKey, a: dict[str, Any], b: dict[str, Any]) -> Path | None:
    """The folder of a source's lists in another; None if they were not made."""
    return derived.find(roots, key, KIND, made_from(a, b))


def make(
    root: Path, members: Sequence[Member], wanted: Callable[[Member, Member], bool], *, compact: bool, tell: Tell,
    known: Sequence[Path] = (), most: float = math.inf,
) -> int:  # fmt: skip
    """Makes what is wanted of every pair, both ways, into `root`; how many pairs were walked.

    What is in `root` or in a root of `known` is not made again. Where more than about `most` products would have to be
    added up, only each source with itself is walked, and where that is too much, none.

    Raises:
        NotAvailable: it cannot be written.
    """
    todo = [
        (a, b)
        for n, a in enumerate(members)
        for b in members[n:]
        if wanted(a, b)
        and not all(find([root, *known], one.key, one.build, two.build) for one, two in ((a, b), (b, a)))
    ]
    sides: dict[SourceKey, pairs.Side] = {}
    for one in (one for pair in todo for one in pair):
        if one.key not in sides:
            sides[one.key] = one.side()
    for some in (todo, [(a, b) for a, b in todo if a is b], []):
        todo = some
        if sum(_products(sides[a.key], sides[b.key]) for a, b in todo) <= most:
            break
    for n, (a, b) in enumerate(todo):
        tell(f"comparing {a.key.source_id} with {b.key.source_id}", n, len(todo))
        mine, its = sides[a.key], sides[b.key]
        there, back = pairs.pairs(mine, None if a is b else its, (PARTNERS, PARTNERS, AVOIDED))
        _write(root, a, b, there, compact=compact)
        if a is not b:
            _write(root, b, a, back, compact=compact)
    if todo:
        tell("comparing sources", len(todo), len(todo))
    return len(todo)


def _products(a: pairs.Side, b: pairs.Side) -> float:
    """How many pairs of entries share a token, if entries lie evenly over the tokens."""
    return float(a.active.sum()) * float(b.active.sum()) / max(a.n, 1)


def _write(root: Path, a: Member, b: Member, lists: pairs.Lists, *, compact: bool) -> None:
    facts = {"with": str(b.key), "partners": PARTNERS, "avoided": AVOIDED}
    index = pa.uint16() if len(lists.index[0]) and int(lists.index.max()) < 2**16 else pa.uint32()
    with derived.making(root, a.key, KIND, made_from(a.build, b.build), facts) as folder:
        batch = pa.record_batch(_columns(lists, index, compact=compact))
        layout.write_batches(folder / FILE, batch.schema, [batch], compact=compact, block=BLOCK)


def _columns(lists: pairs.Lists, index: pa.DataType, *, compact: bool) -> dict[str, pa.Array]:
    """One row a feature: partners by correlation, each once; then those avoided, most evidence first."""
    owner, *its = _union(lists)
    never = lists.index[pairs.NEVER] >= 0
    others = (one[pairs.NEVER][never] for one in (lists.index, lists.pearson, lists.both))
    return {
        "partners": entries(index, compact, np.bincount(owner, minlength=len(never)), *its),
        "avoided": entries(index, compact, never.sum(1), *others),
    }


def entries(kind: pa.DataType, compact: bool, sizes: I64, index: I32, pearson: F64, both: I64) -> pa.ListArray:
    """A list of (index, pearson, both) for each feature, one after another; compact: r in float16."""
    r = pa.array(pearson.astype(np.float16 if compact else np.float32))
    each = pa.StructArray.from_arrays(
        [pa.array(index.astype(kind.to_pandas_dtype()), kind), r, pa.array(both.astype(np.uint32))], list(ENTRY)
    )
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)), each)


def _union(lists: pairs.Lists) -> tuple[Any, ...]:
    """(feature, partner, r, common tokens) of all that correlate or are evident, by feature, r and partner."""
    kinds = [pairs.CORRELATED, pairs.LIKELY]
    there = lists.index[kinds] >= 0
    owner = np.broadcast_to(np.arange(there.shape[1])[None, :, None], there.shape)[there]
    index, pearson, both = (a[kinds][there] for a in (lists.index, lists.pearson, lists.both))
    _, first = np.unique(owner * 2**32 + index, return_index=True)
    order = first[np.lexsort((index[first], -pearson[first], owner[first]))]
    return owner[order], index[order], pearson[order], both[order]


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Best:
    """Of each feature its most correlated one in another source; -1 without any."""

    index: I64
    pearson: F64
    both: I64


class Kept:
    """A source's lists in one other source, open. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._rows = layout.Rows(folder / FILE)

    def row(self, feature: int, active: I64) -> tuple[list[Found], list[Found]]:
        """(partners, those avoided) of a feature; `active` are the other source's active tokens.

        Raises:
            BadData: the file is damaged.
        """
        found = self._rows.row(feature)
        try:
            return tuple(  # type: ignore[return-value]  # two of them
                [Found(int(i), float(r), int(c), int(active[int(i)])) for i, r, c in map(ENTRY_OF, found[name])]
                for name in ("partners", "avoided")
            )
        except (LookupError, ValueError, TypeError) as error:
            raise BadData(f"{FILE} does not fit its sources: {error}. Make it again.") from error

    def best(self, width: int, other: int) -> Best:
        """The first partner of each of `width` features in a source of `other` features; raises as `row`."""
        column = self._rows.column("partners").combine_chunks()
        sizes = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        if len(sizes) != width:
            raise BadData(f"{FILE} does not fit its source. Make it again.")
        first = (np.cumsum(sizes) - sizes)[sizes > 0]
        made = []
        for name, none in zip(ENTRY, (-1, 0, 0), strict=True):
            whole = np.full(width, none, np.float64)
            whole[sizes > 0] = column.flatten().field(name).to_numpy(zero_copy_only=False)[first]
            made.append(whole)
        index = made[0].astype(np.int64)
        if int(index.max(initial=-1)) >= other:
            raise BadData(f"{FILE} does not fit its sources. Make it again.")
        return Best(index, made[1], made[2].astype(np.int64))


# -- a store as a member -----------------------------------------------------------------------------------------------


def of_store(store: Grouped, n: int, spans: Sequence[U32], folder: Path) -> pairs.Side:
    """A store's entries in parts, written below `folder`; `n` are the counted tokens."""
    return pairs.side(pairs.cut(store, spans, folder), store.width, n)


def spans(tokens: int) -> list[U32]:
    """All tokens, so many at a time."""
    return [np.arange(i, min(i + SPAN, tokens), dtype=np.uint32) for i in range(0, tokens, SPAN)]


@contextmanager
def parts_folder(root: Path, model_id: str) -> Iterator[Path]:
    """A hidden folder of a model's for parts, which goes at the end; raises `NotAvailable` where none can be made."""
    folder = root / model_id / f".{KIND}-{os.getpid()}"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise NotAvailable(
            f"Cannot write under {folder.parent}: {error.strerror or error}. Set FEATURESCOPE_DATA."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
