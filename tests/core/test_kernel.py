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
from core.kernel import compiled
@compiled()
def double(x):
    return 2 * x
print(double(21), int(_hash(np.uint64(1), np.uint64(2))) > 0)
"""
    assert python(code).split() == ["42", "True"]


def test_what_is_compiled_is_announced_and_what_is_cached_is_not(tmp_path):
    """The half minute of a first build has a name on the screen."""
    module = tmp_path / "twice.py"
    module.write_text("from core.kernel import compiled\n@compiled()\ndef double(x):\n    return 2 * x\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
        + """
import twice
from core.kernel import announcing
told = []
with announcing(lambda: told.append(1)):
    twice.double(1)
    first = len(told)
    twice.double(2)
print(first, len(told))
"""
    )
    assert python(code).split() == ["1", "1"]
    assert python(code).split() == ["0", "0"]
