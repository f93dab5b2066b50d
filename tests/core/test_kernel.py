"""Compiled loops: where their machine code cannot be kept they are compiled anew, and work."""

from __future__ import annotations

from tests.live import python


def test_where_nothing_can_be_cached():
    """A read-only checkout and no home, as in some containers."""
    code = """
from numba.core import caching
caching.CacheImpl._locator_classes = []
import numpy as np
from core.build.examples import _hash
from core.build.kernel import compiled
@compiled()
def double(x):
    return 2 * x
print(double(21), int(_hash(np.uint64(1), np.uint64(2))) > 0)
"""
    assert python(code).split() == ["42", "True"]
