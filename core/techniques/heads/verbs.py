"""`python -m core heads` and `head`: attention heads on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.interchange import heads as shapes
from core.records import SourceKey, Step
from core.techniques.circuits.verbs import _names
from core.techniques.heads.records import (
    KINDS,
    NAMES,
    TOP,
    HeadActiveRecord,
    HeadFeaturesRecord,
    HeadKey,
    HeadRecord,
    HeadsRecord,
)
from core.terminal import Bar, table, visible

if TYPE_CHECKING:
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]


def heads_arguments(parser: argparse.ArgumentParser) -> None:
    """What `heads` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--by", choices=("layer", *KINDS), default="layer", help="the order; default: layer and head")
    parser.add_argument("--again", action="store_true", help="measure them although that was done")


def heads(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Every head's standard scores, measured if they were not."""
    with closing(Bar()) as bar:
        record = workbench.heads.scores(asked.model, again=asked.again, tell=_teller(bar))
    return shapes.heads(record), lambda: _heads(record, asked.by)


def head_arguments(parser: argparse.ArgumentParser) -> None:
    """What `head` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("layer", type=int, metavar="L")
    parser.add_argument("head", type=int, metavar="H")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="a prompt: its pattern, and the features at work there")
    parser.add_argument("--position", type=int, metavar="I", help="from which it looks; default: the last token")
    parser.add_argument("--attended", type=int, metavar="I", help="at which it looks; default: the strongest but BOS")
    parser.add_argument("--sources", type=_names, default=[], metavar="A,B", help="whose features; default: all SAEs")
    parser.add_argument("--top", type=int, default=TOP, metavar="N", help=f"features of a side; {TOP}")


def head(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """One head: over the corpus and by weights, or on a prompt."""
    if asked.layer < 0 or asked.head < 0:
        raise BadInput("Layers and heads count from 0.")
    key, room = HeadKey(asked.model, asked.layer, asked.head), workbench.heads
    sources = [SourceKey.of(asked.model, one) for one in asked.sources]
    with closing(Bar()) as bar:
        tell = _teller(bar)
        if asked.text is None:
            one = room.of(key, tell=tell)
            around = room.features(key, sources=sources, top=asked.top, tell=tell)
            answer = shapes.head(one) | {"features": shapes.features(around)["sides"]}
            return answer, lambda: f"{_head(one)}\n\n{_features(around)}"
        pattern = room.pattern(key, asked.text, tell=tell)
        active = room.active(
            key, asked.text, position=asked.position, attended=asked.attended, sources=sources, top=asked.top, tell=tell
        )
    return shapes.pattern(pattern) | {"active": shapes.active(active)}, lambda: _active(active, pattern.pattern)


def _heads(record: HeadsRecord, by: str) -> str:
    found = list(record.heads)
    if by != "layer":
        found.sort(key=lambda one: -one.score(by).value)  # type: ignore[arg-type]  # of the parser's choices
    rows = [
        (one.key.name, *(f"{one.score(kind).value:.3f}" for kind in KINDS),
         *(_share(one.score(kind).text) for kind in KINDS), _share(one.bos), _share(one.itself),
         "" if one.distance is None else f"{one.distance:.1f}", ", ".join(NAMES[kind] for kind in one.kinds))
        for one in found
    ]  # fmt: skip
    columns = (*KINDS, *(f"{kind}, text" for kind in KINDS), "BOS", "self", "back", "called")
    even = found[0] if found else None
    null = "" if even is None else ", ".join(f"{kind} {even.score(kind).uniform:.3f}" for kind in KINDS)
    return "\n".join([
        table(("head", *columns), rows),
        f"{record.sequences} texts of {record.period} random tokens twice; equal attention would give {null}.",
        f"text: {record.tokens:,} tokens of {record.source}" if record.source else "There is no corpus here.",
    ])  # fmt: skip


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _head(record: HeadRecord) -> str:
    one = record.scores
    scored = [
        (NAMES[kind], found.value, "" if found.control is None else found.control, found.uniform, _share(found.text),
         _share(found.text_uniform))
        for kind, found in ((kind, one.score(kind)) for kind in KINDS)
    ]  # fmt: skip
    pairs = [
        (visible(pair.query.text), visible(pair.key.text), pair.times, pair.mean,
         visible("".join(item.text for item in pair.tokens)))
        for pair in record.pairs
    ]  # fmt: skip
    said = [
        f"{name} {value:.1%}"
        for name, value in (("on BOS", one.bos), ("itself", one.itself), ("the token before", one.before))
        if value is not None
    ]
    return "\n".join([
        table((one.key.name, "random", "control", "equal", "text", "equal"), scored),
        f"of its attention: {', '.join(said)}" if said else "",
        "", table(("from", "to", "times", "attention", "where it is strongest"), pairs) if pairs else "",
    ]).strip()  # fmt: skip


_SAID = {
    "query": "write what it looks for", "key": "write by what it is found", "value": "write what it copies",
    "output": "read what it writes",
}  # fmt: skip


def _features(record: HeadFeaturesRecord) -> str:
    parts = []
    for side in record.sides:
        rows = [(str(one.key), one.score, one.norm, visible(one.label)) for one in side.features]
        end = f"{side.beyond:,} of {side.of:,} above {side.chance:.2f}, which a random direction in a thousand passes"
        parts += [side.note] if not rows else [table((_SAID[side.side], "× random", "norm", "fires on"), rows), end]
    return "\n".join(parts)


def _active(record: HeadActiveRecord, pattern: tuple[tuple[float, ...], ...]) -> str:
    row = pattern[record.position]
    best = sorted(range(len(row)), key=lambda n: -row[n])[:8]
    looks = [(n, visible(record.tokens[n].text), f"{row[n]:.1%}") for n in best]
    to, at = (f"“{visible(record.tokens[n].text)}” ({n})" for n in (record.position, record.attended))
    parts = [table((f"{record.key.name} from {to}", "token", "attention"), looks), f"looking at {at}:"]
    for side in record.sides:
        rows = [(str(one.key), one.position, one.activation, one.value, visible(one.label)) for one in side.nodes]
        parts.append(table((_SAID[side.side], "at", "activation", "gives", "fires on"), rows))
        if side.total is not None and side.features is not None:
            parts.append(
                f"features {side.features:.4f} + error {side.error:.4f} + bias {side.bias:.4f}, of {side.total:.4f}"
            )
    return "\n".join([*parts, *record.notes])


def _teller(bar: Bar) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.doing == "loading":
            bar(f"loading {step.what}", step.done, step.of)
        elif step.doing == "measuring":
            bar(step.what, step.done, step.of)

    return tell
