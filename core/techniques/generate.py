"""A default and a steered text side by side, one token at a time, and what steering does to the prompt itself.

Both are rows of one batch with a key-value cache, so that the weights are read once for both. What is drawn depends on
the seed and the step alone (core.techniques.sampling). Each token has its log-probability under the model that wrote it
and, `SCORED` tokens at a time, under the other one after the same text: the difference is what steering did to that
token. Where the two prompts differ (chats that went different ways) each has a batch of its own, and there are no such
scores.

Cost: a pass a token for both, and a pass over every `SCORED` tokens of both for the scores. The model's lock is held a
pass at a time, so that tests and searches go on in between.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import BadConfig, BadInput
from core.models.capture import per_token
from core.models.loading import LoadedModel
from core.models.plain import Change, Runner, plain_of
from core.models.thread import computing
from core.records import Effect, Likely, Shift, SteeredText, Watched, Written
from core.sources.dictionary import Dictionary
from core.techniques.sampling import Sampling
from core.techniques.steering import TOO_STRONG, Aim, Steering

SCORED = 16
"""Tokens after which both texts are scored under the other model."""
SHIFTS = 12
"""Tokens that gain most, and that lose most."""

Lock = AbstractContextManager[Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """A feature whose values on the prompt are compared."""

    source: Dictionary
    index: int


class Batch:
    """Rows that are generated together, one steering each."""

    def __init__(self, model: LoadedModel, lock: Lock, steering: Steering, aim: Aim, also: Sequence[str] = ()) -> None:
        self._model, self._lock, self._steering, self._aim = model, lock, steering, aim
        with lock:
            self._runner: Runner = plain_of(model).runner(model, sorted({*steering.hooks, *also}))
        self._cache: Any = None
        self._moved = torch.zeros(steering.size, dtype=torch.bool, device=model.device)
        """Rows in which an activation was changed."""
        self._apart = self._moved.clone()
        """Rows that are not the first one's text in the first one's model."""
        self._all_apart = False
        """Whether that is all but the first, and no more has to be asked."""

    def read(
        self, ids: Sequence[int], rows: int, watch: Sequence[str] = ()
    ) -> tuple[Float[Tensor, "rows vocab"], dict[str, Float[Tensor, "rows pos d"]]]:
        """Reads the prompt: (logits of what follows it, the activations at the hooks of `watch` as steered).

        Raises what `go_on` does.
        """
        special = [i in self._model.vocabulary.special for i in ids]
        at = torch.tensor([self._aim.prompt(special)] * rows)
        seen: dict[str, Tensor] = {}
        batch = torch.tensor([list(ids)] * rows)
        changes = dict(self._steering.changes(at, self._moved))
        for hook in watch:
            changes[hook] = _seeing(changes.get(hook), batch, hook, seen)
        logits = self._pass(batch, changes)[:, -1]
        return logits, {hook: self._alike(value) for hook, value in seen.items()}

    def go_on(self, ids: Sequence[Sequence[int]], *, every: bool = False) -> Float[Tensor, "rows some vocab"]:
        """Logits after more tokens of each row: after the last, or after every one.

        Raises:
            BadInput: the strength is so large that the model's numbers overflow.
        """
        batch = torch.tensor(ids)
        at = torch.full(batch.shape, self._aim.generated)
        return self._pass(batch, self._steering.changes(at, self._moved), every=every)

    @computing
    def twin(self) -> Batch:
        """Another one that has read the same and goes on by itself."""
        other = copy.copy(self)
        other._cache = copy.deepcopy(self._cache)
        other._moved, other._apart = self._moved.clone(), self._apart.clone()
        return other

    def _pass(self, batch: Tensor, changes: Mapping[str, Change], *, every: bool = False) -> Tensor:
        with self._lock:
            return self._computed(batch, changes, every)

    @computing
    def _computed(self, batch: Tensor, changes: Mapping[str, Change], every: bool) -> Tensor:
        """A pass and what is to be known of it, in one change of thread."""
        logits, self._cache = self._runner.pass_(batch, changes, self._cache, every=every)
        if not self._all_apart:
            self._apart |= self._moved | self._moved[0] | (batch != batch[0]).any(1).to(self._apart.device)
            self._all_apart = bool(self._apart[1:].all())
        if not logits.amax(-1).isfinite().all():  # NaN counts as the largest
            if self._moved.any():
                raise BadInput(TOO_STRONG)
            raise BadConfig(f"{self._model.manifest.record.model_id} gives no finite numbers on this text.")
        return self._alike(logits)

    def _alike(self, values: Float[Tensor, "rows pos _"]) -> Float[Tensor, "rows pos _"]:
        """Rows of one text in one model made one to the bit: their sums may be rounded differently in a batch."""
        return values if self._all_apart else torch.where(self._apart[:, None, None], values, values[:1])


def _seeing(before: Change | None, ids: Tensor, hook: str, seen: dict[str, Tensor]) -> Change:
    """Keeps what passes at a hook, after it was steered."""

    def change(x: Tensor) -> Tensor | None:
        new = None if before is None else before(x)
        seen[hook] = per_token(x if new is None else new, ids, hook).float().clone()
        return new

    return change


@dataclass(slots=True)
class Text:
    """A text as it grows."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[list[tuple[int, float]]] = field(default_factory=list)
    other: list[float] = field(default_factory=list)
    ended: bool = False
    _made: list[Written] = field(default_factory=list)
    """Of `record`: most tokens stay as they are while the text grows."""

    @computing
    def add(self, token: int, logits: Float[Tensor, " vocab"], alternatives: int) -> None:
        """A token that was drawn where these were the logits."""
        logprobs = logits.log_softmax(-1)
        self.ids.append(token)
        self.logprobs.append(float(logprobs[token]))
        best = logprobs.topk(min(alternatives, len(logprobs)))
        self.top.append(list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))

    def record(self, model: LoadedModel) -> SteeredText:
        """The text so far."""
        for n, token in enumerate(model.vocabulary.draw(self.ids)):
            other = self.other[n] if n < len(self.other) else None
            if n < len(self._made) and self._made[n].token is token and self._made[n].other == other:
                continue
            top = tuple(Likely(model.vocabulary.alone(i), p) for i, p in self.top[n])
            self._made[n : n + 1] = [Written(token, self.logprobs[n], other, top)]
        return SteeredText(text=model.vocabulary.text(self.ids), tokens=tuple(self._made), ended=self.ended)


