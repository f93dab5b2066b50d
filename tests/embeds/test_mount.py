"""An application that is built on demand: once, with its lifespan, and again if the first attempt failed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from embeds.mount import OnFirstRequest


def make(events):
    @asynccontextmanager
    async def lifespan(app):
        task = asyncio.current_task()
        events.append("start")
        yield
        events.append("stop" if asyncio.current_task() is task else "stop in another task")

    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/", lambda: "here")
    return app


def client(mounted):
    return httpx.AsyncClient(transport=httpx.ASGITransport(mounted), base_url="http://test")


def test_it_is_built_once_and_stopped_where_it_was_started():
    events = []

    def build():
        events.append("build")
        return make(events)

    async def go():
        mounted = OnFirstRequest(build)
        async with mounted.lifespan():
            assert not mounted.built
            async with client(mounted) as asking:
                answers = await asyncio.gather(*(asking.get("/") for _ in range(5)))
            assert mounted.built
            assert [answer.json() for answer in answers] == ["here"] * 5

    asyncio.run(go())
    assert events == ["build", "start", "stop"]


def test_nobody_asks_nothing_is_built():
    async def go():
        async with OnFirstRequest(lambda: pytest.fail("built")).lifespan():
            pass

    asyncio.run(go())


def test_a_failure_is_told_and_tried_again():
    attempts = []

    def build():
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("no memory")
        return make([])

    async def go():
        mounted = OnFirstRequest(build)
        async with mounted.lifespan(), client(mounted) as asking:
            with pytest.raises(RuntimeError, match="no memory"):
                await asking.get("/")
            assert (await asking.get("/")).json() == "here"

    asyncio.run(go())


def test_a_visitor_who_leaves_does_not_stop_the_others():
    async def go():
        mounted = OnFirstRequest(lambda: make([]))
        async with mounted.lifespan(), client(mounted) as asking:
            impatient = asyncio.create_task(asking.get("/"))
            await asyncio.sleep(0)
            impatient.cancel()
            assert (await asking.get("/")).json() == "here"

    asyncio.run(go())
