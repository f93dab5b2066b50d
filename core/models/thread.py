"""The one thread that computes: every request's passes and products run in it, whoever waits for them.

OpenMP keeps a team of workers for each thread that computes. A server's requests come in many threads, and where there
are more workers than cores libgomp lets none of them wait actively: each of a pass's hundreds of short parallel loops
then begins by waking somebody. Two cores, GPT-2 small's shape: a decoding step of two rows takes 39 to 46 ms with one
team and 55 to 59 ms once there was a second. Work is done in the order in which it comes; whoever holds a model's lock
may hand work over, so nothing that waits for a lock may run here. Cost: two changes of thread, some 50 microseconds.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

NAME = "computing"
_start = threading.Lock()  # guards the pool's making
_pool: ThreadPoolExecutor | None = None


def computing(function: Callable[P, T]) -> Callable[P, T]:
    """A function that runs in the thread that computes, without gradients; its errors are raised where it is called."""
    import torch  # here, since whoever only browses imports this module too

    return in_turn(torch.no_grad()(function))


def in_turn(function: Callable[P, T]) -> Callable[P, T]:
    """The same for a function that needs no torch, and does not load it."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if threading.current_thread().name.startswith(NAME):
            return function(*args, **kwargs)
        return _at_work().submit(function, *args, **kwargs).result()

    return run


def apart(work: Callable[[], T]) -> T:
    """Does something long, such as loading, in a thread that ends with it, and its team of workers too."""
    with ThreadPoolExecutor(1, thread_name_prefix="apart") as pool:
        return pool.submit(work).result()


def _at_work() -> ThreadPoolExecutor:
    global _pool
    with _start:
        if _pool is None:
            _pool = ThreadPoolExecutor(1, thread_name_prefix=NAME)
        return _pool


def _forget() -> None:
    """A process that forks leaves its threads behind."""
    global _pool, _start
    _pool, _start = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
