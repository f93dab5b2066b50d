"""Every error of the API as `{"error", "message"}`, the pair that Neuronpedia's clients read.

`error` and `message` say the same: its older clients read one, its newer ones the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from core.errors import Busy, WorkbenchError
from core.models.memory import no_room, ran_out

AGAIN = {"Retry-After": "5"}
"""Seconds after which a busy server may be asked again: some turns of its model."""
GENERIC = "Something went wrong here, and it is not your input. The server's log says what."


def install(app: FastAPI) -> None:
    """Handles the workbench's own errors, unreadable requests, unknown paths, and whatever nobody expected."""
    app.add_exception_handler(WorkbenchError, _workbench_error)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def reply(message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """One error as JSON; halves of surrogate pairs, which a request can carry and UTF-8 cannot, are shown as “?”."""
    message = message.encode("utf-8", "replace").decode()
    return JSONResponse({"error": message, "message": message}, status_code=status, headers=headers)


def _workbench_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WorkbenchError)
    return reply(str(error), error.status, AGAIN if isinstance(error, Busy) else None)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return reply(f"There is no {request.url.path} here. All paths are listed at /api/docs.", 404)
    if error.status_code == 405:
        return reply(f"{request.url.path} does not answer {request.method}. All paths are listed at /api/docs.", 405)
    return reply(str(error.detail), error.status_code)


def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()[:5]
    message = " ".join(_sentence(problem) for problem in problems)
    kind = request.headers.get("content-type", "")
    if "json" not in kind and any(problem["type"] == "model_attributes_type" for problem in problems):
        message = "The body is not read as JSON: send it with Content-Type: application/json."
    return reply(message, 400)


def _sentence(problem: dict[str, Any]) -> str:
    """One validation error of pydantic as a sentence that names the field."""
    where = _field(problem.get("loc", ()))
    if problem["type"] == "json_invalid":
        return "The body is not JSON: " + str(problem.get("ctx", {}).get("error", problem["msg"])) + "."
    if problem["type"] == "missing":
        return f"{where or 'The body'} is missing." if where else "A JSON body is missing."
    if problem["type"] == "too_long" and "actual_length" in problem.get("ctx", {}):
        of = problem["ctx"]
        return f"{where or 'The body'} has {of['actual_length']:,} items: at most {of['max_length']:,} at once."
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where or 'The body'}: {message[:1].lower()}{message[1:]}."


def _field(location: Sequence[str | int]) -> str:
    """`feature.index`, or `[3].index` in a list.

    The first part says where it was read from (body, path, query), which the sentence does not need.
    """
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:]]
    return "".join(parts).removeprefix(".")


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises the error again after this answer, so the server logs it with its traceback, once.
    if ran_out(error):  # outside of a model's work, which says so itself
        return _workbench_error(request, no_room())
    return reply(GENERIC, 500)
