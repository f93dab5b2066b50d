"""`python -m core circuit`: what a prompt's output is made of, on the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.interchange import circuits as shapes
from core.records import FeatureKey, SourceKey, Step
from core.techniques.circuits.records import (
    CircuitAsk,
    DirectRecord,
    DriversRecord,
    FeaturesRecord,
    LensRecord,
    Target,
)
from core.terminal import Bar, table, visible

if TYPE_CHECKING:
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SHOWS = ("all", "lens", "components", "features", "tokens")
SHOWN = 12
"""Rows of a table."""
LAST = 6
"""Tokens of the lens that are written, the last ones."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `circuit` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument(
        "--target", nargs="+", action="extend", default=[], metavar="TOKEN",
        help="next tokens, each with its leading space; default: the likeliest against the second",
    )  # fmt: skip
    parser.add_argument("--against", nargs="+", action="extend", default=[], metavar="TOKEN", help="set against them")
    parser.add_argument("--feature", metavar="ID", help="a feature as the target, as 2-res/78")
    parser.add_argument("--position", type=int, metavar="I", help="where the target is read; default: the last token")
    parser.add_argument("--sources", type=_names, default=[], metavar="A,B", help="whose features; default: all SAEs")
    parser.add_argument("--show", choices=SHOWS, default="all", help="one part alone")
    parser.add_argument("--top", type=int, default=SHOWN, metavar="N", help=f"features that are listed; {SHOWN}")
    parser.add_argument("--ablate", type=int, default=0, metavar="N", help="measure the first so many too")


def circuit(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Takes one prompt's output apart; with `--json` the API's answers, by name where they are all shown."""
    ask = _ask(asked)
    with closing(Bar()) as bar:
        tell, room = _teller(bar), workbench.circuits
        jobs: dict[str, Callable[[], Any]] = {
            "lens": lambda: room.lens(ask, tell=tell),
            "components": lambda: room.direct(ask, tell=tell),
            "features": lambda: room.features(ask, top=asked.top, ablate=asked.ablate, tell=tell),
            "tokens": lambda: room.drivers(ask, tell=tell),
        }
        found = {name: job() for name, job in jobs.items() if asked.show in ("all", name)}
    made = {name: _SHAPES[name](record) for name, record in found.items()}
    answer = made if asked.show == "all" else made[asked.show]
    return answer, lambda: "\n\n".join(
        [_target(next(iter(found.values())).target), *(_TEXTS[name](one) for name, one in found.items())]
    )


def _ask(asked: argparse.Namespace) -> CircuitAsk:
    model, feature = asked.model, asked.feature
    if feature is not None and feature.count("/") not in (1, 2):
        raise BadInput(f"“{feature}” is not a feature: write <source>/<index>, for example 2-res/78.")
    if feature is not None and feature.count("/") == 1:
        feature = f"{model}/{feature}"
    return CircuitAsk(
        model_id=model, text=asked.prompt, target=tuple(asked.target), against=tuple(asked.against),
        feature=None if feature is None else FeatureKey.parse(feature), position=asked.position,
        sources=tuple(SourceKey.of(model, one) for one in asked.sources),
    )  # fmt: skip


def _target(target: Target) -> str:
    if target.feature is not None:
        return (
            f"{target.feature} {visible(target.label)} at token {target.position}: {target.value:.4f} before its "
            f"activation function, activation {target.activation:.4f}"
        )
    sides = [
        " or ".join(f"“{visible(one.token.text)}” ({one.probability:.1%}, rank {one.rank})" for one in side)
        for side in (target.target, target.against)
    ]
    return f"logit of {' against '.join(one for one in sides if one)}: {target.value:.4f}"


def _lens(record: LensRecord) -> str:
    shown = range(max(0, len(record.target.tokens) - LAST), len(record.target.tokens))
    head = ["logit lens", *(visible(record.target.tokens[n].text) for n in shown), "p", "rank"]
    rows = []
    for hook, row in zip(record.hooks, record.rows, strict=True):
        cell = row[-1]
        about = ("", "") if cell.probability is None or cell.rank is None else (f"{cell.probability:.2%}", cell.rank)
        rows.append([hook, *(visible(row[n].top[0][0].text) for n in shown), *about])
    return table(head, rows)


def _direct(record: DirectRecord) -> str:
    if not record.components:
        return record.note
    tokens = record.target.tokens
    largest = sorted(record.components, key=lambda one: -abs(one.value))[:SHOWN]
    rows = [(one.name, one.value) for one in largest]
    heads = []
    for head in record.heads[:3]:
        best = max(range(len(tokens)), key=lambda n: head.pattern[n] if not math.isnan(head.pattern[n]) else -1)
        shown = f"“{visible(tokens[best].text)}” at {best}"
        heads.append(f"L{head.layer}H{head.head} attends most to {shown} ({head.pattern[best]:.0%})")
    check = f"all {len(record.components)} add up to {record.total:.4f} of {record.target.value:.4f}"
    return "\n".join([table(("adds directly", "to the logits"), rows), check, *heads, record.note]).strip()


def _features(record: FeaturesRecord) -> str:
    tokens = record.target.tokens
    rows = [
        (str(one.key), f"{visible(tokens[one.position].text)} ({one.position})", one.activation, one.effect,
         "" if one.ablated is None else one.ablated, "" if one.direct is None else one.direct, visible(one.label))
        for one in record.nodes
    ]  # fmt: skip
    head = ("feature", "at", "activation", "act × grad", "ablated", "direct", "fires on")
    sums = [
        (one.key.source_id, one.active, one.features, one.error, one.bias, one.sum, one.total) for one in record.layers
    ]
    checked = table(("source", "active", "features", "error", "bias", "sum", "x · dL/dx"), sums)
    left = [f"{one} writes where the target is read, or after it" for one in record.later]
    left += [f"left out: {one.why}" for one in record.left_out]
    return "\n".join([table(head, rows), "", checked, *left])


def _drivers(record: DriversRecord) -> str:
    rows = [
        (n, visible(token.text), *("" if one is None else one for one in (share.ablated, share.integrated)))
        for n, (token, share) in enumerate(zip(record.target.tokens, record.tokens, strict=True))
    ]
    goal = record.target.value - record.baseline
    return "\n".join([
        table(("", "token", "replaced", "integrated gradients"), rows),
        f"integrated gradients add up to {record.integrated:.4f} of {goal:.4f}",
    ])  # fmt: skip


_SHAPES: dict[str, Callable[[Any], Any]] = {
    "lens": shapes.lens, "components": shapes.direct, "features": shapes.features, "tokens": shapes.drivers,
}  # fmt: skip
_TEXTS: dict[str, Callable[[Any], str]] = {
    "lens": _lens, "components": _direct, "features": _features, "tokens": _drivers,
}  # fmt: skip


def _teller(bar: Bar) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.doing == "loading":
            bar(f"loading {step.what}", step.done, step.of)
        elif step.doing == "reading":
            bar(step.what or "reading", step.done, step.of)

    return tell


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
