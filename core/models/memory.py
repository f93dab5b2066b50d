"""Memory: what a card has room for, what says that it ran out, and letting glibc keep freed blocks for the next tensor.

By default a block of more than a few MiB comes from the kernel each time and goes back when freed, and the kernel fills
every page with zeros first. The eight temporaries of GPT-2's GELU, for one, took 7.6 s of a pass so, and 2.6 s without.
Blocks up to `LARGEST` (glibc takes no more) are kept instead, up to `KEPT` in all. Elsewhere than on glibc nothing is
done.
"""

from __future__ import annotations

import ctypes
import errno
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from core.errors import Busy

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

LARGEST, KEPT = 32 * 2**20, 2**30
MOST = 2**29
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


def ran_out(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that memory ran out, here or on a GPU; imports no torch."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__
    return False


def values_at_once(device: torch.device, least: int) -> int:
    """How many float32 values a product may give at once: `least` on a CPU, whose cache decides, more on a card.

    There an eighth of what is free, so that a product's temporaries have room, and of that a power of two: it changes
    with the card rather than with what else lies in its memory just now. At most `MOST`, beyond which kernels count
    no further.
    """
    import torch

    if device.type != "cuda":
        return least
    free, _ = torch.cuda.mem_get_info(device)
    return max(least, min(MOST, 1 << max(0, (free // 8 // 4).bit_length() - 1)))


def by_halves(run: Callable[[slice], T], rows: int) -> list[T]:
    """What `run` gives of all rows at once, or where memory runs out of their halves, and of the halves of those.

    On a GPU the next try finds what the last one took: its cache is emptied first. Raises what `run` raises of one row.
    """
    return [found for part in _halves(run, 0, rows) for found in part]


def _halves(run: Callable[[slice], T], begin: int, end: int) -> Iterator[list[T]]:
    try:
        yield [run(slice(begin, end))]
        return
    except Exception as error:
        if end - begin < 2 or not ran_out(error):
            raise
    torch = sys.modules.get("torch")  # when the error and what its frames hold are gone
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (begin + end) // 2
    yield from _halves(run, begin, middle)
    yield from _halves(run, middle, end)


_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
"""In the messages of torch's errors, which on a CPU have no class of their own."""


def no_room() -> Busy:
    """What a person is told then."""
    return Busy("This server has not enough memory for that now. Try fewer sources or a shorter text, or in a moment.")
