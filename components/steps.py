"""How far a request is that runs a model, in words and as a part of the whole. Pure functions; draws nothing."""

from __future__ import annotations

from core.records import SourceKey, Step


def words(step: Step | None, *, ready: bool = True) -> str:
    """What is being waited for; `ready` says whether the model is in memory, for as long as no step was told."""
    if step is None:
        return "Reading the text…" if ready else "Loading the model, then reading the text…"
    if step.doing == "waiting":
        if not step.before:
            return "Waiting: this one is read next…"
        return f"Waiting: {step.before:,} {'request is' if step.before == 1 else 'requests are'} before this one…"
    if step.doing == "loading":
        return _loading(step)
    if step.doing == "embedding":
        return _embedding(step)
    if step.doing == "mapping":
        return f"Making the map: {step.what}…"
    if step.doing == "measuring":
        return f"Measuring: {step.what}, {step.done:,} of {step.of:,}…" if step.of > 1 else f"Measuring: {step.what}…"
    if step.doing == "writing" and step.what:
        return f"{step.what} writes: {step.done:,} of {step.of:,} answers…"
    if step.doing == "writing":
        return f"Writing at each strength: {step.done:,} of {step.of:,} tokens…"
    sources = "1 source" if step.sources == 1 else f"{step.sources:,} sources"
    done = f" · {step.what} is done" if step.what and step.sources > 1 else ""
    return f"Reading {step.tokens:,} tokens through {sources}…{done}"


def _loading(step: Step) -> str:
    if "/" not in step.what:
        return f"Loading the model {step.what}…"
    name = SourceKey.parse(step.what).source_id
    return f"Loading {name}, {step.done + 1:,} of {step.of:,} sources…" if step.of > 1 else f"Loading {name}…"


def _embedding(step: Step) -> str:
    if "/" in step.what:
        return f"Reading the explanations of {SourceKey.parse(step.what).source_id}…"
    if step.what == "words":
        return f"Embedding {step.of:,} words of the build’s texts, once: {step.done:,} are done…"
    return f"Embedding {step.of:,} explanations, once: {step.done:,} are done…"


def part(step: Step | None) -> float | None:
    """How much is done, from 0 to 1; None where that is not known."""
    if step is None or not step.of:
        return None
    return min(1.0, step.done / step.of)
