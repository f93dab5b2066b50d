"""Universality: for each feature of one model the feature of another model that is most like it, and what chance makes.

Likeness is the correlation over the bytes of the text that both models read (`characters.py`). Among thousands
of features some correlate with anything, so a best match means nothing by itself. The null: within each part of the
texts (each style) the second model's text is shifted round against the first's by a random number of bytes, between a
twentieth and nineteen twentieths of the part, and every best match is found again. What a feature knows of styles, how
often and in how long runs it fires, stays as it was; which words it fires on does not. A rare feature matches better by
chance than a common one, so that a feature's match is compared with the best matches, in all shifts, of the `NEAR`
features of its source that are active on most nearly as many bytes. `p` is (1 + those at least as good) / (1 + all);
`bound` is their 99th percentile, and a match above it is called universal. Whether 1 in 100 is what the bound lets
through is measured too: each shift in turn is taken for the real text, and held against the others (`expected`).

Beside it stands a plainer rival: the best single token of the other model's vocabulary, as a feature that is 1 where
the token stands.

Features that are active on fewer than `LEAST` tokens of the shared text are left out: two or three coincidences
correlate perfectly. After Bricken et al. 2023, "Universality"
(https://transformer-circuits.pub/2023/monosemantic-features), who correlate features of two models with one tokenizer
over tokens, without a null.

Cost: (shifts + 1) times what `characters` says, for each pair of sources; both directions come out of one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.atlas.universal.characters import (
    ByToken,
    Overlap,
    Reading,
    Shared,
    Sums,
    correlations,
    shared,
    sums,
    token_sums,
)
from core.errors import NotAvailable
from core.kernel import F32, F64, I32, I64
from core.records import SourceKey
from core.store.grouped import Grouped

DRAWS, SEED = 10, 0
NEAR = 50
"""Features, besides itself, whose best matches by chance a feature's is compared with."""
LEAST = 10
QUANTILE = 0.99
BINS = 40
Tell = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Model:
    """One model on its build's text: what was read, and the non-zeros of some of its sources."""

    reading: Reading
    vocabulary: int
    """Token ids."""
    sources: dict[SourceKey, Grouped]


@dataclass(frozen=True, slots=True)
class Table:
    """Of one source: each feature's best match in each source of the other model, and chance; O sources, F features.

    A feature that is not compared has the index -1 and NaN; so has a match in a source without a feature to compare.
    """

    key: SourceKey
    others: tuple[SourceKey, ...]
    compared: NDArray[np.bool_]
    """[F]"""
    index: I32
    """[O, F]"""
    value: F32
    bound: F32
    p: F32
    mutual: NDArray[np.bool_]
    any_bound: F32
    """[F]: the bound of the best match in any of the sources."""
    any_p: F32
    token: I32
    """[F]: the most alike token of the other vocabulary, and its correlation."""
    token_value: F32
    expected: F64
    """[O + 1]: the share above the bound in shifted texts; the last of the best match in any source."""
    chance: F64
    """[O]: the median best match in shifted texts."""
    chance_counts: F64
    """[O, BINS]: best matches of a shifted text by correlation, the mean over the shifts."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two models against each other."""

    text: Shared
    tables: tuple[Table, ...]
    """Of every source of either."""


@dataclass(slots=True)
class _Best:
    """The best matches of one source's features in another source: on the text as it is, then in each shift."""

    index: I32
    value: F64
    chance: list[F64] = field(default_factory=list)


