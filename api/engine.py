"""This server as an engine for others: tokens, codes and steered texts for whoever knows the key.

`core.remote` has the protocol's other side. Where `FEATURESCOPE_ENGINE_KEY` is not set nobody is answered. Requests are
not counted by client, since another server asks for many; texts, tokens and sources have the bounds of everybody's.
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import Response

from api.access import Bench, Json
from api.bodies import Unicode
from api.stream import answer
from core.errors import NotAllowed
from core.records import SteerAsk, SteerRecord, SweepRecord

_STEERED, _SWEPT = TypeAdapter(SteerRecord), TypeAdapter(SweepRecord)


Key = Annotated[str, Header(alias="X-Engine-Key", description="what both servers know")]


def _known(workbench: Bench, key: Key = "") -> None:
    expected = workbench.settings.engine_key.get_secret_value()
    if not expected:
        raise NotAllowed("This server is no engine: it has no FEATURESCOPE_ENGINE_KEY.")
    if not hmac.compare_digest(expected.encode(), key.encode()):
        raise NotAllowed("FEATURESCOPE_ENGINE_KEY is not the same here.")


router = APIRouter(prefix="/engine/v1", tags=["engine"], dependencies=[Depends(_known)])


class Texts(BaseModel):
    """Texts of a model."""

    model: Unicode
    texts: Annotated[list[Unicode], Field(min_length=1)]


@router.post("/tokens", summary="The tokens of texts", response_model=None)
def tokens(asked: Texts, workbench: Bench) -> Json:
    """`rows`: the ids of each text, BOS first if the model has one."""
    return Json({"rows": workbench.tokens_of(asked.model, asked.texts)})


class Rows(BaseModel):
    """Tokens, and the sources that are to read them."""

    model: Unicode
    rows: Annotated[list[list[int]], Field(min_length=1)]
    sources: Annotated[list[Unicode], Field(min_length=1)]


@router.post("/codes", summary="What tokens activate", response_model=None)
def codes(asked: Rows, workbench: Bench) -> Response:
    """A NumPy archive of every text's codes in every source; `core.remote.wire` describes it."""
    from core.remote.wire import pack

    found, lost = workbench.codes_of(asked.model, asked.rows, asked.sources)
    keys = sorted({key for each in found for key in each})
    return Response(pack(keys, found, lost), media_type="application/octet-stream")


class Run(BaseModel):
    """A steering run; `ask` as `core.records.SteerAsk` is written in JSON."""

    ask: SteerAsk
    keep: bool = False


@router.post("/steer", summary="A steering run as it grows", response_model=None)
async def steer(asked: Run, workbench: Bench, request: Request) -> Response:
    """Server-Sent Events, each the whole `SteerRecord` so far; the last has `done`."""
    draw = partial(_STEERED.dump_python, mode="json")
    return await answer(
        request, lambda tell: workbench.steering(asked.ask, keep=asked.keep, tell=tell), draw, stream=True
    )


class Sweep(BaseModel):
    """A prompt at several strengths."""

    ask: SteerAsk
    factors: list[float]


@router.post("/sweep", summary="The same prompt at several strengths", response_model=None)
def sweep(asked: Sweep, workbench: Bench) -> Any:
    """A `SweepRecord`."""
    return Json(_SWEPT.dump_python(workbench.sweep(asked.ask, asked.factors), mode="json"))
