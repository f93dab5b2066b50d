"""What is known of one feature's values on a build's prompts, and how: exactly, or not at all.

Three ways, the first that there is: the store, which has every value; the weights, through which a prompt is read (the
fewer the better: a pass of the model each, kept in the workbench's cache); or only the prompts that the feature's
record shows. A prompt that is not shown proves nothing, unless the shown ones hold every active token that was counted.
For a signed source (neurons, directions) “active” is the upper tail that its build kept; what lies between reads 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import NotAvailable, WorkbenchError
from core.records import FeatureKey, FeatureRecord, Token
from core.store.layout import Entries, SourceData

if TYPE_CHECKING:
    from core.workbench import Workbench

Values = NDArray[np.float32]
STRONGEST, SPREAD = 2000, 4000
"""Active tokens that are looked at: so many of the strongest, and so many of the rest, evenly over their ranks."""
How = Literal["store", "weights", "shown"]


@dataclass(frozen=True, slots=True)
class Place:
    """A token of a prompt, and the feature's value there."""

    prompt: int
    position: int
    value: float


class Known:
    """One feature's values, as far as they can be had. Not to be shared between threads."""

    def __init__(self, bench: Workbench, key: FeatureKey, *, read: bool = True) -> None:
        self.key = key
        self.record: FeatureRecord = bench.feature(key)
        self._bench = bench
        self._data: SourceData = bench._open.get(bench.catalog.entry(key.source).folder)
        self._floor = _floor(self.record)
        self._entries = self._stored()
        self._shown = _strips(self.record)
        self._rows: dict[tuple[int, int], Values] = {}
        self.why = ""
        """Why the model could not read prompts, in words; empty if it could or need not."""
        entry = bench.catalog.entry(key.source)
        read = read and "weights" in self.record.source.has and not entry.imported  # whose ids are not the model's
        self.how: How = "store" if self._entries is not None else "weights" if read else "shown"
        active = sum(int(np.count_nonzero(row > self._floor)) for row in self._shown.values())
        self.complete = active >= self.record.active
        """Whether the shown prompts hold every token on which it is active, so that any other prompt is silent."""

    @property
    def prompts(self) -> int:
        """Of the build."""
        return self.record.source.prompts

    def alike(self, token: int) -> list[int]:
        """Other tokens that read the same but for case and spaces."""
        pieces = self._bench._vocabulary(self.key.model_id).pieces
        own = pieces[token].strip().lower()
        return [n for n, piece in enumerate(pieces) if own and n != token and piece.strip().lower() == own]

    def tokens(self, prompt: int) -> tuple[Token, ...]:
        """All tokens of a prompt, BOS included."""
        return self._bench.prompt(self.key.source, prompt)

    def ids(self, prompts: Sequence[int]) -> list[NDArray[np.int64]]:
        """Of each prompt its token ids."""
        column = self._data.prompts.column("tokens")
        return [column[p].values.to_numpy(zero_copy_only=False).astype(np.int64) for p in prompts]

    def documents(self) -> NDArray[np.int64]:
        """[prompts]: the document that each was cut from."""
        return self._data.prompts.column("document").to_numpy().astype(np.int64)

    @cached_property
    def places(self) -> list[Place]:
        """Active tokens to choose from, strongest first: of the store, or those of the shown prompts."""
        if self._entries is not None:
            starts = self._data.starts
            kept = self._entries.values > self._floor
            where, values = self._entries.positions[kept].astype(np.int64), self._entries.values[kept]
            order = np.argsort(-values, kind="stable")
            step = max(1, (len(order) - STRONGEST) // SPREAD)
            order = np.concatenate([order[:STRONGEST], order[STRONGEST::step]])
            prompts = np.searchsorted(starts, where, side="right") - 1
            rows = zip(prompts[order], (where - starts[prompts])[order], values[order], strict=True)
            return [Place(int(p), int(n), float(v)) for p, n, v in rows]
        found = [
            Place(prompt, int(n), float(row[n]))
            for prompt in self._shown
            if (row := self._cut(prompt)) is not None
            for n in np.flatnonzero(row > 0)
        ]
        return sorted(found, key=lambda place: (-place.value, place.prompt, place.position))

    def drawn(self) -> dict[int, int]:
        """Of each shown prompt the token that stands for a range of values, where one was drawn for an interval."""
        return {
            example.prompt: example.position
            for group in self.record.groups
            if group.kind in ("interval", "random") and group.low >= self._floor
            for example in group.examples
        }

    def values(self, prompts: Sequence[tuple[int, int]]) -> list[Values | None]:
        """Of each (prompt, end) the values at its tokens before `end`; None where they cannot be known."""
        if self._entries is not None:
            return [self._from_store(prompt)[:end] for prompt, end in prompts]
        found: list[Values | None] = [
            None if (row := self._cut(prompt)) is None else row[:end] for prompt, end in prompts
        ]
        if self.complete:
            zeros = [np.zeros(end, np.float32) for _, end in prompts]
            return [zero if row is None else row for row, zero in zip(found, zeros, strict=True)]
        missing = [one for one, row in zip(prompts, found, strict=True) if row is None and one not in self._rows]
        if self.how == "weights" and missing:
            self._read(missing)
        return [self._rows.get(one) if row is None else row for one, row in zip(prompts, found, strict=True)]

    def _read(self, prompts: Sequence[tuple[int, int]]) -> None:
        """By the model; a token's value depends on those before it alone, so the rest is not read."""
        rows = [ids[:end].tolist() for ids, (_, end) in zip(self.ids([p for p, _ in prompts]), prompts, strict=True)]
        try:
            found = self._bench._codes(self.key.model_id, rows, [self.record.source])
        except (WorkbenchError, ImportError) as error:
            self.how, self.why = "shown", str(error)
            return
        for codes, (prompt, end) in zip(found, prompts, strict=True):
            values = codes[self.key.source].of(np.array([self.key.index], np.int64))[0]
            special = np.array([token.special for token in self.tokens(prompt)[:end]], bool)
            self._rows[prompt, end] = np.where(special | (values <= self._floor), np.float32(0), values)

    def _stored(self) -> Entries | None:
        try:
            return self._data.entries(self.key.index)
        except NotAvailable:
            return None

    def _from_store(self, prompt: int) -> Values:
        assert self._entries is not None
        begin, end = self._data.starts[prompt : prompt + 2]
        first, last = np.searchsorted(self._entries.positions, [begin, end])
        row = np.zeros(end - begin, np.float32)
        row[self._entries.positions[first:last].astype(np.int64) - begin] = self._entries.values[first:last]
        return np.where(row > self._floor, row, np.float32(0))

    def _cut(self, prompt: int) -> Values | None:
        """A shown prompt's values, those that count as active; None for another."""
        row = self._shown.get(prompt)
        return None if row is None else np.where(row > self._floor, row, np.float32(0))


def _floor(record: FeatureRecord) -> float:
    """Above it a value is active; for a signed source where its upper tail begins."""
    if not record.source.signed:
        return 0.0
    edges = [group.low for group in record.groups if group.kind == "interval" and group.low > record.minimum]
    return max(0.0, min(edges, default=0.0))


def _strips(record: FeatureRecord) -> dict[int, Values]:
    """Of each shown prompt the value at every token, special ones 0."""
    return {
        example.prompt: np.array(
            [0.0 if token.special else v for token, v in zip(example.tokens, example.values, strict=True)], np.float32
        )
        for group in record.groups
        for example in group.examples
    }
