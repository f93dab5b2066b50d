"""Two models on the same text, aligned on its bytes, so that features of models with different tokenizers compare.

A build keeps which tokens it ran, and of every feature the tokens with a value. A token is some bytes of its document;
its value stands at each of them, and 0 where the feature is not active. So a feature of either model is a function on
the bytes of a text, constant on each token, and the correlation of two features is an ordinary one over the bytes. BOS
and other special tokens are no text and are left out. A long token counts for more than a short one; a value that one
model has on a whole word and the other on the last piece of it overlaps on that piece only.

The two builds need not have cut their texts alike, nor read as much of them. Documents are told by their bytes: two are
the same if one (of at least `HEAD` bytes) is the beginning of the other, and they are compared as far as both were
read. A document that is cut by a special token in its midst counts as several.

No table of bytes × features is made. Where a token of one model overlaps one of the other lies a segment; Σ x·y over
the bytes is the sum over segments of length · value · value, which needs the non-zeros of its two tokens only. Sums are
float64, in a fixed order whatever the number of threads.

Cost: a pass over the tokens to align; then Σ over segments of L0 · L0′ steps of one or two nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from core.kernel import F32, F64, I32, I64, U32, compiled, no_type_check
from core.models.vocabulary import Vocabulary
from core.store.grouped import Grouped
from core.store.layout import SourceData

HEAD = 32
"""Bytes by which documents are looked up before they are compared; shorter ones are the same if they are equal."""
STRETCH = 8192
"""Tokens of the first model that are done for all features of a block before the next: what they meet of the second
stays near the processor."""
CELLS = 2**22
"""Pairs in the table of a block of features, at most: 8 bytes each."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a build read, as bytes: the same for all sources of a build."""

    text: bytes
    """Its documents one after another, as far as they were run."""
    begins: I64
    """[tokens + 1]: where each token's bytes begin in `text`; special tokens have none."""
    documents: I64
    """[documents + 1]: where each begins in `text`."""
    parts: tuple[str, ...]
    """Of each document, the part of the dataset that it is from."""
    tokens: U32
    """[tokens]: the ids, BOS included."""

    @classmethod
    def of(cls, data: SourceData, vocabulary: Vocabulary, *, packed: bool = False) -> Reading:
        """The text of a built source; `packed`: whether its prompts run documents together."""
        ids = data.prompts.column("tokens").combine_chunks().flatten().to_numpy().astype(np.uint32)
        numbers = data.prompts.column("document").to_numpy().astype(np.int64)
        parts = data.prompts.column("part").to_pylist()
        special = np.isin(ids, np.array(sorted(vocabulary.special), np.uint32))
        pieces = [b"" if i in vocabulary.special else piece for i, piece in enumerate(vocabulary.pieces)]
        most = int(ids.max(initial=0)) + 1
        pieces += [b""] * (most - len(pieces))  # ids that the tokenizer has no entry for
        sizes = np.array([len(piece) for piece in pieces], np.int64)
        begins = np.concatenate([[0], np.cumsum(np.where(special, 0, sizes[ids]))])
        first = _firsts(data.starts, numbers, special, packed)
        owner = np.searchsorted(data.starts, first, side="right") - 1
        documents, kept = np.unique(begins[first], return_index=True)  # without those that are special tokens only
        if len(documents) and documents[-1] == begins[-1]:
            documents, kept = documents[:-1], kept[:-1]
        return cls(
            b"".join([pieces[i] for i in ids.tolist()]), begins, np.append(documents, begins[-1]),
            tuple(parts[n] for n in owner[kept]), ids,
        )  # fmt: skip


def _firsts(starts: I64, numbers: I64, special: NDArray[np.bool_], packed: bool) -> I64:
    """The tokens with which a document begins: another document's prompt, or a special token within a prompt.

    A prompt goes on with the document that the one before it ended in: that one's own or, packed, as many further as it
    has special tokens within. Where that is not so (empty documents lie between), a document is taken to begin anew.
    """
    within = special.astype(np.int64)
    within[starts[:-1]] = 0
    further = np.add.reduceat(within, starts[:-1]) if packed and len(numbers) else np.zeros_like(numbers)
    goes_on = np.concatenate([[False], numbers[1:] == (numbers + further)[:-1]])
    return np.sort(np.concatenate([starts[:-1][~goes_on], np.flatnonzero(within)]))


@dataclass(frozen=True, slots=True)
class Cells:
    """The tokens of one model on a shared text: cell n is token `tokens[n]`, on the bytes before `ends[n]`."""

    tokens: I64
    ends: I64

    def turned(self, begins: I64, by: I64) -> Cells:
        """The same with the text of each part shifted round by so many bytes; `begins` says where parts begin and end.

        A token that is shifted over its part's end becomes two cells.
        """
        tokens, ends = [], []
        for first, last, shift in zip(begins[:-1], begins[1:], by, strict=True):
            near = slice(*np.searchsorted(self.ends, [first, last], side="right"))
            size, at = int(last - first), self.ends[near] - first
            cut = size - int(shift) % size
            k = int(np.searchsorted(at, cut, side="right"))  # cells before k stay whole and go to the end
            split = int(cut > (at[k - 1] if k else 0))  # cell k is cut in two
            tokens += [self.tokens[near][k:], self.tokens[near][: k + split]]
            ends += [first + at[k:] - cut, first + np.append(at[:k], [cut] * split) + size - cut]
        return Cells(np.concatenate(tokens), np.concatenate(ends).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Shared:
    """The text that two builds have in common, part after part, and the tokens of each on it."""

    first: Cells
    second: Cells
    parts: tuple[str, ...]
    begins: I64
    """[parts + 1]: the bytes with which each part begins; the last is the number of bytes."""
    documents: int

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.begins[-1])