def write(
    batch: Batch, logits: Float[Tensor, "rows vocab"], texts: Sequence[Text], sampling: Sampling, *,
    length: int, ends: Sequence[int], alternatives: int,
) -> Iterator[None]:  # fmt: skip
    """Lets each text of a batch grow by a token at a time, until all have ended or are `length` long."""
    for step in range(length):
        drawn = _drawn(logits, texts, sampling, step, ends, alternatives)
        yield
        if all(text.ended for text in texts):
            return
        if step + 1 < length:
            logits = batch.go_on([[token] for token in drawn])[:, -1]


@computing
def _drawn(
    logits: Float[Tensor, "rows vocab"], texts: Sequence[Text], sampling: Sampling, step: int, ends: Sequence[int],
    alternatives: int,
) -> list[int]:  # fmt: skip
    """The next token of each row, added to the texts that have not ended: all in one change of thread."""
    drawn = sampling(logits, [text.ids for text in texts], step)
    for text, token, row in zip(texts, drawn, logits, strict=True):
        if not text.ended:
            text.add(token, row, alternatives)
            text.ended = token in ends
    return drawn


class Scores:
    """The log-probability of each text's tokens under another one's model, some at a time: row by row of a batch."""

    def __init__(self, batch: Batch, logits: Float[Tensor, "rows vocab"], texts: Sequence[Text]) -> None:
        self._batch, self._texts, self._done = batch, texts, 0
        self._next = logits  # after all that was read

    def look(self, *, last: bool) -> None:
        """Scores what was written since, if it is enough or if no more comes."""
        done, longest = self._done, max(len(text.ids) for text in self._texts)
        new = longest - done
        if new == 0 or (new < SCORED and not last):
            return
        self._done = longest
        pieces = [text.ids[done:] for text in self._texts]
        rows = [piece + [0] * (new - len(piece)) for piece in pieces]
        self._score(pieces, self._batch.go_on(rows, every=True))

    @computing
    def _score(self, pieces: Sequence[Sequence[int]], logits: Float[Tensor, "rows some vocab"]) -> None:
        before = torch.cat([self._next[:, None], logits[:, :-1]], 1).log_softmax(-1)
        self._next = logits[:, -1]
        for text, piece, row in zip(self._texts, pieces, before, strict=True):
            text.other += [float(row[n, token]) for n, token in enumerate(piece)]


@computing
def effect(
    model: LoadedModel,
    logits: Float[Tensor, "2 vocab"],
    seen: Mapping[str, Float[Tensor, "2 pos d"]],
    watched: Sequence[tuple[Watch, Watched]],
) -> Effect:
    """What steering (row 1) did to the next token and to the watched features, against no steering (row 0)."""
    logprobs = logits.double().log_softmax(-1)
    before, after = logprobs.exp()
    gain = after - before
    most, least = (side.topk(min(SHIFTS, len(gain))).indices.tolist() for side in (gain, -gain))

    def shift(i: int) -> Shift:
        return Shift(model.vocabulary.alone(i), float(before[i]), float(after[i]))

    found = []
    for watch, record in watched:
        x = seen[watch.source.hook]
        values = watch.source.values(x.flatten(0, 1), torch.tensor([watch.index], device=x.device)).reshape(2, -1)
        both = values.tolist()
        found.append(Watched(key=record.key, label=record.label, before=tuple(both[0]), after=tuple(both[1])))
    return Effect(
        gains=tuple(shift(i) for i in most if gain[i] > 0),
        losses=tuple(shift(i) for i in least if gain[i] < 0),
        divergence=divergence(logits[0], logits[1]),
        watched=tuple(found),
    )


def divergence(unsteered: Float[Tensor, " vocab"], steered: Float[Tensor, " vocab"]) -> float:
    """KL(steered ‖ unsteered), in nats."""
    p, q = steered.double().log_softmax(-1), unsteered.double().log_softmax(-1)
    return max(0.0, float((p.exp() * (p - q)).sum()))
