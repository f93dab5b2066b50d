"""Neuronpedia's inference server as an engine: its `/v1/tokenize` and `/v1/activation/source`.

It reads texts, not tokens, so a row is only known here by the text that it was made of. It leaves BOS out of what it
gives, rounds values to three decimals, takes four texts at once, and answers one request after another. It cannot
continue texts as this server's pages show them (no log-probabilities, no watched features), so steering is not asked
of it. An SAE that folds norms there gives other values than `encode` with the weights as they are on disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from core.errors import BadData, BadInput, Busy, NotAvailable
from core.records import SourceKey, SteerAsk, SteerRecord, SweepRecord
from core.remote.engine import Found
from core.sources.codes import Sparse

AT_ONCE = 4
REMEMBERED = 4096
"""Texts known by their tokens."""


class Neuronpedia:
    """A client of `/v1`."""

    def __init__(self, address: str, key: str, patience: float) -> None:
        self._client = httpx.Client(
            base_url=f"{address.rstrip('/')}/v1/", headers={"X-SECRET-KEY": key},
            timeout=httpx.Timeout(patience + 30, connect=5),
        )  # fmt: skip
        self._texts: OrderedDict[tuple[str, tuple[int, ...]], str] = OrderedDict()
        self._lock = threading.Lock()

    def tokens(self, model_id: str, texts: Sequence[str]) -> list[list[int]]:
        """See `Engine.tokens`."""
        rows = []
        for text in texts:
            found = self._asked("tokenize", {"model": model_id, "text": text, "prepend_bos": True})
            rows.append([int(i) for i in _field(found, "tokens")])
            with self._lock:
                self._texts[model_id, tuple(rows[-1])] = text
                while len(self._texts) > REMEMBERED:
                    self._texts.popitem(last=False)
        return rows

    def codes(
        self, model_id: str, rows: Sequence[Sequence[int]], sources: Mapping[SourceKey, int]
    ) -> tuple[list[Found], dict[SourceKey, str]]:
        """See `Engine.codes`."""
        with self._lock:
            texts = [self._texts.get((model_id, tuple(row))) for row in rows]
        if None in texts:
            raise NotAvailable("Neuronpedia's server reads texts only, and of these tokens no text is known.")
        found: list[Found] = [{} for _ in rows]
        lost: dict[SourceKey, str] = {}
        for key, width in sources.items():
            try:
                for begin in range(0, len(rows), AT_ONCE):
                    asked = {"model": model_id, "source": key.source_id, "prompts": texts[begin : begin + AT_ONCE]}
                    results = _field(self._asked("activation/source", asked), "results")
                    for n, one in enumerate(results[: len(rows) - begin]):
                        found[begin + n][key] = _codes(
                            _field(one, "active_features"), len(rows[begin + n]), width
                        )
            except (BadData, BadInput) as error:
                lost[key] = str(error)
        return [{key: one for key, one in each.items() if key not in lost} for each in found], lost

    def steer(self, ask: SteerAsk, *, keep: bool) -> Iterator[SteerRecord]:
        """Not asked of it."""
        raise NotAvailable("Neuronpedia's server gives no log-probabilities: steering needs an engine of our own.")

    def sweep(self, ask: SteerAsk, factors: Sequence[float]) -> SweepRecord:
        """Not asked of it."""
        raise NotAvailable("Neuronpedia's server gives no log-probabilities: steering needs an engine of our own.")

    def _asked(self, what: str, body: dict[str, Any]) -> Any:
        try:
            answer = self._client.post(what, json=body)
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Busy(f"Neuronpedia's server does not answer ({type(error).__name__}): try again soon.") from error
        if answer.status_code == 200:
            return said
        message = str(said.get("error", said) if isinstance(said, dict) else said)[:300]
        if answer.status_code in (401, 403, 503) or answer.status_code >= 500:
            raise Busy(f"Neuronpedia's server answered {answer.status_code}: {message}")
        raise BadInput(f"Neuronpedia's server refused it: {message}")


def _field(found: Any, name: str) -> Any:
    """A field of an answer, as its Python or its TypeScript client writes it."""
    first, *rest = name.split("_")
    for spelt in (name, first + "".join(part.title() for part in rest)):
        if isinstance(found, dict) and spelt in found:
            return found[spelt]
    raise BadData(f"Neuronpedia's server gave no “{name}”.")


def _codes(active: Any, tokens: int, width: int) -> Sparse:
    """Non-zeros from {feature: [[position, value], …]}."""
    try:
        entries = sorted((int(p), int(f), float(v)) for f, places in active.items() for p, v in places)
    except (AttributeError, TypeError, ValueError) as error:
        raise BadData("Neuronpedia's server gave activations of another form.") from error
    if any(not 0 <= p < tokens or not 0 <= f < width for p, f, _ in entries):
        raise BadData("Neuronpedia's server gave activations outside the text.")
    positions, features, values = zip(*entries, strict=True) if entries else ((), (), ())
    return Sparse(
        tokens, width, np.array(positions, np.int32), np.array(features, np.int32), np.array(values, np.float32)
    )
