"""`make soak`, short: a few sessions over Streamlit's websocket, each doing everything once, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from benchmarks import soak
from tests.visitor import Failed, Visitor


def test_several_people_at_once(live):
    log = asyncio.run(soak.soak(live, sessions=5, seconds=0, think=0))
    assert not log.errors
    done: Counter[str] = Counter()
    for kind, taken in log.seconds.items():
        done[kind.removesuffix(", first minute")] += len(taken)
    assert len(done) == 7 and set(done.values()) == {5}
    assert log.memory[-1][1] > 0
    made = soak.rows(log)
    assert {row.what.split(",")[0] for row in made} >= {"search", "test", "errors", "memory of the server"}
    assert all(row.met is not False for row in made)


def test_an_error_is_found(live):
    async def visit():
        async with Visitor(live.port) as visitor:
            with pytest.raises(Failed, match="no hits"):
                soak._has(await visitor.open("search", model="tiny", text=""), "no hits")
            with pytest.raises(Failed, match="not found"):
                await visitor.open("nowhere")

    asyncio.run(visit())


def test_growing_memory_misses_its_budget():
    steady, growing = (
        [(10.0 * n, megabytes(n)) for n in range(61)] for megabytes in (lambda n: 800, lambda n: 800 + 9 * n)
    )
    for memory, met in ((steady, True), (growing, False)):
        (row,) = [row for row in soak.rows(soak.Log(memory=memory)) if row.ratio]
        assert row.met is met
