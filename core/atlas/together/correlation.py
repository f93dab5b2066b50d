"""Pearson correlation of one feature's activations with all of a source, exact, from the sparse stores.

Two sources of one model that were built on the same texts have values at the same tokens; what a store does not hold is
0 (a sparse source), or lies between a dense source's thresholds and counts as 0, which is said wherever such a number
is shown. Sums are in float64. One look at every stored value of the other source: some 2 ns each, on one core; nothing
is kept but the moments of its features. Whole sources against each other are `core.atlas.together.pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.atlas.together import pairs
from core.atlas.together.coactivation import prompt_of
from core.errors import BadInput
from core.kernel import F32, F64, I64, U32
from core.store.grouped import Grouped

if TYPE_CHECKING:
    from core.catalog.catalog import Entry
    from core.store.layout import SourceData

SHARED = {
    "model_sha256": "the model", "model_settings_sha256": "the model’s settings", "dataset_sha256": "the texts’ hash",
    "context": "the context",
}  # fmt: skip
"""Of two builds' stamps what must be the same, so that a token of the one is that token of the other."""


def same_tokens(a: Entry, b: Entry) -> None:
    """Raises `BadInput` if two sources were not built on the same tokens of the same model."""
    if a.record.key.model_id != b.record.key.model_id:
        raise BadInput(
            f"{a.record.key} and {b.record.key} are of different models: activations are compared on the same tokens."
        )
    if why := apart(a.manifest.build, b.manifest.build):
        raise BadInput(
            f"{a.record.key} and {b.record.key} were not built on the same texts ({why} differs), so no token of the "
            "one is a token of the other. Build both with one configuration."
        )


def apart(a: dict[str, Any], b: dict[str, Any]) -> str:
    """What of two builds' stamps differs, in words; empty if they hold the same tokens."""
    return next((what for name, what in SHARED.items() if a.get(name) != b.get(name)), "")


@dataclass(frozen=True, slots=True)
class Stored(Grouped):
    """A source's store with the moments of its features over all counted tokens."""

    starts: I64
    """[prompts + 1]"""
    n: int
    """Counted tokens."""
    active: I64
    mean: F64
    spread: F64

    @classmethod
    def read(cls, data: SourceData, width: int, n: int) -> Stored:
        """Opens a store and reads it once; raises what `SourceData.fitting_store` does."""
        store = data.fitting_store(width)
        active, total, square = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
        pairs.add_sums(store.offsets, store.values, active, total, square)
        moments = pairs.moments(active, total, square, n)
        return cls(store.offsets, store.positions, store.values, data.starts, n, active, *moments)

    def spread_out(self, feature: int) -> F32:
        """[tokens]: one feature's value at every token."""
        at = np.zeros(int(self.starts[-1]), np.float32)
        positions, values = self.of(feature)
        at[positions] = values
        return at


@dataclass(frozen=True, slots=True)
class Row:
    """One feature against every feature of a source."""

    products: F64
    """Σ fg, of the same token."""
    both: I64
    """Common tokens."""
    near: I64
    """This feature's tokens that have the other within the window."""
    near_active: I64
    """All counted tokens that have the other within the window."""


def row(one: Stored, feature: int, other: Stored, counted: I64, window: int = 0) -> Row:
    """Sums and counts of a feature of `one` with every feature of `other`; `counted` [tokens + 1] counts tokens before.

    `counted` is not looked at without a window.
    """
    width = len(other.active)
    products, both = np.zeros(width), np.zeros(width, np.int64)
    pairs.beside(one.spread_out(feature), other.offsets, other.positions, other.values, products)
    mine = np.zeros(int(one.starts[-1]) + 1, np.int64)
    mine[one.of(feature)[0].astype(np.int64) + 1] = 1
    before, prompt = np.cumsum(mine), prompt_of(other.starts)
    entries = (other.offsets, other.positions)
    pairs.covered(before, prompt, other.starts, 0, *entries, both)
    if not window:
        return Row(products, both, both, other.active)
    near, active = np.zeros(width, np.int64), np.zeros(width, np.int64)
    pairs.covered(before, prompt, other.starts, window, *entries, near)
    pairs.covered(counted, prompt, other.starts, window, *entries, active)
    return Row(products, both, near, active)


def pearson(one: Stored, feature: int, other: Stored, products: F64) -> F64:
    """Pearson’s r of a feature of `one` with every feature of `other`; NaN where one of the two never varies."""
    spread = one.spread[feature] * other.spread
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (products / one.n - one.mean[feature] * other.mean) / spread
    return np.where(spread > 0, r, np.nan)


def drawn(one: Stored, other: Stored, sample: int) -> F64:
    """The largest correlation in `other` of some living features of `one`, drawn by a fixed seed; 0 for one without.

    Between features with `pairs.TOGETHER` tokens in common, as in lists. One look at every entry of `other`.
    """
    living = np.flatnonzero(one.active)
    chosen = np.sort(np.random.default_rng(0).permutation(living)[:sample])
    at = np.zeros((int(one.starts[-1]), len(chosen)), np.float32)
    for n, feature in enumerate(chosen):
        positions, values = one.of(int(feature))
        at[positions, n] = values
    best = np.zeros((other.width, len(chosen)))
    pairs.beside_some(
        at, other.offsets, other.positions, other.values, one.n, one.mean[chosen], one.spread[chosen], other.mean,
        other.spread, best,
    )  # fmt: skip
    if one is other:
        best[chosen, np.arange(len(chosen))] = -np.inf
    strongest = best.max(0, initial=-np.inf)
    return np.where(np.isfinite(strongest), strongest, 0.0)


def counted(tokens: U32, special: tuple[int, ...]) -> I64:
    """[tokens + 1]: how many counted tokens lie before each token."""
    held = ~np.isin(tokens, np.array(special, tokens.dtype))
    return np.concatenate([[0], np.cumsum(held, dtype=np.int64)])
