"""The engine of another instance of this server, over HTTP.

An answer's error is raised as the error that it was there. Requests are not repeated, since a steering run may cost
minutes. Cost: a connection for each thread that asks, kept open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from core.errors import BadData, BadInput, Busy, NotAllowed, NotAvailable, NotFound, WorkbenchError
from core.records import SourceKey, SteerAsk, SteerRecord, SweepRecord
from core.remote import wire
from core.remote.engine import Found

CONNECT = 5.0
"""Seconds for the engine to answer the door."""
MARGIN = 30.0
"""Seconds more than a request may wait there for its turn."""
_ASK, _STEERED, _SWEPT = TypeAdapter(SteerAsk), TypeAdapter(SteerRecord), TypeAdapter(SweepRecord)
_KINDS = {kind.status: kind for kind in (BadInput, NotFound, NotAvailable, BadData, Busy)}
"""Whose error an answer's status says."""


class Ours:
    """A client of `/api/engine/v1`."""

    def __init__(self, address: str, key: str, patience: float) -> None:
        self._client = httpx.Client(
            base_url=f"{address.rstrip('/')}/api/engine/v1/", headers={"X-Engine-Key": key},
            timeout=httpx.Timeout(patience + MARGIN, connect=CONNECT),
        )  # fmt: skip

    def tokens(self, model_id: str, texts: Sequence[str]) -> list[list[int]]:
        """See `Engine.tokens`."""
        found = _read(self._asked("tokens", {"model": model_id, "texts": list(texts)}))
        rows = found.get("rows") if isinstance(found, dict) else None
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise BadData("The engine's answer has no tokens for each text.")
        return [[int(i) for i in row] for row in rows]

    def codes(
        self, model_id: str, rows: Sequence[Sequence[int]], sources: Mapping[SourceKey, int]
    ) -> tuple[list[Found], dict[SourceKey, str]]:
        """See `Engine.codes`."""
        asked = {"model": model_id, "rows": [list(row) for row in rows], "sources": list(map(str, sources))}
        found, lost = wire.unpack(self._asked("codes", asked))
        if len(found) != len(rows) or any(set(each) | set(lost) != set(sources) for each in found):
            raise BadData("The engine's answer has not the texts and sources that it was asked for.")
        for key, width in sources.items():
            if any(each[key].width != width for each in found if key in each):
                raise BadData(f"The engine's {key} is not {width:,} features wide, as this server's is.")
        return found, lost

    def steer(self, ask: SteerAsk, *, keep: bool) -> Iterator[SteerRecord]:
        """See `Engine.steer`."""
        body = {"ask": _ASK.dump_python(ask, mode="json"), "keep": keep}
        with _answering(), self._client.stream("POST", "steer", json=body) as answer:
            if answer.status_code != 200:
                raise _error(answer.status_code, answer.read())
            failed = False
            for line in answer.iter_lines():
                failed = failed or line == "event: error"
                if line.startswith("data: ") and failed:
                    raise _error(Busy.status, line.removeprefix("data: ").encode())
                if line.startswith("data: "):
                    yield _parsed(_STEERED, line.removeprefix("data: ").encode())

    def sweep(self, ask: SteerAsk, factors: Sequence[float]) -> SweepRecord:
        """See `Engine.sweep`."""
        body = {"ask": _ASK.dump_python(ask, mode="json"), "factors": list(factors)}
        found: SweepRecord = _parsed(_SWEPT, self._asked("sweep", body))
        return found

    def _asked(self, what: str, body: dict[str, Any]) -> bytes:
        with _answering():
            answer = self._client.post(what, json=body)
        if answer.status_code != 200:
            raise _error(answer.status_code, answer.content)
        return answer.content


@contextmanager
def _answering() -> Iterator[None]:
    """Says in words that nobody answers."""
    try:
        yield
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise Busy(f"The engine that runs the models does not answer ({said}): pages go on, try again soon.") from error


def _error(status: int, body: bytes) -> WorkbenchError:
    """The error that an answer says."""
    try:
        said = json.loads(body)
        message = str(said["message"])
    except (ValueError, KeyError, TypeError):
        return Busy(f"The engine that runs the models answered {status}: try again soon.")
    if status == NotAllowed.status:
        return Busy(f"The engine that runs the models refused this server: {message}")
    return _KINDS.get(status, Busy)(message)


def _parsed(kind: TypeAdapter[Any], body: bytes) -> Any:
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        raise BadData(f"The engine's answer is no {kind}: {error.error_count()} fields are wrong.") from error


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise BadData("The engine's answer is no JSON.") from error
