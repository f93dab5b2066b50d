"""A limit to what a request may send, so that nobody fills the server's memory: 413 with a message beyond it.

The longest that any route reads, 32 texts of 10,000 characters, is 3.9 MB if every character is escaped.
"""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import reply

MOST = 8 * 2**20
"""Bytes of a body at most."""


class Limit:
    """ASGI middleware: refuses by the length that is announced, and cuts off what comes without one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > MOST:
            return await reply(_message(), 413)(scope, receive, send)
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST:
                raise HTTPException(413, _message())
            return message

        return await self._app(scope, counted, send)


def _message() -> str:
    return f"The body is too large: at most {MOST // 2**20} MiB are read. Send fewer or shorter texts at once."
