"""A feature as a table for a spreadsheet, and the Python line that gets the same thing.

One tidy table: a row a number, and what it is in the first columns. A spreadsheet runs a cell that begins with = + - or
@ as a formula, and tokens are whatever the corpus held, so such texts get an apostrophe in front; JSON keeps them as
they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from core.records import ExampleGroup, FeatureKey, FeatureRecord, Related, TokenValue

COLUMNS = ("part", "rank", "name", "index", "value", "position", "repeats", "document", "text")

Cell = str | int | float | None

_RUNS = "=+-@＝＋－＠"


def feature_csv(record: FeatureRecord) -> str:
    """What the feature page shows, as CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([guarded(cell) for cell in row] for row in _rows(record))
    return out.getvalue()


def python_line(key: FeatureKey) -> str:
    """The line that gets this record in a notebook."""
    return f'from core.workbench import Workbench; record = Workbench().feature("{key}")'


def guarded(cell: Cell) -> Cell:
    """A cell that no spreadsheet runs as a formula."""
    # Leading blanks and control characters are looked through: some readers trim them before they decide.
    if isinstance(cell, str) and cell.lstrip(" \t\r\n\0").startswith(tuple(_RUNS)):
        return "'" + cell
    return cell


def _rows(record: FeatureRecord) -> Iterator[Sequence[Cell]]:
    facts = ("label", "active", "density", "maximum", "minimum", "mean", "deviation")
    yield _row("feature", name="id", text=str(record.key))
    for name in facts:
        fact = getattr(record, name)
        yield _row("feature", name=name, text=fact) if isinstance(fact, str) else _row("feature", name=name, value=fact)
    yield from _logits("promotes", record.top_logits)
    yield from _logits("suppresses", record.bottom_logits)
    yield from _related("alignment", record.alignment)
    yield from _related("correlated neuron", record.correlated_neurons)
    yield from _related("correlated feature", record.correlated_features)
    yield from _related("neighbour", record.neighbours)
    for group in record.groups:
        yield from _examples(group)


def _row(
    part: str,
    rank: int | None = None,
    name: str | None = None,
    index: int | None = None,
    value: float | None = None,
    position: int | None = None,
    repeats: int | None = None,
    document: int | None = None,
    text: str | None = None,
) -> Sequence[Cell]:
    return (part, rank, name, index, value, position, repeats, document, text)


def _logits(part: str, entries: tuple[TokenValue, ...]) -> Iterator[Sequence[Cell]]:
    for rank, entry in enumerate(entries, 1):
        yield _row(part, rank, index=entry.token.id, value=entry.value, text=entry.token.text)


def _related(part: str, entries: tuple[Related, ...]) -> Iterator[Sequence[Cell]]:
    for rank, entry in enumerate(entries, 1):
        yield _row(part, rank, index=entry.index, value=entry.value, text=entry.label or None)


def _examples(group: ExampleGroup) -> Iterator[Sequence[Cell]]:
    name = f"{group.low:.6g} to {group.high:.6g}" if group.kind == "interval" else None
    for rank, example in enumerate(group.examples, 1):
        text = "".join(token.text for token in example.tokens if not token.special)
        yield _row(
            f"{group.kind} example",
            rank,
            name=name,
            index=example.prompt,
            value=example.value,
            position=example.position,
            repeats=example.repeats,
            document=example.document,
            text=text,
        )
