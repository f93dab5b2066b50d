"""What every route uses: the workbench, set once by `api.server.create`, who asks, and how an answer is written.

Who asks is said by `X-Api-Key` and never by a cookie, so that no page of another site can ask as somebody who looks at
it. A workbench of one that only this machine reaches is its person's, with any key or none; even there, a page of a
site elsewhere needs one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request
from starlette.responses import Response

from core.errors import NotSignedIn
from core.workbench import Workbench

LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
"""Pages of this machine, on any port, may call the API; others only where the settings name them."""


def _workbench(request: Request) -> Workbench:
    workbench: Workbench = request.app.state.workbench
    return workbench


Bench = Annotated[Workbench, Depends(_workbench)]
"""A route's parameter of this type is the workbench."""


def _people(
    request: Request,
    key: Annotated[str, Header(alias="X-Api-Key", description="a key of yours, from your account page")] = "",
) -> Any:  # a `People`; naming it here would bring SQLAlchemy into every start
    door = _workbench(request).community
    if door.shared:
        return door.by_key(key) if key else door.people()
    if door.community.kind == "none" or _at_home(request):
        return door.people()
    if not key:
        raise NotSignedIn("This needs an API key in the header X-Api-Key: make one on your account page.")
    return door.by_key(key)


Who = Annotated[Any, Depends(_people)]
"""A route's parameter of this type is whoever asks: a `core.community.people.People`."""


def _at_home(request: Request) -> bool:
    """Whether the workbench listens to this machine alone, and this machine asks: no page of a site elsewhere."""
    origin = request.headers.get("origin")
    asks = request.client.host if request.client else ""
    return (
        _loopback(_workbench(request).settings.host)
        and (_loopback(asks) or not _is_address(asks))  # what has no address came by a socket of this machine
        and (origin is None or re.fullmatch(LOOPBACK, origin) is not None)
    )


def _loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Json(Response):
    """JSON by orjson: a feature's record has tens of thousands of numbers, over which the standard encoder is slow."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encodes; numbers that JSON lacks (NaN, infinity) become null."""
        return orjson.dumps(content)


class JsonList(Json):
    """A list as JSON, an item at a time: of many features only the bytes are held, not their hundred thousand lists."""

    def render(self, content: Iterable[Any]) -> bytes:
        """Encodes; what the items raise on their way is raised here, before anything is sent."""
        return b"[" + b",".join([orjson.dumps(item) for item in content]) + b"]"
