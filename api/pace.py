"""A limit to how often one client may have a model run: 429 beyond it, with when to try again.

A client is an address; of IPv6 the network that one customer has (/64). Each may send so many requests at once and then
as many a minute. What is kept is one number a client, for the latest few thousand clients, in this process: two
instances count apart.

An address is taken from `X-Forwarded-For` only as far as the settings say how many proxies are trusted, counted from
its end, where each proxy writes whom it speaks for; everything before that is the client's own claim.
"""

from __future__ import annotations

import ipaddress
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import reply
from core.errors import WorkbenchError

PATHS = {
    "/activation/new", "/activation/source", "/circuit/ablate", "/circuit/components", "/circuit/features",
    "/circuit/lens", "/circuit/pair", "/circuit/pair/curve", "/circuit/pair/features", "/circuit/pair/patch",
    "/circuit/pair/residual", "/circuit/tokens", "/compare/read", "/cossim", "/explanation/generate",
    "/explanation/score",
    "/explanation/search", "/explanation/search-all", "/explanation/search-model", "/explanation/search-release",
    "/graph/generate", "/graph/save", "/head/active", "/head/features", "/head/pattern",
    "/probe/new", "/redteam", "/search-all", "/search-topk-by-token", "/similar", "/steer", "/steer-chat",
    "/steer-sweep", "/template", "/vector/new",
}  # fmt: skip
"""What is posted to have a model run, or weights loaded to compare them."""
LOOKS = re.compile(
    r"/similar/.+|/head/[^/]+(?:/[^/]+/[^/]+)?|/compare/features|/feature/[^/]+/[^/]+/[^/]+/vector", re.DOTALL
)
"""Addresses whose looking up does the same."""
CLIENTS = 4096
"""Clients remembered; beyond them whoever was quiet longest is forgotten."""
MINUTE = 60.0


class TooMany(WorkbenchError):
    """A client has sent more than its share; `seconds` until it may send the next one."""

    status = 429

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Counter:
    """What each client has sent; one of them for all doors of a server. 0 a minute means no limit.

    `what` ends the sentence that refuses one: “Too many requests: at most 240 a minute …”.
    """

    def __init__(
        self,
        a_minute: int,
        *,
        proxies: int = 0,
        clock: Callable[[], float] = time.monotonic,
        what: str = "run a model here",
    ) -> None:
        self._a_minute, self._proxies, self._clock, self._what = a_minute, proxies, clock, what
        self._busy_until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()  # guards it: embeds ask from their threads

    def __call__(self, scope: Scope) -> None:
        """Counts one request; raises `TooMany` if it is one too many."""
        if not self._a_minute or not (wait := self._wait(client(scope, self._proxies))):
            return
        seconds = math.ceil(wait)
        raise TooMany(
            f"Too many requests: at most {self._a_minute:,} a minute {self._what}. "
            f"Try again in {seconds} second{'s' * (seconds != 1)}.",
            seconds,
        )

    def _wait(self, who: str) -> float:
        """Seconds until `who` may send another one; 0, and this one is counted, if that is now."""
        now, each = self._clock(), MINUTE / self._a_minute
        with self._lock:
            until = max(now, self._busy_until.get(who, 0.0)) + each  # when all that was sent is paid off
            if (over := until - now - MINUTE) > 1e-6:
                return over
            self._busy_until[who] = until
            self._busy_until.move_to_end(who)
            if len(self._busy_until) > CLIENTS:
                self._busy_until.popitem(last=False)
        return 0.0


class Pace:
    """ASGI middleware: counts the requests to `PATHS` and `LOOKS`."""

    def __init__(self, app: ASGIApp, *, counter: Counter) -> None:
        self._app, self._counter = app, counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        try:
            if scope["type"] == "http" and ((path := _path(scope)) in PATHS or LOOKS.fullmatch(path)):
                self._counter(scope)
        except TooMany as error:
            headers = {"Retry-After": str(error.seconds)}
            return await reply(str(error), error.status, headers)(scope, receive, send)
        return await self._app(scope, receive, send)


def client(scope: Scope, proxies: int) -> str:
    """Whom a request is counted for."""
    peer = scope["client"][0] if scope.get("client") else ""
    own = _network(peer) or peer
    chain = [part.strip() for value in Headers(scope=scope).getlist("x-forwarded-for") for part in value.split(",")]
    if proxies and len(chain) >= proxies:
        return _network(chain[-proxies]) or own
    if peer and peer in {_bare(part) for part in chain}:
        # The server below us believes the header of whoever connects from this machine, and has put the claim in the
        # peer's place. Nobody said that it is to be believed, so all such share one count.
        return "forwarded"
    return own


def _network(address: str) -> str:
    """What one customer has: an IPv4 address, or the /64 of an IPv6 one; empty if it is neither."""
    try:
        found = ipaddress.ip_address(_bare(address))
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)


def _bare(address: str) -> str:
    """Without a port: `[::1]:80` and `1.2.3.4:80` are how some proxies write."""
    if address.startswith("["):
        return address[1:].split("]")[0]
    return address.split(":")[0] if address.count(":") == 1 else address


def _path(scope: Scope) -> str:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.rstrip("/")
