"""Questions of one run: answered from what is kept where they were before, else by the model, within a budget.

Every question is reserved at the most that it can cost before it is sent, so that a budget is never passed; what was
answered once is never asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import NotAvailable, WorkbenchError
from core.explain.kept import Kept, KeptAnswer, question
from core.explain.machine.client import SECONDS, Client, Endpoint, Message, NoAnswer, Refused, Stopped
from core.explain.machine.prices import Price, count

MOST = 600
"""Tokens that an answer may have; one that is cut off there is asked for again with four times as many."""


class OverBudget(WorkbenchError):
    """The next question could cost more than is left."""

    status = 409


@dataclass(slots=True)
class Spent:
    """What a run has taken so far."""

    asks: int = 0
    again: int = 0
    """Questions whose answer was there."""
    read: int = 0
    written: int = 0
    usd: float = 0.0


class Asker:
    """Asks for one run. Safe to share between threads."""

    def __init__(
        self, endpoint: Endpoint, *, budget: float | None = None, stop: threading.Event | None = None,
        seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.endpoint = endpoint
        self.price: Price | None = endpoint.costs()
        if budget is not None and self.price is None:
            raise NotAvailable(
                f"The price of {endpoint.model} is not known, so no budget can be kept to: give it (--price), add it "
                "to configs/prices.yaml, or go without a budget."
            )
        self.budget = budget
        self.spent = Spent()
        self.stop = stop or threading.Event()
        self._reserved = 0.0
        self._lock = threading.Lock()  # guards `spent` and `_reserved`
        self._client = Client(endpoint, stop=self.stop, seconds=seconds or SECONDS)

    @property
    def usd(self) -> float | None:
        """Spent; None where the price is not known."""
        return None if self.price is None else self.spent.usd

    def __call__(
        self, kept: Kept, feature: int, prompt: str, messages: Sequence[Message], *, most: int = MOST,
        temperature: float | None = None,
    ) -> str:  # fmt: skip
        """The answer; raises what `Client.ask` does, and `OverBudget`."""
        answer = self._answered(kept, feature, prompt, messages, most, temperature)
        if answer.cut:
            answer = self._answered(kept, feature, prompt, messages, 4 * most, temperature)
        return answer.text

    def _answered(
        self, kept: Kept, feature: int, prompt: str, messages: Sequence[Message], most: int, temperature: float | None
    ) -> KeptAnswer:
        ask = question(self.endpoint.model, self.endpoint.url, prompt, messages, {"most": most})
        if (found := kept.answer(ask)) is not None:
            with self._lock:
                self.spent.again += 1
            return found
        reserved = self._reserve(messages, most)
        try:
            kept.asked(ask, feature, self.endpoint.model, prompt)
            try:
                made = self._client.ask(messages, most=most, temperature=temperature)
            except (NoAnswer, Refused, Stopped):  # whether one that got no answer in time is paid, nobody knows
                kept.withdraw(ask)
                raise
            usd = None if self.price is None else self.price.of(made.read, made.written)
            answer = KeptAnswer(made.text, made.read, made.written, made.cut)
            with self._lock:
                self.spent.asks += 1
                self.spent.read += made.read
                self.spent.written += made.written
                self.spent.usd += usd or 0.0
            kept.answered(ask, answer, usd)
            return answer
        finally:
            with self._lock:
                self._reserved -= reserved

    def _reserve(self, messages: Sequence[Message], most: int) -> float:
        """At most what a question costs; the estimate of what is read is taken half as much again."""
        if self.price is None or self.budget is None:
            return 0.0
        cost = self.price.of(round(1.5 * count(messages)), most)
        with self._lock:
            if self.spent.usd + self._reserved + cost > self.budget + 1e-12:
                raise OverBudget(
                    f"The budget of ${self.budget:,.2f} is used up as far as it can be: ${self.spent.usd:,.4f} were "
                    f"spent, and the next question may cost ${cost:,.4f}."
                )
            self._reserved += cost
        return cost
