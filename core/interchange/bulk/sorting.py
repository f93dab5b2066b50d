"""All activations of an import in order: by feature, top group first, intervals from above, the strongest first.

Parts need not line up with anything: features may stand in text order (0, 1, 10, 100) and activations in numbers'
order, as one writer has it. Sorting takes the numbers of each activation and not its tokens: some 60 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.interchange.bulk.findings import Findings
from core.interchange.bulk.spill import Part
from core.kernel import F64, I64

I32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Sorted:
    """The activations in order."""

    index: I64
    """Of the feature, ascending."""
    part: I32
    row: I32
    """Where each lies."""
    prompt: I32
    """Among all distinct prompts."""
    low: F64
    high: F64
    share: F64
    place: I32

    def of(self, begin: int, end: int) -> tuple[int, int]:
        """The rows of features `begin` to `end` - 1."""
        first, last = np.searchsorted(self.index, [begin, end])
        return int(first), int(last)


@dataclass(frozen=True, slots=True)
class Prompts:
    """The distinct prompts of all parts, numbered as they are first met."""

    part: I32
    row: I32
    lengths: I64
    numbers: tuple[I32, ...]
    """Of each part, the number of each of its prompts."""


def prompts(parts: Sequence[Part]) -> Prompts:
    """Finds equal ones by their hashes."""
    hashes = np.concatenate([np.empty((0, 2), np.uint64), *(part.hashes() for part in parts)])
    lengths = np.concatenate([np.empty(0, np.int64), *(part.lengths() for part in parts)])
    counts = [part.meta["prompts"] for part in parts]
    owner = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    same = hashes[order]
    new = np.concatenate([[True], (same[1:] != same[:-1]).any(1)]) if len(same) else np.empty(0, bool)
    group = np.cumsum(new) - 1
    first = np.full(int(new.sum()), len(hashes), np.int64)
    np.minimum.at(first, group, order)
    rank = np.empty(len(first), np.int32)  # number in the order of first appearance
    appearance = np.argsort(first, kind="stable")
    rank[appearance] = np.arange(len(first), dtype=np.int32)
    number = np.empty(len(hashes), np.int32)
    number[order] = rank[group]
    where = first[appearance]
    return Prompts(
        owner[where], (where - begins[owner[where]]).astype(np.int32), lengths[where],
        tuple(number[a:b] for a, b in pairwise(begins.tolist())),
    )  # fmt: skip


def activations(parts: Sequence[Part], texts: Prompts, found: Findings) -> Sorted:
    """All of them in order; the same one twice counts once, and is noted."""
    names = ("index", "prompt", "peak", "low", "high", "share", "place", "line")
    columns = {n: [part.column("activations", n) for part in parts] for n in names}
    own = [texts.numbers[n][prompt] for n, prompt in enumerate(columns["prompt"])]
    index = _joined(columns["index"]).astype(np.int64)
    part = np.repeat(np.arange(len(parts), dtype=np.int32), [len(one) for one in columns["index"]])
    row = _joined([np.arange(len(one), dtype=np.int32) for one in columns["index"]]).astype(np.int32)
    low, high, peak = (_joined(columns[name]) for name in ("low", "high", "peak"))
    prompt, place = _joined(own).astype(np.int32), _joined(columns["place"]).astype(np.int32)
    line = _joined(columns["line"])
    top = np.isnan(low)
    bounds = [np.nan_to_num(one, nan=np.inf) for one in (high, low)]
    order = np.lexsort((row, part, place, prompt, -peak.astype(np.float64), -bounds[1], -bounds[0], ~top, index))
    keep = np.ones(len(order), bool)
    if len(order) > 1:
        keys = (index, top, *bounds, peak, prompt, place)
        alike = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
        keep[1:] = ~_twice(parts, part, row, line, order, np.flatnonzero(alike) + 1, found)
    order = order[keep]
    share = _joined(columns["share"])
    return Sorted(
        index[order], part[order], row[order], prompt[order], low[order], high[order], share[order], place[order]
    )


def _twice(
    parts: Sequence[Part], part: I32, row: I32, line: NDArray[Any], order: I64, suspects: I64, found: Findings
) -> NDArray[np.bool_]:
    """[activations - 1]: which of the ordered ones say the same as the one before them."""
    said = np.zeros(max(0, len(order) - 1), bool)
    run: dict[tuple[bytes, bytes], int] = {}
    last = -2

    def content(at: int) -> tuple[bytes, bytes]:
        one, where = parts[part[order[at]]], int(row[order[at]])
        return one.value("activations", "rest", where), one.numbers("activations", "value", where).tobytes()

    for at in suspects.tolist():
        if at != last + 1:
            run = {content(at - 1): at - 1}
        last, own = at, content(at)
        first = run.setdefault(own, at)
        if first != at:
            said[at - 1] = True
            before = f"line {line[order[first]]:,} of {parts[part[order[first]]].name}"
            name = parts[part[order[at]]].name
            found.add(name, int(line[order[at]]), f"the same activation as in {before}: it counts once")
    return said


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0)
