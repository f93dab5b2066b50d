"""`python -m core explain` and `score`: many features by a language model, with an estimate, a budget and progress.

A key comes from the environment (FEATURESCOPE_LLM_KEY, or OPENAI_API_KEY for OpenAI's own address), never from the
command line, where every process of the machine could read it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from core.errors import BadInput, NotFound
from core.explain.machine.prices import Price
from core.explain.records import Estimate, Explanation, Progress
from core.interchange import explanations as shape
from core.records import FeatureKey, SourceKey
from core.terminal import Bar, facts, table, visible

if TYPE_CHECKING:
    from core.explain.machine.client import Endpoint
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
METHODS = ("np_max-act-logits", "np_max-act", "oai_token-act-pair", "eleuther_acts_top20")
SCORERS = ("detection", "fuzzing", "simulation", "embedding")
FREE = ("embedding",)
"""Scorers that ask no language model."""


def explain_arguments(parser: argparse.ArgumentParser) -> None:
    """What `explain` takes."""
    parser.add_argument("ids", nargs="+", metavar="MODEL/SOURCE|ID", help="a source, or features")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help="how the model is asked")
    _common(parser)


def score_arguments(parser: argparse.ArgumentParser) -> None:
    """What `score` takes."""
    parser.add_argument("ids", nargs="+", metavar="MODEL/SOURCE|ID", help="a source, or features")
    parser.add_argument("--scorer", choices=SCORERS, default="embedding", help="embedding asks no model")
    parser.add_argument("--method", default="", help="score only explanations by this method; default: all")
    parser.add_argument("--no-control", action="store_true", help="no score of another feature's explanation")
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", help="as the endpoint calls it; default: FEATURESCOPE_LLM")
    parser.add_argument("--base-url", default="", metavar="URL", help="an endpoint that speaks OpenAI's")
    parser.add_argument("--features", default="all", metavar="0-99|all", help="of a source, which")
    parser.add_argument("--budget", type=float, metavar="USD", help="spend no more than so many US dollars")
    parser.add_argument("--price", metavar="IN,OUT", help="dollars for a million tokens read and written")
    parser.add_argument("--concurrency", type=int, default=4, metavar="N", help="questions at once; default: 4")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds that an answer may take; default: 90")
    parser.add_argument("--estimate", action="store_true", help="say what it would cost, and ask nothing")


def explain(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Explains features."""
    features = _features(workbench, asked)
    endpoint = _endpoint(workbench, asked)
    found = workbench.words.estimate(features, asked.method, endpoint)
    if asked.estimate:
        return shape.estimate(found), lambda: _estimate(found, "features")
    _tell(found, asked)
    steps = workbench.words.explain(
        features, asked.method, endpoint, budget=asked.budget, concurrency=asked.concurrency, seconds=asked.timeout
    )
    return _run(asked, steps, "explaining", lambda one: (one.feature.index, one.text), ("feature", "explanation"))


def score(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Scores the explanations of features."""
    words = workbench.words
    chosen = [one for key in _features(workbench, asked) for one in words.of(key)]
    chosen = [one for one in chosen if asked.method in ("", one.method)]
    if not chosen:
        raise NotFound("None of these features has an explanation that could be scored so.")
    endpoint = None if asked.scorer in FREE else _endpoint(workbench, asked)
    found = words.estimate_scores(chosen, asked.scorer, endpoint)
    if asked.estimate:
        return shape.estimate(found), lambda: _estimate(found, "explanations")
    if endpoint is not None:
        _tell(found, asked)
    steps = words.score(
        chosen, asked.scorer, endpoint, budget=asked.budget, concurrency=asked.concurrency,
        control=not asked.no_control, seconds=asked.timeout,
    )  # fmt: skip

    def row(one: Explanation) -> tuple[object, ...]:
        made = next(s for s in reversed(one.scores) if s.scorer == asked.scorer)
        return one.feature.index, made.value, made.low, made.high, made.control or float("nan"), one.text

    return _run(asked, steps, "scoring", row, ("feature", "score", "low", "high", "control", "explanation"))


def _features(workbench: Workbench, asked: argparse.Namespace) -> list[FeatureKey]:
    found: list[FeatureKey] = []
    for text in asked.ids:
        if text.strip("/").count("/") == 2:
            key = FeatureKey.parse(text)
            workbench.feature(key)
            found.append(key)
        else:
            found += workbench.words.machines.features(SourceKey.parse(text), asked.features)
    if not found:
        raise NotFound("None of these features is ever active, so there is nothing to explain.")
    return list(dict.fromkeys(found))


def _endpoint(workbench: Workbench, asked: argparse.Namespace) -> Endpoint:
    price = Price.parse(asked.price) if asked.price else None
    if asked.timeout is not None and not 0 < asked.timeout < 3600:
        raise BadInput("A timeout is more than 0 and less than 3600 seconds.")
    return workbench.words.machines.endpoint(asked.model, asked.base_url, price=price)


def _run(
    asked: argparse.Namespace, steps: Iterator[Progress], what: str, row: Callable[[Explanation], tuple[object, ...]],
    header: tuple[str, ...],
) -> Answer:  # fmt: skip
    made: list[Explanation] = []
    step = Progress()
    with closing(Bar()) as bar:
        for step in steps:
            if step.before and not made and step.done == step.there:
                print(
                    f"{step.before} questions of an interrupted run were asked and not answered; they are asked again.",
                    file=sys.stderr,
                )
            made += step.made
            bar(what, step.done, step.of)
    asked.status = 1 if step.stopped or step.failed else 0
    answer = shape.progress(step) | {"explanations": [shape.explanation(one) for one in made]}
    return answer, lambda: "\n".join([table(header, map(row, made)) if made else "", _ending(step)]).strip("\n")


def _ending(step: Progress) -> str:
    cost = "the price is not known" if step.usd is None else f"${step.usd:,.4f}"
    parts = [f"{step.done - step.there - step.failed:,} made, {step.there:,} there before, {step.failed:,} failed"]
    parts.append(f"{step.asks:,} questions, {step.read:,} tokens read, {step.written:,} written, {cost}")
    if step.problem:
        parts.append(f"failed last: {visible(step.problem)}")
    if step.stopped:
        parts.append(f"stopped at {step.done:,} of {step.of:,}: {visible(step.stopped)} The same command goes on.")
    return "\n".join(parts)


def _tell(found: Estimate, asked: argparse.Namespace) -> None:
    cost = "at a price that is not known" if found.usd is None else f"about ${found.usd:,.4f}"
    limit = "" if asked.budget is None else f"; at most ${asked.budget:,.2f} will be spent"
    print(f"{found.asks:,} questions to {visible(found.model)}, {cost}{limit}", file=sys.stderr)


def _estimate(found: Estimate, things: str) -> str:
    return facts([
        ("model", found.model or "none is asked"), (things, found.things), ("have it already", found.there),
        ("questions", found.asks), ("tokens read", f"about {found.read:,}"),
        ("tokens written", f"about {found.written:,}"),
        ("cost", "not known" if found.usd is None else f"about ${found.usd:,.4f}"), ("", found.note),
    ])  # fmt: skip
