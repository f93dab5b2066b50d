"""Lets glibc keep freed memory for the next tensor.

By default a block of more than a few MiB comes from the kernel each time and goes back when freed, and the kernel fills
every page with zeros first. The eight temporaries of GPT-2's GELU, for one, took 7.6 s of a pass so, and 2.6 s without.
Blocks up to `LARGEST` (glibc takes no more) are kept instead, up to `KEPT` in all. Elsewhere than on glibc nothing is
done.
"""

from __future__ import annotations

import ctypes
import sys

LARGEST, KEPT = 32 * 2**20, 2**30
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Says so to glibc, for this process; whether it was understood."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT))
