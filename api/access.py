"""What every route uses: the workbench, set once by `api.server.create`, and the way its answer is written."""

from __future__ import annotations

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
