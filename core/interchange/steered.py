"""A steered text as a table for a spreadsheet, and the Python line that gets the same run.

A row a generated token: its log-probability under the unsteered and under the steered model, whichever wrote it, and
the likeliest tokens in its place. Then a row for each next token at the prompt's end that gained or lost most. Cells
that a spreadsheet would run as a formula are guarded, as in `core.interchange.table`. Costs a walk over the record.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence

from core.interchange.table import Cell, guarded
from core.records import Shift, SteerAsk, SteeredText, SteerRecord

COLUMNS = ("part", "rank", "token", "id", "unsteered", "steered", "change", "likeliest")


def steer_csv(record: SteerRecord) -> str:
    """Both texts and the next tokens, as CSV text; log-probabilities in nats."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([guarded(cell) for cell in row] for row in _rows(record))
    return out.getvalue()


def python_line(ask: SteerAsk) -> str:
    """The lines that run the same ask in a notebook."""
    usual = SteerAsk(model_id=ask.model_id, pushes=())
    given = {push.key: push.strength for push in ask.pushes}
    features = ", ".join(f'"{key}": {strength!r}' for key, strength in given.items())
    more = []
    for field in dataclasses.fields(SteerAsk):
        value = getattr(ask, field.name)
        if field.name in ("model_id", "prompt", "pushes") or value == getattr(usual, field.name):
            continue
        more.append(f"{field.name}={value!r}")
    names = ["FeatureKey"] * bool(ask.watch) + ["Message"] * bool(ask.messages) + ["SteerAsk"]
    asked = ", ".join([f"{ask.model_id!r}", f"{ask.prompt!r}", f"{{{features}}}", *more])
    return (
        f"from core.records import {', '.join(names)}; from core.workbench import Workbench; "
        f"record = Workbench().steer(SteerAsk.of({asked}))"
    )


def _rows(record: SteerRecord) -> Iterator[Sequence[Cell]]:
    yield from _text("default", record.default, steered=False)
    yield from _text("steered", record.steered, steered=True)
    if record.effect is not None:
        yield from _shifts("gain", record.effect.gains)
        yield from _shifts("loss", record.effect.losses)


def _text(part: str, text: SteeredText, *, steered: bool) -> Iterator[Sequence[Cell]]:
    for rank, one in enumerate(text.tokens, 1):
        before, after = (one.other, one.logprob) if steered else (one.logprob, one.other)
        change = None if before is None or after is None else after - before
        likeliest = " | ".join(f"{item.token.text} {math.exp(item.logprob):.3g}" for item in one.top)
        yield part, rank, one.token.text, one.token.id, before, after, change, likeliest


def _shifts(part: str, shifts: Sequence[Shift]) -> Iterator[Sequence[Cell]]:
    for rank, one in enumerate(shifts, 1):
        before, after = _log(one.before), _log(one.after)
        change = None if before is None or after is None else after - before
        yield part, rank, one.token.text, one.token.id, before, after, change, None


def _log(probability: float) -> float | None:
    """None for what has become impossible: a spreadsheet has no minus infinity."""
    return math.log(probability) if probability > 0 else None
