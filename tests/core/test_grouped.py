"""Non-zeros by feature: cutting some features out, and telling what a compiled loop may not trust."""

from __future__ import annotations

import numpy as np
import pytest

from core.store.grouped import Grouped

WHOLE = Grouped(
    np.array([0, 2, 2, 5]), np.array([1, 4, 0, 4, 8], np.uint32), np.array([1, 2, 3, 4, 5], np.float32)
)  # fmt: skip


def test_a_feature_and_a_block_of_features():
    positions, values = WHOLE.of(2)
    assert (positions.tolist(), values.tolist()) == ([0, 4, 8], [3, 4, 5])
    assert [len(part) for part in WHOLE.of(1)] == [0, 0]
    some = WHOLE.block(1, 3)
    assert (some.width, some.offsets.tolist(), some.values.tolist()) == (2, [0, 0, 3], [3, 4, 5])
    assert not np.shares_memory(some.values, WHOLE.values)


@pytest.mark.parametrize(
    ("offsets", "positions", "values"),
    [
        ([0, 2, 2], [1, 4], [1, 2]),  # fewer features
        ([1, 2, 2, 2], [1, 4], [1, 2]),  # begins late
        ([0, 2, 1, 2], [1, 4], [1, 2]),  # turns back
        ([0, 2, 2, 3], [1, 4], [1, 2]),  # ends beyond
        ([0, 1, 1, 1], [1, 4], [1, 2]),  # ends before
        ([0, 2, 2, 2], [1, 9], [1, 2]),  # a token that is not there
        ([0, 2, 2, 2], [1, 4], [1]),  # values are lacking
    ],
)
def test_what_would_lead_a_loop_astray_does_not_fit(offsets, positions, values):
    made = Grouped(np.array(offsets), np.array(positions, np.uint32), np.array(values, np.float32))
    assert WHOLE.fits(3, 9) and not made.fits(3, 9)