def compare(first: Model, second: Model, *, draws: int = DRAWS, seed: int = SEED, tell: Tell | None = None) -> Compared:
    """Every source of one model against every source of the other.

    Raises:
        NotAvailable: they read no text in common.
    """
    text = shared(first.reading, second.reading)
    if text is None:
        raise NotAvailable(
            "The two models were built on different texts: none of their documents is the beginning of one of the "
            "other’s. Build both on the same texts."
        )
    count = len(first.reading.tokens), len(second.reading.tokens)
    of = [
        {key: _eligible(sums(columns, cells, n)) for key, columns in model.sources.items()}
        for model, cells, n in ((first, text.first, count[0]), (second, text.second, count[1]))
    ]
    rows = {key: ByToken.of(columns, count[1]) for key, columns in second.sources.items()}
    best: dict[tuple[SourceKey, SourceKey], _Best] = {}
    rng = np.random.default_rng(seed)
    turns = [text.second, *(text.second.turned(text.begins, _shifts(text.begins, rng)) for _ in range(draws))]
    steps = len(turns) * len(first.sources) * len(second.sources)
    for turn, cells in enumerate(turns):
        overlap = Overlap.of(text.first, cells, count[0])
        for a, columns in first.sources.items():
            for b, there in rows.items():
                _pass(best, (a, b), overlap, columns, there, (of[0][a], of[1][b]))
                if tell is not None:
                    tell(len(best) // 2 if turn == 0 else turn * len(first.sources) * len(second.sources), steps)
    tables = [_table(key, list(second.sources), of[0][key], of[1], best, _words(first, second, key, text))
              for key in first.sources]  # fmt: skip
    turned = Shared(text.second, text.first, text.parts, text.begins, text.documents)
    tables += [_table(key, list(first.sources), of[1][key], of[0], best, _words(second, first, key, turned))
               for key in second.sources]  # fmt: skip
    return Compared(text, tuple(tables))


def _eligible(found: Sums) -> Sums:
    """The same with no spread, so no correlation, for features that are too rare on this text."""
    return Sums(found.mean, np.where(found.tokens >= LEAST, found.spread, 0.0), found.bytes, found.tokens)


def _shifts(begins: I64, rng: np.random.Generator) -> I64:
    """For each part some bytes by which it is shifted round."""
    sizes = np.diff(begins)
    return np.maximum(1, (sizes * rng.uniform(0.05, 0.95, len(sizes))).astype(np.int64))


def _pass(
    best: dict[tuple[SourceKey, SourceKey], _Best], pair: tuple[SourceKey, SourceKey], overlap: Overlap,
    columns: Grouped, rows: ByToken, of: tuple[Sums, Sums],
) -> None:  # fmt: skip
    """One text, one pair of sources: best matches of the first's features and of the second's."""
    width, other = columns.width, rows.width
    index, value = np.full(width, -1, np.int32), np.zeros(width)
    back, back_value = np.full(other, -1, np.int32), np.zeros(other)
    for begin, block in correlations(overlap, columns, rows, of):
        part = slice(begin, begin + len(block))
        index[part] = block.argmax(axis=1)
        value[part] = np.take_along_axis(block, index[part][:, None].astype(np.int64), axis=1)[:, 0]
        at = block.argmax(axis=0)
        top = block[at, np.arange(other)]
        better = top > back_value
        back[better], back_value[better] = at[better] + begin, top[better]
    index[value <= 0] = -1
    for key, found, most in ((pair, index, value), (pair[::-1], back, back_value)):
        if key in best:
            best[key].chance.append(np.maximum(most, 0.0))
        else:
            best[key] = _Best(found, np.maximum(most, 0.0))


def _words(one: Model, other: Model, key: SourceKey, text: Shared) -> tuple[I32, F32]:
    """For each feature of a source the other vocabulary's most alike token, and its correlation."""
    ids, columns = other.reading.tokens, one.sources[key]
    rows, count = ByToken.of_ids(ids, other.vocabulary), len(one.reading.tokens)
    overlap = Overlap.of(text.first, text.second, count)
    of = _eligible(sums(columns, text.first, count)), _eligible(token_sums(ids, text.second, other.vocabulary))
    index, value = np.zeros(columns.width, np.int32), np.zeros(columns.width, np.float32)
    for begin, block in correlations(overlap, columns, rows, of):
        part = slice(begin, begin + len(block))
        index[part], value[part] = block.argmax(axis=1), block.max(axis=1)
    return index, value


def _table(
    key: SourceKey, others: Sequence[SourceKey], of: Sums, theirs: dict[SourceKey, Sums],
    best: dict[tuple[SourceKey, SourceKey], _Best], words: tuple[I32, F32],
) -> Table:  # fmt: skip
    """Everything about one source's features."""
    compared = of.tokens >= LEAST
    pairs = [best[key, other] for other in others]
    order = np.flatnonzero(compared)[np.argsort(of.bytes[compared], kind="stable")]
    chance = np.array([[c[order] for c in one.chance] for one in pairs])  # [O, draws, compared]
    value = np.array([one.value[order] for one in pairs])  # [O, compared]
    found = [_against(v, c) for v, c in zip(value, chance, strict=True)] + [_against(value.max(0), chance.max(0))]

    def spread(values: NDArray[np.float64]) -> F32:
        whole = np.full(len(compared), np.nan, np.float32)
        whole[order] = values
        return whole

    index = np.array([np.where(compared, one.index, -1) for one in pairs], np.int32)
    counts = [np.histogram(np.clip(c, 0, 1), BINS, (0, 1))[0] / max(1, len(c)) for c in chance]
    return Table(
        key=key, others=tuple(others), compared=compared, index=index,
        value=np.array([spread(v) for v in value]), bound=np.array([spread(f.bound) for f in found[:-1]]),
        p=np.array([spread(f.p) for f in found[:-1]]),
        mutual=np.array([_mutual(best[key, other], best[other, key]) & compared for other in others]),
        any_bound=spread(found[-1].bound), any_p=spread(found[-1].p), token=words[0], token_value=words[1],
        expected=np.array([f.expected for f in found]),
        chance=np.array([np.median(c) if c.size else np.nan for c in chance]), chance_counts=np.array(counts),
    )  # fmt: skip


def _mutual(there: _Best, back: _Best) -> NDArray[np.bool_]:
    """[features]: whether the best match of a feature's best match is the feature."""
    known = there.index >= 0
    return known & (back.index[np.where(known, there.index, 0)] == np.arange(len(there.index)))


@dataclass(frozen=True, slots=True)
class _Chance:
    bound: F64
    p: F64
    expected: float


def _against(value: F64, chance: F64) -> _Chance:
    """Best matches [n] against those of shifted texts [draws, n]; features stand in order of how rare they are.

    For `expected` each feature's best match in one of the shifts is held against the others.
    """
    draws, n = chance.shape
    bound, p, above = np.zeros(n), np.ones(n), 0
    for i in range(n):
        begin = max(0, min(i - NEAR // 2, n - NEAR - 1))
        pool = chance[:, begin : begin + NEAR + 1]
        bound[i] = np.quantile(pool, QUANTILE)
        p[i] = (1 + np.count_nonzero(pool >= value[i])) / (1 + pool.size)
        above += chance[i % draws, i] > np.quantile(np.delete(pool, i % draws, axis=0), QUANTILE)
    return _Chance(bound, p, above / n if n else 0.0)