def shared(first: Reading, second: Reading) -> Shared | None:
    """What two builds both read; None if that is nothing."""
    pairs = _pairs(first, second)
    if not pairs:
        return None
    parts = sorted({part for *_, part in pairs})
    pairs.sort(key=lambda pair: parts.index(pair[3]))  # stable: within a part in the first build's order
    sizes = np.array([size for *_, size, _ in pairs], np.int64)
    owner = np.array([parts.index(part) for *_, part in pairs])
    begins = np.concatenate([[0], np.cumsum(np.bincount(owner, sizes, len(parts)))]).astype(np.int64)
    return Shared(
        _cells(first, [a for a, *_ in pairs], sizes), _cells(second, [b for _, b, *_ in pairs], sizes),
        tuple(parts), begins, len(pairs),
    )  # fmt: skip


def _pairs(first: Reading, second: Reading) -> list[tuple[int, int, int, str]]:
    """(begin in the first, begin in the second, bytes, part) of each document that both have; each is used once."""
    known: dict[bytes, list[tuple[int, int]]] = {}
    for begin, end in zip(second.documents[:-1].tolist(), second.documents[1:].tolist(), strict=True):
        known.setdefault(second.text[begin : min(begin + HEAD, end)], []).append((begin, end))
    pairs = []
    for n, (begin, end) in enumerate(zip(first.documents[:-1].tolist(), first.documents[1:].tolist(), strict=True)):
        alike = known.get(first.text[begin : min(begin + HEAD, end)], [])
        best: tuple[int, int] | None = None
        for other in alike:
            size = min(end - begin, other[1] - other[0])
            same = first.text[begin : begin + size] == second.text[other[0] : other[0] + size]
            if same and (best is None or size > min(end - begin, best[1] - best[0])):
                best = other
        if best is not None:
            alike.remove(best)
            pairs.append((begin, best[0], min(end - begin, best[1] - best[0]), first.parts[n]))
    return pairs


