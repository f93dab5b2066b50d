"""HTTP within a bound of time in total.

httpx bounds each wait by itself: to connect, and for each piece that arrives. A server that sends a byte a second is
within every bound and never done. Here one moment is set before a request, and no wait of the thread that asks goes
beyond it. Cost: nothing that can be measured.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

_asking = threading.local()


def client(seconds: float) -> httpx.Client:
    """A client whose every request is answered within so many seconds, or raises `httpx.TimeoutException`."""

    def begin(_: httpx.Request) -> None:
        _asking.until = time.monotonic() + seconds

    made = httpx.Client(timeout=seconds, follow_redirects=False, event_hooks={"request": [begin]})
    for way in (made._transport, *made._mounts.values()):  # the second are the proxies of the environment
        if isinstance(way, httpx.HTTPTransport):
            way._pool._network_backend = _Backend(way._pool._network_backend)
    return made


class _Backend(httpcore.NetworkBackend):
    def __init__(self, within: httpcore.NetworkBackend) -> None:
        self._within = within

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return _Stream(self._within.connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, within: httpcore.NetworkStream) -> None:
        self._within = within

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._within.read(max_bytes, _left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._within.write(buffer, _left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._within.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(httpcore.ConnectTimeout)
        return _Stream(self._within.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._within.get_extra_info(info)


def _left(late: type[Exception]) -> float:
    found: float = _asking.until - time.monotonic()
    if found <= 0:
        raise late("it took too long")
    return found
