"""`python -m core graph`: which feature acts on which in a prompt, on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from core.errors import BadInput, NotAvailable
from core.interchange import graphs as shape
from core.records import Step
from core.techniques.graphs.records import (
    ADDS_UP,
    CHANCE,
    EDGES,
    FEATURES,
    LOGITS,
    NODES,
    GraphAsk,
    GraphNode,
    GraphRecord,
)
from core.terminal import Bar, facts, table, visible

if TYPE_CHECKING:
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SHOWN = 12
"""Features that are listed."""
INPUTS = 3
"""Of each so many of the nodes that act on it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `graph` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("prompt", metavar="TEXT", help="a prompt of at most 64 tokens; with --open the name of a graph")
    parser.add_argument("--set", dest="set_name", default="", metavar="NAME", help="whose features, for example mlp")
    parser.add_argument(
        "--target", nargs="+", action="extend", default=[], metavar="TOKEN",
        help="next tokens as nodes, each with its leading space; default: the likeliest",
    )  # fmt: skip
    parser.add_argument("--logits", type=int, default=LOGITS, metavar="N", help=f"of the likeliest at most; {LOGITS}")
    parser.add_argument("--chance", type=float, default=CHANCE, metavar="P", help=f"that they hold; {CHANCE}")
    parser.add_argument("--nodes", type=float, default=NODES, metavar="X", help=f"influence that nodes keep; {NODES}")
    parser.add_argument("--edges", type=float, default=EDGES, metavar="X", help=f"influence that edges keep; {EDGES}")
    parser.add_argument("--features", type=int, default=FEATURES, metavar="N", help=f"features at most; {FEATURES:,}")
    parser.add_argument("--open", action="store_true", help="a graph that is kept here, instead of making one")
    parser.add_argument("--save", metavar="NAME", help="keep it under this name")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it as circuit-tracer's JSON")


def graph(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """The graph of a prompt; with `--json` circuit-tracer's file."""
    if asked.open:
        record = workbench.graphs.load(asked.model, asked.prompt)
    else:
        with closing(Bar()) as bar:
            record = workbench.graph(_ask(asked), tell=_teller(bar))
    if asked.save:
        if not shape.SLUG.fullmatch(asked.save):
            raise BadInput(f"“{asked.save}” is no name for a graph: 1 to 100 letters, digits, “-” and “_”.")
        record = workbench.graphs.save(replace(record, slug=asked.save))
    file = shape.write(record)
    if asked.out is not None:
        try:
            asked.out.write_bytes(orjson.dumps(file, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise NotAvailable(f"{asked.out} cannot be written: {error.strerror or error}.") from error
    return file, lambda: _text(record)


def _ask(asked: argparse.Namespace) -> GraphAsk:
    return GraphAsk(
        model_id=asked.model, text=asked.prompt, set_name=asked.set_name, target=tuple(asked.target),
        logits=asked.logits, chance=asked.chance, nodes=asked.nodes, edges=asked.edges, features=asked.features,
    )  # fmt: skip


def _text(record: GraphRecord) -> str:
    known = {one.id: one for one in record.nodes}
    inputs: dict[str, list[tuple[float, str]]] = {}
    for link in record.links:
        inputs.setdefault(link.target, []).append((link.weight, link.source))

    def acting(node: GraphNode) -> str:
        ranked = sorted(inputs.get(node.id, []), key=lambda pair: -abs(pair[0]))[:INPUTS]
        return ", ".join(f"{_named(record, known[source])} {weight:+.2f}" for weight, source in ranked)

    features = [one for one in record.nodes if one.part == "feature"]
    features.sort(key=lambda one: (one.influence is None, one.influence))
    rows = [
        (str(one.key or one.id), f"{visible(record.tokens[one.position])} ({one.position})",
         "" if one.activation is None else one.activation, visible(one.label), acting(one))
        for one in features[:SHOWN]
    ]  # fmt: skip
    logits = [one for one in record.nodes if one.part == "logit"]
    ends = [(visible(one.label), f"{one.probability or 0:.1%}", acting(one)) for one in logits]
    parts = [facts(_facts(record)), table(("next token", "p", "most from"), ends)]
    parts.append(table(("most influential", "at", "activation", "fires on", "most from"), rows))
    return "\n\n".join(part for part in parts if part)


def _facts(record: GraphRecord) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [
        ("graph", record.slug), ("prompt", visible(record.prompt)), ("kind", record.description or record.way),
        ("kept", f"{len(record.nodes):,} nodes, {len(record.links):,} links"),
    ]  # fmt: skip
    if (one := record.facts) is not None:
        found += [
            ("of", f"{one.features:,} of {one.active:,} active features, {one.links:,} links"),
            ("replacement", f"{one.replacement:.3f}  of the influence from tokens or errors is tokens'"),
            ("completeness", f"{one.completeness:.3f}  of nodes' input is no error's"),
            ("check", f"inputs and biases add up {ADDS_UP[record.way]} within {one.residual:.1e} of their size"),
        ]
    return found


def _named(record: GraphRecord, node: GraphNode) -> str:
    """A node in a line: a feature, an error, “a token”."""
    if node.part in ("token", "logit"):
        return f"“{visible(node.label or record.tokens[node.position])}”"
    name = f"L{node.layer} error" if node.part == "error" else f"{node.layer}/{node.index}"
    return f"{name}@{node.position}"


def _teller(bar: Bar) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.doing in ("loading", "reading"):
            bar(f"{step.doing} {step.what}".strip(), step.done, step.of)

    return tell
