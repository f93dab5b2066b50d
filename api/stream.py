"""Work that grows, for one client: its newest state as an answer at the end, or as Server-Sent Events on the way.

The work is done in a thread of its own, so that who waits in line holds none of the server's. Each frame is the whole
state so far, so that a client that reads slowly gets fewer of them and misses nothing. A client that goes away stops
the work: its iterator is closed, and if it waits in line yet, it leaves the line. What goes wrong before the first
frame is an answer with its status, and after it a last frame of the event `error`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing
from typing import Any, Generic, TypeVar

import orjson
from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.access import Json
from api.errors import GENERIC
from core.errors import WorkbenchError
from core.models.memory import no_room, ran_out
from core.records import Step, Tell

T = TypeVar("T")
Begin = Callable[[Tell], Generator[T]]
"""Begins the work; it is told each step of a wait in line."""
LOOK = 0.5
"""Seconds after which it is looked whether the client is still there."""
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
"""Nothing between here and the client is to hold frames back."""

_log = logging.getLogger(__name__)


class Gone(Exception):
    """The client went away: nobody is there to be told."""


class Work(Generic[T]):
    """One client's work. All but what runs in its thread is for the event loop alone."""

    def __init__(self, begin: Begin[T]) -> None:
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._newest: T | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True, name="api-work").start()

    async def next(self) -> T | None:
        """The newest state that was not given yet; None at the end. Raises what the work raises."""
        await self._changed.wait()
        self._changed.clear()
        found, self._newest = self._newest, None
        if found is not None:
            if self._ended:
                self._changed.set()  # the end, or the error, is next
            return found
        self._changed.set()
        if self._error is not None:
            raise self._error
        return None

    async def here(self, request: Request) -> T | None:
        """`next`, as long as the client is there; raises `Gone` if it is not."""
        waiting = asyncio.ensure_future(self.next())
        try:
            while not (await asyncio.wait({waiting}, timeout=LOOK))[0]:
                if await request.is_disconnected():
                    raise Gone
            return waiting.result()
        finally:
            waiting.cancel()

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._stopped.set()

    # -- in its thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with closing(self._begin(self._told)) as made:
                for state in made:
                    if self._stopped.is_set():
                        return
                    self._call(self._put, state)
        except BaseException as raised:  # handed to whoever reads
            error = raised
        finally:
            self._call(self._end, error)

    def _told(self, step: Step) -> None:
        if self._stopped.is_set():
            raise Gone

    def _call(self, function: Callable[[Any], None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, value)
        except RuntimeError:  # the server has stopped
            self._stopped.set()

    # -- in the loop ---------------------------------------------------------------------------------------------------

    def _put(self, state: T) -> None:
        self._newest = state
        self._changed.set()

    def _end(self, error: BaseException | None) -> None:
        self._error, self._ended = error, True
        self._changed.set()


async def answer(request: Request, begin: Begin[T], draw: Callable[[T], Any], *, stream: bool) -> Response:
    """What comes of the work, as JSON by `draw`; each state on the way is a frame if `stream`."""
    work = Work(begin)
    try:
        state = await work.here(request)
        assert state is not None  # there is one at least
        if stream:
            return Events(work, state, draw)  # which stops the work
        while (newer := await work.here(request)) is not None:
            state = newer
        return Json(draw(state))
    except Gone:
        work.stop()
        return Response(status_code=499)  # nobody reads it
    except BaseException:
        work.stop()
        raise


class Events(StreamingResponse):
    """The states of some work as Server-Sent Events; the work ends with the response, however that ends."""

    media_type = "text/event-stream"

    def __init__(self, work: Work[T], first: T, draw: Callable[[T], Any]) -> None:
        self._work = work
        super().__init__(_frames(work, first, draw), headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._work.stop()


async def _frames(work: Work[T], first: T, draw: Callable[[T], Any]) -> AsyncIterator[bytes]:
    state: T | None = first
    try:
        while state is not None:
            yield b"data: " + orjson.dumps(draw(state)) + b"\n\n"
            state = await work.next()
    except Exception as error:
        said = orjson.dumps(dict.fromkeys(("error", "message"), _said(error)))
        yield b"event: error\ndata: " + said + b"\n\n"


def _said(error: Exception) -> str:
    if ran_out(error):
        return str(no_room())
    if not isinstance(error, WorkbenchError):
        _log.error("a stream failed", exc_info=error)
        return GENERIC
    return str(error).encode("utf-8", "replace").decode()