def _cells(reading: Reading, begins: Sequence[int], sizes: I64) -> Cells:
    """The tokens of some stretches of a text, which are laid one after another; the last of one may be cut short."""
    tokens, ends, at = [], [], 0
    for begin, size in zip(begins, sizes.tolist(), strict=True):
        low = int(np.searchsorted(reading.begins, begin, side="right")) - 1  # the token that has byte `begin`
        high = int(np.searchsorted(reading.begins, begin + size, side="left"))
        edges = np.minimum(reading.begins[low + 1 : high + 1], begin + size)
        some = np.diff(edges, prepend=begin) > 0  # special tokens have no bytes
        tokens.append(np.arange(low, high)[some])
        ends.append(edges[some] - begin + at)
        at += size
    return Cells(np.concatenate(tokens), np.concatenate(ends).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Overlap:
    """The segments in which tokens of two models overlap, by the first model's cells."""

    size: float
    """Bytes."""
    cell_of: I64
    """[tokens of the first build]: its cell, -1 for one that is not on the shared text."""
    offsets: I64
    """[cells + 1]: the segments of each cell."""
    lengths: I64
    """Bytes of each segment."""
    tokens: I64
    """Of each segment, the token of the second model."""

    @classmethod
    def of(cls, first: Cells, second: Cells, tokens: int) -> Overlap:
        """Of two models on one text, the first of which ran so many tokens."""
        ends = np.union1d(first.ends, second.ends)
        owner = np.searchsorted(first.ends, ends, side="left")
        cell_of = np.full(tokens, -1, np.int64)
        cell_of[first.tokens] = np.arange(len(first.tokens))
        return cls(
            float(ends[-1]), cell_of,
            np.searchsorted(owner, np.arange(len(first.ends) + 1)).astype(np.int64),
            np.diff(ends, prepend=0).astype(np.int64),
            second.tokens[np.searchsorted(second.ends, ends, side="left")],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ByToken:
    """The non-zeros of a source by token, or of several side by side."""

    offsets: I64
    """[tokens + 1]"""
    features: I32
    values: F32
    width: int

    @classmethod
    def of(cls, columns: Grouped, tokens: int) -> ByToken:
        """Of a source over so many tokens, BOS included."""
        counts = np.bincount(columns.positions, minlength=tokens)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        features, values = np.empty(len(columns.values), np.int32), np.empty(len(columns.values), np.float32)
        _by_token(columns.offsets, columns.positions, columns.values, offsets[:-1].copy(), features, values)
        return cls(offsets, features, values, columns.width)

    @classmethod
    def of_ids(cls, ids: U32, width: int) -> ByToken:
        """Each token of a vocabulary as a feature that is 1 where the token stands."""
        offsets = np.arange(len(ids) + 1, dtype=np.int64)
        return cls(offsets, ids.astype(np.int32), np.ones(len(ids), np.float32), width)


@dataclass(frozen=True, slots=True)
class Sums:
    """Of each feature, over the bytes of a shared text: mean, spread, and the bytes and tokens that it is active on."""

    mean: F64
    spread: F64
    bytes: I64
    tokens: I64


def sums(columns: Grouped, cells: Cells, tokens: int) -> Sums:
    """Of a source over so many tokens, of which `cells` are on the shared text."""
    sizes = np.zeros(tokens, np.int64)
    np.add.at(sizes, cells.tokens, np.diff(cells.ends, prepend=0))
    n = float(cells.ends[-1])
    total, square = np.zeros(columns.width), np.zeros(columns.width)
    active, times = np.zeros(columns.width, np.int64), np.zeros(columns.width, np.int64)
    _sum(columns.offsets, columns.positions, columns.values, sizes, total, square, active, times)
    mean = total / n
    return Sums(mean, np.sqrt(np.maximum(square / n - mean**2, 0.0)), active, times)


def token_sums(ids: U32, cells: Cells, width: int) -> Sums:
    """The same of the tokens of a vocabulary."""
    sizes = np.diff(cells.ends, prepend=0)
    on = np.bincount(ids[cells.tokens], sizes, width)
    mean = on / float(cells.ends[-1])
    times = np.bincount(ids[cells.tokens], minlength=width)
    return Sums(mean, np.sqrt(np.maximum(mean - mean**2, 0.0)), on.astype(np.int64), times.astype(np.int64))


def correlations(overlap: Overlap, first: Grouped, rows: ByToken, of: tuple[Sums, Sums]) -> Iterator[tuple[int, F64]]:
    """(number of the first feature, [features, width of `rows`]) block after block: Pearson correlations over bytes.

    A pair of which one is constant has 0. The array is used again for the next block: copy what is kept of it.
    """
    step = max(1, CELLS // max(1, rows.width))
    table = np.zeros((min(step, first.width), rows.width))
    for begin in range(0, first.width, step):
        end = min(begin + step, first.width)
        block = table[: end - begin]
        block[:] = 0
        at, ends = first.offsets[begin:end].copy(), first.offsets[begin + 1 : end + 1]
        for last in range(STRETCH, len(overlap.cell_of) + STRETCH, STRETCH):
            _products(
                at, ends, last, first.positions, first.values, overlap.cell_of, overlap.offsets, overlap.lengths,
                overlap.tokens, rows.offsets, rows.features, rows.values, block,
            )  # fmt: skip
        _correlate(block, overlap.size, of[0].mean[begin:end], of[0].spread[begin:end], of[1].mean, of[1].spread)
        yield begin, block


@compiled()
@no_type_check
def _by_token(offsets: I64, positions: U32, values: F32, place: I64, features: I32, found: F32) -> None:
    for f in range(len(offsets) - 1):
        for n in range(offsets[f], offsets[f + 1]):
            at = place[positions[n]]
            features[at], found[at] = f, values[n]
            place[positions[n]] += 1


@compiled()
@no_type_check
def _sum(
    offsets: I64, positions: U32, values: F32, sizes: I64, total: F64, square: F64, active: I64, times: I64
) -> None:
    for f in range(len(total)):
        for n in range(offsets[f], offsets[f + 1]):
            size, v = sizes[positions[n]], np.float64(values[n])
            total[f] += size * v
            square[f] += size * v * v
            active[f] += size
            times[f] += size > 0


@compiled(parallel=True)
@no_type_check
def _products(
    at: I64, ends: I64, last: int, positions: U32, values: F32, cell_of: I64, segments: I64, lengths: I64, tokens: I64,
    row_offsets: I64, row_features: I32, row_values: F32, products: F64,
) -> None:  # fmt: skip
    """Adds length · value · value over the segments of each feature's tokens before `last`, and goes on from `at`."""
    for f in prange(len(products)):
        n, end, line = at[f], ends[f], products[f]
        while n < end and positions[n] < last:
            cell = cell_of[positions[n]]
            if cell >= 0:
                for s in range(segments[cell], segments[cell + 1]):
                    v, row = np.float64(values[n]) * lengths[s], tokens[s]
                    for m in range(row_offsets[row], row_offsets[row + 1]):
                        line[np.uint32(row_features[m])] += v * row_values[m]
            n += 1
        at[f] = n


@compiled(parallel=True)
@no_type_check
def _correlate(products: F64, n: float, mean: F64, spread: F64, other_mean: F64, other_spread: F64) -> None:
    """Sums of products become correlations, in place."""
    for f in prange(len(products)):
        for g in range(products.shape[1]):
            size = spread[f] * other_spread[g]
            products[f, g] = (products[f, g] / n - mean[f] * other_mean[g]) / size if size > 0 else 0.0
