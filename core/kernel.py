"""What compiled loops are made of: numba's compiler with this project's options, and names for NumPy arrays.

Loops over non-zeros and over rows of large products are written as loops and compiled: array operations would walk the
same memory several times, and hold the steps between. The machine code is kept beside the source (or in the user's
cache folder where that cannot be written), so only the first build after a change compiles: about half a minute. Where
neither can be written every build does.
`parallel` loops run over features with `prange`; each feature is worked on by one thread in a fixed order, so the bytes
do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numba import njit, vectorize
from numba.core import event
from numpy.typing import NDArray

I64: TypeAlias = NDArray[np.int64]
I32: TypeAlias = NDArray[np.int32]
U64: TypeAlias = NDArray[np.uint64]
U32: TypeAlias = NDArray[np.uint32]
F64: TypeAlias = NDArray[np.float64]
F32: TypeAlias = NDArray[np.float32]
Bool: TypeAlias = NDArray[np.bool_]

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(*, parallel: bool = False, reorder: bool = False) -> Callable[[Function], Function]:
    """Compiles on first call, without the interpreter's lock; dividing by zero gives infinity or NaN, as in NumPy.

    `reorder` lets sums be taken in any order, so that several numbers are added at once; NaN stays NaN.
    """
    options: dict[str, object] = {"nogil": True, "parallel": parallel, "error_model": "numpy"}
    if reorder:
        options["fastmath"] = {"reassoc", "contract"}

    def made(function: Function) -> Function:
        try:
            return cast(Function, njit(cache=True, **options)(function))
        except RuntimeError:  # numba finds no folder for what it compiles
            return cast(Function, njit(**options)(function))

    return made


def elementwise(signature: str) -> Callable[[Function], Function]:
    """Compiles a function of numbers into one of arrays, such as `uint64(uint64, uint64)`."""

    def made(function: Function) -> Function:
        try:
            return cast(Function, vectorize([signature], cache=True)(function))
        except RuntimeError:  # as above
            return cast(Function, vectorize([signature])(function))

    return made


@contextmanager
def announcing(tell: Callable[[], None]) -> Iterator[None]:
    """Calls `tell` before each loop that is compiled, and not read from the cache."""

    class Compiling(event.Listener):
        def on_start(self, event: event.Event) -> None:
            tell()

        def on_end(self, event: event.Event) -> None:
            pass

    with event.install_listener("numba:compile", Compiling()):
        yield


def no_type_check(function: Function) -> Function:
    """Keeps jaxtyping's import hook, which looks for this name, from wrapping what is to be compiled."""
    return function
