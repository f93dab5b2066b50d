"""Nearest rows, exactly: one float32 product with every row, and the lengths of the rows, which are kept.

Equal values stand by index. A source is one product whatever is asked; twelve of 24,576 rows of 768 numbers are read
from memory in the time that a copy of them would take, so nothing is screened in fewer bits (benchmarks/similar.py has
the figures). What chance would give is found once for a pair of sources, with samples drawn by a fixed seed.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.atlas import vectors
from core.atlas.near import stream
from core.atlas.near.records import Chance
from core.atlas.vectors import Rows
from core.errors import BadInput, NotAvailable
from core.models.thread import computing
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Of other features, and of random directions."""
Weak: TypeAlias = "weakref.ref[object]"
"""What is kept here does not keep the weights that it is of."""
OTHERS, RANDOM = 64, 64
"""Other features and random directions that say what chance gives."""
TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """A source's rows in one measure, ready for products."""

    key: SourceKey
    rows: Rows
    lengths: F32
    """[n]: of each row, in the measure's own geometry; `TINY` at least."""
    name: str
    """Only rows of one space are compared."""
    gram: F32 | None
    """[d, d] of the measure's inner product; None for the plain one."""
    source: object
    """Whose they are, to know when it is another."""
    note: str = ""

    def query(self, rows: Rows) -> F32:
        """[m, d]: unit vectors whose plain product with a row, over its length, is the cosine in this measure."""
        turned = rows if self.gram is None else _product(rows, self.gram)
        lengths = np.sqrt(np.maximum(np.einsum("md,md->m", turned, rows, dtype=np.float64), 0))
        return np.asarray(turned / np.maximum(lengths, TINY)[:, None], np.float32)


class Spaces:
    """The spaces of a workbench's sources, and what chance gives between them. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._lengths: dict[tuple[SourceKey, str], tuple[Weak, F32]] = {}
        self._grams: dict[str, tuple[Weak, F32]] = {}
        self._between: dict[tuple[SourceKey, SourceKey, str], tuple[Weak, Weak, Pair]] = {}
        self._lock = threading.Lock()  # guards what is kept above

    def of(self, key: SourceKey, by: str) -> Space:
        """A source's rows by decoder, encoder or logit effect.

        Raises:
            NotFound: there is no such source.
            NotAvailable: its weights are not here, or it has no such rows.
        """
        came = None if by == "encoder" else vectors.came_along(self._bench, key)
        rows = "encoder" if by == "encoder" else "decoder"
        source = vectors._source(self._bench, key, rows) if came is None else came
        side = stream.reading(self._bench, key) if by == "encoder" else stream.writing(self._bench, key)
        gram = None
        if by == "logits":
            if side.space != stream.STREAM:
                raise NotAvailable(f"{key} does not write to the residual stream, so it has no effect on logits.")
            gram = self._gram(key.model_id)
        note = f"behind {side.norm}" if side.norm.startswith("ln") and by == "encoder" else ""
        return Space(key, side.rows, self._length(key, by, source, side.rows, gram), side.space, gram, source, note)

    def chance(self, of: Space, there: Space, by: str) -> Pair:
        """(best value there of other features of `of`, of random directions), one a sample."""

        def look() -> Pair:
            chosen, made = samples(of.rows)
            own = chosen if of.key == there.key else None
            return best(there, there.query(_some(of, chosen)), own), best(there, there.query(made))

        return self.between(f"best {by}", of, there, look)

    def strongest(self, of: Space, there: Space, sides: str) -> Pair:
        """(largest value there, in size, of other features of `of`, of random directions), one a sample."""

        def look() -> Pair:
            chosen, made = samples(of.rows)
            others, random = (np.abs(cosines(there, there.query(rows))).max(1) for rows in (_some(of, chosen), made))
            return others, random

        return self.between(f"strongest {sides}", of, there, look)

    def between(self, what: str, of: Space, there: Space, look: Callable[[], Pair]) -> Pair:
        """What `look` finds between two sources, once while both are loaded."""
        name = (of.key, there.key, what)
        with self._lock:
            held = self._between.get(name)
        if held is None or held[0]() is not of.source or held[1]() is not there.source:
            held = (weakref.ref(of.source), weakref.ref(there.source), look())
            with self._lock:
                self._between[name] = held
        return held[2]

    def _length(self, key: SourceKey, by: str, source: object, rows: Rows, gram: F32 | None) -> F32:
        with self._lock:
            held = self._lengths.get((key, by))
        if held is None or held[0]() is not source:
            held = (weakref.ref(source), lengths(rows, gram))
            with self._lock:
                self._lengths[key, by] = held
        return held[1]

    def _gram(self, model_id: str) -> F32:
        model = vectors._model(self._bench, model_id)
        with self._lock:
            held = self._grams.get(model_id)
        if held is None or held[0]() is not model:
            held = (weakref.ref(model), gram(vectors.unembedding(self._bench, model_id)))
            with self._lock:
                self._grams[model_id] = held
        return held[1]


def row_of(space: Space, key: FeatureKey) -> Rows:
    """[1, d]: a feature's row. Raises `BadInput` for a row of zeros, which has no direction."""
    row = np.ascontiguousarray(space.rows[key.index : key.index + 1])
    if not space.lengths[key.index] > 1e-9:
        raise BadInput(f"{key} has a row of zeros, so it has no direction to compare.")
    return row


