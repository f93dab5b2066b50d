"""Codes answer the same as the dense matrix that they stand for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.sources.codes import Dense, merged, sparse

VALUES = st.sampled_from([0.0, 0.0, 0.0, 1.0, 1.0, 0.5, 2.0, -1.0, -2.0, 3e-30, 1e30]).map(np.float32)
MATRICES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=VALUES)
)
KINDS = pytest.mark.parametrize("kind", [sparse, Dense], ids=["sparse", "dense"])


def wheres(tokens):
    return hnp.arrays(bool, tokens)


@KINDS
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_peaks(kind, data):
    acts = data.draw(MATRICES)
    where = data.draw(wheres(len(acts)))
    peaks = kind(acts).peaks(where)
    expected = []
    for f in range(acts.shape[1]):
        places = [t for t in range(len(acts)) if where[t] and acts[t, f] != 0]
        if places:
            best = max(places, key=lambda t: (abs(acts[t, f]), -t))
            expected.append((f, acts[best, f], best))
    found = list(zip(peaks.features.tolist(), peaks.values.tolist(), peaks.positions.tolist(), strict=True))
    assert found == expected


@KINDS
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_of_and_at(kind, data):
    acts = data.draw(MATRICES)
    codes = kind(acts)
    assert (codes.tokens, codes.width) == acts.shape
    chosen = np.array(data.draw(st.lists(st.integers(0, acts.shape[1] - 1), unique=True)), np.int64)
    of = codes.of(chosen)
    assert of.dtype == np.float32 and np.array_equal(of, acts[:, chosen].T)
    of[:] = 7  # the caller's own
    assert np.array_equal(codes.of(chosen), acts[:, chosen].T)
    where = data.draw(wheres(len(acts)))
    features, values = codes.entries(where)
    _, there = np.nonzero(acts[where])
    assert features.tolist() == there.tolist() and np.array_equal(values, acts[where][acts[where] != 0])
    for position in range(len(acts)):
        features, values = codes.at(position)
        assert features.tolist() == np.flatnonzero(acts[position]).tolist()
        assert np.array_equal(values, acts[position, features])


@KINDS
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_parts_and_merged(kind, data):
    acts = data.draw(MATRICES)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(acts)))) | {0, len(acts)})
    lengths = np.diff(cuts).tolist()
    every = np.arange(acts.shape[1])
    parts = list(kind(acts).parts(lengths))
    assert [part.tokens for part in parts] == lengths
    for part, begin, end in zip(parts, cuts, cuts[1:], strict=False):
        assert np.array_equal(part.of(every), acts[begin:end].T)
    if kind is sparse:
        places = [np.arange(begin, end) for begin, end in itertools.pairwise(cuts)]
        again = merged(len(acts), list(zip(places, parts, strict=True))) if parts else kind(acts)
        assert np.array_equal(again.of(every), acts.T) and again.tokens == len(acts)


@KINDS
def test_a_part_does_not_keep_the_others(kind):
    """What is kept of one text must not hold the memory of all that were read with it."""
    acts = np.ones((100, 50), np.float32)
    part = next(iter(kind(acts).parts([1, 99])))
    arrays = [part.values] if kind is Dense else [part.positions, part.features, part.values]
    assert all(a.base is None or a.base.nbytes == a.nbytes for a in arrays)
    assert part.bytes == sum(a.nbytes for a in arrays)


def test_no_tokens_looked_at():
    for codes in (sparse(np.ones((3, 4), np.float32)), Dense(np.ones((3, 4), np.float32))):
        assert len(codes.peaks(np.zeros(3, bool)).features) == 0
