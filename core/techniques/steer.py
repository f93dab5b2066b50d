"""Steering a model: one default and one steered text, and one prompt at several strengths.

Puts together what an ask says (core.techniques.steering, .generate, .sampling); the record of a run grows as its texts
do, and the last one is whole. Cost: see core.techniques.generate; a sweep is one batch of a row more than strengths,
and passes over all its texts for their perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from core.errors import BadInput
from core.models.loading import LoadedModel
from core.records import (
    Message,
    PushRecord,
    SteerAsk,
    SteerRecord,
    Step,
    Sweep,
    SweepRecord,
    Tell,
    Watched,
)
from core.techniques.generate import Batch, Lock, Scores, Text, Watch, divergence, effect, write
from core.techniques.reading import token_ids
from core.techniques.sampling import Sampling
from core.techniques.steering import Aim, Part, Steering

WatchedFeature = tuple[Watch, Watched]


def steer(
    ask: SteerAsk,
    model: LoadedModel,
    lock: Lock,
    parts: Sequence[Part],
    pushes: tuple[PushRecord, ...],
    watched: Sequence[WatchedFeature] = (),
) -> Iterator[SteerRecord]:
    """The record as the two texts grow, the last one with `done`.

    Raises:
        BadInput: the prompt is empty, leaves no room for the text, lacks a token that is to be steered, or is a chat
            that the model has no template for; or the strength is so large that the model's numbers overflow.
    """
    prompts = prompt_ids(ask, model)
    default, steered = Text(), Text()
    told = None
    runs, aim, sampling = [], _aim(ask, len(prompts[1])), sampling_of(ask)
    ends = end_tokens(model)
    if prompts[0] == prompts[1]:
        steering = Steering(ask.method, [(), parts], unit=ask.unit)
        hooks = sorted({watch.source.hook for watch, _ in watched})
        batch = Batch(model, lock, steering, aim, hooks)
        logits, seen = batch.read(prompts[0], 2, hooks)
        told = effect(model, logits, seen, watched)
        scores = Scores(batch.twin(), logits, (steered, default))  # each is read by the other's model
        runs = [write(batch, logits, (default, steered), sampling, length=ask.length, ends=ends,
                      alternatives=ask.alternatives)]  # fmt: skip
    else:
        scores = None
        for prompt, text, own in zip(prompts, (default, steered), ((), parts), strict=True):
            batch = Batch(model, lock, Steering(ask.method, [own], unit=ask.unit), aim)
            logits, _ = batch.read(prompt, 1)
            runs.append(write(batch, logits, (text,), sampling, length=ask.length, ends=ends,
                              alternatives=ask.alternatives))  # fmt: skip
    first = SteerRecord(
        ask=ask, prompt=model.vocabulary.draw(prompts[0]), steered_prompt=model.vocabulary.draw(prompts[1]),
        pushes=pushes, default=default.record(model), steered=steered.record(model), effect=told, done=False,
    )  # fmt: skip
    yield first
    for _ in zip_longest(*runs):
        if scores is not None:
            scores.look(last=False)
        yield replace(first, default=default.record(model), steered=steered.record(model))
    if scores is not None:
        scores.look(last=True)
    yield replace(first, default=default.record(model), steered=steered.record(model), done=True)


def sweep(
    ask: SteerAsk,
    factors: Sequence[float],
    model: LoadedModel,
    lock: Lock,
    parts: Sequence[Part],
    pushes: tuple[PushRecord, ...],
    tell: Tell | None = None,
) -> SweepRecord:
    """The same prompt at each multiple of the strengths; raises what `steer` does, and what `tell` raises."""
    prompt, _ = prompt_ids(ask, model)
    scaled = [[replace(part, strength=part.strength * factor) for part in parts] for factor in factors]
    rows, aim = [(), *scaled], _aim(ask, len(prompt))
    texts = [Text() for _ in rows]
    batch = Batch(model, lock, Steering(ask.method, rows, unit=ask.unit), aim)
    logits, _ = batch.read(prompt, len(rows))
    plain = Batch(model, lock, Steering("add", [()] * len(rows)), aim)
    scores = Scores(plain, plain.read(prompt, len(rows))[0], texts)
    steps = write(
        batch, logits, texts, sampling_of(ask), length=ask.length, ends=end_tokens(model), alternatives=ask.alternatives
    )
    for done, _ in enumerate(steps, 1):
        scores.look(last=False)
        if tell is not None:
            tell(Step(doing="writing", done=done, of=ask.length))
    scores.look(last=True)
    found = tuple(
        Sweep(
            factor=factor, text=text.record(model), divergence=divergence(logits[0], row), perplexity=_perplexity(text)
        )
        for factor, text, row in zip(factors, texts[1:], logits[1:], strict=True)
    )
    return SweepRecord(ask=ask, prompt=model.vocabulary.draw(prompt), pushes=pushes, rows=found)


def _perplexity(text: Text) -> float | None:
    if not text.other:
        return None
    nats = -sum(text.other) / len(text.other)
    return math.exp(nats) if nats < 709 else math.inf  # beyond, it is no float


def prompt_ids(ask: SteerAsk, model: LoadedModel) -> tuple[list[int], list[int]]:
    """The prompt's tokens for the default and for the steered text.

    Raises:
        BadInput: one is empty, leaves no room for the text, or is a chat that the model has no template for.
    """
    if ask.messages:
        both = [chat_ids(model, turns) for turns in (ask.messages, ask.steered_messages or ask.messages)]
    else:
        both = token_ids(model, [ask.prompt]) * 2
    for ids in both:
        if len(ids) + ask.length > model.context:
            raise BadInput(
                f"The prompt leaves no room: it has {len(ids):,} tokens, {ask.length:,} are to be generated, and "
                f"{model.manifest.record.model_id} reads at most {model.context:,}. Shorten one of them."
            )
    return both[0], both[1]


def chat_ids(model: LoadedModel, turns: Sequence[Message]) -> list[int]:
    """A chat as the model's template writes it, up to where the assistant begins to speak.

    Raises:
        BadInput: the model has no template, or it refuses these turns or writes what the model cannot read.
    """
    name = model.manifest.record.model_id
    if not getattr(model.tokenizer, "chat_template", None):
        raise BadInput(f"{name} is no chat model: its tokenizer has no chat template. Give it a plain prompt.")
    try:
        written = model.chat([{"role": turn.role, "content": turn.content} for turn in turns])
    except Exception as error:  # templates are programs, and raise what they like
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(f"The chat template of {name} refuses these messages: {first}") from error
    if not written:
        raise BadInput(f"The chat is empty: the chat template of {name} makes no token of it.")
    if max(written) >= model.manifest.record.d_vocab:
        token = model.tokenizer.convert_ids_to_tokens(max(written))
        raise BadInput(f"{name} has no embedding for the token {token!r} of the chat.")
    return written


def end_tokens(model: LoadedModel) -> tuple[int, ...]:
    """Tokens after which the model has nothing more to say."""
    for settings in (getattr(model.bridge.original_model, "generation_config", None), model.tokenizer):
        ends = getattr(settings, "eos_token_id", None)
        if ends is not None:
            return tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)
    return ()


def sampling_of(ask: SteerAsk) -> Sampling:
    """How its tokens are drawn."""
    return Sampling(float(ask.temperature), float(ask.top_p), float(ask.frequency_penalty), ask.seed)


def _aim(ask: SteerAsk, tokens: int) -> Aim:
    if missing := [n for n in ask.positions if not 0 <= n < tokens]:
        raise BadInput(f"The prompt has no token {missing[0]}: it has {tokens:,}, from 0 to {tokens - 1}.")
    return Aim(ask.where, ask.positions, ask.special)
