"""What every route uses: the workbench, set once by `api.server.create`, and the way its answer is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from core.workbench import Workbench


def _workbench(request: Request) -> Workbench:
    workbench: Workbench = request.app.state.workbench
    return workbench


Bench = Annotated[Workbench, Depends(_workbench)]
"""A route's parameter of this type is the workbench."""


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
