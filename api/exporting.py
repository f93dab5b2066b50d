"""Whole sources to download: Neuronpedia's bulk export or our Parquet, as a .tar that is sent while it is written.

A few at a time, since each takes a core for as long as it lasts; who comes beyond that is told to come again. A client
that goes away ends the work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import StreamingResponse

from api.access import Bench
from api.bodies import MODEL, SOURCE
from core.errors import Busy
from core.records import SourceKey

router = APIRouter(tags=["sources"])
AT_ONCE = 2
_room = threading.BoundedSemaphore(AT_ONCE)


@router.get(
    "/export/{model_id}/{source_id}", summary="A whole source as a .tar", response_class=StreamingResponse,
    responses={200: {"content": {"application/x-tar": {}}}},
)  # fmt: skip
def export(
    bench: Bench,
    model_id: Annotated[str, Path(max_length=96, examples=[MODEL])],
    source_id: Annotated[str, Path(max_length=96, examples=[SOURCE])],
    format: Annotated[
        Literal["neuronpedia", "explanations", "parquet"],
        Query(
            description="neuronpedia: gzipped JSON lines as its bulk export; explanations: of these only explanations "
            "and scores; parquet: tables, with all that is kept"
        ),
    ] = "neuronpedia",
) -> StreamingResponse:
    """Every feature with its activations and explanations; `python -m core import` reads each."""
    key = SourceKey(model_id, source_id)
    blocks = bench.exchange.stream(key, format)
    if not _room.acquire(blocking=False):
        raise Busy("Others are downloading whole sources now. Come again in a minute.")
    name = f"{key.model_id}_{key.source_id}_{format}.tar"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_Taken(blocks), media_type="application/x-tar", headers=headers)


class _Taken:
    """The blocks; its room is free again when the last was sent, or when nobody wants them any more."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._open = blocks, True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._open:
            self._open = False
            _room.release()

    def __del__(self) -> None:
        self._leave()
