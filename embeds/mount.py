"""Puts an ASGI application under a path, built when it is first asked for, with its lifespan running.

Importing Gradio takes seconds and some 100 MB that most visitors never need, so the first request to an embed pays for
it and not the start of the server. Starlette does not start an application that is mounted, and a Gradio queue that was
not started takes a job and never answers: so one task enters the lifespan, keeps it, and leaves it when the server
stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send


class OnFirstRequest:
    """The application that `build` makes; `lifespan` belongs into the server's own lifespan."""

    def __init__(self, build: Callable[[], FastAPI]) -> None:
        self._build = build
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[FastAPI] | None = None
        self._stop = asyncio.Event()

    @property
    def built(self) -> bool:
        """Whether somebody asked for it already."""
        return self._ready is not None and self._ready.done()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open while the server runs; on leaving, the application is shut down in the task that started it."""
        self._stop, self._task, self._ready = asyncio.Event(), None, None
        try:
            yield
        finally:
            self._stop.set()
            if self._task is not None:
                await self._task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the application does; the first caller waits until it is built."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(self._ready), name="embeds")
        # Shielded: a visitor who leaves must not cancel what the others wait for.
        app = await asyncio.shield(self._ready)
        await app(scope, receive, send)

    async def _run(self, ready: asyncio.Future[FastAPI]) -> None:
        try:
            app = await asyncio.to_thread(self._build)
            async with app.router.lifespan_context(app):
                ready.set_result(app)
                await self._stop.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)
            self._ready = None  # the next request tries again
