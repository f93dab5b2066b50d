"""The thread that computes: one for everybody, errors come back, what it calls stays in it, a fork has its own."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from core.models.thread import apart, computing


@computing
def where():
    return threading.get_ident(), torch.is_grad_enabled()


@computing
def inner():
    return where()


def test_one_thread_whoever_asks_and_no_gradients():
    with ThreadPoolExecutor(8) as pool:
        found = {pool.submit(where).result() for _ in range(20)} | {where(), inner()}
    assert len(found) == 1
    ((thread, grads),) = found
    assert thread != threading.get_ident() and not grads


def test_work_is_done_in_its_order_and_alone():
    at_work, most, order = [0], [0], []

    @computing
    def work(n):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.001)
        order.append(n)
        at_work[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most == [1] and sorted(order) == list(range(40))


def test_errors_are_raised_where_it_is_called():
    @computing
    def wrong():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        wrong()
    assert where(), "and it goes on"


def test_what_takes_long_has_a_thread_that_ends():
    def long():
        return threading.current_thread().name, where()[0]

    name, computed = apart(long)
    assert name.startswith("apart") and computed == where()[0]
    assert not any(thread.name.startswith("apart") for thread in threading.enumerate())
    with pytest.raises(KeyError):
        apart(lambda: {}["nothing"])


def test_a_process_that_forks_has_its_own():
    where()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(where).get(30)[1] is False