@computing
def cosines(space: Space, query: F32) -> F32:
    """[m, n]: of unit queries (`Space.query`) with every row."""
    found = torch.from_numpy(query) @ torch.from_numpy(space.rows).T if len(query) > 1 else _one(space.rows, query)
    found /= torch.from_numpy(space.lengths)
    return np.asarray(found.clamp_(-1, 1).numpy())


def _one(rows: Rows, query: F32) -> Tensor:
    return torch.mv(torch.from_numpy(rows), torch.from_numpy(query[0]))[None]


def nearest(values: F32, top: int, leave: int | None = None) -> I64:
    """Places of the `top` largest of one row of values, the largest first, equal ones by index; without `leave`."""
    values = values.copy()
    if leave is not None:
        values[leave] = -np.inf
    count = min(top, len(values) - (leave is not None))
    if count <= 0:
        return np.zeros(0, np.int64)
    least = np.partition(values, len(values) - count)[len(values) - count]
    among = np.flatnonzero(values >= least)
    return among[np.argsort(-values[among], kind="stable")][:count]


def best(space: Space, query: F32, leave: I64 | None = None) -> F32:
    """[m]: the largest cosine of each query, without the row that `leave` names for it; −1 where there is none."""
    found = cosines(space, query)
    if leave is not None:
        found[np.arange(len(leave)), leave] = -1
    return found.max(1) if found.shape[1] else np.full(len(query), -1, np.float32)


def samples(rows: Rows) -> tuple[I64, F32]:
    """(features drawn evenly, random directions [RANDOM, d]), by a fixed seed; rows of zeros are not drawn."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(rows))[:OTHERS])
    chosen = chosen[(rows[chosen] != 0).any(1)]
    return chosen, rng.standard_normal((RANDOM, rows.shape[1])).astype(np.float32)


def chance(others: F32, random: F32) -> Chance | None:
    """In words of numbers; None without a sample."""
    if not len(others):
        return None
    return Chance(
        median=float(np.median(others)), high=float(np.quantile(others, 0.95)), random=float(np.median(random)),
        sample=len(others),
    )  # fmt: skip


def _some(space: Space, features: I64) -> Rows:
    return np.ascontiguousarray(space.rows[features])


@computing
def lengths(rows: Rows, gram: F32 | None = None) -> F32:
    """[n]: √(r·r), or √(r·G·r)."""
    given, made = torch.from_numpy(rows), torch.empty(len(rows))
    for begin in range(0, len(rows), 4096):
        part = given[begin : begin + 4096]
        if gram is None:
            made[begin : begin + 4096] = part.norm(dim=1)
        else:
            made[begin : begin + 4096] = (part @ torch.from_numpy(gram)).mul_(part).sum(1).clamp_min_(0).sqrt_()
    return np.asarray(made.clamp_min_(TINY).numpy())


@computing
def gram(unembedding: Rows) -> F32:
    """[d, d]: W_U W_Uᵀ, summed in float64: the inner product of logit effects without making any."""
    given = torch.from_numpy(unembedding)
    made = torch.zeros(len(given), len(given), dtype=torch.float64)
    for begin in range(0, given.shape[1], 8192):
        part = given[:, begin : begin + 8192].double()
        made.addmm_(part, part.T)
    return np.asarray(made.float().numpy())


@computing
def _product(a: Rows, b: F32) -> F32:
    return np.asarray((torch.from_numpy(np.ascontiguousarray(a)) @ torch.from_numpy(b)).numpy())
